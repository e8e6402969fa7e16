-- Every test that failed on a backend in the window: those with a failure that counts first, newest first. The page shows
-- the first of them, from oot_failing_tests.
-- A failure counts in the latest attempt of a job. In an earlier attempt it is a flake where all of the latest attempt
-- succeeded, and nothing where that failed or was cancelled: then the latest attempt tells.
-- `newest` names the newest failure for oot_failure_details.
SELECT
    any(failed_tests.classname) AS classname,
    any(failed_tests.name) AS name,
    any(failed_tests.file) AS file,
    countIf(NOT superseded) AS failures,
    uniqExactIf(job, recovered) AS flakes,
    argMaxIf(id, (failed_tests.first_seen, id), NOT superseded) AS newest,
    min(failed_tests.first_seen) AS first_in_window,
    maxIf(failed_tests.first_seen, NOT superseded) AS last_failure,
    max(failed_tests.first_seen) AS last_seen,
    maxOrNull(duration) AS longest,
    countIf(failures > 0) OVER () AS failures_total
FROM oot.failed_tests FINAL
WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND (repo, repository_id) IN (SELECT repo, repository_id FROM oot.backend_names FINAL WHERE backend = {repo: String})
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
GROUP BY test
HAVING failures > 0 OR flakes > 0
ORDER BY failures > 0 DESC, last_failure DESC, flakes DESC, classname ASC, name ASC, file ASC
LIMIT {limit: UInt64}
