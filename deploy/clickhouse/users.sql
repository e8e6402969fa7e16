-- Two users: one that writes and one that the pages read with. Run it once, as an administrator, after create_tables:
--   clickhouse-client --param_writer_password=… --param_reader_password=… --queries-file deploy/clickhouse/users.sql
-- On a cluster of your own, add ON CLUSTER to each statement.

CREATE SETTINGS PROFILE IF NOT EXISTS oot_hud_reader SETTINGS
    readonly = 2,                          -- reads only; the limits that each query brings along are allowed
    max_execution_time = 15 MAX 15,
    max_memory_usage = 4294967296 MAX 4294967296,
    max_rows_to_read = 2000000000 MAX 2000000000,
    max_result_rows = 200000 MAX 200000;

CREATE USER IF NOT EXISTS oot_hud_reader
    IDENTIFIED WITH sha256_password BY {reader_password:String}
    SETTINGS PROFILE oot_hud_reader;

CREATE USER IF NOT EXISTS oot_hud_writer
    IDENTIFIED WITH sha256_password BY {writer_password:String};

-- The pages and HUD's saved queries.
GRANT SELECT ON default.oot_workflow_job TO oot_hud_reader;
GRANT SELECT ON default.oot_test_failures TO oot_hud_reader;
GRANT SELECT ON default.crcr_workflow_job TO oot_hud_reader;
GRANT SELECT ON oot.* TO oot_hud_reader;

-- The replicators, verify and repair. DDL is the administrator's (create_tables).
GRANT SELECT, INSERT ON default.oot_workflow_job TO oot_hud_writer;
GRANT SELECT, INSERT ON default.oot_test_failures TO oot_hud_writer;
GRANT SELECT, INSERT ON default.oot_replication_errors TO oot_hud_writer;
