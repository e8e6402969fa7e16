-- Upstream commits on which at least two of the backends in `repos` are broken: most backends first, then the newest.
SELECT commit, any(commit_hours.pr_number) AS pr_number
FROM oot.commit_hours
WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND broken > 0
    AND repo IN {repos: Array(String)}
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.commit_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY commit
HAVING uniqExact(repo) >= 2
ORDER BY uniqExact(repo) DESC, max(last_seen) DESC, commit ASC
LIMIT 60
