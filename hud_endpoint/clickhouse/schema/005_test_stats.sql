-- Test stats, pulled from S3: the columns that HUD's queries know, and what makes a repeated load harmless.
-- The object's key gives the row its place, and the row's number in the object its own: a later load replaces it.
CREATE TABLE IF NOT EXISTS default.test_run_summary${on_cluster}
(
    `classname` String,
    `errors` Int64,
    `failures` Int64,
    `file` String,
    `invoking_file` String,
    `job_id` Int64,
    `skipped` Int64,
    `successes` Int64,
    `tests` Int64,
    `time` Float32,
    `workflow_id` Int64 COMMENT 'From the object key, never from the row',
    `workflow_run_attempt` Int64 COMMENT 'From the object key, never from the row',
    `repo` LowCardinality(String) DEFAULT '',
    `meta` Tuple(bucket String, key String),
    `time_inserted` DateTime64(9, 'UTC') DEFAULT now64(9),
    `row_number` UInt64 COMMENT 'Among the good lines of the object',
    `version` UInt64 COMMENT 'By when the object was written, then read: a stale load never wins',
    INDEX job_id_index job_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}version)
ORDER BY (workflow_id, workflow_run_attempt, row_number)
TTL toDateTime(time_inserted) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 8192;

CREATE TABLE IF NOT EXISTS default.test_run_s3${on_cluster}
(
    `classname` String,
    `duration` Float32,
    `error` Array(Tuple(type String, message String, text String)),
    `failure` Array(Tuple(type String, message String, text String)),
    `file` String,
    `invoking_file` String,
    `job_id` Int64,
    `line` Int64,
    `name` String,
    `properties` Array(Tuple(name String, value String)),
    `rerun` Array(Tuple(message String, text String)),
    `result` String,
    `skipped` Array(Tuple(type String, message String, text String)),
    `status` String,
    `system-err` Array(String),
    `system-out` Array(String),
    `time` Float32,
    `type_param` String,
    `value_param` String,
    `workflow_id` Int64 COMMENT 'From the object key, never from the row',
    `workflow_run_attempt` Int32 COMMENT 'From the object key, never from the row',
    `repo` LowCardinality(String) DEFAULT '',
    `meta` Tuple(bucket String, key String),
    `time_inserted` DateTime64(9, 'UTC') DEFAULT now64(9),
    `row_number` UInt64 COMMENT 'Among the good lines of the object',
    `version` UInt64 COMMENT 'By when the object was written, then read: a stale load never wins',
    INDEX job_id_index job_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX name_index name TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}version)
ORDER BY (workflow_id, workflow_run_attempt, row_number)
TTL toDateTime(time_inserted) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 8192;

CREATE TABLE IF NOT EXISTS default.failed_test_runs${on_cluster}
(
    `classname` String,
    `duration` Float32,
    `error` Array(Tuple(type String, message String, text String)),
    `failure` Array(Tuple(type String, message String, text String)),
    `file` String,
    `invoking_file` String,
    `job_id` Int64,
    `line` Int64,
    `name` String,
    `properties` Array(Tuple(name String, value String)),
    `rerun` Array(Tuple(message String, text String)),
    `result` String,
    `skipped` Array(Tuple(type String, message String, text String)),
    `status` String,
    `system-err` Array(String),
    `system-out` Array(String),
    `time` Float32,
    `type_param` String,
    `value_param` String,
    `workflow_id` Int64 COMMENT 'From the object key, never from the row',
    `workflow_run_attempt` Int32 COMMENT 'From the object key, never from the row',
    `repo` LowCardinality(String) DEFAULT '',
    `meta` Tuple(bucket String, key String),
    `time_inserted` DateTime64(9, 'UTC') DEFAULT now64(9),
    `row_number` UInt64 COMMENT 'Among the good lines of the object',
    `version` UInt64 COMMENT 'By when the object was written, then read: a stale load never wins',
    INDEX job_id_index job_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX name_index name TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}version)
ORDER BY (workflow_id, workflow_run_attempt, row_number)
TTL toDateTime(time_inserted) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 8192
