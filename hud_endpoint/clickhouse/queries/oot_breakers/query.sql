-- Upstream commits of the window (1, 7 or 30 days) on which several backends are broken that are well otherwise: most
-- backends first, then the newest. `backends` are (repo, level, broken jobs, judged jobs, a run with a broken job).
SELECT
    commit,
    upstream_repo,
    pr_number,
    sha,
    event_type,
    judged_backends,
    backends,
    first_seen,
    last_seen
FROM
(
    SELECT *
    FROM oot.breakers FINAL
    WHERE days = 0 OR (days = {days: UInt64} AND event = {event: String})
    QUALIFY generation = max(generation) OVER ()
)
WHERE days > 0
ORDER BY place
