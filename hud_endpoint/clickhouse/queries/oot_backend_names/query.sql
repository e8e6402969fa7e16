-- Every name and id that results came under, and what pages call the backend that they count for: `org/name`, or
-- `org/name@id` where another repo has the name by now. An empty id: results without one.
SELECT toString(repo) AS repo, repository_id, first_seen, last_seen, backend
FROM oot.backend_names FINAL
ORDER BY repo ASC, repository_id ASC
