-- Names of tests that failed on at least two backends on one of the commits, in any attempt, most shared first.
SELECT upstream_repo, pr_number, pytorch_head_sha AS sha, name, uniqExact(downstream_repo) AS backends
FROM default.oot_test_failures FINAL
WHERE toDate(first_seen) >= {since: Date} AND toDate(first_seen) <= {until: Date}
    AND has({shas: Array(String)}, pytorch_head_sha)
GROUP BY upstream_repo, pr_number, sha, name
HAVING backends >= 2
ORDER BY backends DESC, name ASC
LIMIT 10 BY upstream_repo, pr_number, sha
LIMIT 1000
