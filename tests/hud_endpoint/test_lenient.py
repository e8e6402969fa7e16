"""A wrong optional field costs the field, never the result; what a result is, and whose, stays strict."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.contract import Callback, RelayPayload, load_json, load_passable_json
from hud_endpoint.errors import RefusedError
from hud_endpoint.lenient import CONCLUSIONS, MAX_NAMED, OPTIONAL_FIELDS, STATUSES, answer_of, read_leniently
from hud_endpoint.record import to_write
from hud_endpoint.wire_types import Conclusion
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, IN_PROGRESS, changed, relay_payload
from tests.hud_endpoint.test_record import NOW

if TYPE_CHECKING:
    from hud_endpoint.lenient import Dropped

GOOD = COMPLETED_CALLBACK["workflow"]


def read(changes: dict[str, Any], base: dict[str, Any] = COMPLETED_CALLBACK) -> tuple[Callback, list[Dropped]]:
    body = changed(base, changes)
    before = copy.deepcopy(body)
    callback, data, dropped = read_leniently(Callback, body)
    assert body == before  # the caller's own is not changed
    assert Callback.model_validate(data) == callback  # what is passed on needs no leniency any more
    return callback, dropped


FIELDS: list[tuple[dict[str, Any], list[str]]] = [
    # counts
    ({"workflow.test_results": [1, 2]}, ["workflow.test_results"]),
    ({"workflow.test_results": "8430 passed"}, ["workflow.test_results"]),
    ({"workflow.test_results": 5}, ["workflow.test_results"]),
    ({"workflow.test_results.passed": "many"}, ["workflow.test_results.passed"]),
    ({"workflow.test_results.passed": -1}, ["workflow.test_results.passed"]),
    ({"workflow.test_results.passed": 1.5}, ["workflow.test_results.passed"]),
    ({"workflow.test_results.passed": True}, ["workflow.test_results.passed"]),
    ({"workflow.test_results.duration_seconds": -3.0}, ["workflow.test_results.duration_seconds"]),
    ({"workflow.test_results.duration_seconds": "fast"}, ["workflow.test_results.duration_seconds"]),
    (
        {"workflow.test_results.passed": [], "workflow.test_results.failed": {}},
        ["workflow.test_results.passed", "workflow.test_results.failed"],
    ),
    # addresses
    ({"workflow.artifact_url": "s3://bucket/key"}, ["workflow.artifact_url"]),
    ({"workflow.artifact_url": "javascript:alert(1)"}, ["workflow.artifact_url"]),
    ({"workflow.artifact_url": ["https://example.org"]}, ["workflow.artifact_url"]),
    ({"workflow.artifact_url": "https://example.org/" + "x" * 3000}, ["workflow.artifact_url"]),
    ({"workflow.url": "not an address"}, ["workflow.url"]),
    # times
    ({"workflow.started_at": "yesterday"}, ["workflow.started_at"]),
    ({"workflow.completed_at": "0001-01-01T00:00:00Z"}, ["workflow.completed_at"]),
    ({"workflow.completed_at": "1970-01-01T00:00:00Z"}, ["workflow.completed_at"]),
    ({"workflow.completed_at": 1714792921}, ["workflow.completed_at"]),
    ({"workflow.completed_at": {}}, ["workflow.completed_at"]),
    # failed tests
    ({"workflow.failed_tests": "test_a"}, ["workflow.failed_tests"]),
    ({"workflow.failed_tests": {"name": "test_a"}}, ["workflow.failed_tests"]),
    ({"workflow.failed_tests": [None, {"name": "test_a"}]}, ["workflow.failed_tests.0"]),
    (
        {"workflow.failed_tests": [{"name": "test_a"}, "x", {"name": 5}]},
        ["workflow.failed_tests.1", "failed_tests.2.name"],
    ),
    ({"workflow.failed_tests": [{"name": "t", "duration_seconds": -1}]}, ["workflow.failed_tests.0.duration_seconds"]),
    # the rest
    ({"workflow.environment": ["npu"]}, ["workflow.environment"]),
    ({"workflow.environment": {"sdk": "8.0", "gpus": [1, 2]}}, ["workflow.environment.gpus"]),
    ({"workflow.environment": {"sdk": "x" * 20_000}}, ["workflow.environment"]),
    ({"workflow.environment": {str(number): 1 for number in range(1001)}}, ["workflow.environment"]),
    ({"workflow.schema_version": 2}, ["workflow.schema_version"]),
    ({"workflow.schema_version": "1.1"}, ["workflow.schema_version"]),
    ({"workflow.conclusion": "exploded"}, ["workflow.conclusion"]),
    ({"workflow.conclusion": 7}, ["workflow.conclusion"]),
    ({"workflow.artifact_url": "s3://b/k", "workflow.completed_at": "now"}, ["artifact_url", "completed_at"]),
]


@pytest.mark.parametrize(("changes", "named"), FIELDS, ids=[str(changes)[:60] for changes, _ in FIELDS])
def test_a_wrong_field_costs_itself(changes: dict[str, Any], named: list[str]) -> None:
    callback, dropped = read(changes)
    assert sorted(each.field for each in dropped) == sorted(
        name if name.startswith("workflow.") else f"workflow.{name}" for name in named
    )
    assert all(0 < len(each.why) <= 200 for each in dropped)
    whole = Callback.model_validate(COMPLETED_CALLBACK)
    touched = {each.field.split(".")[1] for each in dropped}
    kept = {name for name in type(whole.workflow).model_fields if name not in touched}
    assert {name: getattr(callback.workflow, name) for name in kept} == {
        name: getattr(whole.workflow, name) for name in kept
    }


def test_every_optional_field_is_in_the_table() -> None:
    assert {name.split(".")[1] for changes, _ in FIELDS for name in changes} - {"conclusion"} == set(OPTIONAL_FIELDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"delivery_id": ABSENT},
        {"delivery_id": []},
        {"event_type": 5},
        {"callback_token": {}},
        {"payload": []},
        {"payload.pull_request.number": "x"},
        {"payload.head_sha": []},
        {"workflow": ABSENT},
        {"workflow": []},
        {"workflow.name": " "},
        {"workflow.job_name": 5},
        {"workflow.run_id": True},
        {"workflow.check_run_id": []},
        {"workflow.run_attempt": -1},
        {"workflow.run_attempt": "first"},
        {"workflow.status": "exploded"},
        {"workflow.status": ABSENT},
        {"workflow.conclusion": None},
        {"workflow.conclusion": None, "workflow.artifact_url": "s3://b/k"},
    ],
)
def test_what_a_result_is_stays_strict(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        read(changes)
    assert caught.value.code == "invalid_callback"
    assert "artifact_url" not in caught.value.message  # which is not why


@pytest.mark.parametrize("base", [IN_PROGRESS, COMPLETED_CALLBACK], ids=["in_progress", "completed"])
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
@pytest.mark.parametrize("field", OPTIONAL_FIELDS)
def test_whatever_stands_in_an_optional_field_the_result_is_read(base: dict[str, Any], field: str, value: Any) -> None:
    callback, _ = read({f"workflow.{field}": value}, base)
    assert callback.workflow.status == base["workflow"]["status"]
    assert callback.workflow.conclusion == base["workflow"]["conclusion"]


def test_github_s_words_are_known() -> None:
    assert {CONCLUSIONS[word] for word in CONCLUSIONS} == set(get_args(Conclusion))
    assert all(CONCLUSIONS[word] == word for word in get_args(Conclusion))
    assert not {word for word, meant in CONCLUSIONS.items() if meant == "success"} & {"failed", "error", "skipped"}


@pytest.mark.parametrize(
    ("word", "conclusion"),
    [
        ("SUCCESS", "success"),
        ("passed", "success"),
        (" Success ", "success"),
        ("startup_failure", "failure"),
        ("Startup-Failure", "failure"),
        ("FAILED", "failure"),
        ("timed out", "timed_out"),
        ("canceled", "cancelled"),
    ],
)
def test_words_that_mean_one_of_github_s(word: str, conclusion: str) -> None:
    callback, dropped = read({"workflow.conclusion": word})
    assert (callback.workflow.conclusion, dropped) == (conclusion, [])


@pytest.mark.parametrize("word", ["exploded", "unknown", "not success", "✔", 0, [], {}])
def test_a_word_that_nobody_knows_is_no_pass(word: Any) -> None:
    callback, dropped = read({"workflow.conclusion": word})
    assert callback.workflow.conclusion == "failure"
    assert [each.field for each in dropped] == ["workflow.conclusion"]


@pytest.mark.parametrize(
    ("status", "conclusion", "meant"),
    [
        ("failed", None, ("completed", "failure")),
        ("FAILED", "", ("completed", "failure")),
        ("failed", "cancelled", ("completed", "cancelled")),
        ("Success", None, ("completed", "success")),
        ("COMPLETED", "success", ("completed", "success")),
        ("finished", "failure", ("completed", "failure")),
        ("In Progress", None, ("in_progress", None)),
        ("running", None, ("in_progress", None)),
    ],
)
def test_words_for_the_status(status: str, conclusion: str | None, meant: tuple[str, str | None]) -> None:
    callback, dropped = read({"workflow.status": status, "workflow.conclusion": conclusion})
    assert ((callback.workflow.status, callback.workflow.conclusion), dropped) == (meant, [])
    assert {name for name, _ in STATUSES.values()} == {"in_progress", "completed"}


def test_counts_may_be_texts_and_an_attempt_of_0_is_none() -> None:
    callback, dropped = read({"workflow.test_results.passed": "8430", "workflow.run_attempt": 0})
    assert callback.workflow.test_results is not None
    assert (callback.workflow.test_results.passed, dropped) == (8430, [])
    assert "run_attempt" not in callback.workflow.model_fields_set  # the token's counts


def test_a_failed_test_loses_its_wrong_details_alone() -> None:
    wrong = {"name": "test_a", "message": "boom", "status": "passed", "duration_seconds": -1, "file": 5}
    callback, dropped = read({"workflow.failed_tests": [wrong, {"name": None, "message": "no name"}, {"name": []}]})
    names = [(test["name"], test["message"], test["status"]) for test in callback.workflow.failed_tests]
    nameless = "(no name)"
    assert names == [("test_a", "boom", "failure"), (nameless, "no name", "failure"), (nameless, "", "failure")]
    assert {each.field.removeprefix("workflow.failed_tests.") for each in dropped} == {
        "0.status",
        "0.duration_seconds",
        "0.file",
        "2.name",
    }


def test_a_million_wrong_tests_are_not_all_looked_at() -> None:
    tests = [{"name": f"t{number}"} for number in range(1500)] + [None] * 100_000
    callback, dropped = read({"workflow.failed_tests": tests})
    assert len(callback.workflow.failed_tests) == 1500
    assert len(dropped) == 501
    assert dropped[-1].why == "99,500 entries beyond the first 2,000 were not looked at"
    assert len(answer_of(dropped)["dropped"]) == MAX_NAMED
    assert answer_of([]) == {}


ODD: list[tuple[str, bytes]] = [
    ("a byte order mark", b"\xef\xbb\xbf" + json.dumps(COMPLETED_CALLBACK).encode()),
    ("NaN", json.dumps(changed(COMPLETED_CALLBACK, {"workflow.test_results.duration_seconds": float("nan")})).encode()),
    ("infinity", json.dumps(changed(COMPLETED_CALLBACK, {"made_up": float("inf")})).encode()),
    ("beyond a double", json.dumps(COMPLETED_CALLBACK).replace('"event_type"', '"n": 1e999, "event_type"').encode()),
    ("half a character", json.dumps(COMPLETED_CALLBACK).replace("boom", "\\ud800 boom").encode()),
    (
        "a huge integer",
        json.dumps(COMPLETED_CALLBACK).replace('"event_type"', f'"n": {"9" * 500}, "event_type"').encode(),
    ),
]


@pytest.mark.parametrize("body", [body for _, body in ODD], ids=[name for name, _ in ODD])
@pytest.mark.parametrize("load", [load_json, load_passable_json])
def test_what_json_has_not_costs_no_result(body: bytes, load: Any) -> None:
    callback, data, _ = read_leniently(Callback, load(body))
    assert callback.workflow.failed_tests[0]["message"].endswith("boom")
    if load is load_passable_json:
        passed_on = json.dumps(data, allow_nan=False).encode()
        assert Callback.model_validate_json(passed_on) == callback


def test_half_a_character_in_an_id_is_refused() -> None:
    body = json.dumps(COMPLETED_CALLBACK).replace(COMPLETED_CALLBACK["delivery_id"], "\\ud800")
    with pytest.raises(RefusedError, match="an id holds no broken character"):
        read_leniently(Callback, load_passable_json(body.encode()))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1} x', "\ufeff".encode()])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    for load in (load_json, load_passable_json):
        with pytest.raises(RefusedError) as caught:
            load(body)
        assert caught.value.code == "invalid_json"


def test_hud_reads_a_relay_s_payload_as_leniently_and_the_relay_s_own_word_strictly() -> None:
    odd = changed(COMPLETED_CALLBACK, {"workflow.artifact_url": "s3://b/k", "workflow.conclusion": "FAILED"})
    path = ("untrusted", "callback_payload")
    payload, _, dropped = read_leniently(RelayPayload, relay_payload(odd), path)
    assert [each.field for each in dropped] == ["workflow.artifact_url"]
    plain = changed(COMPLETED_CALLBACK, {"workflow.artifact_url": None})
    expected = RelayPayload.model_validate(relay_payload(plain))
    written = [to_write(each, now=NOW, retention_days=100) for each in (payload, expected)]
    assert written[0] == written[1]
    with pytest.raises(RefusedError, match=r"trusted.verified_repo"):
        read_leniently(RelayPayload, relay_payload(odd, repo="not a repo"), path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_else_is_refused_and_raises_nothing_else(data: Any) -> None:
    for model, path in ((Callback, ()), (RelayPayload, ("untrusted", "callback_payload"))):
        with pytest.raises(RefusedError):
            read_leniently(model, data, path)
