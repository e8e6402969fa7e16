-- The layout that production's table of the same jobs has (pytorch/test-infra, crcr_workflow_job): the sorting key
-- starts with the repo, times are outside of it, strings are plain, and no version tells two rows of a key apart.
CREATE TABLE default.reference_workflow_job
(
    `dynamoKey` String,
    `status` String,
    `downstream_repo` String,
    `downstream_repo_level` String,
    `delivery_id` String,
    `pr_number` UInt64,
    `workflow_name` String,
    `job_name` String,
    `run_id` String,
    `run_attempt` UInt32,
    `conclusion` String,
    `started_at` DateTime64(9),
    `completed_at` DateTime64(9),
    `failed_tests_json` String,
    INDEX status_index status TYPE bloom_filter GRANULARITY 1,
    INDEX started_at_index started_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (downstream_repo, delivery_id, dynamoKey)
