-- How many upstream PRs each backend has finished jobs of; the row with an empty repo counts those of all of them
-- together. Empty `repos` and `events` mean all.
SELECT
    toString(commits.repo) AS repo,
    uniqExact(commits.upstream_repo, commits.pr_number) AS pull_requests
FROM oot.commit_hours AS commits
WHERE commits.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND commits.pr_number > 0
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, commits.event_type))
    AND (empty({repos: Array(String)}) OR has({repos: Array(String)}, commits.repo))
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.commit_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY GROUPING SETS ((repo), ())
ORDER BY repo
