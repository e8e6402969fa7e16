"""What a job uploads is found again: by report-result's reader on HUD, and by the collector of test stats."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
import yaml

from oot_local.actions.job import Job
from oot_local.github import register_dispatch
from tests.actions.stand_in_artifacts import USES, Artifacts, members
from tests.integration.waiting import wait_for
from tests.oot_stats.local_runs import LocalRuns, new_id

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack

ROOT = Path(__file__).parents[2]
ACTIONS = ROOT / "actions"
KEYS = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # that Python has boto3
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SHA = "0123456789abcdef0123456789abcdef01234567"
REPORT = '<testsuite name="s"><testcase classname="C" name="a"/><testcase classname="C" name="b"/></testsuite>'


@pytest.mark.parametrize("destination", ["github", "s3"])
def test_a_result_on_hud_leads_to_its_logs(
    stack: Stack, aws: dict[str, Any], clickhouse: Client, tmp_path: Path, destination: str
) -> None:
    repo = str(stack.state["sample_repo"])
    with closing(boto3.client("s3", **aws)) as client:
        client.create_bucket(Bucket="round-trip")
    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json={"repo": repo}, timeout=60).json()
    told = started["claims"]
    (tmp_path / "workspace").mkdir()
    github = {
        "repository": repo,
        "run_id": told["run_id"],
        "run_attempt": told["run_attempt"],
        "event_name": "repository_dispatch",
        "event": {"client_payload": register_dispatch(stack.state, repo, 179565, SHA)},
    }
    with Job(
        tmp_path / "workspace",
        tmp_path / "temp",
        github=github,
        job={"check_run_id": told["check_run_id"]},
        runner_env={
            "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
        },
        env=KEYS,
        uses_handlers={USES: Artifacts(url=f"https://github.com/{repo}/actions/runs/{told['run_id']}/artifacts")},
    ) as job:
        (job.workspace / "junit.xml").write_text(REPORT)
        s3 = {"s3-bucket": "round-trip", "s3-endpoint-url": stack.state["aws_endpoint_url"]}
        upload = {"path": "*.xml", "destination": destination, **(s3 if destination == "s3" else {})}
        uploaded = job.run_action(ACTIONS / "upload-artifacts", upload)
        report = {
            "status": "completed",
            "test-reports": "*.xml",
            "callback-url": f"{stack.state['relay_url']}/github/callback",
        }
        reported = job.run_action(ACTIONS / "report-result", report)
    assert reported.outputs["outcome"] == "delivered", reported.log
    query = "SELECT artifact_url FROM default.oot_workflow_job FINAL WHERE dynamoKey = {key: String}"
    parameters = {"key": reported.outputs["dynamo-key"]}
    rows = wait_for(lambda: clickhouse.query(query, parameters=parameters).result_rows, "the row in ClickHouse")
    assert rows == [(uploaded.outputs["artifact-url"],)]
    assert uploaded.outputs["destination"] == destination
    assert f"[Logs and reports]({uploaded.outputs['artifact-url']})" in reported.summary


def reports(cases: int, where: str) -> dict[str, str]:
    """A job's reports: names that some systems cannot store, and `cases` test cases in each."""
    rows = "".join(f'<testcase classname="{where}" name="t{n}" file="t.py" time="0.5"/>' for n in range(cases))
    names = ("reports/ä b/x.xml", "reports/TEST-a::b?.xml", "reports/nul.xml", "reports/X.xml", "reports/x.xml")
    return {"reports/notes.txt": "not a report", **dict.fromkeys(names, f"<testsuite>{rows}</testsuite>")}


def without(archive: bytes, lost: str) -> bytes:
    """An archive that lost a file on its way."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as hurt:
        for name, data in members(archive).items():
            if name != lost:
                hurt.writestr(name, data)
    return stream.getvalue()


def collected(stack: Stack, repo: str, told: str, out: Path) -> list[dict[str, Any]]:
    """Run the collector as the workflow does; gives its summary rows."""
    places = ["--head-branch", "main", "--head-repository", repo, "--out", str(out)]
    ran = subprocess.run(
        [sys.executable, "-m", "oot_ops", "stats", "collect", *told.split(), *places],
        cwd=ROOT,
        env={
            **KEYS,
            "PYTHONPATH": os.environ["PYTHONPATH"],
            "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
            "GITHUB_API_URL": stack.state["github_url"],
            "GITHUB_TOKEN": "a-job-s-token",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = gzip.decompress((out / "test_run_summary.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def test_the_collector_finds_what_was_uploaded_attempt_by_attempt(
    stack: Stack, aws: dict[str, Any], tmp_path: Path
) -> None:
    repo, bucket, github = "example/backend", "round-trip-stats", LocalRuns(stack.state["github_url"])
    with closing(boto3.client("s3", **aws)) as client:
        client.create_bucket(Bucket=bucket)
    run = new_id()
    legs = {
        "npu/0": ("github", 1, 2),
        "xpu": ("s3", 3, 4),
        "cpu": ("github", 5, 0),
    }  # cases; the cpu leg never ran again
    ids = {(leg, attempt): new_id() for leg in legs for attempt in (1, 2)}
    ids["cpu", 2] = ids["cpu", 1]
    attempts = [
        {
            "jobs": [
                {"id": ids[leg, n], "name": f"test ({leg})", "run_attempt": 1 if leg == "cpu" else n} for leg in legs
            ]
        }
        for n in (1, 2)
    ]
    github.add(repo, id=run, attempts=attempts)
    artifacts, count = Artifacts(), 0
    for attempt in (1, 2):
        for leg, (destination, *cases) in legs.items():
            if not cases[attempt - 1]:
                continue
            count += 1
            (tmp_path / f"workspace {count}").mkdir()
            with Job(
                tmp_path / f"workspace {count}",
                tmp_path / "temp",
                github={"repository": repo, "run_id": str(run), "run_attempt": str(attempt)},
                job={"check_run_id": ids[leg, attempt]},
                matrix={"device": leg},
                env=KEYS,
                uses_handlers={USES: artifacts},
            ) as job:
                for name, text in reports(cases[attempt - 1], leg).items():
                    path = job.workspace / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
                s3 = {"s3-bucket": bucket, "s3-endpoint-url": stack.state["aws_endpoint_url"]}
                kinds = ["test-reports", "test-jsons"] if (leg, attempt) == ("cpu", 1) else ["test-reports"]
                for kind in kinds:
                    given = {"path": "reports", "kind": kind, **(s3 if destination == "s3" else {})}
                    uploaded = job.run_action(ACTIONS / "upload-artifacts", given)
                    assert uploaded.outputs["destination"] == destination, uploaded.log
    for name, data in artifacts.zips.items():
        is_hurt = name.endswith(f"_{ids['npu/0', 2]}")
        github.upload(run, name, without(data, "reports/notes.txt") if is_hurt else data)

    for attempt in (1, 2):
        out = tmp_path / f"collected {attempt}"
        told = f"--repo {repo} --workflow-run-id {run} --workflow-run-attempt {attempt} --s3 s3://{bucket}"
        rows = collected(stack, repo, told, out)
        found: dict[int, int] = {}
        for row in rows:
            found[row["job_id"]] = found.get(row["job_id"], 0) + row["tests"]
        # Each of a job's five reports is there once, under the id of the very execution that wrote it.
        assert found == {ids[leg, attempt]: 5 * (cases[attempt - 1] or cases[0]) for leg, (_, *cases) in legs.items()}
        manifest = json.loads((out / "manifest.json").read_text())
        parsed = [each for each in manifest["artifacts"] if each["fate"] == "parsed"]
        assert sorted(each["source"] for each in parsed) == ["github", "github", "s3"]
        lost = {each["job_id"]: [told.partition(" ")[0] for told in each["lost"]] for each in parsed if each["lost"]}
        assert lost == ({ids["npu/0", 2]: ["reports/notes.txt"]} if attempt == 2 else {})
        others = [each["name"] for each in manifest["artifacts"] if each["reason"] == "not_reports"]
        assert {name.partition("-runattempt")[0] for name in others} == {"test-jsons", "manifest-test-jsons"}
        carried = [each["artifact"] for each in manifest["fallbacks"]]
        assert carried == ([f"test-reports-runattempt1-test (cpu)_{ids['cpu', 1]}"] if attempt == 2 else [])


def test_this_repository_s_own_ci_leaves_what_is_collected(stack: Stack, tmp_path: Path) -> None:
    """pytest as .ci/run calls it, the upload as ci.yml asks for it, and what upload-test-stats.yml makes of both."""
    called = next(line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make test"))
    options = dict(word.split("=", 1) for word in shlex.split(called, comments=True) if "=" in word)["ARGS"]
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["test"]["steps"]
    (step,) = (step for step in steps if step.get("uses") == "$/actions/upload-artifacts")
    github, artifacts = LocalRuns(stack.state["github_url"]), Artifacts()
    repo, number = "pytorch/oot-hud", new_id()
    run = github.add(repo, attempts=[{"jobs": [{"id": number, "name": "Checks, tests and the demo"}]}])
    workspace = tmp_path / "workspace"
    (workspace / "tests").mkdir(parents=True)
    (workspace / "tests" / "test_it.py").write_text("def test_good(): ...\n\ndef test_bad(): assert 0\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *shlex.split(options)],
        cwd=workspace,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    with Job(
        workspace,
        tmp_path / "temp",
        github={"repository": repo, "run_id": str(run), "run_attempt": "1"},
        job={"check_run_id": number},
        env=KEYS,
        uses_handlers={USES: artifacts},
    ) as job:
        uploaded = job.run_action(ACTIONS / "upload-artifacts", step["with"])
        assert uploaded.outputs["files"] == "1", uploaded.log
    for name, data in artifacts.zips.items():
        github.upload(run, name, data)
    told = f"--repo {repo} --workflow-run-id {run} --workflow-run-attempt 1"
    (row,) = collected(stack, repo, told, tmp_path / "out")
    assert (row["file"], row["classname"], row["job_id"]) == ("tests/test_it.py", "tests.test_it", number)
    assert (row["tests"], row["successes"], row["failures"]) == (2, 1, 1)
