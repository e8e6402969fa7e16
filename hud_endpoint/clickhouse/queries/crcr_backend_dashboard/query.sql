-- The columns of CRCR's dashboard of a backend: all job executions on a page of its PRs, the newest PRs first.
SELECT
    pr_number,
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
    failed_tests_json,
    '' AS triage_verdict_json
FROM default.oot_workflow_job FINAL
WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
        AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND downstream_repo = {repo: String}
    AND pr_number > 0
    AND pr_number IN (
        SELECT pr_number
        FROM default.oot_workflow_job FINAL
        WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
        AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
            AND downstream_repo = {repo: String}
            AND pr_number > 0
        GROUP BY pr_number
        ORDER BY max(first_seen) DESC, pr_number DESC
        LIMIT {per_page: UInt64} OFFSET {offset: UInt64}
    )
ORDER BY first_seen DESC, dynamoKey ASC
LIMIT 20000
