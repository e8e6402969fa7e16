-- The columns of CRCR's tenure of a backend: since when it has its level, and since when it reports, as far back as
-- history is kept.
WITH
    (
        SELECT argMax(downstream_repo_level, first_seen)
        FROM default.oot_workflow_job FINAL
        WHERE downstream_repo = {repo: String}
    ) AS level
SELECT
    level AS current_level,
    minIf(jobs.first_seen, downstream_repo_level = level) AS level_since,
    min(jobs.first_seen) AS first_seen,
    max(jobs.first_seen) AS last_seen
FROM default.oot_workflow_job AS jobs FINAL
WHERE downstream_repo = {repo: String}
HAVING count() > 0
