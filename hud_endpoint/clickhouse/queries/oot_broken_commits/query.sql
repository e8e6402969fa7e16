-- The newest upstream commits on which at least two of the backends in `repos` are broken.
SELECT upstream_repo, pr_number, sha, commit
FROM oot.commit_hours
WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND broken > 0
    AND has({repos: Array(String)}, repo)
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.commit_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY upstream_repo, pr_number, sha, commit
HAVING uniqExact(repo) >= 2
ORDER BY max(last_seen) DESC, sha ASC
LIMIT 100
