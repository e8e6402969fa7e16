-- Two users: one that writes and one that the pages read with. Run it once, as an administrator, after `oot-hud tables`;
-- again, it changes nothing but adds what a newer release needs. ClickHouse 25.8 or later.
--   clickhouse-client --param_writer_password=… --param_reader_password=… --queries-file deploy/clickhouse/users.sql
-- On a cluster of your own, add ON CLUSTER to each statement. Then CLICKHOUSE_URL of HUD is
-- https://oot_hud_reader:…@host:8443, and that of the replicators https://oot_hud_writer:…@host:8443.

CREATE SETTINGS PROFILE IF NOT EXISTS oot_hud_reader SETTINGS
    readonly = 2,                          -- reads only; the limits that each query brings along are allowed
    max_execution_time = 15 MIN 1 MAX 15,  -- a minimum, because 0 means none
    max_memory_usage = 4294967296 MIN 1 MAX 4294967296,
    max_rows_to_read = 2000000000 MIN 1 MAX 2000000000,
    max_result_rows = 200000 MIN 1 MAX 200000;

CREATE USER IF NOT EXISTS oot_hud_reader
    IDENTIFIED WITH sha256_password BY {reader_password:String}
    SETTINGS PROFILE oot_hud_reader;

CREATE USER IF NOT EXISTS oot_hud_writer
    IDENTIFIED WITH sha256_password BY {writer_password:String};

-- The pages, HUD's saved queries and level-report.
GRANT SELECT ON default.oot_workflow_job TO oot_hud_reader;
GRANT SELECT ON default.oot_test_failures TO oot_hud_reader;
GRANT SELECT ON default.crcr_workflow_job TO oot_hud_reader;
GRANT SELECT ON oot.* TO oot_hud_reader;

-- The replicators, backfill, verify, repair, dead-letters and doctor. DDL is the administrator's (tables).
GRANT SELECT, INSERT ON default.oot_workflow_job TO oot_hud_writer;
GRANT SELECT, INSERT, ALTER DELETE ON default.oot_replication_errors TO oot_hud_writer;
GRANT SELECT ON default.oot_schema_version TO oot_hud_writer;
GRANT SELECT ON system.view_refreshes TO oot_hud_writer;
GRANT SHOW TABLES ON oot.* TO oot_hud_writer;

-- verify compares inside ClickHouse, in tables of its own that it drops again. No other table has such a name.
GRANT CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON default.oot_verify_* TO oot_hud_writer;
GRANT TABLE ENGINE ON Null TO oot_hud_writer;
GRANT TABLE ENGINE ON MergeTree TO oot_hud_writer;

-- Test stats: ClickHouse pulls the objects itself. READ keeps the user from writing to S3 where the server tells the two
-- apart (access_control_improvements.enable_read_write_grants). With S3_CREDENTIALS=collection:<name>, also
-- GRANT NAMED COLLECTION ON <name> TO oot_hud_writer.
GRANT SELECT, INSERT, ALTER DELETE ON default.test_run_summary TO oot_hud_writer;
GRANT SELECT, INSERT, ALTER DELETE ON default.failed_test_runs TO oot_hud_writer;
GRANT SELECT, INSERT, ALTER DELETE ON default.test_run_s3 TO oot_hud_writer;
GRANT SELECT, INSERT ON default.oot_s3_loads TO oot_hud_writer;
GRANT CREATE TEMPORARY TABLE ON *.* TO oot_hud_writer;
GRANT READ ON S3 TO oot_hud_writer;
