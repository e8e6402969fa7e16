-- The named commits and all commits of the PRs with these numbers: how many backends judged each, and which are broken
-- on it, as (repo, level, broken jobs, judged jobs, a run with a broken job).
SELECT
    any(results.upstream_repo) AS upstream_repo,
    any(results.pr_number) AS pr_number,
    any(results.sha) AS sha,
    argMax(results.event_type, results.last_seen) AS event_type,
    countIf(results.judged > 0) AS judged_backends,
    arraySort(groupArrayIf((repo, level, broken, judged, run_url), broken > 0)) AS backends,
    min(results.first_seen) AS first_seen,
    max(results.last_seen) AS last_seen
FROM
(
    SELECT
        hours.commit AS commit,
        repo,
        any(hours.upstream_repo) AS upstream_repo,
        any(hours.pr_number) AS pr_number,
        any(hours.sha) AS sha,
        argMax(hours.event_type, seen) AS event_type,
        argMax(repo_level, seen) AS level,
        sum(judged_jobs) AS judged,
        sum(broken_jobs) AS broken,
        argMaxIf(url, seen, broken_jobs > 0) AS run_url,
        min(hours.first_seen) AS first_seen,
        max(seen) AS last_seen
    FROM oot.upstream_hours AS hours
    ARRAY JOIN
        hours.repos AS repo,
        hours.levels AS repo_level,
        hours.judged AS judged_jobs,
        hours.broken AS broken_jobs,
        hours.run_urls AS url,
        hours.last_seen AS seen
    WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND (hours.commit IN {commits: Array(UInt64)} OR hours.pr_number IN {prs: Array(UInt64)})
        AND (empty({events: Array(String)}) OR has({events: Array(String)}, hours.event_type))
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.upstream_hours
            WHERE event_type = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            GROUP BY hour
        )
    GROUP BY commit, repo
) AS results
GROUP BY commit
ORDER BY first_seen, sha
LIMIT 10000
