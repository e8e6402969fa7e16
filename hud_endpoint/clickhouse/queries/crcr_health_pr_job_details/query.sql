-- The columns of CRCR's view of the jobs of its own probe.
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
    job_name,
    status,
    conclusion,
    started_at,
    completed_at,
    workflow_run_url,
    check_run_id,
    status = 'in_progress' AND started_at < now64(3) - toIntervalMinute({stale_after_minutes: UInt64}) AS is_overdue
FROM jobs
WHERE run_attempt = latest_attempt
ORDER BY pr_number DESC, first_seen DESC, dynamoKey ASC
LIMIT 5000
