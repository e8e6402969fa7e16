-- When tests of these names failed on a backend before the window, in any attempt: for the first time, as far back as
-- history is kept, and for the last time.
SELECT
    downstream_repo AS repo,
    classname,
    name,
    file,
    min(oot_test_failures.first_seen) AS first_seen,
    max(oot_test_failures.first_seen) AS last_seen
FROM default.oot_test_failures FINAL
WHERE downstream_repo IN {repos: Array(String)}
    AND has({names: Array(String)}, name)
    AND oot_test_failures.first_seen < toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
GROUP BY repo, classname, name, file
LIMIT 100000
