-- The columns of CRCR's summary of nightlies: jobs of latest attempts. The denominator is all of them, as there.
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
        AND event_type = 'nightly'
)

SELECT
    downstream_repo AS repo,
    argMax(jobs.downstream_repo_level, first_seen) AS downstream_repo_level,
    countIf(conclusion = 'success') AS successes,
    countIf(conclusion = 'failure') AS failures,
    countIf(conclusion = 'timed_out') AS timed_out,
    count() AS total,
    if(total > 0, successes / total, 0) AS pass_rate,
    avg(duration_seconds) AS avg_duration_s,
    max(started_at) AS last_run,
    argMax(pytorch_head_sha, started_at) AS latest_sha
FROM jobs
WHERE run_attempt = latest_attempt
GROUP BY repo
ORDER BY pass_rate ASC, repo ASC
