"""What a callback may say: types, ranges, caps, and the sentence that refuses the rest."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from hud_endpoint.contract import Callback, RelayPayload, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.wire_types import ENVIRONMENT_BYTES, URL_BYTES, is_sha
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, SHA, changed, relay_payload

UUID_ID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
ONE_TEST: dict[str, Any] = {"name": "t"}


def read(changes: dict[str, Any]) -> Callback:
    return parse(Callback, json.dumps(changed(COMPLETED_CALLBACK, changes)).encode())


def refusal(body: bytes, model: type[Callback | RelayPayload] = Callback) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        parse(model, body)
    return caught.value


def field(callback: Callback, path: str) -> Any:
    found: Any = callback
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("path", "given", "read_as"),
    [
        ("workflow.schema_version", 1, "1"),
        ("workflow.schema_version", ABSENT, "1"),
        ("workflow.check_run_id", 98765432101, "98765432101"),
        ("workflow.check_run_id", 2**63 - 1, str(2**63 - 1)),
        ("workflow.check_run_id", None, None),  # then run_id and run_attempt stand in
        ("workflow.run_id", UUID_ID, UUID_ID),
        ("workflow.run_id", None, None),
        ("workflow.run_id", "", None),
        ("workflow.schema_version", None, "1"),
        ("workflow.job_name", "", "default"),
        ("workflow.run_attempt", None, 1),
        ("workflow.failed_tests", None, []),
        ("workflow.environment", None, {}),
        ("event_type", "", "pull_request"),
        ("event_type", None, "pull_request"),
        ("workflow.run_attempt", "3", 3),
        ("workflow.run_attempt", 3, 3),
        ("workflow.run_attempt", ABSENT, 1),
        ("workflow.run_attempt", 10**6, 10**6),
        ("workflow.job_name", ABSENT, "default"),
        ("workflow.job_name", "test (npu, 3.12)", "test (npu, 3.12)"),
        ("workflow.name", "日本語 🧪", "日本語 🧪"),
        ("workflow.name", "\u202eevil\x00\n", "\u202eevil\x00\n"),  # carried; escaping is for where it is shown
        ("workflow.url", "", None),
        ("workflow.url", None, None),
        ("workflow.artifact_url", "", None),
        ("workflow.artifact_url", "HTTPS://EXAMPLE.ORG:8443/a?b=c#d", "HTTPS://EXAMPLE.ORG:8443/a?b=c#d"),
        ("workflow.artifact_url", 'https://x/"><script>', 'https://x/"><script>'),
        ("workflow.artifact_url", "https://x/" + "é" * 1019, "https://x/" + "é" * 1019),  # 2,048 bytes
        ("workflow.test_results", None, None),
        ("workflow.test_results.passed", None, None),
        ("workflow.test_results.passed", 10**12, 10**12),
        ("workflow.test_results.passed", 5.0, 5),
        ("workflow.test_results.duration_seconds", 0, 0.0),
        ("workflow.failed_tests", [], []),
        ("workflow.failed_tests", ABSENT, []),
        ("workflow.environment", {"a": 1, "b": 1.5, "c": None, "d": True}, {"a": 1, "b": 1.5, "c": None, "d": True}),
        ("workflow.environment", {"n": 2**100}, {"n": 2**100}),
        ("payload.pull_request.number", 2**53, 2**53),
        ("payload.pull_request", None, None),
        ("payload.pull_request.head", None, None),
        ("payload.repository", None, None),
        ("payload.head_sha", "", None),
        ("payload.pull_request.head.sha", "", None),
        ("payload.repository.full_name", "", "pytorch/pytorch"),
        ("payload.repository.full_name", ABSENT, "pytorch/pytorch"),
        ("delivery_id", 12345, "12345"),
        ("delivery_id", "buildkite-1234-0191", "buildkite-1234-0191"),
        ("event_type", ABSENT, "pull_request"),
        ("event_type", "whatever comes next", "whatever comes next"),
        ("callback_token", None, None),
    ],
)
def test_what_is_accepted_and_how_it_is_read(path: str, given: Any, read_as: Any) -> None:
    assert field(read({path: given}), path) == read_as


@pytest.mark.parametrize(
    ("told", "utc"),
    [
        ("2026-05-04T03:02:01Z", "2026-05-04T03:02:01+00:00"),
        ("2026-05-04T03:02:01", "2026-05-04T03:02:01+00:00"),  # no zone is UTC
        ("2026-05-04T05:02:01.25+02:00", "2026-05-04T03:02:01.250000+00:00"),
        ("2026-05-04 03:02:01.123456789Z", "2026-05-04T03:02:01.123456+00:00"),
        ("2026-05-04", "2026-05-04T00:00:00+00:00"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_times_become_utc(told: str | None, utc: str | None) -> None:
    time = read({"workflow.started_at": told}).workflow.started_at
    assert (time.isoformat() if time else None) == utc


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("workflow.schema_version", ["2", 2, True, 1.0, "1 "]),
        ("workflow.status", ["", "queued", "COMPLETED", "completed ", None, 1, ABSENT]),
        ("workflow.conclusion", ["SUCCESS", "startup_failure", 1, True]),
        ("workflow.name", ["", " ", "\t\n", None, 5, ["a"], ABSENT]),
        ("workflow.job_name", [" ", 5]),
        ("workflow.check_run_id", [" ", "x" * 513, "é" * 257, True, 1.5, 2**63, 10**300, {"a": 1}]),
        ("workflow.run_id", [True, 1.5, 2**70, []]),
        ("workflow.run_attempt", [0, -1, 10**6 + 1, "x", 1.5, True]),
        ("workflow.started_at", ["now", "04.05.2026", "20260504T030201Z", "1999-12-31T23:59:59Z"]),
        ("workflow.started_at", [1714792921, "1714792921", True, "2026-13-01", "2200-01-01T00:00:00Z", {}]),
        ("workflow.completed_at", ["2000-01-01T00:00:00+10:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z"]),
        ("workflow.test_results", [[], "x", 5]),
        (
            "workflow.test_results.passed",
            ["x", "1" * 16, "-1", True, -1, 1.5, 10**13, 2**64, float("nan"), float("inf")],
        ),
        ("workflow.test_results.duration_seconds", ["1", True, -0.1, 1e10, float("nan"), float("-inf")]),
        ("workflow.environment", [[], "x", {"a": {}}, {"a": [1]}, {"a": float("nan")}]),
        ("workflow.environment", [{"k": "x" * ENVIRONMENT_BYTES}, {f"k{i}": "é" for i in range(4000)}]),
        ("workflow.failed_tests", [{}, ["t"], [{"name": 5}], [{"name": " "}], [{"name": "t", "status": "passed"}]]),
        ("workflow.failed_tests", [[{"name": "t", "message": 5}], [{"name": "t", "duration_seconds": -1}]]),
        ("workflow", [None, [], "x", ABSENT]),
        ("payload", [[], "x", 5]),
        ("payload.pull_request", [5, [], {}]),
        ("payload.pull_request.number", [0, -1, "5", True, 1.5, 2**53 + 1, None]),
        ("payload.pull_request.head.sha", [" ", "x" * 513, True]),
        ("payload.repository.full_name", ["pytorch", "a/b/c", "a/b\n", "a /b", "ä/b", "/", "a/", "a/" + "b" * 101]),
        ("payload.head_sha", [{}, "x" * 513]),
        ("delivery_id", ["", " ", None, 1.5, True, "x" * 513, ABSENT]),
        ("event_type", [" ", 5]),
        ("callback_token", ["x" * 4097, 5, {}]),
    ],
)
def test_what_is_refused_is_named_in_one_short_sentence(path: str, wrong: list[Any]) -> None:
    for value in wrong:
        error = refusal(json.dumps(changed(COMPLETED_CALLBACK, {path: value})).encode())
        assert (error.code, error.status) == ("invalid_callback", 400), value
        told = error.message
        assert path in told or f"{path.rpartition('.')[0]}: " in told, told  # a rule for the whole names the whole
        assert len(told) < 400, told


NOT_URLS = [
    "https://github.com@evil.example/",
    "https://user:password@example.org/",
    "https://example.org:99999/",
    "https://example.org/\u202egpj.exe",
    "https://example.org/\x85",
    " ",
    "javascript:alert(1)",
    "JavaScript://x/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc",
]
NOT_URLS += [
    "//x/y",
    "x/y",
    "ftp://x",
    "https:",
    "https://",
    "https:///path",
    "https://[::1",
    "https://[x]/",
    "http://?",
]
NOT_URLS += [
    " https://x",
    "https://x\n",
    "https://x/a b",
    "https://x/\x00",
    "https://x/\t",
    "http://x\\@y",
    "https://x/\x7f",
]
NOT_URLS += ["https://x/" + "a" * URL_BYTES, "https://x/" + "é" * 1020]


@pytest.mark.parametrize("path", ["workflow.url", "workflow.artifact_url"])
def test_only_http_urls_with_a_host_are_accepted(path: str) -> None:
    for url in NOT_URLS:
        error = refusal(json.dumps(changed(COMPLETED_CALLBACK, {path: url})).encode())
        assert error.code == "invalid_callback", url
        assert path in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"\xff",
        json.dumps(COMPLETED_CALLBACK).encode("utf-16"),
        b'{"delivery_id": "\xed\xa0\x80"}',
        b'{"delivery_id": "\x01"}',
        b'{"delivery_id": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"x": "' + b"A" * 5000,
        b"{} {}",
    ],
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    error = refusal(body)
    assert (error.code, error.status) == ("invalid_json", 400)
    assert error.message.startswith("The body is not JSON (")
    assert len(error.message) < 200


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"5", b"true"])
def test_what_is_not_an_object_is_refused(body: bytes) -> None:
    assert refusal(body).message == "The callback was refused: body: Input should be an object."


def test_a_refusal_tells_three_problems_and_counts_the_others() -> None:
    wrong = {
        "delivery_id": " ",
        "event_type": " ",
        "workflow.name": " ",
        "workflow.job_name": " ",
        "workflow.run_id": " ",
    }
    told = refusal(json.dumps(changed(COMPLETED_CALLBACK, wrong)).encode()).message
    assert told == (
        "The callback was refused: event_type: a name must not be empty; delivery_id: an id has 1 to 512 bytes; "
        "workflow.name: a name must not be empty; and 2 more."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"workflow.environment": {"A" * 16_000: {}}},
        {"workflow.environment": {"A" * 500 + str(number): [] for number in range(9)}},
        {"workflow.status": "A" * 5000},
        {"workflow.conclusion": "A" * 5000},
        {"workflow.artifact_url": "javascript:" + "A" * 1000},
        {"workflow.artifact_url": "https://[" + "A" * 1000 + "]"},
        {"delivery_id": "A" * 5000},
        {"workflow.started_at": "A" * 5000},
        {"payload.repository.full_name": "A" * 5000},
    ],
)
def test_a_refusal_never_echoes_much_of_what_came(changes: dict[str, Any]) -> None:
    told = refusal(json.dumps(changed(COMPLETED_CALLBACK, changes)).encode()).message
    assert told.count("A") <= 200
    assert len(told.encode()) <= 600


def test_unknown_fields_are_ignored_at_every_level() -> None:
    places = ("", "payload.", "payload.pull_request.", "payload.pull_request.head.", "payload.repository.", "workflow.")
    extra = {f"{place}made_up": {"deep": [None, 1e5, "x"]} for place in (*places, "workflow.test_results.")}
    assert read(extra) == read({})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"workflow.conclusion": None}, "a completed callback needs a conclusion"),
        ({"workflow.conclusion": ""}, "a completed callback needs a conclusion"),
        ({"workflow.check_run_id": None, "workflow.run_id": None}, "check_run_id or run_id is needed"),
    ],
)
def test_fields_that_need_each_other(changes: dict[str, Any], rule: str) -> None:
    assert rule in refusal(json.dumps(changed(COMPLETED_CALLBACK, changes)).encode()).message


@pytest.mark.parametrize(
    ("payload", "sha"),
    [
        ({"pull_request": {"number": 1, "head": {"sha": "h"}}, "head_sha": "s", "after": "a"}, "h"),
        ({"pull_request": {"number": 1}, "head_sha": "s", "after": "a"}, "s"),
        ({"after": "a"}, "a"),
        ({}, "the-delivery"),
    ],
)
def test_where_the_upstream_commit_is_taken_from(payload: dict[str, Any], sha: str) -> None:
    assert read({"payload": payload, "delivery_id": "the-delivery"}).upstream_sha == sha


@pytest.mark.parametrize(
    ("text", "whole"),
    [(SHA, True), (SHA.upper(), True), (SHA[:-1], False), (SHA + "0", False), (SHA + "\n", False), ("z" * 40, False)],
)
def test_is_sha(text: str, whole: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_sha(text) is whole


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("trusted", [None, ABSENT]),
        ("trusted.verified_repo", ["", "a", "a/b/c", "a/b/", "../../x/y", "a/b\n", 5, ABSENT]),
        ("trusted.downstream_repo_level", ["L0", "L5", "l2", 2]),
        ("trusted.origin", ["me", None]),
        ("trusted.received_at", ["yesterday", 5]),
        ("trusted.ci_metrics", [None, []]),
        ("trusted.ci_metrics.queue_time", [-1, "1", float("nan")]),
        ("untrusted", [None, {}, ABSENT]),
        ("untrusted.callback_payload.workflow.status", ["queued"]),
    ],
)
def test_what_hud_refuses_of_the_relay(path: str, wrong: list[Any]) -> None:
    for value in wrong:
        error = refusal(json.dumps(changed(relay_payload(), {path: value})).encode(), RelayPayload)
        assert error.code == "invalid_callback", value
        assert path in error.message


def test_of_the_same_field_twice_the_last_counts_for_every_parser() -> None:
    body = json.dumps(COMPLETED_CALLBACK).replace('"run_id": "240"', '"run_id": "1", "run_id": "2"').encode()
    assert parse(Callback, body).workflow.run_id == json.loads(body)["workflow"]["run_id"] == "2"


def test_a_test_needs_nothing_but_a_name() -> None:
    texts = dict.fromkeys(("classname", "file", "message", "stacktrace"), "")
    assert read({"workflow.failed_tests": [ONE_TEST]}).workflow.failed_tests == [
        {"name": "t", "status": "failure", **texts}
    ]


@pytest.mark.parametrize("nothing", [ABSENT, None, ""], ids=["absent", "null", "empty"])
@pytest.mark.parametrize(
    ("name", "read_as"),
    [
        ("name", "(no name)"),  # a result is not lost for one
        ("classname", ""),
        ("file", ""),
        ("status", "failure"),
        ("message", ""),
        ("stacktrace", ""),
        ("duration_seconds", None),
    ],
)
def test_what_a_failed_test_does_not_say_has_a_default(name: str, nothing: Any, read_as: str | None) -> None:
    whole = {"name": "t", "status": "error", "message": "m", "duration_seconds": 1}
    (kept,) = read({"workflow.failed_tests": [changed(whole, {name: nothing})]}).workflow.failed_tests
    assert kept.get(name) == read_as
    assert ("duration_seconds" in kept) == (name != "duration_seconds")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("name", [5, 0, False, " ", "\t", [], {}]),
        ("classname", [0, False, [], ["c"]]),
        ("message", [0, False, {}, 1.5]),
        ("stacktrace", [0, ["line"]]),
        ("status", ["passed", "FAILURE", 1, False, []]),
        ("duration_seconds", [-1, True, "1", 1e10, float("nan"), float("inf"), []]),
    ],
)
def test_what_is_wrong_with_a_failed_test_is_said_once(name: str, wrong: list[Any]) -> None:
    for value in wrong:
        body = changed(COMPLETED_CALLBACK, {"workflow.failed_tests": [{"name": "t", name: value}]})
        told = refusal(json.dumps(body).encode()).message
        assert told.count("workflow.failed_tests.0.") == 1, told
        assert f"workflow.failed_tests.0.{name}: " in told
        assert "~" not in told
        assert "; and " not in told


@pytest.mark.parametrize(
    "workflow",
    [
        '"failed_tests": [' + ",".join(["0"] * 900_000) + "]",
        '"environment": {' + ",".join(f'"{n}":[]' for n in range(9**5)) + "}",
    ],
    ids=["failed_tests", "environment"],
)
def test_a_million_mistakes_cost_no_more_than_one(workflow: str) -> None:
    body = f'{{"delivery_id": "d", "workflow": {{"status": "in_progress", "name": "n", "run_id": 1, {workflow}}}}}'
    tracemalloc.start()
    try:
        assert "; and " not in refusal(body.encode()).message  # one problem is told, and no others counted
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024**2
