-- Which object of S3 has been loaded, one row a key: the same object again adds nothing, a cut load is done again.
CREATE TABLE IF NOT EXISTS default.oot_s3_loads${on_cluster}
(
    `bucket` String,
    `key` String,
    `etag` String COMMENT 'Of the content that was read',
    `state` LowCardinality(String) COMMENT 'loading (under way, or cut off: it is done again) or loaded',
    `rows` UInt64,
    `bad_lines` UInt64,
    `version` UInt64 COMMENT 'Of the rows that this load wrote',
    `updated_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}updated_at)
ORDER BY (bucket, key)
TTL toDateTime(updated_at) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 8192
