-- The message, trace and place of single failures of a backend on these days; `ids` are those of oot_backend_failures.
SELECT
    cityHash64(dynamoKey, classname, name, file) AS id,
    status,
    message,
    stacktrace,
    duration_seconds AS duration,
    workflow_name AS workflow,
    job_name AS job,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    workflow_run_url AS run_url,
    artifact_url
FROM default.oot_test_failures FINAL
WHERE toDate(first_seen) IN {days: Array(Date)}
    AND downstream_repo IN (SELECT repo FROM oot.backend_names FINAL WHERE backend = {repo: String})
    AND has({ids: Array(UInt64)}, id)
LIMIT 1000
