"""Two results for one job name: the accepted one counts, and nobody takes it for the only one."""

from __future__ import annotations

import csv
import io
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import pytest
import requests

from hud_endpoint.views import states
from hud_endpoint.views.attention import needing_attention
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.jobs import worst_first
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import ask
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.rows import refused_results
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.models.filters import Filters
from hud_endpoint.wire_types import Conclusion
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed
from tests.hud_endpoint.views import sample_pages
from tests.hud_endpoint.views.test_oracle import NO_NAMES, RUNNING, NothingRuns, plain
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.models.jobs import Job
    from oot_local.stack import Stack

NOW = datetime.now(UTC).replace(microsecond=0)
REPO = "disputed/backend"
DISPUTED_RUN = replace(sample_pages.RUNNING, repo=REPO, refused=("failure",))


class OneRuns(NothingRuns):
    """A job that still runs here, of which a second result was refused already."""

    def under_name(self, _repo: str, _names: Names) -> list[tuple[Job, str]]:
        return [(DISPUTED_RUN, "d")]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", ()),
        ("[]", ()),
        ('["failure 0123456789ab"]', ("failure",)),
        ('["failure 0123456789ab", "failure ffffffffffff", "success 000000000000"]', ("failure", "failure", "success")),
        ("failure 0123456789ab", ("failure",)),  # whatever another writer makes of it, it is not lost
        ("{}", ("{}",)),
        ("7", ("7",)),
        ('[null, ["x"], "<script> y"]', ("None", "['x']", "<script>")),
    ],
)
def test_what_the_column_says(text: str, refused: tuple[str, ...]) -> None:
    assert refused_results(text) == refused


@pytest.mark.parametrize("conclusion", get_args(Conclusion))
@pytest.mark.parametrize("refused", get_args(Conclusion))
def test_a_disputed_job_never_looks_plainly_passed(conclusion: str, refused: str) -> None:
    job = replace(sample_pages.PASSED, state=conclusion, refused=(refused,))
    alone = replace(job, refused=())
    look = states.job_state(job)
    assert look.word == states.state(conclusion).word  # the accepted one is told all the same
    assert look.tone in ("fair", "poor")
    assert look.tone == "poor" or look.icon == "warn"
    assert states.job_state(alone) == states.state(conclusion)
    assert worst_first(job) <= worst_first(alone)
    assert worst_first(job) < worst_first(replace(sample_pages.PASSED, state="success"))


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (("failure",), "failed"),
        (("failure", "failure", "success"), "failed (2), passed"),
        (("<b>" * 99,), ("<b>" * 99)[:20]),
    ],
)
def test_refused_results_in_words(refused: tuple[str, ...], words: str) -> None:
    assert states.other_results(replace(sample_pages.PASSED, refused=refused)) == words


@pytest.fixture(scope="module")
def disputed(clickhouse: Client) -> Any:
    """Three jobs: one of them has three results, another is an attempt that was run again."""
    rows = [plain(REPO, NOW - timedelta(hours=hours), 8_100 + hours, "success") for hours in (2, 3, 4)]
    rows[0]["conflicts"] = json.dumps(["failure 0123456789ab", "success 0123456789ab"])
    rows[1]["conflicts"] = json.dumps(["failure 0123456789ab"])
    again = {"run_attempt": 2, "dynamoKey": rows[1]["dynamoKey"] + "/2", "conflicts": ""}
    history.load(clickhouse, [{"conflicts": "", **row} for row in (*rows, {**rows[1], **again})])
    history.refresh(clickhouse)
    return partial(ask, lambda: clickhouse)


def test_on_the_backends_page(disputed: Any) -> None:
    page = read_backend(disputed, RUNNING, NO_NAMES, Criteria(), REPO, Filters(), 1, NOW)
    [job] = page.disputed
    assert (job.accepted, job.refused) == ("success", ("failure", "success"))
    assert page.disputed_total == page.health.disputed == 1  # an attempt that was run again counts for nothing
    assert page.health.counts.success == 3  # the accepted result counts
    [cell] = [cell for row in page.matrix.rows for cell in row.cells if cell and cell.disputed]
    assert cell.state == "success"


def test_while_it_still_runs(disputed: Any) -> None:
    runs: Any = OneRuns()
    page = read_backend(disputed, runs, NO_NAMES, Criteria(), REPO, Filters(), 1, NOW)
    assert [(job.state, job.accepted) for job in page.disputed] == [("running", None), ("success", "success")]
    assert page.disputed_total == 2
    old = read_backend(disputed, runs, NO_NAMES, Criteria(), REPO, Filters(), 9, NOW)  # another page of the matrix
    assert ([job.state for job in old.disputed], old.disputed_total) == (["running"], 2)


def test_a_job_that_was_timed_out_before_its_accepted_result_came() -> None:
    swept = replace(sample_pages.TIMED_OUT, refused=("failure",))
    assert swept.accepted is None


def test_what_needs_attention(disputed: Any) -> None:
    summary = read_summary(disputed, RUNNING, NO_NAMES, Filters(text=REPO), NOW)
    assert [(one.kind, one.backend.repo) for one in needing_attention(summary.backends)] == [("disputed", REPO)]
    calm = [replace(row, disputed=0) for row in summary.backends]
    assert needing_attention(calm) == []


def test_on_the_pull_requests_page(disputed: Any) -> None:
    page = read_pull_request(disputed, RUNNING, NO_NAMES, 8_102, "disputed/upstream", NOW)
    [commit] = page.commits
    assert (commit.disputed, commit.headline) == (1, "1/1 passed, 1 with more than one result")
    assert [backend.disputed for backend in commit.backends] == [1]
    calm = read_pull_request(disputed, RUNNING, NO_NAMES, 8_104, "disputed/upstream", NOW)
    assert [(commit.disputed, commit.headline) for commit in calm.commits] == [(0, "1/1 passed")]
    [again] = read_pull_request(disputed, RUNNING, NO_NAMES, 8_103, "disputed/upstream", NOW).commits
    assert [job.refused for backend in again.backends for job in backend.superseded] == [("failure",)]


def test_from_the_relays_note_to_the_pages(stack: Stack) -> None:
    """HUD takes the note while the job still runs here, and the pages have it before and after the accepted result."""
    url, number = stack.state["hud_url"], 2_000_000 + uuid.uuid4().int % 10**6
    repo = f"disputed/{uuid.uuid4().hex}"
    headers = {"x-hud-internal-bot": stack.state["internal_api_token"]}
    trusted = {"verified_repo": repo, "downstream_repo_level": "L2"}

    def report(callback: dict[str, Any]) -> str:
        callback = changed(callback, {"payload.pull_request.number": number})
        body = {"trusted": trusted, "untrusted": {"callback_payload": callback}}
        answer = requests.post(f"{url}/api/oot/results", json=body, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["dynamoKey"])

    def jobs() -> list[tuple[str, list[str]]]:
        page = requests.get(f"{url}/pr/{number}.json", timeout=10).json()
        return [
            (job["state"], job["refused"])
            for commit in page["commits"]
            for backend in commit["backends"]
            for job in backend["jobs"]
        ]

    key = report(IN_PROGRESS)
    conflict = {"dynamoKey": key, "conclusion": "failure", "digest": "0123456789abcdef" * 4}
    note = {"trusted": {"verified_repo": repo}, "conflict": conflict}
    answer = requests.post(f"{url}/api/oot/results", json=note, headers=headers, timeout=10)
    assert answer.json()["outcome"] == "noted", answer.text
    assert jobs() == [("running", ["failure"])]
    [running] = requests.get(f"{url}/oot/{repo}.json", timeout=10).json()["disputed"]
    assert running["refused"] == ["failure"]
    report(changed(COMPLETED_CALLBACK, {"workflow.conclusion": "success"}))
    wait_for(lambda: jobs() == [("success", ["failure"])], "the accepted result on the page")
    rows = list(csv.DictReader(io.StringIO(requests.get(f"{url}/pr/{number}.csv", timeout=10).text)))
    assert [(row["state"], row["results"], row["refused"]) for row in rows] == [("success", "2", "failure")]
