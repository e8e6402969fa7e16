"""One run with every hostile artifact there is: each has its fate, and all that is good beside it is stored."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from oot_ops.cli import main
from oot_stats import exit_codes
from oot_stats.reasons import REASONS
from tests.oot_stats.hostile_artifacts import CASES, HOSTILE, READ
from tests.oot_stats.local_runs import LocalRuns
from tests.oot_stats.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1024**2


class Result:
    """The manifest and the rows of the one run."""

    def __init__(self, code: int, folder: Path) -> None:
        self.code = code
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.size = (folder / "manifest.json").stat().st_size
        lines = gzip.decompress((folder / "test_run.jsonl.gz").read_bytes()).splitlines()
        self.rows = [json.loads(line) for line in lines]
        self.cases = Counter(row["job_id"] for row in self.rows)
        self.artifacts = {artifact["job_id"]: artifact for artifact in self.manifest["artifacts"]}


JOBS = {name: number for number, name in enumerate([*HOSTILE, *READ], 1000)}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("hostile")
    with serving() as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("GITHUB_API_URL", url)
        environment.setenv("GITHUB_TOKEN", "a-job-s-token")
        environment.delenv("GITHUB_STEP_SUMMARY", raising=False)
        github = LocalRuns(url)
        run = github.add("spec/backend")
        for name, data in [*((name, one.data) for name, one in HOSTILE.items()), *READ.items()]:
            github.upload(run, f"test-reports-runattempt1-{name}_{JOBS[name]}", data)
        github.upload(run, "test-reports-runattempt1-expired_1", b"x", expired="yes")
        which = ["--workflow-run-id", str(run), "--workflow-run-attempt", "1", "--repo", "spec/backend"]
        head = ["--head-branch", "main", "--head-repository", "spec/backend"]
        code = main(["stats", "collect", *which, *head, "--out", str(folder), "--workers", "2"])
    return Result(code, folder)


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_rejected_for_its_reason(result: Result, name: str) -> None:
    hostile, artifact = HOSTILE[name], result.artifacts[JOBS[name]]
    if hostile.good:
        assert artifact["fate"] == "parsed"
        assert artifact["reasons"] == {hostile.reason: 1}
        (file,) = (file for file in artifact["files"] if file["fate"] == "rejected")
        assert file["reason"] == hostile.reason
        detail = file["detail"]
    else:
        assert (artifact["fate"], artifact["reason"]) == ("rejected", hostile.reason)
        detail = artifact["detail"]
    assert detail.endswith(".")
    assert detail[0].isupper()
    assert detail.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_good_beside_it_is_stored(result: Result, name: str) -> None:
    assert result.cases[JOBS[name]] == CASES * HOSTILE[name].good


@pytest.mark.parametrize("name", READ)
def test_what_only_looks_odd_is_read(result: Result, name: str) -> None:
    assert result.artifacts[JOBS[name]]["fate"] == "parsed"
    assert not result.artifacts[JOBS[name]]["reasons"]
    assert result.cases[JOBS[name]] == CASES
    assert {row["invoking_file"].lower() for row in result.rows if row["job_id"] == JOBS[name]} == {"test_bad"}


def test_an_expired_artifact_is_told(result: Result) -> None:
    assert (result.artifacts[1]["fate"], result.artifacts[1]["reason"]) == ("rejected", "gone")


def test_the_exit_code_says_that_something_is_missing(result: Result) -> None:
    assert result.code == exit_codes.PARTLY


def test_the_totals_add_up(result: Result) -> None:
    totals, tables = result.manifest["totals"], result.manifest["tables"]
    whole = [one for one in HOSTILE.values() if not one.good]
    assert totals["artifacts"] == {"parsed": len(JOBS) - len(whole), "rejected": len(whole) + 1, "skipped": 0}
    assert totals["files"]["rejected"] == len(HOSTILE) - len(whole)
    assert totals["cases"] == tables["test_run"]["rows"] == len(result.rows) == sum(result.cases.values())


def test_memory_stays_flat(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    peak = result.manifest["totals"]["peak_bytes"]
    with capsys.disabled():
        print(f"\n{len(JOBS)} hostile artifacts: peak memory of a reading process {peak / MEGABYTE:.1f} MB")
    assert peak < 64 * MEGABYTE


def test_the_manifest_stays_small_and_plain(result: Result) -> None:
    assert result.size < MEGABYTE
    for artifact in result.manifest["artifacts"]:
        for file in artifact.get("files", []):
            assert len(file["path"]) <= 300
            assert file["path"].isprintable()


def test_every_reason_is_known(result: Result) -> None:
    for artifact in result.manifest["artifacts"]:
        for told in (artifact, *artifact.get("files", [])):
            assert told["reason"] in {"", *REASONS}
