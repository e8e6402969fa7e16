-- When a backend last reported, as far back as history is kept, and at which level; no row for one that never has.
SELECT argMax(hours.level, hours.last_run) AS level, max(hours.last_run) AS last_run
FROM oot.backend_hours AS hours FINAL
WHERE hours.repo = {repo: String}
HAVING count() > 0
