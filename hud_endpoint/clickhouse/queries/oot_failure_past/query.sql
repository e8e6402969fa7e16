-- When tests of these names failed on a backend in the window before the window, in any attempt: for the first and for
-- the last time.
SELECT
    downstream_repo AS repo,
    classname,
    name,
    file,
    min(oot_test_failures.first_seen) AS first_seen,
    max(oot_test_failures.first_seen) AS last_seen
FROM default.oot_test_failures FINAL
WHERE toDate(oot_test_failures.first_seen) >= toDate(now('UTC') - toIntervalDay(2 * {days: UInt64}))
    AND toDate(oot_test_failures.first_seen) <= toDate(now('UTC') - toIntervalDay({days: UInt64}))
    AND oot_test_failures.first_seen >= toStartOfHour(now('UTC') - toIntervalDay(2 * {days: UInt64}))
    AND oot_test_failures.first_seen < toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND downstream_repo IN {repos: Array(String)}
    AND has({names: Array(String)}, name)
GROUP BY repo, classname, name, file
LIMIT 100000
