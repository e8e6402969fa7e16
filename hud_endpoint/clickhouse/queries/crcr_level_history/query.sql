-- The columns of CRCR's history of a backend's level: its newest changes, as runs saw them.
WITH
runs AS (
    SELECT min(first_seen) AS observed_at, argMax(downstream_repo_level, first_seen) AS level
    FROM default.oot_workflow_job FINAL
    WHERE downstream_repo = {repo: String}
    GROUP BY delivery_id, run_id
),

changes AS (
    SELECT
        observed_at AS changed_at,
        lagInFrame(level, 1, '') OVER (
            ORDER BY observed_at ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS previous_level,
        level AS new_level
    FROM runs
)

SELECT changed_at, previous_level, new_level
FROM
(
    SELECT *
    FROM changes
    WHERE previous_level NOT IN ('', new_level)
    ORDER BY changed_at DESC
    LIMIT {limit: UInt32}
)
ORDER BY changed_at ASC
