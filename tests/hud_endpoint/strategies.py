"""Hypothesis strategies for everything that the wire models accept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from hypothesis import strategies as st

from hud_endpoint.wire_types import Conclusion

CHARACTERS = st.characters(exclude_categories=["Cs"])  # lone surrogates are not UTF-8
TEXT = st.text(CHARACTERS, max_size=700)
SHORT = st.text(CHARACTERS, max_size=20)
NAMES = TEXT.filter(lambda text: bool(text.strip()))
IDS = NAMES.filter(lambda text: len(text.encode()) <= 100)
COUNTS = st.none() | st.integers(0, 10**12)
SECONDS = st.none() | st.floats(0, 1e9)
_YEARS = datetime(2000, 1, 2), datetime(2199, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
TIMES = st.none() | st.datetimes(*_YEARS, timezones=st.just(UTC)).map(str)
URLS = st.none() | st.from_regex(
    r"https?://[a-z0-9.-]{1,30}[a-z0-9](:[0-9]{1,4})?(/[!#-\[\]-~]{0,50})?", fullmatch=True
)
REPOS = st.from_regex(r"[A-Za-z0-9_.-]{1,20}/[A-Za-z0-9_.-]{1,20}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SHORT
FAILED_TESTS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "classname": TEXT,
        "file": TEXT,
        "status": st.sampled_from(["failure", "error"]),
        "message": TEXT,
        "stacktrace": TEXT,
        "duration_seconds": SECONDS,
    },
)
WORKFLOWS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["in_progress", "completed"]),
        "conclusion": st.sampled_from(get_args(Conclusion)),
        "name": NAMES,
        "run_id": IDS,
    },
    optional={
        "url": URLS,
        "job_name": NAMES,
        "check_run_id": st.none() | IDS | st.integers(0, 2**63 - 1),
        "run_attempt": st.integers(1, 10**6),
        "started_at": TIMES,
        "completed_at": TIMES,
        "test_results": st.none()
        | st.dictionaries(st.sampled_from(["passed", "failed", "skipped", "total", "errors", "flaky"]), COUNTS),
        "artifact_url": URLS,
        "failed_tests": st.lists(FAILED_TESTS, max_size=4),
        "environment": st.dictionaries(SHORT, SCALARS, max_size=5),
    },
)
CALLBACKS = st.fixed_dictionaries(
    {"delivery_id": IDS, "workflow": WORKFLOWS},
    optional={
        "event_type": NAMES,
        "callback_token": st.none() | st.text(CHARACTERS, max_size=100),
        "payload": st.fixed_dictionaries(
            {},
            optional={
                "pull_request": st.none() | st.fixed_dictionaries({"number": st.integers(1, 2**53)}),
                "repository": st.none() | st.fixed_dictionaries({"full_name": REPOS}),
                "head_sha": st.none() | IDS,
                "after": st.none() | IDS,
            },
        ),
    },
)
PAYLOADS = st.fixed_dictionaries(
    {
        "trusted": st.fixed_dictionaries(
            {"verified_repo": REPOS},
            optional={
                "downstream_repo_level": st.sampled_from([None, "L1", "L2", "L3", "L4"]),
                "ci_metrics": st.fixed_dictionaries({}, optional={"queue_time": SECONDS, "execution_time": SECONDS}),
                "received_at": TIMES,
                "dispatch_verified": st.none() | st.booleans(),
                "origin": st.sampled_from(["job", "sweeper", "deferred"]),
            },
        ),
        "untrusted": st.fixed_dictionaries({"callback_payload": CALLBACKS}),
    }
)
