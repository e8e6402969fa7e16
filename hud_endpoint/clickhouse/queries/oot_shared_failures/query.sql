-- Names of tests that failed on at least two backends on one of the commits, in any attempt, most shared first. `commits`
-- are those of oot_breakers.
SELECT commit, name, uniqExact(repo) AS backends
FROM oot.failures_by_backend
WHERE toDate(hour) >= {since: Date} AND toDate(hour) <= {until: Date} AND commit IN {commits: Array(UInt64)}
GROUP BY commit, name
HAVING backends >= 2
ORDER BY backends DESC, name ASC
LIMIT 10 BY commit
