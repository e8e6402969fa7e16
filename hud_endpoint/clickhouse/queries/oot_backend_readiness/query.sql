-- What RFC-0050 asks of a backend for the next level, over jobs that PyTorch dispatched (no nightlies). End to end is the
-- time from the dispatch to the end of the last first attempt of a backend's jobs on a commit; commits without a queue
-- time or with estimated times are no samples.
SELECT
    sum(judged) AS judged_jobs,
    sum(passed) AS passed_jobs,
    sum(timed_out) AS timed_out_jobs,
    quantileExactIf(0.5)(end_to_end, end_to_end > 0) AS end_to_end_p50,
    countIf(end_to_end > 0) AS end_to_end_commits
FROM
(
    SELECT
        sum(commits.judged) AS judged,
        sum(commits.judged) - sum(commits.failed) AS passed,
        sum(commits.timed_out) AS timed_out,
        minIf(commits.dispatched_at, commits.dispatched_at > toDateTime64(0, 3)) AS dispatched,
        max(commits.ended_at) AS ended,
        if(dispatched > toDateTime64(0, 3) AND ended > dispatched, dateDiff('millisecond', dispatched, ended) / 1000, 0) AS end_to_end
    FROM oot.commit_hours AS commits
    WHERE commits.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND commits.repo = {repo: String}
        AND commits.event_type NOT IN ('nightly', 'periodic')
        AND (hour, generation) IN (
            SELECT hour, max(generation)
            FROM oot.commit_hours
            WHERE repo = '' AND hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            GROUP BY hour
        )
    GROUP BY commits.upstream_repo, commits.pr_number, commits.sha
)
