-- Which numbered files have been applied: always run first, so that the others can be recorded.
CREATE TABLE IF NOT EXISTS default.oot_schema_version${on_cluster}
(
    `number` UInt32,
    `name` String COMMENT 'The file in hud_endpoint/clickhouse/schema',
    `sha256` String COMMENT 'Of its text, before target, cluster and retention are filled in',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}applied_at)
ORDER BY number
