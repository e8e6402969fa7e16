-- Tests that began to fail on a backend, or on the one named: the first failure of the last `days` that counts, where the
-- test had not failed on that backend, in any attempt, for `days` before it. Newest first.
WITH
executions AS (
    SELECT key, any(version) AS version, any(superseded) AS superseded, any(failed_jobs.run_url) AS run_url
    FROM oot.failed_jobs
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND repo != ''
        AND ({repo: String} = '' OR repo = {repo: String})
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.failed_jobs
            WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            GROUP BY hour
        )
    GROUP BY key
),

began AS (
    SELECT
        failed.downstream_repo AS repo,
        failed.classname AS classname,
        failed.name AS name,
        failed.file AS file,
        argMinIf(
            (
                failed.dynamoKey, failed.version, failed.workflow_name, failed.job_name, failed.upstream_repo,
                failed.pr_number, failed.pytorch_head_sha, failed.event_type
            ),
            (failed.first_seen, failed.dynamoKey),
            executions.key != '' AND NOT executions.superseded
        ) AS begin,
        minIf(failed.first_seen, executions.key != '' AND NOT executions.superseded) AS began_at,
        countIf(executions.key != '' AND NOT executions.superseded) AS failures,
        groupArrayIf(failed.first_seen, executions.key = '' OR executions.superseded) AS others
    FROM
    (
        SELECT
            dynamoKey, version, downstream_repo, classname, name, file, first_seen, workflow_name, job_name,
            upstream_repo, pr_number, pytorch_head_sha, event_type
        FROM default.oot_test_failures FINAL
        WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay(2 * {days: UInt64}))
            AND ({repo: String} = '' OR downstream_repo = {repo: String})
    ) AS failed
    LEFT ANY JOIN executions ON failed.dynamoKey = executions.key AND failed.version = executions.version
    GROUP BY repo, classname, name, file
    HAVING failures > 0
        AND NOT arrayExists(seen -> seen < began_at AND seen >= began_at - toIntervalDay({days: UInt64}), others)
)

SELECT
    repo,
    classname,
    name,
    file,
    began_at,
    failures,
    begin.1 AS key,
    begin.3 AS workflow,
    begin.4 AS job,
    begin.5 AS upstream_repo,
    begin.6 AS pr_number,
    begin.7 AS sha,
    begin.8 AS event_type,
    executions.run_url AS run_url
FROM began
LEFT ANY JOIN executions ON begin.1 = executions.key
ORDER BY began_at DESC, repo ASC, classname ASC, name ASC, file ASC
LIMIT {limit: UInt64}
