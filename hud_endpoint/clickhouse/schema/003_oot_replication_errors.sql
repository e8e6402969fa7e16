-- Dead letters of the replicators: the record as it came, and why it could not become a row.
CREATE TABLE IF NOT EXISTS default.oot_replication_errors${on_cluster}
(
    `source` LowCardinality(String) COMMENT 'dynamodb-stream or s3',
    `record_id` String COMMENT 'dynamoKey or object key',
    `sequence_number` String COMMENT 'Place in the stream; the same record twice is one row',
    `reason` String,
    `record` String COMMENT 'The record as JSON, to replay it',
    `seen_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}seen_at)
ORDER BY (source, record_id, sequence_number)
TTL toDateTime(seen_at) + INTERVAL ${retention_days} DAY
