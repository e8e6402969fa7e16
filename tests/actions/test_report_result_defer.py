"""`mode: defer`: the real action.yml leaves the callback as an artifact, with no token and no word to any server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint import contract
from oot_local.actions.job import Job, UsesCall, UsesError
from oot_local.actions.parser import ActionParser
from tests.oot_runner.conftest import CLIENT_PAYLOAD, SHA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from oot_local.actions.results import StepResult

ACTION = Path(__file__).parents[2] / "actions" / "report-result"
REPORT = (
    '<testsuite name="s"><testcase classname="C" name="a"/>'
    '<testcase classname="C" name="b"><failure/></testcase></testsuite>'
)


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


class Uploads:
    """Stands in for actions/upload-artifact: keeps what it was given."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.inputs: list[dict[str, str]] = []
        self.broken = False

    def __call__(self, call: UsesCall) -> Mapping[str, str]:
        if self.broken:
            raise UsesError("the artifact service does not answer")
        self.inputs.append(dict(call.inputs))
        self.kept[call.inputs["name"]] = Path(call.inputs["path"]).read_bytes()
        return {}


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def defer(tmp_path: Path, parser: ActionParser, uploads: Uploads) -> Callable[..., StepResult]:
    def run(inputs: dict[str, str] | None = None, *, failed: bool = False, **given: Any) -> StepResult:
        workspace = tmp_path / "wörk"
        workspace.mkdir(exist_ok=True)
        (workspace / "junit.xml").write_text(REPORT)
        github = {
            "run_id": "240",
            "run_attempt": "2",
            "repository": "example/backend",
            "event_name": "repository_dispatch",
            "event": {"client_payload": {**CLIENT_PAYLOAD, "callback_token": "signed.by.relay"}},
        }
        job = Job(
            workspace,
            tmp_path / "temp",
            github={**github, **given.pop("github", {})},
            job={"check_run_id": 987, **given.pop("job", {})},
            uses_handlers={"actions/upload-artifact": uploads},
            parser=parser,
            **given,
        )
        if failed:
            job.run("exit 1")
        told = {"status": "completed", "mode": "defer", "callback-url": "http://127.0.0.1:9/", **(inputs or {})}
        return job.run_action(ACTION, told)

    return run


def test_the_callback_becomes_an_artifact(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    result = defer({"test-reports": "*.xml", "environment": "device=npu"}, failed=True)
    assert (result.outputs["outcome"], result.conclusion) == ("deferred", "success"), result.log
    assert result.outputs["deferred-name"] == "oot-hud-deferred-runattempt2-987"
    ((name, data),) = uploads.kept.items()
    assert name == result.outputs["deferred-name"]
    callback = contract.parse(contract.Callback, data)
    assert (callback.delivery_id, callback.callback_token) == (CLIENT_PAYLOAD["delivery_id"], "signed.by.relay")
    workflow = callback.workflow
    assert (workflow.run_id, workflow.run_attempt, workflow.check_run_id) == ("240", 2, "987")
    assert workflow.test_results is not None
    assert (workflow.test_results.failed, workflow.environment) == (1, {"device": "npu"})
    assert Path(result.outputs["deferred-path"]).name == "callback.json"
    assert "Left as an artifact" in result.summary
    assert uploads.inputs[0]["overwrite"] == "true"


def test_a_pull_request_of_a_fork_may_leave_a_nightly(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    """Whether it is posted is for the run that follows to decide."""
    event = {"pull_request": {"head": {"repo": {"full_name": "stranger/backend"}}}}
    github = {"event_name": "pull_request", "event": event}
    result = defer({"event-type": "nightly", "delivery-id": SHA}, github=github)
    assert (result.outputs["outcome"], len(uploads.kept)) == ("deferred", 1), result.log


def test_a_whole_run_is_named_after_itself(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    result = defer({"scope": "workflow", "conclusion": "success"})
    assert result.outputs["deferred-name"] == "oot-hud-deferred-runattempt2-240-2"
    assert contract.parse(contract.Callback, uploads.kept[result.outputs["deferred-name"]]).workflow.job_id == "240-2"


def test_a_start_is_not_left(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    result = defer({"status": "in_progress"})
    assert (result.outputs["outcome"], uploads.kept) == ("deferred", {})
    assert [(note.level, note.title) for note in result.annotations] == [("notice", "The start is not reported")]


def test_dry_run_leaves_nothing(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    assert defer({"dry-run": "true"}).outputs["outcome"] == "dry-run"
    assert not uploads.kept


@pytest.mark.parametrize("job", [{"check_run_id": None}, {"check_run_id": ""}])
def test_a_runner_that_does_not_tell_the_job_is_told_so(
    defer: Callable[..., StepResult], uploads: Uploads, job: dict[str, Any]
) -> None:
    result = defer(job=job)
    assert (result.outputs["outcome"], result.conclusion, uploads.kept) == ("failed", "success", {})
    assert [note.title for note in result.annotations] == ["Nothing says which job this is"]


@pytest.mark.parametrize(("fail_on_error", "conclusion"), [("false", "success"), ("true", "failure")])
def test_an_artifact_service_in_trouble_fails_the_job_only_where_asked(
    defer: Callable[..., StepResult], uploads: Uploads, fail_on_error: str, conclusion: str
) -> None:
    uploads.broken = True
    result = defer({"fail-on-error": fail_on_error})
    assert result.conclusion == conclusion, result.log


def test_a_wrong_mode_is_told(defer: Callable[..., StepResult], uploads: Uploads) -> None:
    result = defer({"mode": "later"})
    assert (result.outputs["outcome"], uploads.kept) == ("failed", {})
    assert "one of post, defer is needed" in result.annotations[0].message


def test_outside_github_there_is_nothing_to_leave_it_in(tmp_path: Path) -> None:
    from oot_runner import deferral
    from oot_runner.ci import detect
    from oot_runner.messages import ReportError
    from oot_runner.settings import read

    environ = {"OOT_STATUS": "completed", "OOT_MODE": "defer", "OOT_RUN_ID": "1", "OOT_WORKFLOW_NAME": "ci"}
    settings = read(environ)
    with pytest.raises(ReportError, match="which only GitHub Actions has"):
        deferral.leave(b"{}", settings, detect(environ, settings), str(tmp_path))
