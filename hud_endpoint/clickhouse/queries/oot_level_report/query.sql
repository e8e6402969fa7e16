-- One row a backend and week, week 0 being the seven days before now: what RFC-0050 asks of it, over jobs that PyTorch
-- dispatched (no nightlies). End to end is as in oot_backend_readiness; a commit counts in the week of its first job.
WITH
toStartOfHour(now('UTC') - toIntervalDay(7 * {weeks: UInt8})) AS since,

jobs AS (
    SELECT
        repo,
        intDiv(dateDiff('hour', hour, now('UTC')), 168) AS week,
        argMax(hours.level, hours.last_run) AS level,
        max(hours.last_run) AS last_run,
        sum(success) AS passed,
        sum(success) + sum(failure) + sum(hours.timed_out) AS judged,
        sum(hours.timed_out) AS timed_out,
        if(sum(queue_count) > 0, quantilesTimingMerge(0.5, 0.95)(queue_quantiles)[1], NULL) AS queue_p50
    FROM oot.hours_by_backend AS hours
    WHERE hour >= since AND event_type NOT IN ('nightly', 'periodic')
    GROUP BY repo, week
),

commits AS (
    SELECT
        repo,
        intDiv(dateDiff('hour', min(hour), now('UTC')), 168) AS week,
        minIf(hours.dispatched_at, hours.dispatched_at > toDateTime64(0, 3)) AS dispatched,
        max(hours.ended_at) AS ended
    FROM oot.commits_by_backend AS hours
    WHERE hour >= since AND event_type NOT IN ('nightly', 'periodic')
    GROUP BY repo, commit
    HAVING dispatched > toDateTime64(0, 3) AND ended > dispatched
),

ends AS (
    SELECT repo, week, quantileExact(0.5)(dateDiff('millisecond', dispatched, ended) / 1000) AS end_to_end_p50, count() AS samples
    FROM commits
    GROUP BY repo, week
)

SELECT
    jobs.repo AS repo,
    jobs.week AS week,
    jobs.level AS level,
    jobs.last_run AS last_run,
    jobs.judged AS judged,
    jobs.passed AS passed,
    jobs.timed_out AS timed_out,
    jobs.queue_p50 AS queue_p50,
    if(ends.samples > 0, ends.end_to_end_p50, NULL) AS end_to_end_p50
FROM jobs
LEFT JOIN ends ON jobs.repo = ends.repo AND jobs.week = ends.week
WHERE jobs.week < {weeks: UInt8}
ORDER BY repo ASC, week ASC
