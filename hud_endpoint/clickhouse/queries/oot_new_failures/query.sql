-- Tests that began to fail on a backend, or on the one named: the first failure of the last `days` that counts, where the
-- test had not failed on that backend, in any attempt, for `days` before it. Newest first.
WITH
began AS (
    SELECT
        test,
        argMinIf(id, (failed.first_seen, id), within AND NOT superseded) AS id,
        minIf(failed.first_seen, within AND NOT superseded) AS began_at,
        countIf(within AND NOT superseded) AS failures,
        maxIf(failed.first_seen, NOT within) AS last_before,
        minOrNullIf(failed.first_seen, within AND superseded) AS first_superseded
    FROM
    (
        SELECT repo, test, id, first_seen, superseded, hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64})) AS within
        FROM oot.failed_tests FINAL
        WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay(2 * {days: UInt64}))
            AND ({repo: String} = '' OR repo = {repo: String})
    ) AS failed
    GROUP BY repo, test
    HAVING failures > 0
        AND last_before < began_at - toIntervalDay({days: UInt64})
        AND ifNull(first_superseded >= began_at, true)
    ORDER BY began_at DESC, id ASC
    LIMIT {limit: UInt64}
)

SELECT
    toString(failed.repo) AS repo,
    failed.classname AS classname,
    failed.name AS name,
    failed.file AS file,
    began.began_at AS began_at,
    began.failures AS failures,
    failed.key AS key,
    failed.workflow AS workflow,
    failed.job_name AS job,
    failed.upstream_repo AS upstream_repo,
    failed.pr_number AS pr_number,
    failed.sha AS sha,
    failed.event_type AS event_type,
    failed.run_url AS run_url
FROM (SELECT * FROM oot.failed_tests FINAL WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))) AS failed
ANY INNER JOIN began ON failed.id = began.id
ORDER BY began_at DESC, repo ASC, classname ASC, name ASC, file ASC
