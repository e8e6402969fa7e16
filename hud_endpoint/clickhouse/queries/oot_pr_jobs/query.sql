-- Every job execution that backends have reported on a PR, all attempts, newest first. The keys are found first: FINAL
-- reads all columns of whatever the index leaves, and the primary key leaves less of it than the index by PR.
SELECT
    dynamoKey AS key,
    downstream_repo AS repo,
    repository_id,
    downstream_repo_level AS level,
    workflow_name AS workflow,
    job_name AS name,
    delivery_id,
    check_run_id,
    run_id,
    run_attempt AS attempt,
    status,
    conclusion,
    origin,
    event_type,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    conflicts,
    dispatch_verified,
    commit_verified,
    first_seen,
    started_at,
    completed_at,
    times_estimated,
    queue_time,
    total_tests,
    passed_tests,
    failed_tests,
    skipped_tests,
    error_tests,
    flaky_tests,
    details_truncated,
    workflow_run_url AS run_url,
    artifact_url,
    arraySlice(JSONExtract(failed_tests_json, 'Array(Tuple(name String))').name, 1, 20) AS failures
FROM default.oot_workflow_job FINAL
PREWHERE (toDate(first_seen), downstream_repo, delivery_id, dynamoKey) IN (
    SELECT toDate(first_seen), downstream_repo, delivery_id, dynamoKey
    FROM default.oot_workflow_job
    WHERE pr_number = {pr: UInt64} AND pr_number > 0 AND upstream_repo = {upstream_repo: String}
)
WHERE pr_number = {pr: UInt64} AND pr_number > 0 AND upstream_repo = {upstream_repo: String}
ORDER BY first_seen DESC, key ASC
LIMIT 5000
