-- Every job execution under any name of a backend on the commits, of these days, all attempts, newest first; others may
-- have had one of the names as well, `repository_id` tells. `commits` are those of oot_backend_commits.
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
    cityHash64(upstream_repo, pr_number, pytorch_head_sha) AS commit,
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
WHERE toDate(first_seen) IN {days: Array(Date)}
    AND downstream_repo IN (SELECT repo FROM oot.backend_names FINAL WHERE backend = {repo: String})
    AND commit IN {commits: Array(UInt64)}
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
ORDER BY first_seen DESC, key ASC
LIMIT 20000
