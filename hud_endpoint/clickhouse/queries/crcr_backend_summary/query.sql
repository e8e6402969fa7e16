-- The columns of CRCR's summary of a backend: jobs of latest attempts, on PRs. The denominator is all of them, as there.
WITH
jobs AS (
    SELECT
        *,
        duration_seconds,
        cityHash64(downstream_repo, delivery_id, workflow_name, run_id, job_name) AS job,
        max(run_attempt) OVER (PARTITION BY job) AS latest_attempt
    FROM default.oot_workflow_job FINAL
    WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
        AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
        AND status = 'completed'
        AND downstream_repo = {repo: String}
        AND pr_number > 0
)

SELECT
    countIf(conclusion = 'success') AS successes,
    countIf(conclusion = 'failure') AS failures,
    countIf(conclusion = 'timed_out') AS timed_out,
    count() AS total_jobs,
    if(total_jobs > 0, successes / total_jobs, 0) AS pass_rate,
    uniqExact(pr_number) AS total_prs,
    avg(queue_time) AS avg_queue_time_s,
    avg(execution_time) AS avg_exec_time_s,
    if(total_jobs > 0, timed_out / total_jobs, 0) AS timeout_rate,
    countIf(execution_time > 10800 AND conclusion != 'timed_out') / greatest(countIf(conclusion != 'timed_out'), 1) AS overrun_rate
FROM jobs
WHERE run_attempt = latest_attempt
