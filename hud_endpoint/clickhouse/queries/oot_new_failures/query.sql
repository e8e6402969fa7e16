-- Tests that began to fail on a backend, or on the one named: the first failure of the last `days` that counts, where the
-- test had not failed on that backend, in any attempt, for `days` before it. Newest first. What is told of the failures is
-- read afterwards, of the days on which the newest began.
WITH (
    SELECT groupArray((id, began_at, failures))
    FROM
    (
        SELECT
            argMinIf(id, (failed.first_seen, id), within AND NOT superseded) AS id,
            minIf(failed.first_seen, within AND NOT superseded) AS began_at,
            countIf(within AND NOT superseded) AS failures,
            maxIf(failed.first_seen, NOT within) AS last_before,
            minOrNullIf(failed.first_seen, within AND superseded) AS first_superseded
        FROM
        (
            SELECT
                repo,
                test,
                id,
                first_seen,
                superseded,
                hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64})) AS within
            FROM oot.failures_by_backend
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
) AS began

SELECT
    repo,
    toString(reported_as) AS reported_as,
    classname,
    name,
    file,
    began[indexOf(began.1, id)].2 AS began_at,
    began[indexOf(began.1, id)].3 AS failures,
    key,
    workflow,
    job_name AS job,
    upstream_repo,
    pr_number,
    sha,
    event_type,
    run_url
FROM oot.failures_by_backend
WHERE notEmpty(began) AND hour >= toStartOfHour(arrayMin(began.2)) AND has(began.1, id)
ORDER BY began_at DESC, repo ASC, classname ASC, name ASC, file ASC
