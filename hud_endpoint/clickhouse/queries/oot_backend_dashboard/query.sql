-- RFC-0054's backend dashboard: the newest job executions of a backend, all attempts.
SELECT
    upstream_repo,
    pr_number,
    pytorch_head_sha,
    workflow_name,
    job_name,
    check_run_id,
    run_id,
    run_attempt,
    status,
    conclusion,
    event_type,
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
FROM default.oot_workflow_job FINAL
WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
    AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND downstream_repo = {repo: String}
ORDER BY first_seen DESC, dynamoKey ASC
LIMIT 500
