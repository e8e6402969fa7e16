-- The columns of CRCR's view of its own probe: PRs, and how its jobs did; a job named for how it must fail passes by that.
WITH
jobs AS (
    SELECT
        *,
        max(run_attempt) OVER (PARTITION BY run_id, job_name) AS latest_attempt
    FROM default.oot_workflow_job FINAL
    WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalMinute({window_minutes: UInt64}))
        AND first_seen >= now64(3) - toIntervalMinute({window_minutes: UInt64})
        AND downstream_repo = 'pytorch/crcr-test'
        AND pr_number > 0
)

SELECT
    pr_number,
    max(started_at) AS last_run,
    countIf(
        status = 'completed'
        AND (conclusion = 'success'
            OR (job_name LIKE '%xfail%' AND conclusion = 'failure')
            OR (job_name LIKE '%xcancel%' AND conclusion = 'cancelled')
            OR (job_name LIKE '%xtimeout%' AND conclusion = 'timed_out'))
    ) AS successes,
    countIf(status = 'completed') AS total,
    countIf(status = 'in_progress' AND NOT match(job_name, 'xfail|xtimeout')) AS pending,
    countIf(
        status = 'in_progress'
        AND NOT match(job_name, 'xfail|xtimeout')
        AND started_at < now64(3) - toIntervalMinute({stale_after_minutes: UInt64})
    ) AS overdue_in_progress,
    if(total > 0, successes / total, NULL) AS pass_rate
FROM jobs
WHERE run_attempt = latest_attempt
GROUP BY pr_number
ORDER BY last_run DESC
LIMIT 1000
