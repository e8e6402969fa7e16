-- Each block of rows again, in the reference's layout: the columns that its summary needs, and the widest.
CREATE MATERIALIZED VIEW default.reference_workflow_job_mv TO default.reference_workflow_job
AS SELECT
    dynamoKey, status, downstream_repo, downstream_repo_level, delivery_id, pr_number, workflow_name, job_name, run_id,
    run_attempt, conclusion, started_at, completed_at, failed_tests_json
FROM default.oot_workflow_job
