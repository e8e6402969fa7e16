-- Where and how often a test failed in the window, by backend, class and file: the failures that count, those in any
-- attempt, and the jobs in which it was a flake. The newest failures, in any attempt, are named for oot_test_occurrences.
-- `past_first` and `past_last` tell when it failed in the window before, in any attempt.
SELECT
    toString(repo) AS repo,
    classname,
    file,
    countIf(within AND NOT superseded) AS failures,
    countIf(within) AS occurrences,
    groupUniqArrayIf(job, within AND recovered) AS flaked_jobs,
    minOrNullIf(first_seen, within) AS first_in_window,
    maxOrNullIf(first_seen, within) AS last_seen,
    sumMapIf(map(toDate(hour), toUInt64(1)), within AND NOT superseded) AS days,
    groupArraySortedIf(50)((-toUnixTimestamp64Milli(first_seen), id, toDate(hour), recovered), within) AS newest_failures,
    minOrNullIf(first_seen, NOT within) AS past_first,
    maxOrNullIf(first_seen, NOT within) AS past_last
FROM
(
    SELECT repo, classname, file, hour, first_seen, id, job, superseded, recovered, hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64})) AS within
    FROM oot.failures_by_backend
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay(2 * {days: UInt64}))
        AND named = cityHash64({name: String})
        AND name = {name: String}
        AND ({classname: String} = '' OR classname = {classname: String})
        AND ({file: String} = '' OR file = {file: String})
        AND (NOT within OR (empty({events: Array(String)}) OR has({events: Array(String)}, event_type)))
)
GROUP BY repo, classname, file
ORDER BY repo, classname, file
LIMIT 10000
