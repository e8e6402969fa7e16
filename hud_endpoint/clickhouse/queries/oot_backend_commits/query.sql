-- The upstream commits that a backend has reported on, newest first: as many `rows` with nightlies, and as many without.
-- `commit` names one for oot_commit_jobs. `superseded`: the PR has a newer commit.
WITH
commits AS (
    SELECT
        commit,
        any(commit_hours.pull_request) AS pull_request,
        max(event_type IN ('nightly', 'periodic')) AS nightly,
        min(commit_hours.first_seen) AS first_seen,
        min(hour) AS first_hour,
        max(hour) AS last_hour
    FROM oot.commit_hours FINAL
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND (repo, repository_id) IN (SELECT repo, repository_id FROM oot.backend_names FINAL WHERE backend = {repo: String})
        AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
    GROUP BY commit
)

SELECT
    commit,
    nightly,
    first_seen,
    toDate(first_hour) AS first_day,
    toDate(last_hour) AS last_day,
    pull_request > 0 AND first_seen < max(first_seen) OVER (PARTITION BY pull_request) AS superseded
FROM commits
ORDER BY first_seen DESC, commit ASC
LIMIT {rows: UInt64} BY nightly
