-- What the dashboards count, kept ready: by hour, backend and event; by hour, backend and upstream commit; and by hour and
-- upstream commit over all backends, a twentieth of the rows where there are twenty of them.
-- A refresh appends whole hours anew, those that rows have come in for since the last one, all with its own
-- `generation`: readers take the latest generation of each hour, so what has left an hour is gone from it, and FINAL,
-- which would merge every state before it drops the old ones, is not needed. A row without a backend stands for the hour
-- itself: the generations are read from these few rows. Small granules, so that a window reads little of each backend. A database of its own, because refreshable views need an Atomic one.
CREATE DATABASE IF NOT EXISTS oot${on_cluster};

ALTER TABLE default.oot_workflow_job${on_cluster} ADD INDEX IF NOT EXISTS inserted_at_index _inserted_at TYPE minmax GRANULARITY 1;

CREATE TABLE IF NOT EXISTS oot.backend_hours${on_cluster}
(
    `hour` DateTime('UTC') COMMENT 'Of first_seen of the latest attempt, where a job counts',
    `repo` LowCardinality(String),
    `event_type` LowCardinality(String),
    `generation` DateTime64(9, 'UTC') COMMENT 'The refresh that computed the hour; no two have the same',
    `level` LowCardinality(String) COMMENT 'Of the newest job',
    `last_run` DateTime64(3, 'UTC'),
    `success` UInt32,
    `failure` UInt32,
    `timed_out` UInt32,
    `cancelled` UInt32,
    `other` UInt32,
    `tests` UInt64,
    `tests_failed` UInt64,
    `tests_flaky` UInt64,
    `duration_sum` Float64 COMMENT 'Seconds, of jobs whose times are not estimated',
    `duration_count` UInt32,
    `duration_quantiles` AggregateFunction(quantilesTiming(0.5, 0.95), UInt32) COMMENT 'Above 30,000 s they read 30,000 s',
    `queue_sum` Float64,
    `queue_count` UInt32,
    `queue_quantiles` AggregateFunction(quantilesTiming(0.5, 0.95), UInt32)
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (repo, hour, event_type)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 256;

CREATE TABLE IF NOT EXISTS oot.commit_hours${on_cluster}
(
    `hour` DateTime('UTC'),
    `repo` LowCardinality(String),
    `upstream_repo` LowCardinality(String),
    `pr_number` UInt64,
    `sha` String,
    `event_type` LowCardinality(String),
    `generation` DateTime64(9, 'UTC'),
    `level` LowCardinality(String),
    `judged` UInt32 COMMENT 'success + failure + timed_out',
    `failed` UInt32 COMMENT 'failure + timed_out',
    `timed_out` UInt32,
    `broken` UInt32 COMMENT 'failure, and timed_out where the job itself said so: the sweeper knows no reason',
    `run_url` String COMMENT 'A run with a broken job, else any run',
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC'),
    `dispatched_at` DateTime64(3, 'UTC') COMMENT 'Start of the earliest first attempt less its queue time; 1970: unknown',
    `ended_at` DateTime64(3, 'UTC') COMMENT 'End of the last first attempt; 1970: unknown'
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (repo, hour, upstream_repo, pr_number, sha, event_type)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 1024;

CREATE TABLE IF NOT EXISTS oot.upstream_hours${on_cluster}
(
    `hour` DateTime('UTC'),
    `upstream_repo` LowCardinality(String),
    `pr_number` UInt64,
    `sha` String,
    `event_type` LowCardinality(String) COMMENT 'Empty: the row stands for the hour itself',
    `commit` UInt64 MATERIALIZED cityHash64(upstream_repo, pr_number, sha),
    `generation` DateTime64(9, 'UTC'),
    `first_seen` DateTime64(3, 'UTC'),
    `repos` Array(LowCardinality(String)) COMMENT 'The backends; the other arrays tell of each what commit_hours does',
    `levels` Array(LowCardinality(String)),
    `judged` Array(UInt32),
    `broken` Array(UInt32),
    `run_urls` Array(String) COMMENT 'Of backends that are broken, else empty',
    `last_seen` Array(DateTime64(3, 'UTC'))
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (hour, upstream_repo, pr_number, sha, event_type)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 256;

CREATE TABLE IF NOT EXISTS oot.failed_jobs${on_cluster}
(
    `hour` DateTime('UTC') COMMENT 'Of first_seen',
    `repo` LowCardinality(String),
    `key` String COMMENT 'dynamoKey of a job execution with failed tests, of any attempt',
    `version` UInt64 COMMENT 'The one that counts: other versions may have left other tests in oot_test_failures',
    `generation` DateTime64(9, 'UTC'),
    `event_type` LowCardinality(String),
    `job` UInt64 COMMENT 'The same for all attempts of a job',
    `superseded` Bool COMMENT 'There is a later attempt',
    `recovered` Bool COMMENT 'A later attempt superseded it, and all of its check runs succeeded',
    `run_url` String,
    `artifact_url` String
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (repo, hour, key)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 1024;

-- The hours that a refresh computes: those that rows came in for since a minute before the last refresh, those of
-- earlier attempts of the jobs that came in, and this hour.
CREATE VIEW IF NOT EXISTS oot.touched_hours${on_cluster}
AS WITH
    least(
        (SELECT max(generation) FROM oot.backend_hours),
        (SELECT max(generation) FROM oot.commit_hours),
        (SELECT max(generation) FROM oot.upstream_hours),
        (SELECT max(generation) FROM oot.failed_jobs)
    ) AS refreshed_at,
    arrivals AS
    (
        SELECT toStartOfHour(toDateTime(first_seen, 'UTC')) AS hour, delivery_id, run_attempt
        FROM default.oot_workflow_job
        WHERE _inserted_at + 60 >= toDateTime(refreshed_at, 'UTC')
    )
SELECT hour FROM arrivals
UNION DISTINCT
SELECT toStartOfHour(toDateTime(first_seen, 'UTC')) AS hour
FROM default.oot_workflow_job
WHERE delivery_id IN (SELECT delivery_id FROM arrivals WHERE run_attempt > 1)
UNION DISTINCT
SELECT toStartOfHour(now('UTC')) AS hour;

-- The executions of these hours that have ended, of all attempts. Those that are not superseded are what counts: every
-- check run of the latest attempt of each job. The hours are a scalar wherever a refresh needs them: ClickHouse evaluates
-- the same scalar subquery once a query, so an hour that is touched meanwhile is never marked as computed.
CREATE VIEW IF NOT EXISTS oot.touched_jobs${on_cluster}
AS SELECT
    toStartOfHour(toDateTime(first_seen, 'UTC')) AS hour,
    jobs.*,
    run_attempt < reruns.latest_attempt AS superseded,
    superseded AND reruns.succeeded AS recovered
FROM
(
    SELECT
        *,
        duration_seconds,
        cityHash64(downstream_repo, delivery_id, workflow_name, run_id, job_name) AS job
    FROM default.oot_workflow_job FINAL
    WHERE toDate(first_seen) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
        AND status = 'completed'
) AS jobs
ANY LEFT JOIN
(
    SELECT
        cityHash64(downstream_repo, delivery_id, workflow_name, run_id, job_name) AS job,
        max(run_attempt) AS latest_attempt,
        maxIf(run_attempt, conclusion != 'success') < latest_attempt AS succeeded
    FROM default.oot_workflow_job FINAL
    WHERE run_attempt > 1 AND toDate(first_seen) >= toDate(arrayMin((SELECT groupArray(hour) FROM oot.touched_hours)))
    GROUP BY job
) AS reruns USING (job)
WHERE has((SELECT groupArray(hour) FROM oot.touched_hours), hour);

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.backend_hours_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.backend_hours
AS SELECT
    hour,
    downstream_repo AS repo,
    event_type,
    (SELECT now64(9, 'UTC')) AS generation,
    argMax(downstream_repo_level, first_seen) AS level,
    max(first_seen) AS last_run,
    countIf(conclusion = 'success') AS success,
    countIf(conclusion = 'failure') AS failure,
    countIf(conclusion = 'timed_out') AS timed_out,
    countIf(conclusion = 'cancelled') AS cancelled,
    countIf(conclusion NOT IN ('success', 'failure', 'timed_out', 'cancelled')) AS other,
    sum(total_tests) AS tests,
    sum(failed_tests) AS tests_failed,
    sum(flaky_tests) AS tests_flaky,
    sumIf(duration_seconds, NOT times_estimated) AS duration_sum,
    countIf(NOT times_estimated) AS duration_count,
    quantilesTimingStateIf(0.5, 0.95)(toUInt32(greatest(duration_seconds, 0)), NOT times_estimated) AS duration_quantiles,
    sum(ifNull(queue_time, 0)) AS queue_sum,
    count(queue_time) AS queue_count,
    quantilesTimingStateIf(0.5, 0.95)(toUInt32(greatest(ifNull(queue_time, 0), 0)), isNotNull(queue_time)) AS queue_quantiles
FROM oot.touched_jobs
WHERE NOT superseded
GROUP BY hour, repo, event_type
UNION ALL
SELECT
    arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours)), '', '', (SELECT now64(9, 'UTC')), '',
    toDateTime64(0, 3, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    arrayReduce('quantilesTimingStateIf(0.5, 0.95)', [toUInt32(0)], [0]), 0, 0,
    arrayReduce('quantilesTimingStateIf(0.5, 0.95)', [toUInt32(0)], [0]);

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.commit_hours_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.commit_hours
AS SELECT
    hour,
    downstream_repo AS repo,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    event_type,
    (SELECT now64(9, 'UTC')) AS generation,
    argMax(downstream_repo_level, jobs.first_seen) AS level,
    countIf(conclusion IN ('success', 'failure', 'timed_out')) AS judged,
    countIf(conclusion IN ('failure', 'timed_out')) AS failed,
    countIf(conclusion = 'timed_out') AS timed_out,
    countIf(conclusion = 'failure' OR (conclusion = 'timed_out' AND origin != 'sweeper')) AS broken,
    argMax(workflow_run_url, (conclusion = 'failure' OR (conclusion = 'timed_out' AND origin != 'sweeper'), jobs.first_seen)) AS run_url,
    min(jobs.first_seen) AS first_seen,
    max(jobs.first_seen) AS last_seen,
    minIf(
        toDateTime64(started_at, 3, 'UTC') - toIntervalMillisecond(toInt64(1000 * ifNull(queue_time, 0))),
        run_attempt = 1 AND NOT times_estimated AND isNotNull(queue_time)
    ) AS dispatched_at,
    maxIf(toDateTime64(completed_at, 3, 'UTC'), run_attempt = 1 AND NOT times_estimated) AS ended_at
FROM oot.touched_jobs AS jobs
WHERE NOT superseded
GROUP BY hour, repo, upstream_repo, pr_number, sha, event_type
UNION ALL
SELECT
    arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours)), '', '', 0, '', '', (SELECT now64(9, 'UTC')), '', 0, 0, 0,
    0, '', toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC');

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.upstream_hours_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.upstream_hours
AS SELECT
    hour,
    upstream_repo,
    pr_number,
    sha,
    event_type,
    (SELECT now64(9, 'UTC')) AS generation,
    min(backends.first) AS first_seen,
    groupArray(backends.repo) AS repos,
    groupArray(backends.level) AS levels,
    groupArray(backends.judged_jobs) AS judged,
    groupArray(backends.broken_jobs) AS broken,
    groupArray(backends.run_url) AS run_urls,
    groupArray(backends.last) AS last_seen
FROM
(
    SELECT
        hour,
        upstream_repo,
        pr_number,
        pytorch_head_sha AS sha,
        event_type,
        downstream_repo AS repo,
        argMax(downstream_repo_level, jobs.first_seen) AS level,
        countIf(conclusion IN ('success', 'failure', 'timed_out')) AS judged_jobs,
        countIf(conclusion = 'failure' OR (conclusion = 'timed_out' AND origin != 'sweeper')) AS broken_jobs,
        argMaxIf(workflow_run_url, jobs.first_seen, conclusion = 'failure' OR (conclusion = 'timed_out' AND origin != 'sweeper')) AS run_url,
        min(jobs.first_seen) AS first,
        max(jobs.first_seen) AS last
    FROM oot.touched_jobs AS jobs
    WHERE NOT superseded
    GROUP BY hour, upstream_repo, pr_number, sha, event_type, repo
) AS backends
GROUP BY hour, upstream_repo, pr_number, sha, event_type
UNION ALL
SELECT
    arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours)), '', 0, '', '', (SELECT now64(9, 'UTC')),
    toDateTime64(0, 3, 'UTC'), [], [], [], [], [], [];

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.failed_jobs_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.failed_jobs
AS SELECT
    hour,
    downstream_repo AS repo,
    dynamoKey AS key,
    version,
    (SELECT now64(9, 'UTC')) AS generation,
    event_type,
    job,
    superseded,
    recovered,
    workflow_run_url AS run_url,
    artifact_url
FROM oot.touched_jobs
WHERE failed_tests_json != ''
UNION ALL
SELECT
    arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours)), '', '', 0, (SELECT now64(9, 'UTC')), '', 0, false, false,
    '', '';
