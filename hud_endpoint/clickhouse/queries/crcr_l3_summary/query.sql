-- The columns of CRCR's level readiness of all backends: jobs of latest attempts, on PRs. The denominator is all of them, as there.
-- End to end is a run's longest queue time and the span of its jobs.
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
        AND pr_number > 0
),

runs AS (
    SELECT
        downstream_repo,
        run_id,
        max(queue_time) + dateDiff('second', min(started_at), max(completed_at)) AS end_to_end
    FROM jobs
    WHERE run_attempt = latest_attempt
    GROUP BY downstream_repo, run_id
),

medians AS (
    SELECT downstream_repo, quantileExact(0.5)(assumeNotNull(end_to_end)) AS median_e2e_time_s
    FROM runs
    WHERE isNotNull(end_to_end)
    GROUP BY downstream_repo
)

SELECT
    downstream_repo AS repo,
    countIf(conclusion = 'success') AS successes,
    countIf(conclusion = 'timed_out') AS timed_out,
    count() AS total_jobs,
    if(total_jobs > 0, successes / total_jobs, 0) AS pass_rate,
    avg(queue_time) AS avg_queue_time_s,
    maxIf(execution_time, conclusion != 'timed_out') AS max_exec_time_s,
    countIf(execution_time > 10800 AND conclusion != 'timed_out') / greatest(countIf(conclusion != 'timed_out'), 1) AS overrun_rate,
    any(medians.median_e2e_time_s) AS median_e2e_time_s,
    if(total_jobs > 0, timed_out / total_jobs, 0) AS timeout_rate
FROM jobs
LEFT ANY JOIN medians ON jobs.downstream_repo = medians.downstream_repo
WHERE run_attempt = latest_attempt
GROUP BY repo
ORDER BY repo ASC
