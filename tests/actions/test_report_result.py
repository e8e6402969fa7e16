"""The real action.yml, executed step by step as the runner would, against a real server: a table of situations."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint import contract
from oot_local.actions.job import Job
from oot_local.actions.parser import ActionParser
from tests.oot_runner.conftest import CLIENT_PAYLOAD, SHA
from tests.oot_runner.web_server import WebServer, answer, drop, jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from oot_local.actions.results import StepResult
    from tests.oot_runner.web_server import Behaviour

ACTION = Path(__file__).parents[2] / "actions" / "report-result"
PASSED = (
    '<testsuite name="s" tests="2"><testcase classname="C" name="a" time="1"/>'
    '<testcase classname="C" name="b"/></testsuite>'
)
FAILED = (
    '<testsuite name="s"><testcase classname="C" name="a"/><testcase classname="C" name="test_b">'
    '<failure message="1 != 2">tests/test_b.py:3: AssertionError</failure></testcase></testsuite>'
)
HOSTILE = (
    '<testsuite name="s"><testcase classname="@all" name="&lt;img src=x&gt;&#10;::set-output name=outcome::delivered">'
    '<failure message="##[error]x&#10;::stop-commands::x">```&#10;&lt;/details&gt;&#10;::warning::y</failure>'
    "</testcase></testsuite>"
)
DISPATCH = {"event_name": "repository_dispatch", "event": {"client_payload": CLIENT_PAYLOAD}}
NIGHTLY = {"event-type": "nightly", "delivery-id": SHA}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


MakeJob: TypeAlias = "Callable[..., Job]"


@pytest.fixture
def make_job(tmp_path: Path, parser: ActionParser, server: WebServer) -> MakeJob:
    def make(*, permission: bool = True, github: dict[str, Any] | None = None, **given: Any) -> Job:
        workspace = tmp_path / "wörk späce" / "backend"
        workspace.mkdir(parents=True, exist_ok=True)
        offered = {"ACTIONS_ID_TOKEN_REQUEST_URL": server.token_url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token"}
        context = {"run_id": "240", "repository": "example/backend", **(DISPATCH if github is None else github)}
        return Job(
            workspace,
            tmp_path / "témp",
            github=context,
            job={"check_run_id": 987, **given.pop("job", {})},
            runner_env=offered if permission else {},
            parser=parser,
            **given,
        )

    return make


def report(job: Job, server: WebServer, inputs: dict[str, str], **given: Any) -> StepResult:
    return job.run_action(ACTION, {"status": "completed", "callback-url": server.callback_url, **inputs}, **given)


def write(job: Job, name: str, text: str) -> None:
    path = job.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_two_steps_of_the_readme(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    first = report(job, server, {"status": "in_progress"})
    write(job, "reports/junit ü.xml", PASSED)
    last = report(job, server, {"test-reports": "reports/**/*.xml"})

    assert [request.path for request in server.requests] == [
        "/token?api-version=2.0&audience=pytorch-cross-repo-ci-relay",
        "/github/callback",
    ] * 2
    started, ended = (contract.parse(contract.Callback, request.body) for request in server.callbacks)
    assert contract.dynamo_key("example/backend", started) == contract.dynamo_key("example/backend", ended)
    assert (started.workflow.status, started.workflow.conclusion) == ("in_progress", None)
    assert (ended.workflow.status, ended.workflow.conclusion) == ("completed", "success")
    assert ended.workflow.test_results == contract.TestResults(
        passed=2, failed=0, skipped=0, total=2, errors=0, flaky=0, duration_seconds=1
    )
    assert (first.outcome, first.annotations, first.summary) == ("success", (), "")
    assert (last.outcome, last.annotations) == ("success", ())
    payload = Path(last.outputs["payload"])
    assert payload.read_bytes() == server.callbacks[1].body
    assert last.outputs == {
        "outcome": "delivered",
        "http-status": "200",
        "dynamo-key": f"example/backend/{CLIENT_PAYLOAD['delivery_id']}/ci/test/987",
        "hud-url": "https://hud.example/oot/example/backend",
        "conclusion": "success",
        "tests-total": "2",
        "tests-passed": "2",
        "tests-failed": "0",
        "tests-skipped": "0",
        "tests-errors": "0",
        "tests-flaky": "0",
        "payload": str(payload),
        "deferred-name": "",
        "deferred-path": "",
    }
    assert "### ✅ `test`" in last.summary
    assert "[See it on HUD](https://hud.example/oot/example/backend)" in last.summary


@dataclass(frozen=True)
class Situation:
    """What a job meets, and what must come of it. `told` are the titles' beginnings, in order, by level."""

    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    relay: tuple[Behaviour, ...] | None = None
    token: tuple[Behaviour, ...] | None = None
    job: dict[str, Any] = field(default_factory=dict)
    earlier: str = "true"
    outcome: str = "delivered"
    conclusion: str | None = "success"
    told: tuple[tuple[str, str], ...] = ()
    sends: int = 1
    fails: bool = False


DOWN = (answer(503, {"detail": "down"}, {"Retry-After": "0"}),)
SITUATIONS: dict[str, Situation] = {
    "delivered": Situation(),
    "the job has failed": Situation(earlier="false", conclusion="failure"),
    "tests failed": Situation(
        {"test-reports": "r/*.xml", "conclusion": "failure"},
        {"r/a.xml": FAILED, "tests/test_b.py": ""},
        conclusion="failure",
        told=(("error", "C::test_b"),),
    ),
    "tests failed and the job is green": Situation(
        {"test-reports": "r/*.xml", "annotations": "0"},
        {"r/a.xml": FAILED},
        told=(("warning", "The job succeeded although tests failed"),),
    ),
    "duplicate": Situation(relay=(answer(200, {"ok": True, "outcome": "duplicate"}),), outcome="duplicate"),
    "queued": Situation(relay=(answer(202, {"ok": True, "outcome": "queued"}),), outcome="queued"),
    "an L1 repository": Situation(
        relay=(answer(200, {"ok": True, "status": "ignored", "outcome": "ignored", "message": "at L1"}),),
        outcome="ignored",
        told=(("warning", "The relay does not show this repository's results"),),
    ),
    "an L3 repository": Situation(
        relay=(answer(200, {"outcome": "delivered", "message": "No upstream check run for L3 here"}),),
        told=(("warning", "The upstream check run is not made by this relay"),),
    ),
    "CRCR's relay": Situation(relay=(answer(200, {"ok": True, "status": "completed"}),)),
    "CRCR's relay after a broken connection": Situation(
        relay=(drop, answer(400, {"detail": "invalid state transition"})),
        outcome="unknown",
        told=(("warning", "The report may have arrived"),),
        sends=2,
    ),
    "passing trouble": Situation(relay=(drop, answer(200, {"outcome": "delivered"})), sends=2),
    "no permission for a token": Situation(
        job={"permission": False},
        outcome="failed",
        told=(("error", "The job has no permission to ask for an OIDC token"),),
        sends=0,
    ),
    "no permission in a caller": Situation(
        job={"permission": False, "job": {"workflow_ref": "example/shared/.github/workflows/test.yml@v1"}},
        outcome="failed",
        told=(("error", "The calling workflow withholds the permission"),),
        sends=0,
    ),
    "a pull request from a fork": Situation(
        job={
            "permission": False,
            "github": {
                "event_name": "pull_request",
                "event": {"pull_request": {"head": {"repo": {"full_name": "stranger/backend"}}}},
            },
        },
        outcome="failed",
        told=(("error", "Pull requests from forks get no OIDC token"),),
        sends=0,
    ),
    "a plain push": Situation(
        job={"github": {"event_name": "push", "event": {}}},
        outcome="failed",
        told=(("error", "Nothing says which upstream change this run tests"),),
        sends=0,
    ),
    "a nightly": Situation(NIGHTLY, job={"github": {"event_name": "schedule", "event": {}}}),
    "an empty glob": Situation({"test-reports": "reports/**/*.xml"}, told=(("warning", "No test reports were found"),)),
    "a report cut short": Situation(
        {"test-reports": "r/*.xml"},
        {"r/a.xml": PASSED, "r/b.xml": "<testsuite>"},
        told=(("warning", "Some test reports could not be read"),),
    ),
    "an expired token": Situation(
        relay=(answer(401, {"detail": "The token expired 9 s ago.", "code": "expired_token"}),),
        outcome="failed",
        told=(("error", "The OIDC token has expired"),),
    ),
    "a repository that nobody allowed": Situation(
        relay=(answer(403, {"detail": "unknown", "code": "repo_not_allowed"}),),
        outcome="failed",
        told=(("error", "This repository is not on the relay's allowlist"),),
    ),
    "a redirect": Situation(
        relay=(answer(307, None, {"Location": "https://elsewhere.example/"}),),
        outcome="failed",
        told=(("error", "The relay answered with a redirect"),),
    ),
    "a relay that is down": Situation(
        {"retries": "1"}, relay=DOWN, outcome="failed", told=(("error", "The relay is in trouble"),), sends=2
    ),
    "a relay that is down, and fail-on-error": Situation(
        {"retries": "0", "fail-on-error": "true"},
        relay=DOWN,
        outcome="failed",
        told=(("error", "The relay is in trouble"),),
        fails=True,
    ),
    "fail-on-error where nothing failed": Situation({"fail-on-error": "true"}),
    "a wrong input, and fail-on-error": Situation(
        {"conclusion": "great", "fail-on-error": "TRUE"},
        outcome="failed",
        conclusion=None,
        told=(("error", "An input of report-result is wrong"),),
        sends=0,
        fails=True,
    ),
    "a token endpoint in trouble": Situation(
        {"retries": "0"},
        token=(answer(500),),
        outcome="failed",
        told=(("error", "GitHub gave no OIDC token"),),
        sends=0,
    ),
    "an http relay elsewhere": Situation(
        {"callback-url": "http://relay.example/"},
        outcome="failed",
        told=(("error", "The token may not travel to this address"),),
        sends=0,
    ),
    "dry-run": Situation({"dry-run": "true"}, job={"permission": False}, outcome="dry-run", sends=0),
    "a whole run without needs": Situation(
        {"scope": "workflow"},
        outcome="failed",
        conclusion=None,
        told=(("error", "The conclusion of the whole run is not known"),),
        sends=0,
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_situations(make_job: MakeJob, server: WebServer, situation: Situation) -> None:
    job = make_job(**situation.job)
    server.relay = list(situation.relay or server.relay)
    server.token = list(situation.token or server.token)
    for name, text in situation.files.items():
        write(job, name, text)
    job.run(situation.earlier)
    status = job.status
    result = report(job, server, situation.inputs)

    assert result.outputs["outcome"] == situation.outcome
    if situation.conclusion is not None:
        assert result.outputs["conclusion"] == situation.conclusion
    told = [(each.level, each.title) for each in result.annotations if each.title]
    assert len(told) == len(situation.told), told
    assert all(
        (level, (title or "")[: len(start)]) == (wanted, start)
        for (level, title), (wanted, start) in zip(told, situation.told, strict=True)
    ), told
    assert len(server.callbacks) == situation.sends
    assert len({request.body for request in server.callbacks}) <= 1
    for request in server.callbacks:
        contract.parse(contract.Callback, request.body)
    assert (result.conclusion == "failure") is situation.fails
    assert job.status == ("failure" if situation.fails else status)
    # What went wrong stands in the summary too, with its way out.
    for _, title in told:
        assert (title or "") in result.summary or "C::test_b" in result.summary


def test_a_cancelled_job_is_reported(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    job.status = "cancelled"
    assert report(job, server, {}).outputs["outcome"] == "delivered"
    assert server.callbacks[0].json["workflow"]["conclusion"] == "cancelled"


def test_a_run_that_another_one_started_passes_the_dispatch_on(make_job: MakeJob, server: WebServer) -> None:
    job = make_job(github={"event_name": "workflow_run", "event": {"workflow_run": {"id": 1}}})
    write(job, "dispatch/payload.json", json.dumps(CLIENT_PAYLOAD))
    report(job, server, {"client-payload": "dispatch/payload.json"})
    assert server.callbacks[0].json["payload"] == CLIENT_PAYLOAD["payload"]


def test_matrix_legs_never_collide_with_no_configuration(make_job: MakeJob, server: WebServer) -> None:
    for check_run, device in enumerate(["npu", "xpu"]):
        report(make_job(matrix={"device": device, "python": 3.11}, job={"check_run_id": check_run}), server, {})
    legs = [request.json["workflow"] for request in server.callbacks]
    assert [(leg["job_name"], leg["check_run_id"]) for leg in legs] == [
        ("test (npu, 3.11)", "0"),
        ("test (xpu, 3.11)", "1"),
    ]


def test_runners_without_check_run_id(make_job: MakeJob, server: WebServer) -> None:
    report(make_job(job={"check_run_id": None}), server, {})
    assert server.callbacks[0].json["workflow"]["check_run_id"] == "240-1"


def test_two_jobs_of_a_run_meet_in_one_record_with_the_worst_result(make_job: MakeJob, server: WebServer) -> None:
    first = make_job(job={"check_run_id": 1})
    report(first, server, {"status": "in_progress", "scope": "workflow"})
    last = make_job(job={"check_run_id": 2}, github={**DISPATCH, "job": "end"})
    needs = json.dumps({"start": {"result": "success", "outputs": {}}, "test": {"result": "failure", "outputs": {}}})
    result = report(last, server, {"scope": "workflow", "needs": needs})
    keys = {
        contract.dynamo_key("example/backend", contract.parse(contract.Callback, request.body))
        for request in server.callbacks
    }
    assert len(keys) == 1
    assert (last.status, result.outputs["conclusion"]) == ("success", "failure")


LARGE = "x" * 200_000  # Linux starts nothing with a variable of more than 128 KiB


@pytest.mark.skipif(os.name == "nt", reason="the limit is Linux's")
@pytest.mark.parametrize(
    ("inputs", "conclusion"),
    [
        (
            {"needs": json.dumps({"a": {"result": "failure", "outputs": {"log": LARGE}}, "b": {"result": "success"}})},
            "failure",
        ),
        ({"failed-tests": json.dumps([{"name": "test_a", "message": LARGE}])}, "success"),
        (
            {"client-payload": json.dumps({**CLIENT_PAYLOAD, "payload": {**CLIENT_PAYLOAD["payload"], "body": LARGE}})},
            "success",
        ),
        (
            {
                "client-payload": json.dumps(
                    {"event_type": "push", "delivery_id": "d", "payload": {"after": SHA, "x": LARGE}}
                )
            },
            "success",
        ),
    ],
    ids=["needs", "failed-tests", "client-payload", "client-payload of a push"],
)
def test_inputs_above_the_system_s_limit_cost_themselves(
    make_job: MakeJob, server: WebServer, inputs: dict[str, str], conclusion: str
) -> None:
    job = make_job(github={**DISPATCH, "event": {"client_payload": CLIENT_PAYLOAD}})
    result = report(job, server, inputs)
    assert (result.outcome, result.outputs["outcome"]) == ("success", "delivered"), result.log
    [callback] = [contract.parse(contract.Callback, request.body) for request in server.callbacks]
    assert callback.workflow.conclusion == conclusion
    payload = json.loads(inputs.get("client-payload", "{}")) or CLIENT_PAYLOAD
    expected = contract.Callback.model_validate({**payload, "workflow": server.callbacks[0].json["workflow"]})
    assert (callback.payload.pull_request, callback.upstream_sha) == (
        expected.payload.pull_request,
        expected.upstream_sha,
    )
    assert (callback.delivery_id, callback.event_type) == (expected.delivery_id, expected.event_type)
    assert callback.callback_token == expected.callback_token
    assert "Some inputs were too large to be passed on" in [each.title for each in result.annotations]


@pytest.mark.parametrize("results", [["success", "failure"], ["success", "cancelled", "failure"]])
def test_the_results_alone_are_enough_of_needs(make_job: MakeJob, server: WebServer, results: list[str]) -> None:
    result = report(make_job(), server, {"scope": "workflow", "needs": json.dumps(results)})
    assert result.outputs["conclusion"] == "failure"


def test_a_report_that_nobody_may_read_costs_the_counts(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    write(job, "reports/a.xml", PASSED)
    write(job, "reports/b.xml/c.xml", PASSED)  # a folder of that name
    (job.workspace / "reports" / "gone.xml").symlink_to("nowhere.xml")
    os.mkfifo(job.workspace / "reports" / "fifo.xml")
    result = report(job, server, {"test-reports": "reports/*.xml"})
    assert result.outputs["outcome"] == "delivered", result.log
    assert result.outputs["tests-passed"] == "2"


def test_the_artifacts_of_our_upload_step_are_linked(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    job.run('echo "OOT_HUD_ARTIFACT_URL=https://s3.example/run" >> "$GITHUB_ENV"')
    result = report(job, server, {})
    assert server.callbacks[0].json["workflow"]["artifact_url"] == "https://s3.example/run"
    assert "[Logs and reports](https://s3.example/run)" in result.summary


def test_every_input_of_crcr_s_action_has_its_meaning(make_job: MakeJob, server: WebServer) -> None:
    detail = json.dumps(
        [{"name": "test_foo", "classname": "TestBar", "message": "no", "stacktrace": "x", "duration": 2}]
    )
    inputs = {
        "conclusion": "timed_out",
        "test-results": '{"passed": 8, "failed": 1, "skipped": 2}',
        "failed-tests-detail": detail,
        "triage-verdict": '{"category": "upstream", "confidence": "high", "summary": "s"}',
        "artifact-url": "https://s3.example/a",
        "max-time": "5",
        "job-name": "build-cpu",
        "delivery-id": SHA,
        "event-type": "periodic",
    }
    report(make_job(github={"event_name": "schedule", "event": {}}), server, inputs)
    sent = server.callbacks[0].json
    workflow = sent.pop("workflow")
    payload = {"repository": {"full_name": "pytorch/pytorch"}, "head_sha": SHA}
    assert sent == {"event_type": "periodic", "delivery_id": SHA, "payload": payload}
    assert (workflow["conclusion"], workflow["job_name"]) == ("timed_out", "build-cpu")
    assert workflow["test_results"] == {"passed": 8, "failed": 1, "skipped": 2, "total": 11}
    assert workflow["triage_verdict"]["category"] == "upstream"
    (test,) = workflow["failed_tests"]
    assert (test["name"], test["duration_seconds"]) == ("test_foo", 2)


def test_hostile_names_stay_text(make_job: MakeJob, server: WebServer) -> None:
    job = make_job(github={**DISPATCH, "job": "$(touch pwned)`touch pwned`"})
    write(job, "r/a.xml", HOSTILE)
    write(job, "r/$(touch pwned);'\".xml", PASSED)
    result = report(
        job, server, {"test-reports": "r/*.xml", "conclusion": "failure", "environment": "a=$(touch pwned)"}
    )
    assert result.outputs["outcome"] == "delivered"
    assert server.callbacks[0].json["workflow"]["environment"] == {"a": "$(touch pwned)"}
    assert not (job.workspace / "pwned").exists()
    (told,) = result.annotations
    assert (told.level, told.message) == ("error", "## [error]x\n::stop-commands::x")
    assert "<img" not in result.summary
    assert "````text" in result.summary


def test_dry_run_prints_what_would_be_sent_without_commands_in_it(make_job: MakeJob, server: WebServer) -> None:
    payload = {**CLIENT_PAYLOAD, "callback_token": "signed-secret"}
    job = make_job(github={"event_name": "repository_dispatch", "event": {"client_payload": payload}}, permission=False)
    write(job, "r/a.xml", HOSTILE)
    result = report(job, server, {"dry-run": "true", "test-reports": "r/*.xml", "conclusion": "failure"})
    assert '"delivery_id": "a8f5f167-0000-4000-8000-000000000001"' in result.log
    assert "signed-secret" not in result.log
    assert "signed-secret" in result.masks
    assert json.loads(Path(result.outputs["payload"]).read_bytes())["callback_token"] == "signed-secret"
    assert "Dry run: nothing was sent" in result.summary


def test_the_token_is_masked(make_job: MakeJob, server: WebServer) -> None:
    token = jwt(sub="who")
    server.token = [answer(200, {"value": token})]
    # A relay that says the token back, as a careless proxy's error page would.
    server.relay = [answer(400, {"detail": f"Bearer {token}", "code": "invalid_callback"})]
    result = report(make_job(), server, {})
    assert token in result.masks
    assert token not in result.log
    assert token not in result.summary


def test_only_the_first_failed_tests_are_annotated(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    cases = "".join(f'<testcase name="t{n}"><failure message="m"/></testcase>' for n in range(20))
    write(job, "r/a.xml", f"<testsuite>{cases}</testsuite>")
    inputs = {"test-reports": "r/*.xml", "conclusion": "failure"}
    assert len(report(job, server, inputs).annotations) == 10
    assert len(report(job, server, {**inputs, "annotations": "3"}).annotations) == 3
    assert report(job, server, {**inputs, "summary": "false"}).summary == ""


def test_a_failed_test_is_annotated_where_it_stands(make_job: MakeJob, server: WebServer) -> None:
    job = make_job()
    write(job, "r/a.xml", FAILED)
    write(job, "tests/test_b.py", "")
    (told,) = report(job, server, {"test-reports": "r/*.xml", "conclusion": "failure"}).annotations
    assert (told.file, told.line) == ("tests/test_b.py", 3)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "env"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="PATH is emptied with symbolic links")
@pytest.mark.parametrize("fails", [False, True])
def test_a_machine_without_python_is_told_what_to_do(
    make_job: MakeJob, server: WebServer, bare_path: Path, *, fails: bool
) -> None:
    script(bare_path, "python3", "exit 1  # a Python 3.6 says so to the check")
    job = make_job(env={"PATH": str(bare_path)})
    result = report(job, server, {"fail-on-error": str(fails).lower()})
    assert (result.outcome == "failure") is fails
    assert result.outputs["outcome"] == "failed"
    told = result.annotations[0]
    assert (told.level, told.title) == ("error", "report-result found no Python")
    assert "actions/setup-python" in told.message
    assert "actions/setup-python" in result.summary


@pytest.mark.skipif(os.name == "nt", reason="PATH is emptied with symbolic links")
def test_a_newer_python_beside_an_old_one_is_found(make_job: MakeJob, server: WebServer, bare_path: Path) -> None:
    import sys

    script(bare_path, "python3", "exit 1")
    script(bare_path, "python3.11", f'exec "{sys.executable}" "$@"')
    assert report(make_job(env={"PATH": str(bare_path)}), server, {}).outputs["outcome"] == "delivered"


def test_a_hostile_environment_changes_nothing(make_job: MakeJob, server: WebServer) -> None:
    job = make_job(env={"PYTHONPATH": "shadow", "PYTHONSTARTUP": "x", "PYTHONIOENCODING": "ascii"})
    for name in ("json", "messages", "inputs", "oot_runner"):
        write(job, f"shadow/{name}.py", "raise SystemExit(f'{__name__} came from the workspace')")
        write(job, f"{name}.py", "raise SystemExit(f'{__name__} came from the workspace')")
    assert report(job, server, {}).outputs["outcome"] == "delivered"
