-- RFC-0054's section of a PR page: what every backend has reported on it, all attempts.
SELECT
    downstream_repo,
    downstream_repo_level,
    upstream_repo,
    pytorch_head_sha,
    workflow_name,
    job_name,
    check_run_id,
    run_id,
    run_attempt,
    status,
    conclusion,
    duration_seconds,
    workflow_run_url,
    artifact_url,
    started_at,
    queue_time,
    execution_time
FROM default.oot_workflow_job FINAL
WHERE pr_number = {pr: UInt64} AND pr_number > 0
ORDER BY downstream_repo ASC, first_seen DESC, dynamoKey ASC
LIMIT 1000
