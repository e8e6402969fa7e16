-- The question of `oot_summary` as production's summary asks it: deduplicated by FINAL, the window by started_at, the
-- latest attempt of each job by a row number.
WITH ranked AS
(
    SELECT
        *,
        row_number() OVER (PARTITION BY downstream_repo, pr_number, job_name ORDER BY run_attempt DESC) AS place
    FROM
    (
        SELECT
            downstream_repo, downstream_repo_level, pr_number, job_name, run_attempt, conclusion, started_at,
            dateDiff('second', started_at, completed_at) AS duration_seconds
        FROM default.reference_workflow_job FINAL
        WHERE started_at > now() - toIntervalDay({days: UInt64}) AND status = 'completed' AND pr_number > 0
    )
)
SELECT
    downstream_repo AS repo,
    anyLast(downstream_repo_level) AS level,
    countIf(conclusion = 'success') AS successes,
    countIf(conclusion = 'failure') AS failures,
    countIf(conclusion = 'timed_out') AS timed_out,
    count() AS total,
    successes / total AS pass_rate,
    avg(duration_seconds) AS avg_duration_s,
    max(started_at) AS last_run
FROM ranked
WHERE place = 1
GROUP BY repo
ORDER BY pass_rate
