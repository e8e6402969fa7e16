-- Tests that failed on a backend in the window (1, 7 or 30 days; an empty `event` means all): the 50 newest with a failure
-- that counts, by `place`, and the slowest and the flakiest. `newest` names the newest failure for oot_failure_details.
-- A failure counts in the latest attempt of a job. In an earlier attempt it is a flake where all of the latest attempt
-- succeeded, and nothing where that failed or was cancelled: then the latest attempt tells. The row with 0 days tells when
-- this is of.
SELECT
    days,
    place,
    refreshed_at,
    name,
    classname,
    file,
    failures,
    flakes,
    newest,
    first_in_window,
    last_failure,
    last_seen,
    longest,
    first_day,
    history,
    past_first,
    past_last,
    others,
    failures_total
FROM oot.failing_tests FINAL
WHERE days = 0 OR (days = {days: UInt64} AND event = {event: String} AND repo = {repo: String})
QUALIFY generation = max(generation) OVER ()
ORDER BY place
