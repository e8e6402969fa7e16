-- How long each job of a backend takes, slowest median first: successful and failed jobs whose times are not estimated.
SELECT
    workflow_name AS workflow,
    job_name AS job,
    avg(duration_seconds) AS average,
    quantilesTiming(0.5, 0.95)(duration_seconds) AS quantiles,
    count() AS samples
FROM default.oot_workflow_job FINAL
WHERE toDate(first_seen) >= toDate(now('UTC') - toIntervalDay({days: UInt64}))
    AND first_seen >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND downstream_repo = {repo: String}
    AND conclusion IN ('success', 'failure')
    AND NOT times_estimated
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
GROUP BY workflow, job
ORDER BY quantiles[1] DESC, workflow ASC, job ASC
LIMIT 10
