-- How each backend did on the named commits, and on all commits of the PRs with these numbers.
SELECT
    results.upstream_repo AS upstream_repo,
    results.pr_number AS pr_number,
    results.sha AS sha,
    results.commit AS commit,
    results.repo AS repo,
    argMax(results.event_type, results.last_seen) AS event_type,
    argMax(results.level, results.last_seen) AS level,
    sum(results.judged) AS judged,
    sum(results.broken) AS broken,
    argMax(results.run_url, (results.broken > 0, results.last_seen)) AS run_url,
    min(results.first_seen) AS first_seen,
    max(results.last_seen) AS last_seen
FROM oot.commit_hours AS results
WHERE results.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND results.repo != ''
    AND (has({commits: Array(UInt64)}, results.commit) OR has({prs: Array(UInt64)}, results.pr_number))
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, results.event_type))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.commit_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY upstream_repo, pr_number, sha, commit, repo
ORDER BY upstream_repo, pr_number, first_seen, sha, repo
LIMIT 50000
