-- One row a job execution: RFC-0054's columns, and version, first_seen and what the relay vouches for.
-- first_seen never changes for a key, so a key never moves to another day of the sorting key.
CREATE TABLE IF NOT EXISTS default.oot_workflow_job${on_cluster}
(
    `dynamoKey` String,
    `status` LowCardinality(String),
    `downstream_repo` LowCardinality(String) COMMENT 'Downstream repo org/name, from trusted.verified_repo',
    `upstream_repo` LowCardinality(String) COMMENT 'Upstream repo, typically pytorch/pytorch',
    `pr_number` UInt64 COMMENT 'PyTorch PR number',
    `pytorch_head_sha` String COMMENT 'PyTorch PR commit SHA',
    `delivery_id` String COMMENT 'GitHub webhook delivery ID from L1 dispatch',
    `workflow_run_url` String COMMENT 'Link to downstream GHA workflow run',
    `workflow_name` LowCardinality(String) COMMENT 'Downstream workflow name (github.workflow)',
    `job_name` LowCardinality(String) DEFAULT '' COMMENT 'Downstream job name (github.job)',
    `check_run_id` String DEFAULT '' COMMENT 'GitHub-assigned unique ID per job execution (job.check_run_id)',
    `run_id` String DEFAULT '' COMMENT 'GitHub workflow run ID (github.run_id), same across retries',
    `run_attempt` UInt32 DEFAULT 1 COMMENT 'Workflow run attempt number (github.run_attempt)',
    `conclusion` LowCardinality(String) COMMENT 'success, failure, cancelled, timed_out (set on completed)',
    `queue_time` Nullable(Float64) COMMENT 'Relay-measured dispatch-to-in_progress time in seconds',
    `execution_time` Nullable(Float64) COMMENT 'Relay-measured in_progress-to-completed time in seconds',
    `started_at` DateTime64(9, 'UTC') COMMENT 'Downstream-reported timestamp when job started',
    `completed_at` DateTime64(9, 'UTC') COMMENT 'Downstream-reported timestamp when job completed',
    `total_tests` UInt64 DEFAULT 0,
    `passed_tests` UInt64 DEFAULT 0,
    `failed_tests` UInt64 DEFAULT 0,
    `skipped_tests` UInt64 DEFAULT 0,
    `failed_tests_json` String DEFAULT '' COMMENT 'JSON array of failed/errored test details',
    `artifact_url` String DEFAULT '' COMMENT 'URL to downstream-hosted artifacts (logs, reports)',
    `environment` String DEFAULT '' COMMENT 'JSON: {"sdk": "<version>", "device": "<hardware>", ...}',
    `downstream_repo_level` LowCardinality(String) DEFAULT '' COMMENT 'Relay level at dispatch time: L2, L3, L4',
    `event_type` LowCardinality(String) DEFAULT 'pull_request' COMMENT 'pull_request, push, nightly, periodic, ...',
    `error_tests` UInt64 DEFAULT 0 COMMENT 'Tests that errored, counted in failed_tests as well',
    `flaky_tests` UInt64 DEFAULT 0 COMMENT 'Tests that passed on a rerun, counted in passed_tests as well',
    `details_truncated` UInt64 DEFAULT 0 COMMENT 'Failed tests that were cut short or left out of failed_tests_json',
    `dispatch_verified` Bool DEFAULT false COMMENT 'PR and SHA come from the dispatch record; of a nightly: upstream has the commit',
    `origin` LowCardinality(String) DEFAULT 'job' COMMENT 'Who ended the job: job, sweeper (timed out), deferred',
    `times_estimated` Bool DEFAULT false COMMENT 'started_at or completed_at was missing and is a fallback: no duration',
    `first_seen` DateTime64(3, 'UTC') COMMENT 'When the relay accepted the first callback of this job; never changes',
    `version` UInt64 COMMENT 'second of first_seen in its day * 5 * 10^13 + rank * 10^13 + revision: no late or replayed batch brings an old state back',
    `is_deleted` UInt8 DEFAULT 0 COMMENT 'Tombstone of an item deleted by hand',
    `_inserted_at` DateTime MATERIALIZED now(),
    `repository_full_name` String ALIAS downstream_repo COMMENT 'Alias for consistency with workflow_job queries',
    `duration_seconds` Float64 ALIAS if(completed_at = toDateTime64(0, 9), 0, dateDiff('second', started_at, completed_at)),
    INDEX pr_number_index pr_number TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX delivery_id_index delivery_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}version, is_deleted)
ORDER BY (toDate(first_seen), downstream_repo, delivery_id, dynamoKey)
TTL toDateTime(first_seen) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 8192
