-- RFC-0054's summary: one row a backend, worst pass rate first. `days` reaches back to the start of an hour.
-- A job counts with every check run of its latest attempt. The pass rate's denominator is success + failure + timed_out;
-- cancelled and others are counted, but judge nobody. The numbers are those of the last refresh of the rollup.
SELECT
    hours.repo AS repo,
    argMax(hours.level, hours.last_run) AS downstream_repo_level,
    sum(hours.success) AS successes,
    sum(hours.failure) AS failures,
    sum(hours.timed_out) AS timed_out,
    sum(hours.cancelled) AS cancelled,
    successes + failures + timed_out + cancelled + sum(hours.other) AS total,
    successes + failures + timed_out AS judged,
    if(judged > 0, successes / judged, NULL) AS pass_rate,
    if(sum(hours.duration_count) > 0, sum(hours.duration_sum) / sum(hours.duration_count), NULL) AS avg_duration_s,
    sum(hours.tests) AS tests,
    sum(hours.tests_failed) AS tests_failed,
    max(hours.last_run) AS last_run
FROM oot.hours_by_backend AS hours
WHERE hours.hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
GROUP BY repo
ORDER BY pass_rate ASC NULLS LAST, repo ASC
