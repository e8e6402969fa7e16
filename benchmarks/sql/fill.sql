-- Made-up jobs number `first` to `first + count - 1` of `rows`, evenly over the last 99 days (the table keeps 100):
-- 20 repos; 10 rows a delivery and repo, of which one is a second attempt; on 1 commit in 10 a third of a backend's jobs
-- fails, with two failed tests each.
INSERT INTO default.oot_workflow_job
(
    dynamoKey, status, downstream_repo, upstream_repo, pr_number, pytorch_head_sha, delivery_id, workflow_run_url,
    workflow_name, job_name, check_run_id, run_id, run_attempt, conclusion, queue_time, execution_time, started_at,
    completed_at, total_tests, passed_tests, failed_tests, skipped_tests, failed_tests_json, artifact_url, environment,
    downstream_repo_level, event_type, dispatch_verified, first_seen, version
)
WITH
    intDiv(number, 10) % 20 AS backend,
    intDiv(number, 200) AS dispatch,
    cityHash64(number) AS chance,
    lower(hex(MD5(toString(dispatch)))) AS digest,
    least(number % 10, 8) AS job,
    now64(3) - toIntervalMillisecond(intDiv((toUInt64({rows: UInt64}) - number) * (99 * 86400 * 1000), {rows: UInt64})) AS at,
    if(cityHash64(dispatch, backend) % 10 = 0 AND chance % 3 = 0, 'failure', if(chance % 97 = 0, 'timed_out', if(chance % 89 = 0, 'cancelled', 'success'))) AS ending,
    concat('org-', toString(backend), '/torch-backend-', toString(backend)) AS repo,
    concat(substring(digest, 1, 8), '-', substring(digest, 9, 4), '-4', substring(digest, 14, 3), '-8', substring(digest, 18, 3), '-', substring(digest, 21, 12)) AS delivery,
    if(number % 10 < 2, 'build', concat('test (npu, shard ', toString(job), ')')) AS named
SELECT
    concat(repo, '/', delivery, '/npu-ci/', named, '/', toString(10000000000 + number)),
    'completed',
    repo,
    'pytorch/pytorch',
    100000 + intDiv(dispatch, 3),
    concat(digest, substring(digest, 1, 8)),
    delivery,
    concat('https://github.com/', repo, '/actions/runs/', toString(intDiv(number, 10))),
    'npu-ci',
    named,
    toString(10000000000 + number),
    toString(intDiv(number, 10)),
    if(number % 10 = 9, 2, 1),
    ending,
    chance % 300,
    600 + chance % 3000,
    at - toIntervalSecond(600 + chance % 3000),
    at,
    8450,
    if(ending = 'failure', 8428, 8430),
    if(ending = 'failure', 2, 0),
    20,
    if(ending = 'failure', concat('[{"name":"test_', toString(chance % 997), '","classname":"TestOps","file":"test/test_ops.py","status":"failure","message":"Tensor-likes are not close!","stacktrace":""},{"name":"test_conv_', toString(chance % 89), '","classname":"TestNN","file":"test/test_nn.py","status":"failure","message":"Tensor-likes are not close!","stacktrace":""}]'), ''),
    concat('https://artifacts.example.org/', toString(intDiv(number, 10)), '/reports.zip'),
    '{"device":"npu","sdk":"8.0"}',
    if(backend < 16, 'L2', 'L3'),
    if(dispatch % 50 = 0, 'nightly', 'pull_request'),
    true,
    at,
    30000000000002
FROM numbers({first: UInt64}, {count: UInt64})
