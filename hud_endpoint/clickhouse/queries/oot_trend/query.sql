-- How the jobs of each backend, or of the one named, ended in each span of `bucket_hours`. The rows with an empty repo
-- tell when the rollup was refreshed.
SELECT
    hours.repo AS repo,
    toStartOfInterval(hours.hour, toIntervalHour({bucket_hours: UInt64}), 'UTC') AS start,
    sum(hours.success) AS success,
    sum(hours.failure) AS failure,
    sum(hours.timed_out) AS timed_out,
    sum(hours.cancelled) AS cancelled,
    sum(hours.other) AS other,
    max(hours.generation) AS refreshed_at
FROM oot.backend_hours AS hours
WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND ({repo: String} = '' OR hours.repo IN ('', {repo: String}))
    AND (hours.repo = '' OR empty({events: Array(String)}) OR has({events: Array(String)}, hours.event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.backend_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY repo, start
ORDER BY repo, start
