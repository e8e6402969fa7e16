"""What jobs left behind, from the artifact to HUD's record: the details are theirs, everything else is GitHub's."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import requests

from hud_endpoint.contract import RELAY_BODY_BYTES, RESULTS_TABLE, Callback, parse
from hud_endpoint.events import GITHUB_EVENTS
from oot_local.github import register_dispatch
from oot_ops.cli import main
from oot_stats import deferred
from oot_stats.callbacks.archive import ArchiveError, read_callback
from oot_stats.callbacks.matching import EVENTS, REASONS, refusal, reports
from oot_stats.exit_codes import FAILED, PARTLY
from oot_stats.sources.github_answers import WorkflowJob, WorkflowRun
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, SHA, changed
from tests.oot_stats.local_runs import archive, new_id

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.oot_stats.local_runs import LocalRuns

REPO = "example-org/torch-sample"
START, END = "2026-11-20T10:00:00Z", "2026-11-20T10:30:00Z"


def callback(run: int, job: int | str, **changes: Any) -> dict[str, Any]:
    own = {"workflow.run_id": str(run), "workflow.check_run_id": str(job), "workflow.run_attempt": 1}
    return changed(COMPLETED_CALLBACK, {**own, **{name.replace("__", "."): value for name, value in changes.items()}})


def left_behind(*args: Any, **changes: Any) -> bytes:
    return archive(("callback.json", orjson.dumps(callback(*args, **changes))))


class Following:
    """The run that follows: its two jobs, on the stack."""

    def __init__(self, stack: Stack, github: LocalRuns, folder: Path) -> None:
        self.stack, self.github, self.folder = stack, github, folder
        self.jobs = [new_id(), new_id()]
        self.dispatched = register_dispatch(stack.state, REPO, 7, SHA)

    def run(self, **told: Any) -> int:
        """A run that is over: its first job failed, its second succeeded."""
        jobs = [
            {
                "id": self.jobs[0],
                "name": "test (npu)",
                "conclusion": "failure",
                "started_at": START,
                "completed_at": END,
            },
            {"id": self.jobs[1], "name": "lint", "conclusion": "success", "started_at": START, "completed_at": END},
        ]
        told = {"event": "repository_dispatch", "conclusion": "failure", "name": "oot-ci", **told}
        return self.github.add(REPO, **{"attempts": [{"jobs": jobs, "conclusion": told["conclusion"]}], **told})

    def leave(self, run: int, name: str | int, data: bytes, **told: str) -> None:
        self.github.upload(run, f"oot-hud-deferred-runattempt1-{name}", data, **told)

    def details(self, **changes: Any) -> dict[str, Any]:
        """What ties a callback to the dispatch."""
        about = {name: self.dispatched[name] for name in ("delivery_id", "callback_token", "payload")}
        return {**about, **changes}

    def follow(self, run: int, attempt: int = 1) -> tuple[int, int]:
        """Read, then post; gives both exit codes."""
        which = ["--repo", REPO, "--workflow-run-id", str(run), "--workflow-run-attempt", str(attempt)]
        left = str(self.folder / "left.jsonl")
        read = main(["deferred", "read", *which, "--out", left])
        url = f"{self.stack.state['relay_url']}/github/callback"
        return read, main(["deferred", "post", *which, "--left", left, "--callback-url", url])


@pytest.fixture
def following(stack: Stack, github: LocalRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    claims = {"event_name": "workflow_run", "run_id": str(new_id()), "check_run_id": str(new_id())}
    body = {"repo": REPO, "claims": claims}
    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json=body, timeout=60).json()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", started["request_url"])
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", started["request_token"])
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return Following(stack, github, tmp_path)


def item(dynamodb: DynamoDBClient, delivery: str, workflow: str, name: str, job: int | str) -> dict[str, Any]:
    key = f"{REPO}/{delivery}/{workflow}/{name}/{job}"
    found = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}}).get("Item", {})
    return {name: next(iter(value.values())) for name, value in found.items()}


def test_the_details_are_the_job_s_and_all_else_is_github_s(
    following: Following, dynamodb: DynamoDBClient, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (first, second) = following.run(), following.jobs
    lies = {
        "workflow__name": "trunk",
        "workflow__job_name": "another job",
        "workflow__conclusion": "success",
        "workflow__url": "https://evil.example/",
        "workflow__started_at": "2020-01-01T00:00:00Z",
        "workflow__completed_at": "2020-01-01T00:00:00Z",
    }
    following.leave(run, first, left_behind(run, first, **following.details(**lies)))
    following.leave(run, second, left_behind(run, second, **following.details()))
    following.github.upload(run, "test-reports-runattempt1-x_1", b"not ours")
    assert following.follow(run) == (0, 0)
    stored = item(dynamodb, following.dispatched["delivery_id"], "oot-ci", "test (npu)", first)
    assert {name: stored[name] for name in ("conclusion", "origin", "workflow_run_url", "run_id", "pr_number")} == {
        "conclusion": "failure",
        "origin": "deferred",
        "workflow_run_url": f"https://github.com/{REPO}/actions/runs/{run}",
        "run_id": str(run),
        "pr_number": "7",
    }
    assert (stored["started_at"][:19], stored["completed_at"][:19]) == (START[:19], END[:19])
    assert stored["total_tests"] == "8452"
    assert "execution_time" not in stored
    assert item(dynamodb, following.dispatched["delivery_id"], "oot-ci", "lint", second)["conclusion"] == "success"
    assert "2 of 2 reports were posted" in capsys.readouterr().out
    assert following.follow(run) == (0, 0), "and again, with the same outcome"


def test_a_whole_run(following: Following, dynamodb: DynamoDBClient) -> None:
    run = following.run()
    whole = f"{run}-1"
    data = left_behind(run, whole, **following.details(), workflow__conclusion="success")
    following.leave(run, whole, data)
    assert following.follow(run) == (0, 0)
    stored = item(dynamodb, following.dispatched["delivery_id"], "oot-ci", "workflow", whole)
    assert (stored["conclusion"], stored["started_at"][:19]) == ("failure", START[:19])


def test_an_artifact_in_another_job_s_name_gets_neither_reported(
    following: Following, dynamodb: DynamoDBClient, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (first, second) = following.run(), following.jobs
    honest, forged = following.details(), following.details(workflow__test_results={"passed": 9, "failed": 0})
    following.leave(run, first, left_behind(run, first, **honest))
    following.leave(run, "innocent", left_behind(run, first, **forged))
    following.leave(run, second, left_behind(run, second, **honest))
    assert following.follow(run) == (0, PARTLY)
    delivery = following.dispatched["delivery_id"]
    assert item(dynamodb, delivery, "oot-ci", "test (npu)", first) == {}
    assert item(dynamodb, delivery, "oot-ci", "lint", second)
    assert capsys.readouterr().out.count("claimed_twice") == 2


@pytest.mark.parametrize(
    "told",
    [
        {"event": "pull_request"},
        {"event": "pull_request_target"},
        {"event": "issue_comment"},
        {"event": "workflow_run"},
        {"head_repository": "stranger/torch-sample"},
        {"status": "in_progress"},
    ],
    ids=lambda told: "-".join(told.values()),
)
def test_runs_that_strangers_start_are_not_reported(
    following: Following, dynamodb: DynamoDBClient, told: dict[str, str], tmp_path: Path
) -> None:
    run, (first, _) = following.run(**told), following.jobs
    data = left_behind(run, first, **following.details())
    following.leave(run, first, data)
    assert following.follow(run) == (0, 0)
    assert item(dynamodb, following.dispatched["delivery_id"], "oot-ci", "test (npu)", first) == {}
    assert not (tmp_path / "left.jsonl").exists()


def test_without_the_callback_token_the_relay_refuses_it(
    following: Following, dynamodb: DynamoDBClient, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (first, _) = following.run(), following.jobs
    data = left_behind(run, first, **following.details(callback_token=ABSENT))
    following.leave(run, first, data)
    assert following.follow(run) == (0, FAILED)
    assert "must carry its dispatch" in capsys.readouterr().out
    assert item(dynamodb, following.dispatched["delivery_id"], "oot-ci", "test (npu)", first) == {}


def test_artifacts_of_another_attempt_stay_where_they_are(following: Following) -> None:
    run = following.run()
    following.github.upload(run, "oot-hud-deferred-runattempt2-1", b"x")
    following.github.upload(run, "oot-hud-deferred-runattempt11-1", b"x")
    assert following.follow(run) == (0, 0)


def test_without_the_permission_it_says_what_to_write(
    following: Following, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    assert following.follow(following.run()) == (0, FAILED)
    assert "id-token: write" in capsys.readouterr().err


BOMB = archive(("callback.json", b" " * (8 * 1024 * 1024)))
GOOD = archive(("callback.json", b"{}"))
ARCHIVES = {
    "nothing": b"",
    "no zip": b"x" * 100,
    "an empty zip": archive(),
    "two files": archive(("callback.json", b"{}"), ("other", b"")),
    "the same twice": archive(("callback.json", b"{}"), ("callback.json2", b"{}")).replace(b"json2", b"json\0"),
    "another name": archive(("callback.txt", b"{}")),
    "a path": archive(("../callback.json", b"{}")),
    "an absolute path": archive(("/callback.json", b"{}")),
    "not JSON": archive(("callback.json", b"{")),
    "not UTF-8": archive(("callback.json", b'{"a": "\xff"}')),
    "deep": archive(("callback.json", b"[" * 100_000)),
    "too large": BOMB,
    "a lying size": BOMB.replace((8 * 1024 * 1024).to_bytes(4, "little"), (100).to_bytes(4, "little")),
    "bzip2": archive(("callback.json", b"{}"), compression=zipfile.ZIP_BZIP2),
    "lzma": archive(("callback.json", b"{}"), compression=zipfile.ZIP_LZMA),
    "cut": GOOD[:-30],
    "a wrong checksum": GOOD.replace(zlib.crc32(b"{}").to_bytes(4, "little"), b"\0" * 4),
}


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_report_result_does_not_make(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_callback(data)


def test_an_encrypted_archive() -> None:
    flags = bytearray(GOOD)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        flags[flags.index(signature) + offset] |= 1
    with pytest.raises(ArchiveError):
        read_callback(bytes(flags))


def test_archives_that_it_makes() -> None:
    assert read_callback(GOOD) == {}
    assert read_callback(archive(("callback.json", b'{"a": 1}'), compression=zipfile.ZIP_STORED)) == {"a": 1}


def test_bad_artifacts_keep_no_good_one_back(following: Following, capsys: pytest.CaptureFixture[str]) -> None:
    run, (_, second) = following.run(), following.jobs
    for number, data in enumerate((b"no zip", BOMB, archive(("../callback.json", b"{}")))):
        following.leave(run, f"bad{number}", data)
    following.leave(run, "old", GOOD, expired="1")
    following.leave(run, "large", b"x" * (3 * 1024 * 1024))
    following.leave(run, second, left_behind(run, second, **following.details()))
    assert following.follow(run) == (PARTLY, 0)
    told = capsys.readouterr().out
    assert (told.count("(bad_archive)"), told.count("(gone)"), told.count("(too_large)")) == (3, 1, 1)
    assert "1 of 1 reports were posted" in told


def test_all_of_a_run_s_callbacks_together_are_bounded(
    following: Following, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (first, second) = following.run(), following.jobs
    for job in (first, second):
        following.leave(run, job, left_behind(run, job, **following.details()))
    monkeypatch.setattr(deferred, "_ALL_BYTES", 1500)
    assert following.follow(run) == (PARTLY, 0)
    assert "(too_large)" in capsys.readouterr().out


RUN = WorkflowRun.model_validate(
    {
        "id": 240,
        "run_attempt": 2,
        "name": "oot-ci",
        "event": "repository_dispatch",
        "status": "completed",
        "conclusion": "success",
        "head_branch": "main",
        "head_sha": "f" * 40,
        "head_repository": {"full_name": REPO},
        "repository": {"full_name": REPO},
        "html_url": "https://github.com/o/r/actions/runs/240",
    }
)
OVER = {"status": "completed", "conclusion": "success", "started_at": START, "completed_at": END}
JOBS = [
    WorkflowJob.model_validate({"id": 1, "run_attempt": 1, "name": "carried over", **OVER}),
    WorkflowJob.model_validate({"id": 2, "run_attempt": 2, "name": "test", **OVER}),
    WorkflowJob.model_validate({"id": 3, "run_attempt": 2, "name": "x", "status": "in_progress"}),
]
BAD_CALLBACKS = [
    ("invalid_json", b"{"),
    ("invalid_callback", b"[]"),
    ("invalid_callback", b"null"),
    ("invalid_callback", {"workflow__name": ABSENT}),
    ("not_completed", {"workflow__status": "in_progress", "workflow__conclusion": None}),
    ("wrong_run", {"workflow__run_id": "241"}),
    ("wrong_run", {"workflow__run_id": ABSENT}),
    ("wrong_run", {"workflow__run_attempt": 1}),
    ("wrong_run", {"workflow__run_attempt": ABSENT}),
    ("foreign_job", {"workflow__check_run_id": "1"}),
    ("foreign_job", {"workflow__check_run_id": "4711"}),
    ("foreign_job", {"workflow__check_run_id": "2 "}),
    ("foreign_job", {"workflow__check_run_id": "240-1"}),
    ("not_over", {"workflow__check_run_id": "3"}),
    ("wrong_event", {"event_type": "nightly"}),  # of a dispatched run, whose code may be a stranger's
    ("wrong_event", {"event_type": "periodic"}),
]


@pytest.mark.parametrize(("code", "bad"), BAD_CALLBACKS, ids=range(len(BAD_CALLBACKS)))
def test_a_callback_that_does_not_fit_is_left_out_alone(code: str, bad: bytes | dict[str, Any]) -> None:
    good = callback(240, 2, workflow__run_attempt=2)
    data = bad if isinstance(bad, bytes) else orjson.dumps(callback(240, 2, **{"workflow__run_attempt": 2, **bad}))
    found, rejected = reports([("8", data), ("9", orjson.dumps(good))], RUN, JOBS)
    assert [(each.artifact, each.job) for each in found] == [("9", "test")]
    assert [(each.artifact, each.code) for each in rejected] == [("8", code)]


@pytest.mark.parametrize(
    ("event", "event_types"),
    [
        ("repository_dispatch", {"pull_request", "push", "Nightly"}),
        ("schedule", {"nightly", "periodic"}),
        ("workflow_dispatch", {"nightly", "periodic"}),
        ("push", {"nightly", "periodic"}),  # where the allowlist says so, which the relay knows
        ("workflow_run", set()),
        ("pull_request", set()),
    ],
)
def test_which_results_a_run_may_leave(event: str, event_types: set[str]) -> None:
    run = RUN.model_copy(update={"event": event})
    kinds = ("pull_request", "push", "nightly", "periodic", "Nightly")
    left = [(kind, orjson.dumps(callback(240, 2, workflow__run_attempt=2, event_type=kind))) for kind in kinds]
    rejected = {each.artifact for each in reports(left, run, JOBS)[1] if each.code == "wrong_event"}
    assert rejected == set(kinds) - event_types


def test_a_conclusion_that_callbacks_do_not_have_is_a_failure() -> None:
    jobs = [WorkflowJob.model_validate({"id": 2, "run_attempt": 2, **OVER, "conclusion": "startup_failure"})]
    (report,), _ = reports([("9", orjson.dumps(callback(240, 2, workflow__run_attempt=2)))], RUN, jobs)
    assert parse(Callback, report.bodies[1]).workflow.conclusion == "failure"


def test_every_reason_has_a_callback_that_shows_it() -> None:
    assert {code for code, _ in BAD_CALLBACKS} | {"claimed_twice"} == set(REASONS)


def test_what_is_posted_is_what_the_relay_takes() -> None:
    tests = [{"name": f"t{number}", "stacktrace": "x" * 4000} for number in range(480)]
    huge = orjson.dumps(callback(240, 2, workflow__run_attempt=2, workflow__failed_tests=tests))
    assert len(huge) < RELAY_BODY_BYTES
    jobs = [JOBS[1].model_copy(update={"name": "n" * 100_000})]
    for run in (RUN, RUN.model_copy(update={"name": "w" * 100_000}), RUN.model_copy(update={"name": None})):
        (report,), _ = reports([("9", huge)], run, jobs)
        for body, status in zip(report.bodies, ("in_progress", "completed"), strict=True):
            assert len(body) <= RELAY_BODY_BYTES
            assert parse(Callback, body).workflow.status == status


def test_the_events_are_the_relay_s_own_without_those_that_follow_strangers() -> None:
    assert GITHUB_EVENTS.keys() - {"workflow_run"} == EVENTS
    assert refusal(RUN) is None
    assert refusal(RUN.model_copy(update={"head_repository": None})) is not None


@pytest.mark.parametrize(
    "content",
    [b"x\n", b"[]\n", b'{"artifact": "x", "callback": {}}\n', b'{"artifact": "1", "callback": {}}', b'{"a":1}\n' * 2],
    ids=range(5),
)
def test_a_file_that_read_did_not_write_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "left.jsonl").write_bytes(content)
    with pytest.raises(deferred.LeftError):
        list(deferred.left(tmp_path / "left.jsonl"))


def test_more_lines_than_read_writes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "left.jsonl").write_bytes(b'{"artifact": "1", "callback": {}}\n' * 1001)
    with pytest.raises(deferred.LeftError):
        list(deferred.left(tmp_path / "left.jsonl"))
