-- One row a backend and window, or those of the one named: what its jobs came to, and their trend. `windows` are days: 1,
-- 7 or 30; an empty `event` means all. The row with an empty repo counts PRs over all backends; the one with 0 days tells
-- when the numbers are of. Environment and readiness come for the one that is named.
SELECT
    days,
    toString(repo) AS repo,
    level,
    last_run,
    if({repo: String} = '', '', environment) AS environment,
    refreshed_at,
    tests,
    tests_failed,
    tests_flaky,
    duration_sum AS duration_seconds,
    duration_count AS duration_jobs,
    duration_quantiles,
    queue_sum AS queue_seconds,
    queue_count AS queue_jobs,
    queue_quantiles,
    trend,
    disputed,
    pull_requests,
    commits,
    judged_commits,
    broken_commits,
    is_well,
    if({repo: String} = '', [], readiness) AS readiness
FROM oot.backend_windows FINAL
WHERE (days = 0 OR (days IN {windows: Array(UInt64)} AND event = {event: String}))
    AND ({repo: String} = '' OR backend_windows.repo IN ('', {repo: String}))
QUALIFY generation = max(generation) OVER ()
ORDER BY days ASC, repo ASC
