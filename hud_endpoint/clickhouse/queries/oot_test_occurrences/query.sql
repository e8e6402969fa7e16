-- Single failures of a test on these days; `ids` are those of oot_test_backends.
SELECT
    cityHash64(dynamoKey, classname, name, file) AS id,
    downstream_repo AS repo,
    classname,
    file,
    status,
    message,
    stacktrace,
    duration_seconds AS duration,
    first_seen AS seen,
    workflow_name AS workflow,
    job_name AS job,
    run_attempt AS attempt,
    upstream_repo,
    pr_number,
    pytorch_head_sha AS sha,
    event_type,
    workflow_run_url AS run_url,
    artifact_url
FROM default.oot_test_failures FINAL
WHERE toDate(first_seen) IN {days: Array(Date)}
    AND name = {name: String}
    AND has({ids: Array(UInt64)}, id)
LIMIT 1000
