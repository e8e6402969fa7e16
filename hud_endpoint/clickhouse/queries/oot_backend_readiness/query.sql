-- What RFC-0050 asks of a backend for the next level, over its jobs of the last 7, 14 or 30 days that PyTorch dispatched
-- (no nightlies); no row for one that had none. End to end is the time from the dispatch to the end of the last first
-- attempt of a backend's jobs on a commit; commits without a queue time or with estimated times are no samples.
SELECT judged, passed, timed_out, end_to_end_p50, end_to_end_commits
FROM
(
    SELECT *
    FROM oot.readiness FINAL
    WHERE days = 0 OR (days = {days: UInt64} AND repo = {repo: String})
    QUALIFY generation = max(generation) OVER ()
)
WHERE days > 0
