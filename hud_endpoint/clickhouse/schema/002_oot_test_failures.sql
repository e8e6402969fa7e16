-- One row a failed test, filled from failed_tests_json as jobs arrive.
CREATE TABLE IF NOT EXISTS default.oot_test_failures${on_cluster}
(
    `dynamoKey` String,
    `name` String,
    `classname` String,
    `file` String,
    `status` LowCardinality(String) COMMENT 'failure or error',
    `message` String,
    `stacktrace` String,
    `duration_seconds` Nullable(Float64),
    `downstream_repo` LowCardinality(String),
    `upstream_repo` LowCardinality(String),
    `pr_number` UInt64,
    `pytorch_head_sha` String,
    `event_type` LowCardinality(String),
    `workflow_name` LowCardinality(String),
    `job_name` LowCardinality(String),
    `run_attempt` UInt32,
    `workflow_run_url` String,
    `artifact_url` String,
    `first_seen` DateTime64(3, 'UTC'),
    `version` UInt64,
    `is_deleted` UInt8,
    INDEX name_index name TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}version, is_deleted)
ORDER BY (toDate(first_seen), downstream_repo, dynamoKey, classname, name, file)
TTL toDateTime(first_seen) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS default.oot_test_failures_mv${on_cluster}
TO default.oot_test_failures
AS SELECT
    dynamoKey,
    test.name AS name,
    test.classname AS classname,
    test.file AS file,
    test.status AS status,
    test.message AS message,
    test.stacktrace AS stacktrace,
    test.duration_seconds AS duration_seconds,
    downstream_repo,
    upstream_repo,
    pr_number,
    pytorch_head_sha,
    event_type,
    workflow_name,
    job_name,
    run_attempt,
    workflow_run_url,
    artifact_url,
    first_seen,
    version,
    is_deleted
FROM default.oot_workflow_job
ARRAY JOIN JSONExtract(
    failed_tests_json,
    'Array(Tuple(name String, classname String, file String, status String, message String, stacktrace String, duration_seconds Nullable(Float64)))'
) AS test
WHERE failed_tests_json != ''
