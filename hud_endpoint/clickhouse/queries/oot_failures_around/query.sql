-- What surrounds the failures of a backend's tests in the window: how often each failed by UTC day, as far as it counts;
-- the other backends where it failed, in any attempt; and when it failed on this one in the window before, in any attempt.
-- `tests` are those of oot_backend_failures.
SELECT
    test,
    sumMapIf(map(toDate(hour), toUInt64(1)), within AND repo = {repo: String} AND NOT superseded) AS history,
    arraySort(groupUniqArrayIf(20)(toString(repo), repo != {repo: String})) AS others,
    minOrNullIf(first_seen, NOT within) AS past_first,
    maxOrNullIf(first_seen, NOT within) AS past_last
FROM
(
    SELECT test, hour, repo, superseded, first_seen, hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64})) AS within
    FROM oot.failed_tests FINAL
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay(2 * {days: UInt64}))
        AND test IN {tests: Array(UInt64)}
        AND ((within AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))) OR (NOT within AND repo = {repo: String}))
)
GROUP BY test
