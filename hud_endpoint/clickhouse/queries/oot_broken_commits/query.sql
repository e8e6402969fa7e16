-- Upstream commits on which at least two of the backends in `repos` are broken: most backends first, then the newest.
SELECT commit, any(hours.pr_number) AS pr_number
FROM oot.upstream_hours AS hours
ARRAY JOIN hours.repos AS repo, hours.broken AS broken_jobs, hours.last_seen AS seen
WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND arrayExists(jobs -> jobs > 0, hours.broken)
    AND broken_jobs > 0
    AND repo IN {repos: Array(String)}
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, hours.event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.upstream_hours
        WHERE event_type = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY commit
HAVING uniqExact(repo) >= 2
ORDER BY uniqExact(repo) DESC, max(seen) DESC, commit ASC
LIMIT 60
