-- The columns of CRCR's cells on HUD's main page: what backends have reported on these PRs; CRCR's own probe is left out.
SELECT
    pr_number,
    pytorch_head_sha,
    downstream_repo,
    downstream_repo_level,
    workflow_name,
    job_name,
    check_run_id,
    run_id,
    run_attempt,
    status,
    conclusion,
    workflow_run_url,
    duration_seconds,
    failed_tests_json
FROM default.oot_workflow_job FINAL
WHERE pr_number IN {prNums: Array(Int64)}
    AND pr_number > 0
    AND downstream_repo != 'pytorch/crcr-test'
ORDER BY pr_number ASC, downstream_repo ASC, job_name ASC, dynamoKey ASC
LIMIT 50000
