"""From a relay payload to the write it means: RFC-0054's flat record; details are shed before an item is too big."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_endpoint.contract import MAX_FAILED_TESTS, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.record import (
    IDENTITY_FIELDS,
    ITEM_BYTES,
    OPENING_FIELDS,
    RESULT_FIELDS,
    RUNNING_FIELDS,
    TERMINAL_FIELDS,
    Rank,
    Write,
    iso,
    to_write,
)
from hud_endpoint.wire_types import ENVIRONMENT_BYTES, NAME_BYTES
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, IN_PROGRESS, SHA, changed, parsed
from tests.hud_endpoint.strategies import PAYLOADS

NOW = datetime(2026, 5, 4, 4, 0, tzinfo=UTC)
RFC_FIELDS = {
    *("dynamoKey", "status", "downstream_repo", "upstream_repo", "pr_number", "pytorch_head_sha", "delivery_id"),
    *("workflow_run_url", "workflow_name", "job_name", "check_run_id", "run_id", "run_attempt", "conclusion"),
    *("queue_time", "execution_time", "started_at", "completed_at", "total_tests", "passed_tests", "failed_tests"),
    *("skipped_tests", "downstream_repo_level", "event_type", "artifact_url", "failed_tests_json", "environment"),
}  # CrcrWorkflowJobRecord, which extractDynamoRecord gives
OUR_FIELDS = {"error_tests", "flaky_tests", "details_truncated", "dispatch_verified", "origin"}  # design 4.3
OUR_FIELDS |= {"commit_verified", "repository_id"}


def write(base: dict[str, Any] = COMPLETED_CALLBACK, changes: dict[str, Any] | None = None, **trusted: Any) -> Write:
    return to_write(parsed(changed(base, changes or {}), **trusted), now=NOW, retention_days=100)


def details(found: Write) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(str(found.fields["failed_tests_json"]))
    return rows


def item_bytes(found: Write) -> int:
    """The size as DynamoDB counts it: names and values in UTF-8, numbers at most 21 bytes."""
    whole = found.fields | found.opening | {"dynamoKey": found.key, "first_seen": iso(found.first_seen) or ""}
    whole |= {"revision": 1, "expires_at": found.expires_at}
    return sum(len(name) + (len(value.encode()) if isinstance(value, str) else 21) for name, value in whole.items())


def test_the_fields_are_the_rfcs_and_ours() -> None:
    named = {"dynamoKey", *IDENTITY_FIELDS, *RESULT_FIELDS, *OPENING_FIELDS}
    assert named == RFC_FIELDS | OUR_FIELDS
    assert len(TERMINAL_FIELDS) + len(OPENING_FIELDS) + 1 == len(named)  # each field has one owner
    assert set(RUNNING_FIELDS).isdisjoint(named)


def test_an_in_progress_flattened() -> None:
    found = write(IN_PROGRESS, ci_metrics={"queue_time": 12.5}, dispatch_verified=True)
    assert found.key == "example-org/torch-sample/a8f5f167-1c3e-4f6b-9a47-2f8f3f3f3f3f/npu-ci/test-float32/987"
    assert (found.rank, found.status) == (Rank.IN_PROGRESS, "in_progress")
    assert found.opening == {"started_at": "2026-05-04T03:02:01.000000Z", "queue_time": 12.5}
    assert found.fields == {
        "status": "in_progress",
        "downstream_repo": "example-org/torch-sample",
        "upstream_repo": "pytorch/pytorch",
        "pr_number": 179565,
        "pytorch_head_sha": SHA,
        "delivery_id": "a8f5f167-1c3e-4f6b-9a47-2f8f3f3f3f3f",
        "workflow_run_url": "https://github.com/o/r/actions/runs/240",
        "workflow_name": "npu-ci",
        "job_name": "test-float32",
        "check_run_id": "987",
        "run_id": "240",
        "run_attempt": 1,
        "downstream_repo_level": "L2",
        "event_type": "pull_request",
        "dispatch_verified": True,
        "origin": "job",
        "running_repo": "example-org/torch-sample",
        "running_pr": "pytorch/pytorch#179565",
    }


def test_a_completion_flattened() -> None:
    found = write(ci_metrics={"queue_time": 1, "execution_time": 1800.5})
    assert (found.rank, found.opening) == (Rank.COMPLETED, {})
    result = {name: value for name, value in found.fields.items() if name not in IDENTITY_FIELDS}
    assert result == {
        "conclusion": "failure",
        "execution_time": 1800.5,
        "completed_at": "2026-05-04T03:32:01.000000Z",
        "total_tests": 8452,
        "passed_tests": 8430,
        "failed_tests": 2,
        "skipped_tests": 20,
        "artifact_url": "https://artifacts.example.org/240",
        "environment": '{"device":"npu","sdk":"8.0"}',
        "failed_tests_json": json.dumps(
            [
                {
                    "name": "test_a",
                    "classname": "",
                    "file": "",
                    "status": "failure",
                    "message": "boom",
                    "stacktrace": "",
                },
                {"name": "test_b", "classname": "", "file": "", "status": "error", "message": "", "stacktrace": ""},
            ],
            separators=(",", ":"),
        ),
    }


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"payload": {}}, "pr_number", 0),
        ({"payload": {}}, "upstream_repo", "pytorch/pytorch"),
        ({"payload": {}}, "pytorch_head_sha", "a8f5f167-1c3e-4f6b-9a47-2f8f3f3f3f3f"),
        ({"payload": {"after": "b" * 40}}, "pytorch_head_sha", "b" * 40),
        ({"payload": {"repository": {"full_name": "other/pytorch"}}}, "upstream_repo", "other/pytorch"),
        ({"workflow.url": ""}, "workflow_run_url", ""),
        ({"workflow.run_id": ABSENT}, "run_id", ""),
        ({"workflow.check_run_id": ABSENT}, "check_run_id", "240-1"),
        ({"workflow.run_attempt": "3"}, "run_attempt", 3),
        ({"workflow.job_name": ABSENT}, "job_name", "default"),
        ({"workflow.test_results": {"passed": 80, "failed": 3, "skipped": 7}}, "total_tests", 90),
        ({"workflow.test_results": {"failed": 3, "errors": 2, "flaky": 1}}, "total_tests", 3),
        ({"workflow.test_results": {"total": 5, "passed": 1}}, "total_tests", 5),
        ({"workflow.test_results": {"errors": 2}}, "error_tests", 2),
        ({"workflow.test_results": {"flaky": 1}}, "flaky_tests", 1),
        ({"workflow.test_results": {}}, "total_tests", 0),
        (
            {"workflow.environment": {"b": 2**100, "a": None, "é": 1.5}},
            "environment",
            '{"a":null,"b":1267650600228229401496703205376,"é":1.5}',
        ),
        ({"workflow.completed_at": "2026-05-04T05:32:01.5+02:00"}, "completed_at", "2026-05-04T03:32:01.500000Z"),
    ],
)
def test_where_a_field_comes_from(changes: dict[str, Any], field: str, value: Any) -> None:
    assert write(changes=changes).fields[field] == value


@pytest.mark.parametrize(
    ("base", "changes", "absent"),
    [
        (COMPLETED_CALLBACK, {"workflow.test_results": ABSENT}, "total_tests passed_tests failed_tests skipped_tests"),
        (COMPLETED_CALLBACK, {"workflow.test_results": {"passed": 1}}, "failed_tests skipped_tests error_tests"),
        (COMPLETED_CALLBACK, {"workflow.artifact_url": ""}, "artifact_url"),
        (COMPLETED_CALLBACK, {"workflow.failed_tests": []}, "failed_tests_json details_truncated"),
        (COMPLETED_CALLBACK, {"workflow.environment": {}}, "environment"),
        (COMPLETED_CALLBACK, {"workflow.completed_at": None}, "completed_at"),
        (COMPLETED_CALLBACK, {}, "execution_time details_truncated dispatch_verified running_repo running_pr"),
        (IN_PROGRESS, {"workflow.artifact_url": "https://x/y"}, "artifact_url conclusion completed_at"),
        (IN_PROGRESS, {"workflow.conclusion": "success"}, "conclusion"),
        (IN_PROGRESS, {"workflow.test_results": {"passed": 1}}, "passed_tests total_tests"),
        (IN_PROGRESS, {"payload": {}}, "running_pr"),
    ],
)
def test_what_is_not_known_is_not_written(base: dict[str, Any], changes: dict[str, Any], absent: str) -> None:
    assert not set(absent.split()) & write(base, changes).fields.keys()


@pytest.mark.parametrize(
    ("status", "origin", "rank"),
    [
        ("in_progress", "job", Rank.IN_PROGRESS),
        ("in_progress", "sweeper", Rank.IN_PROGRESS),
        ("completed", "sweeper", Rank.SWEPT),
        ("completed", "job", Rank.COMPLETED),
        ("completed", "deferred", Rank.COMPLETED),
    ],
)
def test_ranks(status: str, origin: str, rank: Rank) -> None:
    assert write(changes={"workflow.status": status}, origin=origin).rank is rank


@pytest.mark.parametrize("event_type", ["nightly", "periodic"])
@pytest.mark.parametrize("base", [IN_PROGRESS, COMPLETED_CALLBACK], ids=["in_progress", "completed"])
def test_a_nightly_never_makes_a_pull_requests_row(event_type: str, base: dict[str, Any]) -> None:
    found = write(base, {"event_type": event_type})  # whose payload speaks for one
    assert found.fields["pr_number"] == 0
    assert "running_pr" not in found.fields


@pytest.mark.parametrize(
    ("received_at", "first_seen"), [("2026-05-01T00:00:00+02:00", datetime(2026, 4, 30, 22, tzinfo=UTC)), (None, NOW)]
)
def test_first_seen_is_the_relays_else_now(received_at: str | None, first_seen: datetime) -> None:
    found = write(received_at=received_at)
    assert found.first_seen == first_seen
    assert found.expires_at == int(first_seen.timestamp()) + 100 * 24 * 3600


def test_equal_times_are_equal_strings() -> None:
    spellings = ("2026-05-04T03:32:01Z", "2026-05-04T03:32:01.000+00:00", "2026-05-04 05:32:01+02:00")
    assert {write(changes={"workflow.completed_at": time}).fields["completed_at"] for time in spellings} == {
        "2026-05-04T03:32:01.000000Z"
    }


def test_a_key_that_is_too_long_is_refused() -> None:
    names = {"workflow.name": "n" * 512, "workflow.job_name": "j" * 512, "delivery_id": "d" * 512}
    with pytest.raises(RefusedError) as caught:
        write(changes={**names, "workflow.check_run_id": "1" * 512})
    assert caught.value.code == "key_too_long"


def failed_tests(count: int, *, message: str = "m", stacktrace: str = "s", name: str = "t") -> dict[str, Any]:
    return {
        "workflow.failed_tests": [
            {"name": f"{name}{number}", "message": message, "stacktrace": stacktrace} for number in range(count)
        ]
    }


class TestShedding:
    def test_what_fits_stays_whole(self) -> None:
        found = write(changes=failed_tests(1000))
        assert len(details(found)) == 1000
        assert "details_truncated" not in found.fields

    def test_beyond_a_thousand_are_counted(self) -> None:
        found = write(changes=failed_tests(MAX_FAILED_TESTS + 5))
        assert len(details(found)) == MAX_FAILED_TESTS
        assert found.fields["details_truncated"] == 5

    def test_what_is_cut_to_its_cap_is_counted(self) -> None:
        found = write(changes=failed_tests(2, message="é" * 600) | {})
        assert [len(test["message"].encode()) for test in details(found)] == [1024, 1024]
        assert found.fields["details_truncated"] == 2

    def test_stacktraces_go_first_from_the_last_test_on(self) -> None:
        found = write(changes=failed_tests(100, message="m" * 1000, stacktrace="s" * 4000))
        kept = [bool(test["stacktrace"]) for test in details(found)]
        assert kept == sorted(kept, reverse=True)
        assert 0 < sum(kept) < 100
        assert all(test["message"] for test in details(found))
        assert found.fields["details_truncated"] == 100 - sum(kept)

    def test_then_messages(self) -> None:
        found = write(changes=failed_tests(500, message="m" * 1000, stacktrace="s" * 4000))
        assert not any(test["stacktrace"] for test in details(found))
        kept = [bool(test["message"]) for test in details(found)]
        assert kept == sorted(kept, reverse=True)
        assert 0 < sum(kept) < 500
        assert found.fields["details_truncated"] == 500  # each lost its stacktrace at least

    def test_then_whole_tests(self) -> None:
        found = write(changes=failed_tests(1000, name="n" * 500, stacktrace=""))
        assert 0 < len(details(found)) < 1000
        assert not any(test["message"] for test in details(found))
        assert found.fields["details_truncated"] == 1000

    def test_the_counts_of_tests_stay_those_that_were_reported(self) -> None:
        many = failed_tests(1000, name="n" * 500) | {"workflow.test_results": {"failed": 1000, "passed": 1}}
        assert write(changes=many).fields["failed_tests"] == 1000

    @pytest.mark.parametrize("character", ["a", "é", "🧪", '"', "\\", "\x01"])
    def test_the_biggest_callback_makes_an_item_below_350_kb(self, character: str) -> None:
        """Control characters grow sixfold in JSON, quotes twofold: the budget counts what is written."""
        long = character * NAME_BYTES
        biggest = write(
            changes={
                **failed_tests(3000, name=long, message=character * 1024, stacktrace=character * 4096),
                "workflow.environment": {"": character * (ENVIRONMENT_BYTES // len(character.encode()))},
                "workflow.artifact_url": "https://x/" + "a" * 2000,
                "workflow.url": "https://x/" + "a" * 2000,
                **{f"workflow.{name}": long for name in ("name", "job_name")},
                "event_type": long,
                "payload.pull_request.head.sha": "x" * 512,
            }
        )
        assert ITEM_BYTES * 0.9 < item_bytes(biggest) < ITEM_BYTES
        assert len(details(biggest)) + int(biggest.fields["details_truncated"]) >= 3000


TEXTS = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.integers(0, 2000),
)
BIG = st.lists(
    st.fixed_dictionaries({"name": TEXTS.filter(str.strip), "message": TEXTS, "stacktrace": TEXTS, "file": TEXTS}),
    min_size=1,
    max_size=8,
).flatmap(lambda tests: st.integers(1, 200).map(lambda times: tests * times))
ENVIRONMENTS = st.dictionaries(
    st.text(st.sampled_from('a\x00"é'), max_size=1000), st.text(st.sampled_from("\x01b"), max_size=1000), max_size=4
)


@settings(max_examples=40)
@given(BIG, ENVIRONMENTS)
def test_whatever_comes_the_item_fits_and_the_counts_are_right(
    tests: list[dict[str, Any]], environment: dict[str, str]
) -> None:
    found = write(changes={"workflow.failed_tests": tests, "workflow.environment": environment})
    assert item_bytes(found) < ITEM_BYTES
    rows = details(found)
    whole = sum(
        row["message"] == test["message"] and row["stacktrace"] == test["stacktrace"]
        for row, test in zip(rows, tests, strict=False)
    )
    assert found.fields.get("details_truncated", 0) == len(tests) - whole


@given(PAYLOADS)
def test_a_write_holds_owned_fields_only_and_is_the_same_each_time(told: dict[str, Any]) -> None:
    first, again = (to_write(RelayPayload.model_validate(told), now=NOW, retention_days=1) for _ in range(2))
    assert first == again
    owned = {*IDENTITY_FIELDS, *(RUNNING_FIELDS if first.rank is Rank.IN_PROGRESS else RESULT_FIELDS)}
    assert first.fields.keys() <= owned
    assert first.opening.keys() <= (set(OPENING_FIELDS) if first.rank is Rank.IN_PROGRESS else set())
    assert first.fields["downstream_repo"] == told["trusted"]["verified_repo"]
