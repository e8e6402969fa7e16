-- What the dashboards count, kept ready, in a database of its own, because refreshable views need an Atomic one.
--
-- backend_hours, commit_hours and failed_tests hold what finished jobs come to, by the hour of first_seen. Every 10 s a
-- refresh computes anew the hours that rows have come in for since the last one. It marks what it finds in these hours
-- as deleted, and what it computes, of a later `generation`, takes its place: with FINAL, what has left an hour is gone.
-- They are sorted by day, so that FINAL has only the newest days to merge, and lie in small granules and blocks, because
-- pages read a little of each day. A deleted row without a backend is left each time, so that the last refresh is known
-- where an hour is empty. A refresh writes one block, which is there as a whole or not at all: half of one would be missed
-- for good.
--
-- backend_windows, failing_tests and breakers hold what pages show of each window (1, 7 and 30 days, which begin with an
-- hour) and event ('' for all), readiness what is asked of a backend for the next level. They are computed whole from the
-- others, and only the rows of the last generation count.
CREATE DATABASE IF NOT EXISTS oot${on_cluster};

ALTER TABLE default.oot_workflow_job${on_cluster} ADD INDEX IF NOT EXISTS inserted_at_index _inserted_at TYPE minmax GRANULARITY 1;

CREATE TABLE IF NOT EXISTS oot.backend_hours${on_cluster}
(
    `hour` DateTime('UTC') COMMENT 'Of first_seen of the latest attempt, where a job counts',
    `repo` LowCardinality(String),
    `event_type` LowCardinality(String),
    `generation` DateTime64(9, 'UTC') COMMENT 'The refresh that computed the row; a later one takes its place',
    `is_deleted` UInt8,
    `level` LowCardinality(String) COMMENT 'Of the newest job',
    `last_run` DateTime64(3, 'UTC'),
    `environment` String COMMENT 'Of the newest job that told one, JSON',
    `environment_at` DateTime64(3, 'UTC'),
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
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation, is_deleted)
ORDER BY (toDate(hour), repo, toHour(hour), event_type)
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
    `commit` UInt64 MATERIALIZED cityHash64(upstream_repo, pr_number, sha),
    `pull_request` UInt64 MATERIALIZED if(pr_number > 0, cityHash64(upstream_repo, pr_number), 0) COMMENT '0: none',
    `generation` DateTime64(9, 'UTC'),
    `is_deleted` UInt8,
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
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation, is_deleted)
ORDER BY (toDate(hour), repo, toHour(hour), upstream_repo, pr_number, sha, event_type)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 256, min_compress_block_size = 8192;

CREATE TABLE IF NOT EXISTS oot.failed_tests${on_cluster}
(
    `hour` DateTime('UTC') COMMENT 'Of first_seen of the execution, of any attempt',
    `repo` LowCardinality(String),
    `named` UInt64 COMMENT 'Hash of the name',
    `test` UInt64 COMMENT 'Hash of classname, name and file',
    `id` UInt64 COMMENT 'Hash of the execution''s key, classname, name and file',
    `generation` DateTime64(9, 'UTC'),
    `is_deleted` UInt8,
    `name` LowCardinality(String),
    `classname` LowCardinality(String),
    `file` LowCardinality(String),
    `first_seen` DateTime64(3, 'UTC'),
    `event_type` LowCardinality(String),
    `duration` Nullable(Float64) COMMENT 'Seconds',
    `job` UInt64 COMMENT 'The same for all attempts of a job',
    `superseded` Bool COMMENT 'There is a later attempt',
    `recovered` Bool COMMENT 'A later attempt superseded it, and all of its check runs succeeded',
    `workflow` LowCardinality(String),
    `job_name` LowCardinality(String),
    `upstream_repo` LowCardinality(String),
    `pr_number` UInt64,
    `sha` String,
    `commit` UInt64 MATERIALIZED cityHash64(upstream_repo, pr_number, sha),
    `key` String COMMENT 'dynamoKey',
    `run_url` String
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation, is_deleted)
ORDER BY (toDate(hour), named, repo, test, id)
TTL hour + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 256, min_compress_block_size = 4096;

CREATE TABLE IF NOT EXISTS oot.failing_tests${on_cluster}
(
    `days` UInt16 COMMENT '0: the row stands for the refresh itself',
    `event` LowCardinality(String) COMMENT 'Empty: all of them',
    `repo` LowCardinality(String),
    `test` UInt64,
    `generation` DateTime64(9, 'UTC'),
    `refreshed_at` DateTime64(9, 'UTC') COMMENT 'The generation of failed_tests it was computed from',
    `place` UInt32 COMMENT 'From 1: those with a failure that counts first, newest first',
    `name` String,
    `classname` String,
    `file` String,
    `failures` UInt32 COMMENT 'In the latest attempts of jobs',
    `flakes` UInt32 COMMENT 'Jobs that failed it in an attempt and then succeeded',
    `newest` UInt64 COMMENT 'Id of the newest failure that counts',
    `first_in_window` DateTime64(3, 'UTC'),
    `last_failure` DateTime64(3, 'UTC') COMMENT 'That counts; 1970: none',
    `last_seen` DateTime64(3, 'UTC'),
    `longest` Nullable(Float64) COMMENT 'Seconds',
    `first_day` Date COMMENT 'Of the window',
    `history` Array(UInt32) COMMENT 'Failures that count by UTC day, from the first day on',
    `past_first` Nullable(DateTime64(3, 'UTC')) COMMENT 'In the window before, of any event, in any attempt',
    `past_last` Nullable(DateTime64(3, 'UTC')),
    `others` Array(String) COMMENT 'Backends on which it failed too, in any attempt',
    `failures_total` UInt32 COMMENT 'Tests with failures that count'
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (days, event, repo, test)
TTL toDateTime(generation) + INTERVAL 1 DAY WHERE days > 0
SETTINGS index_granularity = 64;

CREATE TABLE IF NOT EXISTS oot.readiness${on_cluster}
(
    `days` UInt16 COMMENT '0: the row stands for the refresh itself',
    `repo` LowCardinality(String),
    `generation` DateTime64(9, 'UTC'),
    `judged` UInt64 COMMENT 'Jobs that PyTorch dispatched, no nightlies: success + failure + timed_out',
    `passed` UInt64,
    `timed_out` UInt64,
    `end_to_end_p50` Float64 COMMENT 'Seconds from the dispatch to the end of the last first attempt on a commit',
    `end_to_end_commits` UInt64 COMMENT 'Those with a queue time and times that are not estimated'
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (days, repo)
SETTINGS index_granularity = 64;

CREATE TABLE IF NOT EXISTS oot.backend_windows${on_cluster}
(
    `days` UInt16 COMMENT '0: the row stands for the refresh itself',
    `event` LowCardinality(String) COMMENT 'Empty: all of them',
    `repo` LowCardinality(String) COMMENT 'Empty: pull_requests over all backends',
    `generation` DateTime64(9, 'UTC'),
    `refreshed_at` DateTime64(9, 'UTC') COMMENT 'The oldest generation of the tables by hour: what pages show is at least that new',
    `level` LowCardinality(String) COMMENT 'Of the newest job',
    `last_run` DateTime64(3, 'UTC'),
    `environment` String COMMENT 'Of the newest job that told one, JSON',
    `tests` UInt64,
    `tests_failed` UInt64,
    `tests_flaky` UInt64,
    `duration_sum` Float64,
    `duration_count` UInt64,
    `duration_quantiles` Array(Float32) COMMENT 'P50 and P95',
    `queue_sum` Float64,
    `queue_count` UInt64,
    `queue_quantiles` Array(Float32),
    `trend` Array(Tuple(DateTime('UTC'), UInt32, UInt32, UInt32, UInt32, UInt32)) COMMENT 'By hour, 6 hours or day, and by event: success, failure, timed_out, cancelled, other',
    `pull_requests` UInt64,
    `commits` UInt64 COMMENT 'Upstream commits it has finished jobs on',
    `judged_commits` UInt64 COMMENT 'In the window, 7 days at least, of all events',
    `broken_commits` UInt64 COMMENT 'Those on which a job, by its latest attempt, failed or said that it timed out',
    `is_well` Bool COMMENT 'It judged at least 5 commits beside a broken one, and was not broken on 80 % of them',
    `readiness` Array(Tuple(UInt16, UInt64, UInt64, UInt64, Float64, UInt64)) COMMENT 'For 7, 14 and 30 days: those, and what oot.readiness has'
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (days, event, repo)
SETTINGS index_granularity = 64;

CREATE TABLE IF NOT EXISTS oot.breakers${on_cluster}
(
    `days` UInt16 COMMENT '0: the row stands for the refresh itself',
    `event` LowCardinality(String) COMMENT 'Empty: all of them',
    `place` UInt16 COMMENT 'From 1: most backends first, then the newest',
    `generation` DateTime64(9, 'UTC'),
    `commit` UInt64,
    `upstream_repo` LowCardinality(String),
    `pr_number` UInt64,
    `sha` String,
    `event_type` LowCardinality(String),
    `judged_backends` UInt64,
    `backends` Array(Tuple(String, String, UInt64, UInt64, String)) COMMENT 'Broken on it and well otherwise: repo, level, broken and judged jobs, a run with a broken job',
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC')
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (days, event, place)
SETTINGS index_granularity = 64;

-- The hours that a refresh computes: those that rows came in for since a minute before the last refresh, those of
-- earlier attempts of the jobs that came in, and this hour.
CREATE VIEW IF NOT EXISTS oot.touched_hours${on_cluster}
AS WITH
    least(
        (SELECT max(generation) FROM oot.backend_hours),
        (SELECT max(generation) FROM oot.commit_hours),
        (SELECT max(generation) FROM oot.failed_tests)
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
AS WITH (SELECT now64(9, 'UTC')) AS refresh
SELECT
    hour,
    downstream_repo AS repo,
    event_type,
    refresh AS generation,
    0 AS is_deleted,
    argMax(downstream_repo_level, first_seen) AS level,
    max(first_seen) AS last_run,
    argMaxIf(environment, (first_seen, dynamoKey), environment != '') AS environment,
    maxIf(first_seen, touched_jobs.environment != '') AS environment_at,
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
SELECT * REPLACE (refresh - toIntervalNanosecond(1) AS generation, 1 AS is_deleted)
FROM oot.backend_hours FINAL
WHERE toDate(hour) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
    AND has((SELECT groupArray(hour) FROM oot.touched_hours), hour)
UNION ALL
SELECT
    toStartOfHour(now('UTC')), '', '', refresh, 1, '', toDateTime64(0, 3, 'UTC'), '', toDateTime64(0, 3, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    arrayReduce('quantilesTimingStateIf(0.5, 0.95)', [toUInt32(0)], [0]), 0, 0,
    arrayReduce('quantilesTimingStateIf(0.5, 0.95)', [toUInt32(0)], [0])
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.commit_hours_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.commit_hours
AS WITH (SELECT now64(9, 'UTC')) AS refresh
SELECT
    hour,
    downstream_repo AS repo,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    event_type,
    refresh AS generation,
    0 AS is_deleted,
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
SELECT * REPLACE (refresh - toIntervalNanosecond(1) AS generation, 1 AS is_deleted)
FROM oot.commit_hours FINAL
WHERE toDate(hour) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
    AND has((SELECT groupArray(hour) FROM oot.touched_hours), hour)
UNION ALL
SELECT
    toStartOfHour(now('UTC')), '', '', 0, '', '', refresh, 1, '', 0, 0, 0, 0, '', toDateTime64(0, 3, 'UTC'),
    toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.failed_tests_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.failed_tests
AS WITH (SELECT now64(9, 'UTC')) AS refresh
SELECT
    hour,
    downstream_repo AS repo,
    cityHash64(told.name) AS named,
    cityHash64(told.classname, told.name, told.file) AS test,
    cityHash64(dynamoKey, told.classname, told.name, told.file) AS id,
    refresh AS generation,
    0 AS is_deleted,
    told.name AS name,
    told.classname AS classname,
    told.file AS file,
    first_seen,
    event_type,
    told.duration_seconds AS duration,
    job,
    superseded,
    recovered,
    workflow_name AS workflow,
    job_name,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    dynamoKey AS key,
    workflow_run_url AS run_url
FROM oot.touched_jobs
ARRAY JOIN JSONExtract(
    failed_tests_json, 'Array(Tuple(name String, classname String, file String, duration_seconds Nullable(Float64)))'
) AS told
WHERE failed_tests_json != ''
UNION ALL
SELECT * REPLACE (refresh - toIntervalNanosecond(1) AS generation, 1 AS is_deleted)
FROM oot.failed_tests FINAL
WHERE toDate(hour) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
    AND has((SELECT groupArray(hour) FROM oot.touched_hours), hour)
UNION ALL
SELECT
    toStartOfHour(now('UTC')), '', 0, 0, 0, refresh, 1, '', '', '', toDateTime64(0, 3, 'UTC'), '', NULL, 0, false, false,
    '', '', '', 0, '', '', ''
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.failing_tests_mv${on_cluster}
REFRESH EVERY 30 SECOND APPEND TO oot.failing_tests
AS WITH
within AS (
    SELECT
        *,
        arrayJoin(arrayFilter(one -> hour >= toStartOfHour(now('UTC') - toIntervalDay(one)), [1, 7, 30])) AS days,
        arrayJoin(['', event_type]) AS event
    FROM oot.failed_tests FINAL
    WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY)
),

own AS (
    SELECT
        days,
        event,
        repo,
        test,
        any(within.name) AS name,
        any(within.classname) AS classname,
        any(within.file) AS file,
        countIf(NOT superseded) AS failures,
        uniqExactIf(job, recovered) AS flakes,
        argMaxIf(id, (within.first_seen, id), NOT superseded) AS newest,
        min(within.first_seen) AS first_in_window,
        maxIf(within.first_seen, NOT superseded) AS last_failure,
        max(within.first_seen) AS last_seen,
        maxOrNull(duration) AS longest,
        groupArrayIf(toDate(hour), NOT superseded) AS failed_on
    FROM within
    GROUP BY days, event, repo, test
    HAVING failures > 0 OR flakes > 0
),

ranked AS (
    SELECT
        *,
        countIf(failures > 0) OVER (PARTITION BY days, event, repo) AS failures_total,
        row_number() OVER (PARTITION BY days, event, repo ORDER BY failures > 0 DESC, last_failure DESC, flakes DESC, classname, name, file) AS place
    FROM own
    QUALIFY place <= 50
        OR row_number() OVER (PARTITION BY days, event, repo ORDER BY longest DESC NULLS LAST, classname, name, file) <= 10
        OR row_number() OVER (PARTITION BY days, event, repo ORDER BY flakes DESC, classname, name, file) <= 10
),

past AS (
    SELECT days, repo, test, minOrNull(failed.first_seen) AS first, maxOrNull(failed.first_seen) AS last
    FROM
    (
        SELECT
            repo,
            test,
            first_seen,
            arrayJoin(arrayFilter(
                one -> hour < toStartOfHour(now('UTC') - toIntervalDay(one))
                    AND hour >= toStartOfHour(now('UTC') - toIntervalDay(2 * one)),
                [1, 7, 30]
            )) AS days
        FROM oot.failed_tests FINAL
        WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 60 DAY)
    ) AS failed
    GROUP BY days, repo, test
),

spread AS (
    SELECT days, event, test, groupUniqArray(21)(toString(repo)) AS repos
    FROM within
    GROUP BY days, event, test
)

SELECT
    days,
    event,
    repo,
    test,
    (SELECT now64(9, 'UTC')) AS generation,
    (SELECT max(generation) FROM oot.failed_tests) AS refreshed_at,
    place,
    name,
    classname,
    file,
    failures,
    flakes,
    newest,
    first_in_window,
    last_failure,
    last_seen,
    longest,
    toDate(now('UTC') - toIntervalDay(days)) AS first_day,
    arrayMap(day -> toUInt32(countEqual(failed_on, first_day + day)), range(days + 1)) AS history,
    past.first AS past_first,
    past.last AS past_last,
    arraySlice(arraySort(arrayFilter(other -> other != repo, repos)), 1, 20) AS others,
    failures_total
FROM ranked
LEFT JOIN past USING (days, repo, test)
LEFT JOIN spread USING (days, event, test)
UNION ALL
SELECT
    0, '', '', 0, (SELECT now64(9, 'UTC')), (SELECT max(generation) FROM oot.failed_tests), 0, '', '', '', 0, 0, 0,
    toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), NULL, toDate(0), [], NULL, NULL, [], 0
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.readiness_mv${on_cluster}
REFRESH EVERY 1 MINUTE APPEND TO oot.readiness
AS WITH
commits AS (
    SELECT
        days,
        repo,
        sum(hours.judged) AS judged,
        sum(hours.failed) AS failed,
        sum(hours.timed_out) AS timed_out,
        minIf(hours.dispatched_at, hours.dispatched_at > toDateTime64(0, 3)) AS dispatched,
        max(hours.ended_at) AS ended,
        if(dispatched > toDateTime64(0, 3) AND ended > dispatched, dateDiff('millisecond', dispatched, ended) / 1000, 0) AS end_to_end
    FROM oot.commit_hours AS hours FINAL
    ARRAY JOIN arrayFilter(one -> hour >= toStartOfHour(now('UTC') - toIntervalDay(one)), [7, 14, 30]) AS days
    WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY) AND event_type NOT IN ('nightly', 'periodic')
    GROUP BY days, repo, commit
)

SELECT
    days,
    repo,
    (SELECT now64(9, 'UTC')) AS generation,
    sum(commits.judged) AS judged,
    sum(commits.judged) - sum(commits.failed) AS passed,
    sum(commits.timed_out) AS timed_out,
    quantileExactIf(0.5)(end_to_end, end_to_end > 0) AS end_to_end_p50,
    countIf(end_to_end > 0) AS end_to_end_commits
FROM commits
GROUP BY days, repo
UNION ALL
SELECT 0, '', (SELECT now64(9, 'UTC')), 0, 0, 0, 0, 0
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.backend_windows_mv${on_cluster}
REFRESH EVERY 10 SECOND DEPENDS ON oot.backend_hours_mv, oot.commit_hours_mv APPEND TO oot.backend_windows
AS WITH
least(
    (SELECT max(generation) FROM oot.backend_hours),
    (SELECT max(generation) FROM oot.commit_hours),
    (SELECT max(generation) FROM oot.failed_tests)
) AS oldest,

spans AS (
    SELECT
        days,
        repo,
        event_type,
        multiIf(days = 1, hour, days = 7, toStartOfInterval(hour, INTERVAL 6 HOUR, 'UTC'), toStartOfDay(hour, 'UTC')) AS start,
        argMax(hours.level, hours.last_run) AS level,
        max(hours.last_run) AS last_run,
        argMax(hours.environment, hours.environment_at) AS environment,
        max(hours.environment_at) AS environment_at,
        sum(hours.success) AS success,
        sum(hours.failure) AS failure,
        sum(hours.timed_out) AS timed_out,
        sum(hours.cancelled) AS cancelled,
        sum(hours.other) AS other,
        sum(hours.tests) AS tests,
        sum(hours.tests_failed) AS tests_failed,
        sum(hours.tests_flaky) AS tests_flaky,
        sum(hours.duration_sum) AS duration_sum,
        sum(hours.duration_count) AS duration_count,
        quantilesTimingMergeState(0.5, 0.95)(hours.duration_quantiles) AS duration_quantiles,
        sum(hours.queue_sum) AS queue_sum,
        sum(hours.queue_count) AS queue_count,
        quantilesTimingMergeState(0.5, 0.95)(hours.queue_quantiles) AS queue_quantiles
    FROM oot.backend_hours AS hours FINAL
    ARRAY JOIN arrayFilter(one -> hour >= toStartOfHour(now('UTC') - toIntervalDay(one)), [1, 7, 30]) AS days
    WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY)
    GROUP BY days, repo, event_type, start
),

windows AS (
    SELECT
        days,
        event,
        repo,
        argMax(spans.level, spans.last_run) AS level,
        max(spans.last_run) AS last_run,
        argMax(spans.environment, spans.environment_at) AS environment,
        sum(spans.tests) AS tests,
        sum(spans.tests_failed) AS tests_failed,
        sum(spans.tests_flaky) AS tests_flaky,
        sum(spans.duration_sum) AS duration_sum,
        sum(spans.duration_count) AS duration_count,
        quantilesTimingMerge(0.5, 0.95)(spans.duration_quantiles) AS duration_quantiles,
        sum(spans.queue_sum) AS queue_sum,
        sum(spans.queue_count) AS queue_count,
        quantilesTimingMerge(0.5, 0.95)(spans.queue_quantiles) AS queue_quantiles,
        groupArray((start, success, failure, timed_out, cancelled, other)) AS trend
    FROM spans
    ARRAY JOIN ['', event_type] AS event
    GROUP BY days, event, repo
),

reports AS (
    SELECT
        repo,
        pull_request,
        commit,
        event_type,
        max(hour) AS last,
        maxIf(hour, judged > 0) AS last_judged,
        maxIf(hour, broken > 0) AS last_broken
    FROM oot.commit_hours FINAL
    WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY)
    GROUP BY repo, pull_request, commit, event_type
),

reported AS (
    SELECT
        days,
        event,
        repo,
        uniqExactMerge(prs) AS pull_requests,
        sum(seen.commits) AS commits,
        sum(seen.judged) AS judged,
        sum(seen.broken) AS broken
    FROM
    (
        SELECT
            days,
            event,
            repo,
            uniqExactStateIf(pull_request, pull_request > 0) AS prs,
            uniqExact(commit) AS commits,
            uniqExactIf(commit, event = '' AND last_judged >= toStartOfHour(now('UTC') - toIntervalDay(days))) AS judged,
            uniqExactIf(commit, event = '' AND last_broken >= toStartOfHour(now('UTC') - toIntervalDay(days))) AS broken
        FROM
        (
            SELECT
                *,
                arrayJoin(arrayFilter(one -> last >= toStartOfHour(now('UTC') - toIntervalDay(one)), [1, 7, 30])) AS days,
                arrayJoin(['', event_type]) AS event
            FROM reports
        )
        GROUP BY days, event, repo
    ) AS seen
    GROUP BY GROUPING SETS ((days, event, repo), (days, event))
),

judged AS (
    SELECT
        *,
        max(judged) OVER (PARTITION BY repo, greatest(days, 7)) AS judged_commits,
        max(broken) OVER (PARTITION BY repo, greatest(days, 7)) AS broken_commits
    FROM reported
)

SELECT
    days,
    event,
    repo,
    (SELECT now64(9, 'UTC')) AS generation,
    oldest AS refreshed_at,
    level,
    last_run,
    environment,
    tests,
    tests_failed,
    tests_flaky,
    duration_sum,
    duration_count,
    duration_quantiles,
    queue_sum,
    queue_count,
    queue_quantiles,
    trend,
    pull_requests,
    commits,
    judged_commits,
    broken_commits,
    judged_commits > 5 AND (judged_commits - broken_commits) / (judged_commits - 1) >= 0.8 AS is_well,
    readiness
FROM judged
LEFT JOIN windows USING (days, event, repo)
LEFT JOIN
(
    SELECT repo, groupArray((days, judged, passed, timed_out, end_to_end_p50, end_to_end_commits)) AS readiness
    FROM (SELECT * FROM oot.readiness FINAL QUALIFY generation = max(generation) OVER ())
    GROUP BY repo
) AS readiness USING (repo)
UNION ALL
SELECT
    0, '', '', (SELECT now64(9, 'UTC')), oldest, '', toDateTime64(0, 3, 'UTC'), '', 0, 0, 0, 0, 0, [], 0, 0, [], [], 0, 0, 0, 0, false, []
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.breakers_mv${on_cluster}
REFRESH EVERY 10 SECOND DEPENDS ON oot.backend_windows_mv APPEND TO oot.breakers
AS WITH
well AS (
    SELECT days, repo
    FROM (SELECT * FROM oot.backend_windows FINAL QUALIFY generation = max(generation) OVER ())
    WHERE event = '' AND is_well
),

candidates AS (
    SELECT days, event, commit, any(hours.pr_number) AS pr_number
    FROM
    (
        SELECT
            *,
            commit,
            arrayJoin(arrayFilter(one -> hour >= toStartOfHour(now('UTC') - toIntervalDay(one)), [1, 7, 30])) AS days,
            arrayJoin(['', event_type]) AS event
        FROM oot.commit_hours FINAL
        WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY) AND broken > 0
    ) AS hours
    WHERE (days, repo) IN well
    GROUP BY days, event, commit
    HAVING uniqExact(repo) >= 2
    ORDER BY uniqExact(repo) DESC, max(last_seen) DESC, commit ASC
    LIMIT 60 BY days, event
),

results AS (
    SELECT
        days,
        event,
        commit,
        repo,
        any(hours.upstream_repo) AS upstream_repo,
        any(hours.pr_number) AS pr_number,
        any(hours.sha) AS sha,
        argMax(hours.event_type, hours.last_seen) AS event_type,
        argMax(hours.level, hours.last_seen) AS level,
        sum(hours.judged) AS judged,
        sum(hours.broken) AS broken,
        argMaxIf(hours.run_url, hours.last_seen, hours.broken > 0) AS run_url,
        min(hours.first_seen) AS first_seen,
        max(hours.last_seen) AS last_seen
    FROM
    (
        SELECT
            *,
            commit,
            arrayJoin(arrayFilter(one -> hour >= toStartOfHour(now('UTC') - toIntervalDay(one)), [1, 7, 30])) AS days,
            arrayJoin(['', event_type]) AS event
        FROM oot.commit_hours FINAL
        WHERE hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY)
            AND (pr_number, if(pr_number = 0, commit, 0)) IN (SELECT pr_number, if(pr_number = 0, commit, 0) FROM candidates)
    ) AS hours
    GROUP BY days, event, commit, repo
),

commits AS (
    SELECT
        days,
        event,
        commit,
        any(results.upstream_repo) AS upstream_repo,
        any(results.pr_number) AS pr_number,
        any(results.sha) AS sha,
        argMax(results.event_type, results.last_seen) AS event_type,
        countIf(judged > 0) AS judged_backends,
        arraySort(groupArrayIf((toString(repo), toString(level), broken, judged, run_url), broken > 0 AND (days, repo) IN well)) AS backends,
        min(results.first_seen) AS first_seen,
        max(results.last_seen) AS last_seen
    FROM results
    GROUP BY days, event, commit
)

SELECT
    days,
    event,
    row_number() OVER (PARTITION BY days, event ORDER BY length(backends) DESC, last_seen DESC, sha ASC) AS place,
    (SELECT now64(9, 'UTC')) AS generation,
    commit,
    upstream_repo,
    pr_number,
    sha,
    event_type,
    judged_backends,
    backends,
    first_seen,
    last_seen
FROM
(
    SELECT *, (first_seen, sha) = max((first_seen, sha)) OVER (PARTITION BY days, event, upstream_repo, pr_number) AS newest
    FROM commits
)
WHERE length(backends) >= 2 AND (newest OR pr_number = 0)
QUALIFY place <= 20
UNION ALL
SELECT
    0, '', 0, (SELECT now64(9, 'UTC')), 0, '', 0, '', '', 0, [], toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;
