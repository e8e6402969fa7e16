"""The callback's body: what it says, that CRCR's relay and ours accept it, and what goes first when it is too large."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import payload
from oot_runner.messages import ReportError
from oot_runner.settings import CONCLUSIONS, Settings, read
from tests.oot_runner.conftest import CLIENT_PAYLOAD, SHA
from tests.oot_runner.server_side import accept, needs_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from oot_runner.ci import Run

    MakeSettings: TypeAlias = Callable[..., Settings]

NOW = "2026-05-04T03:02:01.000Z"
REPORT: dict[str, Any] = {
    "files": 2,
    "total": 10,
    "passed": 7,
    "failed": 2,
    "errors": 1,
    "skipped": 1,
    "flaky": 1,
    "duration_seconds": 12.5,
    "failed_tests": [
        {
            "name": "test_add",
            "classname": "tests.TestOps",
            "file": "tests/test_ops.py",
            "line": 12,
            "status": "failure",
            "message": "1 != 2",
            "stacktrace": "tests/test_ops.py:12: AssertionError",
            "duration_seconds": 0.1,
        },
        {"name": "test_init", "status": "error", "message": "no device"},
    ],
    "rejected": [],
}


def body(settings: Settings, run: Run, report: dict[str, Any] | None = None) -> payload.Body:
    return payload.body(settings, run, payload.results(settings, run, report), NOW)


def test_a_completed_job(make_settings: MakeSettings, run: Run) -> None:
    settings = make_settings(artifact_url="https://s3.example/a", environment="device=npu")
    made = json.loads(body(settings, run, REPORT).data)
    assert made.items() >= CLIENT_PAYLOAD.items()
    assert made["workflow"] == {
        "schema_version": "1",
        "status": "completed",
        "conclusion": "success",
        "name": "npu-ci",
        "url": "https://github.com/example/backend/actions/runs/240",
        "job_name": "test",
        "check_run_id": "987",
        "run_id": "240",
        "run_attempt": "1",
        "started_at": None,
        "completed_at": NOW,
        "test_results": {
            "passed": 7,
            "failed": 2,
            "skipped": 1,
            "total": 10,
            "errors": 1,
            "flaky": 1,
            "duration_seconds": 12.5,
        },
        "artifact_url": "https://s3.example/a",
        "environment": {"device": "npu"},
        "failed_tests": [
            {
                "name": "test_add",
                "status": "failure",
                "classname": "tests.TestOps",
                "file": "tests/test_ops.py",
                "message": "1 != 2",
                "stacktrace": "tests/test_ops.py:12: AssertionError",
                "duration_seconds": 0.1,
            },
            {"name": "test_init", "status": "error", "message": "no device"},
        ],
    }


def test_a_job_in_progress_says_nothing_of_its_end(make_settings: MakeSettings, run: Run) -> None:
    settings = make_settings(status="in_progress", conclusion="failure", test_results='{"passed": 1}')
    made = json.loads(body(settings, run, REPORT).data)
    workflow = made["workflow"]
    assert (workflow["status"], workflow["conclusion"]) == ("in_progress", None)
    assert (workflow["started_at"], workflow["completed_at"]) == (NOW, None)
    assert not {"test_results", "failed_tests", "triage_verdict"} & set(workflow)
    accept(json.dumps(made).encode())


@pytest.mark.parametrize("event_type", ["nightly", "periodic"])
def test_a_nightly_is_what_crcr_s_client_sends(make_settings: MakeSettings, run: Run, event_type: str) -> None:
    made = json.loads(body(make_settings(event_type=event_type, delivery_id=SHA), run._replace(event={})).data)
    del made["workflow"]
    repository = {"full_name": "pytorch/pytorch"}
    assert made == {
        "event_type": event_type,
        "delivery_id": SHA,
        "payload": {"repository": repository, "head_sha": SHA},
    }


@needs_server
@pytest.mark.parametrize(
    ("client_payload", "sha"),
    [
        (CLIENT_PAYLOAD, SHA),
        # As vLLM's nightlies name a build, and as the relay dispatches pushes.
        ({"event_type": "push", "delivery_id": "1", "payload": {"after": SHA, "ref": "refs/heads/main"}}, SHA),
        ({"event_type": "nightly", "delivery_id": "buildkite-1-a", "payload": {}}, "buildkite-1-a"),
        ({"delivery_id": 42}, "42"),
        ({**CLIENT_PAYLOAD, "callback_token": "signed", "later": {"unknown": ["field"]}}, SHA),
    ],
)
def test_what_the_dispatch_brought_goes_back_as_it_came(
    make_settings: MakeSettings, run: Run, client_payload: dict[str, Any], sha: str
) -> None:
    made = body(make_settings(), run._replace(event={"client_payload": client_payload})).data
    assert json.loads(made).items() >= client_payload.items()
    callback = accept(made)
    assert (callback.upstream_sha, callback.callback_token) == (sha, client_payload.get("callback_token"))


@pytest.mark.parametrize("event", [{}, {"client_payload": None}, {"client_payload": {}}, {"client_payload": "text"}])
def test_a_run_that_tests_no_upstream_change(make_settings: MakeSettings, run: Run, event: dict[str, Any]) -> None:
    with pytest.raises(ReportError) as error:
        body(make_settings(), run._replace(event=event, event_name="push"))
    assert error.value.message.code == "no_upstream"
    assert "push" in error.value.message.text()


@pytest.mark.parametrize(
    ("given_as", "status", "conclusion"),
    [
        ({}, "failure", "failure"),
        ({"needs": '{"a": {"result": "cancelled"}}'}, "success", "cancelled"),
        ({"conclusion": "skipped", "needs": '{"a": {"result": "failure"}}'}, "success", "skipped"),
    ],
)
def test_the_conclusion_is_the_user_s_then_the_worst_need_s_then_the_job_s(
    make_settings: MakeSettings, run: Run, given_as: dict[str, str], status: str, conclusion: str
) -> None:
    found = payload.results(make_settings(**given_as), run._replace(job_status=status), None)
    assert found.conclusion == conclusion


def test_a_ci_that_tells_no_status_is_asked_for_the_conclusion(make_settings: MakeSettings, run: Run) -> None:
    with pytest.raises(ReportError) as error:
        payload.results(make_settings(), run._replace(job_status=""), None)
    assert error.value.message.facts["name"] == "conclusion"


def test_counts_of_the_user_overrule_those_of_the_reports(make_settings: MakeSettings, run: Run) -> None:
    found = payload.results(make_settings(test_results='{"passed": 70}'), run, REPORT)
    assert found.counts.items() >= {"passed": 70, "failed": 2, "skipped": 1, "total": 73, "errors": 1}.items()
    found = payload.results(make_settings(test_results='{"passed": 70, "total": 99}'), run, None)
    assert found.counts == {"passed": 70, "total": 99}


def test_failed_tests_of_the_user_replace_those_of_the_reports(make_settings: MakeSettings, run: Run) -> None:
    # As CRCR's `failed-tests-detail` has them.
    detail = [{"name": "t", "duration": 1.5, "message": None, "extra": 1}, {"classname": "C"}]
    found = payload.results(make_settings(failed_tests_detail=json.dumps(detail)), run, REPORT)
    assert found.failed_tests == [
        {"name": "t", "status": "failure", "duration_seconds": 1.5},
        {"name": "(no name)", "status": "failure", "classname": "C"},
    ]
    assert payload.results(make_settings(failed_tests="[]"), run, REPORT).failed_tests == []


@pytest.mark.parametrize(
    ("conclusion", "report", "flagged"),
    [
        ("success", REPORT, True),
        ("failure", REPORT, False),
        ("success", {**REPORT, "failed": 0, "failed_tests": []}, False),
    ],
)
def test_a_green_job_with_failed_tests_is_flagged_and_reported_as_it_is(
    make_settings: MakeSettings, run: Run, conclusion: str, report: dict[str, Any], *, flagged: bool
) -> None:
    found = payload.results(make_settings(conclusion=conclusion), run, report)
    assert found.conclusion == conclusion
    assert [message.code for message in found.messages] == ["green_with_failures"] * flagged


def test_reports_that_are_all_rejected_count_nothing(make_settings: MakeSettings, run: Run) -> None:
    report = {**dict.fromkeys(REPORT, 0), "failed_tests": [], "rejected": [{"file": "a.xml", "reason": "cut"}]}
    assert payload.results(make_settings(), run, report).counts == {}


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "s3://bucket/key", "https://", "https://a b", "https://[", "https://x/" + "y" * 2048]
)
def test_an_artifact_url_that_the_relay_would_refuse_is_left_out(
    make_settings: MakeSettings, run: Run, url: str
) -> None:
    made = body(make_settings(artifact_url=url), run)
    assert "artifact_url" not in json.loads(made.data)["workflow"]
    assert [message.code for message in made.messages] == ["left_out"]
    accept(made.data)


@needs_server
def test_an_environment_that_is_too_large_is_cut_and_told(make_settings: MakeSettings, run: Run) -> None:
    environment = json.dumps({"kept": "a", "large": "b" * 20_000, "kept too": 1})
    made = body(make_settings(environment=environment), run)
    assert list(accept(made.data).workflow.environment) == ["kept"]
    assert [message.code for message in made.messages] == ["left_out"]


def test_the_verdict_is_passed_on_for_crcr(make_settings: MakeSettings, run: Run) -> None:
    verdict = {"schema_version": 1, "category": "upstream", "confidence": "high", "summary": "lost an overload"}
    made = body(make_settings(triage_verdict=json.dumps(verdict)), run)
    assert json.loads(made.data)["workflow"]["triage_verdict"] == verdict
    accept(made.data)


def failing(count: int, *, message: int, stacktrace: int) -> dict[str, Any]:
    test = {"name": "t" * 100, "message": "m" * message, "stacktrace": "s" * stacktrace}
    return {**REPORT, "failed": count, "failed_tests": [test] * min(count, 1000)}


@needs_server
@pytest.mark.parametrize(
    ("report", "environ", "shed"),
    [
        (failing(300, message=1024, stacktrace=4096), {}, ""),
        (failing(1000, message=1024, stacktrace=4096), {}, "stack traces"),
        (failing(1000, message=1024, stacktrace=4096), {"notes": 900_000}, "stack traces, messages"),
        (failing(1000, message=1024, stacktrace=4096), {"notes": 1_950_000}, "stack traces, messages, tests"),
        (failing(1200, message=0, stacktrace=0), {}, "tests"),
    ],
)
def test_the_largest_reports_shed_traces_then_messages_then_tests(
    make_settings: MakeSettings, run: Run, report: dict[str, Any], environ: dict[str, int], shed: str
) -> None:
    client_payload = {**CLIENT_PAYLOAD, "notes": "n" * environ.get("notes", 0)}
    made = body(make_settings(), run._replace(event={"client_payload": client_payload}), report)
    callback = accept(made.data)
    told = [str(message.facts["shed"]) for message in made.messages]
    assert ", ".join(part.lstrip("0123456789,").strip() for part in ", ".join(told).split(", ")) == shed
    tests = callback.workflow.failed_tests
    assert callback.workflow.test_results is not None
    assert callback.workflow.test_results.failed == report["failed"]
    if shed:
        traces, messages = (sum(bool(test.get(key)) for test in tests) for key in ("stacktrace", "message"))
        assert all(test["stacktrace"] for test in tests[:traces]), "the first tests keep theirs"
        assert all(test["message"] for test in tests[:messages])
        # Nothing was shed that had room: the next smaller loss would not have fitted.
        assert shed == "tests" or len(made.data) > payload.BODY_BYTES - 8192


def test_what_can_never_fit_is_said(make_settings: MakeSettings, run: Run) -> None:
    client_payload = {**CLIENT_PAYLOAD, "notes": "n" * payload.BODY_BYTES}
    with pytest.raises(ReportError) as error:
        body(make_settings(), run._replace(event={"client_payload": client_payload}))
    assert error.value.message.code == "too_large"


# Lone surrogates, control characters, separators, the widest characters: everything that JSON and UTF-8 can choke on.
PIECES = st.sampled_from(["\ud800", "\udfff", "\0", "\x1b", "\u2028", "\U0001f600", '"', "\\", "\n", " "])
TEXT = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=8).map("".join)
HUGE = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 3000))
NUMBERS = st.one_of(st.integers(-1, 10**10), st.floats(allow_nan=True), st.booleans(), st.none(), TEXT)
TESTS = st.fixed_dictionaries(
    {"name": st.one_of(HUGE, st.none())},
    optional={
        "classname": HUGE,
        "file": HUGE,
        "status": st.sampled_from(["failure", "error", "odd", None]),
        "message": st.one_of(HUGE, st.none(), st.integers()),
        "stacktrace": HUGE,
        "duration_seconds": NUMBERS,
        "duration": NUMBERS,
        "line": NUMBERS,
    },
)


@needs_server
@given(
    data=st.data(),
    conclusion=st.sampled_from(CONCLUSIONS),
    status=st.sampled_from(["in_progress", "completed"]),
    tests=st.lists(TESTS, max_size=8),
    times=st.integers(1, 300),
    counts=st.lists(st.integers(0, 10**11), min_size=6, max_size=6),
    duration=st.floats(0, 1e12),
)
def test_whatever_the_reports_hold_the_relay_accepts_the_body(
    data: st.DataObject,
    conclusion: str,
    status: str,
    tests: list[dict[str, Any]],
    times: int,
    counts: list[int],
    duration: float,
) -> None:
    from oot_runner.ci import Run

    name = data.draw(TEXT)
    environ = {
        "OOT_STATUS": status,
        "OOT_CONCLUSION": conclusion,
        "OOT_ARTIFACT_URL": data.draw(st.one_of(TEXT, TEXT.map(lambda text: f"https://a.example/{text}"))),
    }
    settings = read(environ)._replace(environment=data.draw(st.dictionaries(HUGE, NUMBERS.filter(finite), max_size=3)))
    run = Run(
        provider="github",
        repository="o/r",
        workflow_name=name.strip() or "ci",
        run_id="1",
        run_attempt="1",
        run_url=data.draw(TEXT),
        job_name=data.draw(HUGE).strip() or "test",
        check_run_id="1",
        job_status="",
        event_name="",
        event={"client_payload": {**CLIENT_PAYLOAD, "unknown": name}},
        workspace=None,  # type: ignore[arg-type]
    )
    keys = ("passed", "failed", "skipped", "total", "errors", "flaky")
    report = {
        "files": 1,
        "failed_tests": tests * times,
        "duration_seconds": duration,
        **dict(zip(keys, counts)),
    }
    callback = accept(body(settings, run, report).data)
    assert callback.workflow.status == status
    assert len(callback.workflow.failed_tests) <= payload.MAX_FAILED_TESTS


def finite(value: object) -> bool:
    return not isinstance(value, float) or abs(value) < float("inf")
