-- Where and how often a test failed in the window: by backend, class and file, and the jobs in which it was a flake. The
-- newest failures, in any attempt, are named for oot_test_occurrences. The failures of one test are the right side
-- of the join, which is kept in memory: they are few, executions many.
WITH
executions AS (
    SELECT
        key,
        any(version) AS version,
        any(job) AS job,
        any(superseded) AS superseded,
        any(recovered) AS recovered,
        any(run_url) AS run,
        any(artifact_url) AS artifacts
    FROM oot.failed_jobs
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND repo != ''
        AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.failed_jobs
            WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            GROUP BY hour
        )
    GROUP BY key
)

SELECT
    failed.downstream_repo AS repo,
    failed.classname AS classname,
    failed.file AS file,
    countIf(NOT executions.superseded) AS failures,
    count() AS occurrences,
    groupUniqArrayIf(executions.job, executions.recovered) AS flaked_jobs,
    min(failed.first_seen) AS first_in_window,
    max(failed.first_seen) AS last_seen,
    sumMapIf(map(toDate(failed.first_seen), toUInt64(1)), NOT executions.superseded) AS days,
    groupArraySorted(50)(
        (
            -toUnixTimestamp64Milli(failed.first_seen),
            cityHash64(failed.dynamoKey, failed.classname, failed.name, failed.file),
            toDate(failed.first_seen),
            executions.run,
            executions.artifacts,
            executions.recovered
        )
    ) AS newest_failures
FROM executions
INNER JOIN
(
    SELECT dynamoKey, version, downstream_repo, classname, name, file, first_seen
    FROM default.oot_test_failures AS failed FINAL
    WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64})) AND failed.name = {name: String}
    AND ({classname: String} = '' OR failed.classname = {classname: String})
    AND ({file: String} = '' OR failed.file = {file: String})
) AS failed ON failed.dynamoKey = executions.key AND failed.version = executions.version
GROUP BY repo, classname, file
ORDER BY repo, classname, file
LIMIT 10000
