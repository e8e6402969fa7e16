-- On how many upstream commits each backend has judged jobs, and on how many of them it was broken: one of its jobs, by
-- its latest attempt, failed or said that it timed out.
SELECT
    repo,
    uniqExact(commit) AS judged_commits,
    uniqExactIf(commit, broken > 0) AS broken_commits
FROM oot.commit_hours
WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND judged > 0
    AND (hour, generation) IN (
        SELECT hour, max(generation)
        FROM oot.commit_hours
        WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        GROUP BY hour
    )
GROUP BY repo
ORDER BY repo
