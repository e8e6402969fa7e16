-- One row a backend, or the one named: what its jobs came to in the window. Empty `events` means all of them.
SELECT
    hours.repo AS repo,
    argMax(hours.level, hours.last_run) AS level,
    sum(hours.tests) AS tests,
    sum(hours.tests_failed) AS tests_failed,
    sum(hours.tests_flaky) AS tests_flaky,
    sum(hours.duration_sum) AS duration_seconds,
    sum(hours.duration_count) AS duration_jobs,
    quantilesTimingMerge(0.5, 0.95)(hours.duration_quantiles) AS duration_quantiles,
    sum(hours.queue_sum) AS queue_seconds,
    sum(hours.queue_count) AS queue_jobs,
    quantilesTimingMerge(0.5, 0.95)(hours.queue_quantiles) AS queue_quantiles,
    max(hours.last_run) AS last_run
FROM oot.backend_hours AS hours
WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND hours.repo != ''
    AND ({repo: String} = '' OR hours.repo = {repo: String})
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, hours.event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.backend_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY repo
ORDER BY repo
