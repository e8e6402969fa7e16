-- On which other backends tests of these names failed in the window, in any attempt.
SELECT classname, name, file, arraySort(groupUniqArray(20)(downstream_repo)) AS repos
FROM default.oot_test_failures FINAL
WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
    AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND downstream_repo != {repo: String}
    AND has({names: Array(String)}, name)
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
GROUP BY classname, name, file
LIMIT 10000
