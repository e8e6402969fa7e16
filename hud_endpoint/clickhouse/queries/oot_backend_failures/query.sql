-- Tests that failed on a backend in the window: those with a failure that counts first, newest first.
-- A failure counts in the latest attempt of a job. In an earlier attempt it is a flake where all of the latest attempt
-- succeeded, and nothing where that failed or was cancelled: then the latest attempt tells.
-- `newest` identifies the newest failure for oot_failure_details; `history` counts those that count by UTC day.
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
        AND repo = {repo: String}
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
    failed.classname AS classname,
    failed.name AS name,
    failed.file AS file,
    countIf(NOT executions.superseded) AS failures,
    uniqExactIf(executions.job, executions.recovered) AS flakes,
    argMax(
        (
            cityHash64(failed.dynamoKey, failed.classname, failed.name, failed.file),
            toDate(failed.first_seen),
            executions.run,
            executions.artifacts
        ),
        (NOT executions.superseded, failed.first_seen, failed.dynamoKey)
    ) AS newest,
    sumMapIf(map(toDate(failed.first_seen), toUInt64(1)), NOT executions.superseded) AS history,
    min(failed.first_seen) AS first_in_window,
    maxIf(failed.first_seen, NOT executions.superseded) AS last_failure,
    max(failed.first_seen) AS last_seen,
    maxOrNull(failed.duration_seconds) AS longest,
    countIf(failures > 0) OVER () AS failures_total
FROM
(
    SELECT dynamoKey, version, classname, name, file, first_seen, duration_seconds
    FROM default.oot_test_failures FINAL
    WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64})) AND downstream_repo = {repo: String}
) AS failed
INNER JOIN executions ON failed.dynamoKey = executions.key AND failed.version = executions.version
GROUP BY classname, name, file
HAVING failures > 0 OR flakes > 0
ORDER BY failures > 0 DESC, last_failure DESC, flakes DESC, classname ASC, name ASC, file ASC
LIMIT {limit: UInt64}
