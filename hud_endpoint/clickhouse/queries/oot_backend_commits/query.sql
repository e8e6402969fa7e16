-- The upstream commits that a backend has reported on: a page of them, newest first, and the newest with nightlies.
-- `place` counts from 1 among all, `nightly_place` among those with nightlies. `superseded`: the PR has a newer commit.
-- What is counted over the whole window comes with each row, so the newest commit is always among them.
WITH
commits AS (
    SELECT
        upstream_repo,
        pr_number,
        sha,
        max(event_type IN ('nightly', 'periodic')) AS nightly,
        min(commit_hours.first_seen) AS first_seen,
        max(commit_hours.last_seen) AS last_seen,
        groupUniqArray(toDate(hour)) AS days,
        max(commit_hours.judged > 0) AS judged,
        max(commit_hours.broken > 0) AS broken
    FROM oot.commit_hours
    WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND repo = {repo: String}
        AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.commit_hours
            WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            GROUP BY hour
        )
    GROUP BY upstream_repo, pr_number, sha
)

SELECT
    upstream_repo,
    pr_number,
    sha,
    nightly,
    first_seen,
    last_seen,
    days,
    pr_number > 0 AND first_seen < max(first_seen) OVER (PARTITION BY upstream_repo, pr_number) AS superseded,
    row_number() OVER (ORDER BY first_seen DESC, sha ASC) AS place,
    row_number() OVER (PARTITION BY nightly ORDER BY first_seen DESC, sha ASC) AS nightly_place,
    count() OVER () AS commits_total,
    sum(judged) OVER () AS judged_commits,
    sum(broken) OVER () AS broken_commits,
    uniqExactIf((upstream_repo, pr_number), pr_number > 0) OVER () AS pull_requests
FROM commits
QUALIFY place = 1 OR (place > {skip: UInt64} AND place <= {skip: UInt64} + {page_rows: UInt64})
    OR (nightly AND nightly_place <= {nightly_rows: UInt64})
ORDER BY place
