-- How many upstream PRs these backends have finished jobs of in the window. Empty `events` means all.
SELECT uniqExact(pull_request) AS pull_requests
FROM oot.commit_hours FINAL
WHERE hour >= toStartOfHour(now('UTC') - toIntervalDay({days: UInt64}))
    AND pull_request > 0
    AND (repo, repository_id) IN (
        SELECT repo, repository_id FROM oot.backend_names FINAL WHERE backend IN {repos: Array(String)}
    )
    AND (empty({events: Array(String)}) OR has({events: Array(String)}, event_type))
