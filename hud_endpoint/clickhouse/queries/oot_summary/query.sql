-- One row a backend: how its finished jobs went in the window, worst pass rate first.
-- A superseded attempt does not count: each job counts with every check run of its latest attempt. Most jobs have one
-- attempt, so only re-runs are looked up: a window function over all jobs would sort the whole window.
-- The pass rate's denominator is success + failure + timed_out; cancelled and others are counted, but judge nobody.
WITH
jobs AS (
    SELECT
        downstream_repo,
        downstream_repo_level,
        upstream_repo,
        pr_number,
        conclusion,
        run_attempt,
        duration_seconds,
        times_estimated,
        total_tests,
        failed_tests,
        first_seen,
        cityHash64(downstream_repo, delivery_id, workflow_name, run_id, job_name) AS job
    FROM default.oot_workflow_job FINAL
    WHERE first_seen > now64(3) - toIntervalDay({days: UInt64}) AND status = 'completed'
),

reruns AS (
    SELECT
        cityHash64(downstream_repo, delivery_id, workflow_name, run_id, job_name) AS job,
        max(run_attempt) AS latest_attempt
    FROM default.oot_workflow_job FINAL
    WHERE first_seen > now64(3) - toIntervalDay({days: UInt64}) AND run_attempt > 1
    GROUP BY job
)

SELECT
    downstream_repo AS repo,
    argMax(downstream_repo_level, first_seen) AS level,
    countIf(conclusion = 'success') AS successes,
    countIf(conclusion = 'failure') AS failures,
    countIf(conclusion = 'timed_out') AS timed_out,
    countIf(conclusion = 'cancelled') AS cancelled,
    count() AS total,
    successes + failures + timed_out AS judged,
    if(judged > 0, successes / judged, NULL) AS pass_rate,
    avgOrNullIf(duration_seconds, NOT times_estimated) AS avg_duration_s,
    sum(total_tests) AS tests,
    sum(failed_tests) AS tests_failed,
    uniqExactIf((upstream_repo, pr_number), pr_number > 0) AS pull_requests,
    max(first_seen) AS last_run
FROM jobs
ANY LEFT JOIN reruns USING (job)
WHERE run_attempt >= latest_attempt
GROUP BY repo
ORDER BY pass_rate ASC NULLS LAST, repo ASC
