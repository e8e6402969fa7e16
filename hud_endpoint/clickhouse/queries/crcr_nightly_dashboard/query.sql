-- The columns of CRCR's view of a backend's nightlies: the newest jobs of latest attempts.
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
        AND event_type = 'nightly'
)

SELECT
    upstream_repo,
    pytorch_head_sha,
    workflow_name,
    job_name,
    check_run_id,
    run_id,
    run_attempt,
    status,
    conclusion,
    started_at,
    completed_at,
    duration_seconds,
    total_tests,
    passed_tests,
    failed_tests,
    skipped_tests,
    workflow_run_url,
    artifact_url,
    queue_time,
    execution_time,
    failed_tests_json
FROM jobs
WHERE run_attempt = latest_attempt
ORDER BY first_seen DESC, dynamoKey ASC
LIMIT 500
