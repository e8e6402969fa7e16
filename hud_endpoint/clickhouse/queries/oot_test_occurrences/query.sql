-- The newest failures of a test, in any attempt, and how many there are.
WITH
executions AS (
    SELECT key, any(version) AS version, any(job) AS job, any(superseded) AS superseded, any(recovered) AS recovered, any(failed_jobs.run_url) AS run_url, any(failed_jobs.artifact_url) AS artifact_url
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
    failed.status AS status,
    failed.message AS message,
    failed.stacktrace AS stacktrace,
    failed.duration_seconds AS duration,
    failed.first_seen AS seen,
    failed.workflow_name AS workflow,
    failed.job_name AS job,
    failed.run_attempt AS attempt,
    failed.upstream_repo AS upstream_repo,
    failed.pr_number AS pr_number,
    failed.pytorch_head_sha AS sha,
    failed.event_type AS event_type,
    executions.run_url AS run_url,
    executions.artifact_url AS artifact_url,
    executions.recovered AS recovered,
    count() OVER () AS occurrences_total
FROM
(
    SELECT *
    FROM default.oot_test_failures AS failed FINAL
    WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64})) AND failed.name = {name: String}
    AND ({classname: String} = '' OR failed.classname = {classname: String})
    AND ({file: String} = '' OR failed.file = {file: String})
) AS failed
INNER JOIN executions ON failed.dynamoKey = executions.key AND failed.version = executions.version
ORDER BY seen DESC, failed.dynamoKey ASC, classname ASC, file ASC
LIMIT {limit: UInt64}
