-- When each backend last reported, and at which level.
SELECT hours.repo AS repo, argMax(hours.level, hours.last_run) AS level, max(hours.last_run) AS last_run
FROM oot.backend_hours AS hours
WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND hours.repo != ''
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, hours.event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.backend_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY repo
ORDER BY repo
