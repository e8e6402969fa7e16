-- Of each backend: how many upstream PRs it has finished jobs of in the window; and, over `baseline_days`, which are not
-- fewer, on how many upstream commits it has judged jobs, and on how many of them it was broken: one of its jobs, by its
-- latest attempt, failed or said that it timed out. The row with an empty repo counts the PRs of all backends in `repos`
-- together. Empty `repos` and `events` mean all.
SELECT
    toString(backends.repo) AS repo,
    uniqExactMerge(backends.prs) AS pull_requests,
    sum(backends.judged) AS judged_commits,
    sum(backends.broken) AS broken_commits
FROM
(
    SELECT
        repo,
        uniqExactStateIf(
            cityHash64(commits.upstream_repo, commits.pr_number),
            commits.pr_number > 0
            AND commits.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            AND (empty({events: Array(String)}) OR has({events: Array(String)}, commits.event_type))
            AND (empty({repos: Array(String)}) OR has({repos: Array(String)}, repo))
        ) AS prs,
        uniqExactIf(commits.commit, judged_jobs > 0) AS judged,
        uniqExactIf(commits.commit, broken_jobs > 0) AS broken
    FROM oot.upstream_hours AS commits
    ARRAY JOIN commits.repos AS repo, commits.judged AS judged_jobs, commits.broken AS broken_jobs
    WHERE commits.hour >= toStartOfHour(now('UTC') - toIntervalDay({baseline_days: UInt64}))
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.upstream_hours
            WHERE event_type = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({baseline_days: UInt64}))
            GROUP BY hour
        )
    GROUP BY repo
) AS backends
GROUP BY GROUPING SETS ((repo), ())
ORDER BY repo
