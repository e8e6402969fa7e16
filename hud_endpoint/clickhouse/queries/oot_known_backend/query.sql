-- When a backend last reported, as far back as history is kept, and at which level; no row for one that never has.
SELECT argMax(hours.level, hours.last_run) AS level, max(hours.last_run) AS last_run
FROM oot.backend_hours AS hours FINAL
WHERE (hours.repo, hours.repository_id) IN (
    SELECT repo, repository_id FROM oot.backend_names FINAL WHERE backend = {repo: String}
)
HAVING count() > 0
