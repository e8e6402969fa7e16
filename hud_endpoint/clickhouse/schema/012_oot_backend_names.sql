-- Backends go by the id of their repo, through a rename, and no repo gets the history of another one of the same name.
--
-- oot_repo_names has each name and id that results came under. A backend is an id, called by the name it reported under
-- last, and where another id has that name by now, `org/name@id`. A result without an id (from before ids were kept, or
-- of a pipeline elsewhere) counts for the id that had taken the name last, else for the first one that took it later. Where
-- there is none, the name itself is the backend. The tables by hour keep names and ids as they were reported, so that a
-- rename computes nothing anew. Everything that is shown reads them by backend, from the views `…_by_backend`.
CREATE TABLE IF NOT EXISTS default.oot_repo_names${on_cluster}
(
    `repo` LowCardinality(String),
    `repository_id` String COMMENT 'Empty: results without an id',
    `first_seen` SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Of the first result under the name',
    `last_seen` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Of the last one'
)
ENGINE = ${engine_prefix}AggregatingMergeTree(${replica})
ORDER BY (repo, repository_id)
TTL toDateTime(last_seen) + INTERVAL ${retention_days} DAY
SETTINGS index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS default.oot_repo_names_mv${on_cluster}
TO default.oot_repo_names
AS SELECT downstream_repo AS repo, repository_id, min(jobs.first_seen) AS first_seen, max(jobs.first_seen) AS last_seen
FROM default.oot_workflow_job AS jobs
WHERE is_deleted = 0
GROUP BY repo, repository_id;

-- What came in before this view was there; a minimum and a maximum stay the same, however often they are counted.
INSERT INTO default.oot_repo_names (repo, repository_id, first_seen, last_seen)
SELECT downstream_repo, repository_id, min(first_seen), max(first_seen)
FROM default.oot_workflow_job
WHERE is_deleted = 0
GROUP BY downstream_repo, repository_id;

CREATE TABLE IF NOT EXISTS oot.backend_names${on_cluster}
(
    `repo` LowCardinality(String) COMMENT 'A name that results came under',
    `repository_id` String COMMENT 'Empty: what has no id, and is of no id that had the name before',
    `generation` DateTime64(9, 'UTC'),
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC'),
    `backend` String COMMENT 'What pages call it'
)
ENGINE = ${engine_prefix}ReplacingMergeTree(${replica_args}generation)
ORDER BY (repo, repository_id)
TTL toDateTime(generation) + INTERVAL 1 DAY
SETTINGS index_granularity = 64;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.backend_names_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.backend_names
AS WITH
names AS (
    SELECT repo, repository_id, min(known.first_seen) AS first_seen, max(known.last_seen) AS last_seen
    FROM default.oot_repo_names AS known
    GROUP BY repo, repository_id
),

owned AS (
    SELECT
        repo,
        repository_id,
        first_seen,
        last_seen,
        if(max(is_holder AND repo = newest) OVER (PARTITION BY repository_id), newest, concat(newest, '@', repository_id)) AS backend
    FROM
    (
        SELECT
            *,
            argMax(toString(repo), (last_seen, repo)) OVER (PARTITION BY repository_id) AS newest,
            (last_seen, repository_id) = max((last_seen, repository_id)) OVER (PARTITION BY repo) AS is_holder
        FROM names
        WHERE repository_id != ''
    )
)

SELECT repo, repository_id, (SELECT now64(9, 'UTC')) AS generation, first_seen, last_seen, backend
FROM owned
UNION ALL
SELECT
    repo,
    '',
    (SELECT now64(9, 'UTC')),
    minIf(all_of_name.first_seen, repository_id = ''),
    maxIf(all_of_name.last_seen, repository_id = ''),
    if(countIf(repository_id != '') = 0, toString(repo), argMinIf(all_of_name.backend, all_of_name.first_seen, repository_id != ''))
FROM
(
    SELECT repo, repository_id, first_seen, last_seen, backend FROM owned
    UNION ALL
    SELECT repo, repository_id, first_seen, last_seen, '' FROM names WHERE repository_id = ''
) AS all_of_name
GROUP BY repo
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE VIEW IF NOT EXISTS oot.name_holders${on_cluster}
AS SELECT repo, arraySort(groupArray((since, repository_id))) AS holders
FROM
(
    SELECT toString(repo) AS repo, repository_id, min(first_seen) AS since
    FROM default.oot_repo_names
    WHERE repository_id != ''
    GROUP BY repo, repository_id
)
GROUP BY repo;

-- Every execution with the id that it counts for, `repository`; `job` is the same for all attempts of a job, whatever name
-- the repo has in each.
CREATE VIEW IF NOT EXISTS oot.identified_jobs${on_cluster}
AS SELECT
    jobs.*,
    jobs.duration_seconds AS duration_seconds,
    arrayLast(holder -> holder.1 <= jobs.first_seen, names.holders).2 AS holder,
    multiIf(jobs.repository_id != '', jobs.repository_id, holder != '', holder, empty(names.holders), '', names.holders[1].2) AS repository,
    cityHash64(if(repository = '', toString(jobs.downstream_repo), repository), jobs.delivery_id, jobs.workflow_name, jobs.run_id, jobs.job_name) AS job
FROM default.oot_workflow_job AS jobs FINAL
ANY LEFT JOIN oot.name_holders AS names ON names.repo = jobs.downstream_repo;

-- The views are made anew from here on, first those that others depend on.
DROP VIEW IF EXISTS oot.breakers_mv${on_cluster};

DROP VIEW IF EXISTS oot.backend_windows_mv${on_cluster};

DROP VIEW IF EXISTS oot.readiness_mv${on_cluster};

DROP VIEW IF EXISTS oot.failing_tests_mv${on_cluster};

DROP VIEW IF EXISTS oot.failed_tests_mv${on_cluster};

DROP VIEW IF EXISTS oot.commit_hours_mv${on_cluster};

DROP VIEW IF EXISTS oot.backend_hours_mv${on_cluster};

DROP VIEW IF EXISTS oot.touched_jobs${on_cluster};

ALTER TABLE oot.backend_hours${on_cluster}
    ADD COLUMN IF NOT EXISTS `repository_id` String COMMENT 'That the jobs count for; empty: none is known' AFTER `event_type`,
    ADD COLUMN IF NOT EXISTS `disputed` UInt32 COMMENT 'Jobs of which another result was refused' AFTER `other`,
    MODIFY ORDER BY (toDate(hour), repo, toHour(hour), event_type, repository_id);

ALTER TABLE oot.commit_hours${on_cluster}
    ADD COLUMN IF NOT EXISTS `repository_id` String AFTER `event_type`,
    MODIFY ORDER BY (toDate(hour), repo, toHour(hour), upstream_repo, pr_number, sha, event_type, repository_id);

ALTER TABLE oot.failed_tests${on_cluster} ADD COLUMN IF NOT EXISTS `repository_id` String AFTER `repo`;

ALTER TABLE oot.backend_windows${on_cluster} ADD COLUMN IF NOT EXISTS `disputed` UInt64 COMMENT 'Jobs of which another result was refused' AFTER `trend`;

CREATE VIEW IF NOT EXISTS oot.hours_by_backend${on_cluster}
AS SELECT hours.* EXCEPT (repo), if(names.backend = '', toString(hours.repo), names.backend) AS repo
FROM oot.backend_hours AS hours FINAL
ANY LEFT JOIN (SELECT repo, repository_id, backend FROM oot.backend_names FINAL) AS names
    ON names.repo = hours.repo AND names.repository_id = hours.repository_id;

CREATE VIEW IF NOT EXISTS oot.commits_by_backend${on_cluster}
AS SELECT hours.* EXCEPT (repo), hours.commit AS commit, hours.pull_request AS pull_request, if(names.backend = '', toString(hours.repo), names.backend) AS repo
FROM oot.commit_hours AS hours FINAL
ANY LEFT JOIN (SELECT repo, repository_id, backend FROM oot.backend_names FINAL) AS names
    ON names.repo = hours.repo AND names.repository_id = hours.repository_id;

CREATE VIEW IF NOT EXISTS oot.failures_by_backend${on_cluster}
AS SELECT tests.* EXCEPT (repo), tests.commit AS commit, tests.repo AS reported_as, if(names.backend = '', toString(tests.repo), names.backend) AS repo
FROM oot.failed_tests AS tests FINAL
ANY LEFT JOIN (SELECT repo, repository_id, backend FROM oot.backend_names FINAL) AS names
    ON names.repo = tests.repo AND names.repository_id = tests.repository_id;

CREATE VIEW IF NOT EXISTS oot.touched_jobs${on_cluster}
AS SELECT
    toStartOfHour(toDateTime(first_seen, 'UTC')) AS hour,
    jobs.*,
    run_attempt < reruns.latest_attempt AS superseded,
    superseded AND reruns.succeeded AS recovered
FROM
(
    SELECT *
    FROM oot.identified_jobs
    WHERE toDate(first_seen) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
        AND status = 'completed'
) AS jobs
ANY LEFT JOIN
(
    SELECT
        job,
        max(run_attempt) AS latest_attempt,
        maxIf(run_attempt, conclusion != 'success') < latest_attempt AS succeeded
    FROM oot.identified_jobs
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
    repository AS repository_id,
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
    countIf(conflicts NOT IN ('', '[]')) AS disputed,
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
GROUP BY hour, repo, event_type, repository_id
UNION ALL
SELECT * REPLACE (refresh - toIntervalNanosecond(1) AS generation, 1 AS is_deleted)
FROM oot.backend_hours FINAL
WHERE toDate(hour) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
    AND has((SELECT groupArray(hour) FROM oot.touched_hours), hour)
UNION ALL
SELECT
    toStartOfHour(now('UTC')), '', '', '', refresh, 1, '', toDateTime64(0, 3, 'UTC'), '', toDateTime64(0, 3, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
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
    repository AS repository_id,
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
GROUP BY hour, repo, upstream_repo, pr_number, sha, event_type, repository_id
UNION ALL
SELECT * REPLACE (refresh - toIntervalNanosecond(1) AS generation, 1 AS is_deleted)
FROM oot.commit_hours FINAL
WHERE toDate(hour) IN (SELECT toDate(arrayJoin((SELECT groupArray(hour) FROM oot.touched_hours))))
    AND has((SELECT groupArray(hour) FROM oot.touched_hours), hour)
UNION ALL
SELECT
    toStartOfHour(now('UTC')), '', '', 0, '', '', '', refresh, 1, '', 0, 0, 0, 0, '', toDateTime64(0, 3, 'UTC'),
    toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC')
SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS oot.failed_tests_mv${on_cluster}
REFRESH EVERY 10 SECOND APPEND TO oot.failed_tests
AS WITH (SELECT now64(9, 'UTC')) AS refresh
SELECT
    hour,
    downstream_repo AS repo,
    repository AS repository_id,
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
    toStartOfHour(now('UTC')), '', '', 0, 0, 0, refresh, 1, '', '', '', toDateTime64(0, 3, 'UTC'), '', NULL, 0, false, false,
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
    FROM oot.failures_by_backend
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
        FROM oot.failures_by_backend
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
    FROM oot.commits_by_backend AS hours
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
REFRESH EVERY 10 SECOND DEPENDS ON oot.backend_names_mv, oot.backend_hours_mv, oot.commit_hours_mv APPEND TO oot.backend_windows
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
        sum(hours.disputed) AS disputed,
        sum(hours.tests) AS tests,
        sum(hours.tests_failed) AS tests_failed,
        sum(hours.tests_flaky) AS tests_flaky,
        sum(hours.duration_sum) AS duration_sum,
        sum(hours.duration_count) AS duration_count,
        quantilesTimingMergeState(0.5, 0.95)(hours.duration_quantiles) AS duration_quantiles,
        sum(hours.queue_sum) AS queue_sum,
        sum(hours.queue_count) AS queue_count,
        quantilesTimingMergeState(0.5, 0.95)(hours.queue_quantiles) AS queue_quantiles
    FROM oot.hours_by_backend AS hours
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
        sum(spans.disputed) AS disputed,
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
    FROM oot.commits_by_backend
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
    disputed,
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
    0, '', '', (SELECT now64(9, 'UTC')), oldest, '', toDateTime64(0, 3, 'UTC'), '', 0, 0, 0, 0, 0, [], 0, 0, [], [], 0, 0, 0, 0, 0, false, []
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
        FROM oot.commits_by_backend
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
        FROM oot.commits_by_backend
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
