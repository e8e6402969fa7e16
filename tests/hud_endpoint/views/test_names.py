"""A backend through a rename, and never the history of another repo of the same name."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import requests

from hud_endpoint.clickhouse.ddl import statements
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.errors import RefusedError
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.names import Names, read_names
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import ask
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.running import RunningJobs
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.data.test_page import read_test
from hud_endpoint.views.models.filters import Filters
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.views.test_oracle import RUNNING, plain
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.views.models.backend import BackendPage
    from oot_local.stack import Stack

NOW = datetime.now(UTC).replace(microsecond=0)
PR = 9_000_001

# Each situation: results as (name, id, hours ago); then the backends that they make, with the hours of theirs.
SITUATIONS: dict[str, tuple[list[tuple[str, str, int]], dict[str, list[int]]]] = {
    "one name": ([("a", "1", 9), ("a", "1", 5)], {"a": [9, 5]}),
    "no id at all": ([("a", "", 9), ("b", "", 5)], {"a": [9], "b": [5]}),
    "renamed": ([("old", "1", 9), ("new", "1", 5)], {"new": [9, 5]}),
    "renamed, and written without an id before": (
        [("old", "", 20), ("old", "1", 9), ("new", "1", 5)],
        {"new": [20, 9, 5]},
    ),
    "renamed twice": ([("a", "1", 9), ("b", "1", 7), ("c", "1", 5)], {"c": [9, 7, 5]}),
    "renamed and back": ([("a", "1", 9), ("b", "1", 7), ("a", "1", 5)], {"a": [9, 7, 5]}),
    "renamed, and another repo took the name": (
        [("old", "1", 9), ("new", "1", 7), ("old", "2", 5)],
        {"new": [9, 7], "old": [5]},
    ),
    "taken over, and gone": ([("a", "1", 9), ("a", "2", 5)], {"a@1": [9], "a": [5]}),
    "taken over twice": ([("a", "1", 9), ("a", "2", 7), ("a", "3", 5)], {"a@1": [9], "a@2": [7], "a": [5]}),
    "taken over, and written without an id before": (
        [("a", "", 20), ("a", "1", 9), ("a", "2", 5)],
        {"a@1": [20, 9], "a": [5]},
    ),
    "without an id between": (
        [("a", "1", 9), ("a", "", 8), ("a", "2", 7), ("a", "", 6)],
        {"a@1": [9, 8], "a": [7, 6]},
    ),
    "names swapped": ([("a", "1", 9), ("b", "2", 9), ("b", "1", 5), ("a", "2", 4)], {"b": [9, 5], "a": [9, 4]}),
    "a repo of the same number elsewhere": ([("a", "7", 9), ("b", "ghes.example.org:7", 5)], {"a": [9], "b": [5]}),
}


def results(situation: list[tuple[str, str, int]], org: str, **about: Any) -> list[history.Row]:
    """Rows of a situation, whose names are in an organisation of their own and whose ids are its own."""
    rows = []
    for number, (name, repository_id, hours) in enumerate(situation):
        row = plain(f"{org}/{name}", NOW - timedelta(hours=hours), 7_000 + number, "failure")
        own = {"repository_id": repository_id and f"{org}.{repository_id}", "pytorch_head_sha": f"{hours:040x}"}
        rows.append({**row, "upstream_repo": f"{org}/upstream", "event_type": "pull_request", **own, **about})
    return rows


def backend_name(org: str, name: str) -> str:
    repo, _, repository_id = name.partition("@")
    return f"{org}/{repo}" + (f"@{org}.{repository_id}" if repository_id else "")


def asking(client: Client) -> Any:
    return partial(ask, lambda: client)


def page_of(client: Client, name: str) -> BackendPage:
    asked = asking(client)
    return read_backend(asked, RUNNING, read_names(asked), Criteria(), name, Filters(days=30), 1, NOW)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_backend_has_its_own_results(clickhouse: Client, situation: str) -> None:
    told, backends = SITUATIONS[situation]
    org = f"names-{list(SITUATIONS).index(situation)}"
    expected = {backend_name(org, name): hours for name, hours in backends.items()}
    history.load(clickhouse, results(told, org))
    history.refresh(clickhouse)
    asked = asking(clickhouse)
    names = read_names(asked)
    summary = read_summary(asked, RUNNING, names, Filters(days=30, text=f"{org}/"), NOW)
    assert {row.repo: row.counts.failure for row in summary.backends} == {
        name: len(hours) for name, hours in expected.items()
    }
    for name, hours in expected.items():
        page = read_backend(asked, RUNNING, names, Criteria(), name, Filters(days=30), 1, NOW)
        assert (page.asked, page.repo) == (name, name)
        assert page.health.counts.failure == page.paging.total_rows == len(hours)
        assert sorted((int(row.sha, 16) for row in page.matrix.rows), reverse=True) == hours
        assert {job.repo for row in page.matrix.rows for cell in row.cells if cell for job in cell.jobs} == {name}
        assert [failure.failures for failure in page.failures] == [len(hours)]
        assert not page.failures[0].is_new or len(hours) < 2 or hours[0] - hours[-1] < 24 * 30
    for number in range(len(told)):
        shown = read_pull_request(asked, RUNNING, names, 7_000 + number, f"{org}/upstream", NOW)
        [commit] = shown.commits
        [backend] = commit.backends
        assert told[number][2] in expected[backend.repo]
        assert [job.reported_as for job in backend.jobs] == [f"{org}/{told[number][0]}"]
    test = read_test(asked, "test_shared", "", "", Filters(days=30), NOW)
    assert {one.repo: one.failures for one in test.backends if one.repo.startswith(f"{org}/")} == {
        name: len(hours) for name, hours in expected.items()
    }


def test_two_repos_that_had_one_name_are_told_apart_on_the_same_commit(clickhouse: Client) -> None:
    same = {"pr_number": PR, "pytorch_head_sha": "8" * 40}
    first, second = results([("a", "1", 5), ("a", "2", 5)], "names-commit", **same)
    second["first_seen"] += timedelta(seconds=1)
    history.load(clickhouse, [first, second])
    history.refresh(clickhouse)
    for name, row in (("names-commit/a", second), ("names-commit/a@names-commit.1", first)):
        [line] = page_of(clickhouse, name).matrix.rows
        [job] = [job for cell in line.cells if cell for job in cell.jobs]
        assert (job.repo, job.first_seen) == (name, row["first_seen"])
    asked = asking(clickhouse)
    [commit] = read_pull_request(asked, RUNNING, read_names(asked), PR, "names-commit/upstream", NOW).commits
    assert {backend.repo: len(backend.jobs) for backend in commit.backends} == {
        "names-commit/a": 1,
        "names-commit/a@names-commit.1": 1,
    }


def test_a_commit_is_counted_once_where_a_job_was_run_again_under_a_new_name(clickhouse: Client) -> None:
    """The re-run supersedes the attempt under the old name, and the pull request's page shows one backend."""
    [old, new] = results([("old", "1", 9), ("new", "1", 5)], "names-rerun", pr_number=PR, run_id="1", delivery_id="d")
    again = {"run_attempt": 2, "conclusion": "success", "failed_tests_json": "", "pytorch_head_sha": "9" * 40}
    history.load(clickhouse, [{**old, "pytorch_head_sha": "9" * 40}, {**new, **again}])
    history.refresh(clickhouse)
    page = page_of(clickhouse, "names-rerun/new")
    assert (page.health.counts.success, page.health.counts.failure) == (1, 0)
    assert page.health.pull_requests == page.paging.total_rows == 1
    assert [one.flakes for one in page.flakiest_tests] == [1]
    asked = asking(clickhouse)
    [commit] = read_pull_request(asked, RUNNING, read_names(asked), PR, "names-rerun/upstream", NOW).commits
    [backend] = commit.backends
    assert ([job.attempt for job in backend.jobs], [job.attempt for job in backend.superseded]) == ([2], [1])
    rate = asked("oot_level_report", weeks=1)
    assert [(row["judged"], row["passed"]) for row in rate if row["repo"].startswith("names-rerun/")] == [(1, 1)]


@pytest.fixture(scope="module")
def renamed(stack: Stack, clickhouse: Client) -> None:
    """`names-api/old` was renamed to `names-api/new`, and another repo took `names-api/taken` over."""
    rows = results([("old", "1", 30), ("new", "1", 5), ("taken", "2", 29), ("taken", "3", 4)], "names-api")
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    badge = f"{stack.state['hud_url']}/badge/names-api/old.svg"
    wait_for(lambda: "names-api/new" in requests.get(badge, timeout=15).text, "names that are not kept ones of before")


@pytest.mark.usefixtures("renamed")
class TestRenamed:
    def get(self, stack: Stack, path: str) -> requests.Response:
        return requests.get(f"{stack.state['hud_url']}{path}", timeout=15)

    def test_the_old_name_leads_to_the_same_page(self, stack: Stack) -> None:
        old, new = (self.get(stack, f"/oot/names-api/{name}.json").json() for name in ("old", "new"))
        assert (old["asked"], old["repo"]) == ("names-api/old", "names-api/new")
        assert {**old, "asked": "", "freshness": ""} == {**new, "asked": "", "freshness": ""}
        assert [name["name"] for name in new["names"]] == ["names-api/new", "names-api/old"]
        page = self.get(stack, "/oot/names-api/old").text
        assert "is named <bdi>names-api/new</bdi> now" in page
        assert 'href="/oot/names-api/new.json"' in page
        assert "was named</span> <bdi>names-api/old</bdi>" in self.get(stack, "/oot/names-api/new").text

    def test_the_csv_tells_under_which_name_each_job_reported(self, stack: Stack) -> None:
        text = self.get(stack, "/oot/names-api/old.csv").text
        assert {(row["repo"], row["reported_as"]) for row in csv.DictReader(io.StringIO(text))} == {
            ("names-api/new", "names-api/old"),
            ("names-api/new", "names-api/new"),
        }

    def test_an_earlier_repo_of_the_name_is_told_apart(self, stack: Stack) -> None:
        now = self.get(stack, "/oot/names-api/taken.json").json()
        assert now["health"]["counts"]["total"] == 1
        [earlier] = now["earlier"]
        assert earlier["backend"] == "names-api/taken@names-api.2"
        assert (
            "An earlier repository of this name (id <bdi>names-api.2</bdi>)"
            in self.get(stack, "/oot/names-api/taken").text
        )
        before = self.get(stack, "/oot/names-api/taken@names-api.2.json").json()
        assert [row["sha"] for row in before["matrix"]["rows"]] == [f"{29:040x}"]
        page = self.get(stack, "/oot/names-api/taken@names-api.2").text
        assert "earlier repository of this name" in page
        assert "The name is another repository&#39;s now" in page or "The name is another repository's now" in page
        assert "github.com/names-api/taken@" not in page

    def test_badges_and_feeds_go_by_the_old_name_too(self, stack: Stack) -> None:
        badge = self.get(stack, "/badge/names-api/old.svg").text
        assert "names-api/new 0% passed: 0 of 2 jobs" in badge
        assert badge == self.get(stack, "/badge/names-api/new.svg").text
        feeds = [ET.fromstring(self.get(stack, f"/oot/names-api/{name}.atom").content) for name in ("old", "new")]  # noqa: S314 - our own
        atom = "{http://www.w3.org/2005/Atom}"
        first, second = ([entry.findtext(f"{atom}id") for entry in feed.findall(f"{atom}entry")] for feed in feeds)
        assert first == second
        assert len(first) == 1  # a rename makes no test fail anew
        assert feeds[0].findtext(f"{atom}id") != feeds[1].findtext(f"{atom}id")  # each feed's id is its address's

    def test_the_summary_lists_it_once(self, stack: Stack) -> None:
        backends = self.get(stack, "/oot.json?text=names-api/").json()["backends"]
        assert sorted(row["repo"] for row in backends) == [
            "names-api/new", "names-api/taken", "names-api/taken@names-api.2",
        ]  # fmt: skip

    def test_a_saved_query_of_one_backend_takes_what_pages_call_it(self, clickhouse: Client) -> None:
        asked = asking(clickhouse)
        for repo, failures in (("new", 2), ("old", 0), ("taken", 1), ("taken@names-api.2", 1)):
            rows = asked("oot_backend_failures", repo=f"names-api/{repo}", days=7, events=[], limit=10)
            assert sum(row["failures"] for row in rows) == failures
        [counted] = asked("oot_pull_requests", days=7, events=[], repos=["names-api/new"])
        assert counted["pull_requests"] == 2


class TestRunning:
    """What runs is in DynamoDB, by the name that each job reports under."""

    @pytest.fixture
    def org(self) -> str:
        return f"runs-{uuid.uuid4().hex[:8]}"

    def start(self, client: DynamoDBClient, name: str, repository_id: str = "") -> None:
        item = {
            "dynamoKey": {"S": f"{name}/{repository_id}/{uuid.uuid4()}"},
            "status": {"S": "in_progress"},
            "downstream_repo": {"S": name},
            "running_repo": {"S": name},
            "first_seen": {"S": NOW.isoformat()},
            "pr_number": {"N": str(PR)},
            "upstream_repo": {"S": name.partition("/")[0]},
            "running_pr": {"S": f"{name.partition('/')[0]}#{PR}"},
        }
        client.put_item(
            TableName=RESULTS_TABLE,
            Item=item | ({"repository_id": {"S": repository_id}} if repository_id else {}),
        )

    def read(self, clickhouse: Client, dynamodb: DynamoDBClient, name: str) -> BackendPage:
        asked = asking(clickhouse)
        jobs = RunningJobs(dynamodb, RESULTS_TABLE)
        return read_backend(asked, jobs, read_names(asked), Criteria(), name, Filters(), 1, NOW)

    def test_a_backend_has_those_of_each_of_its_names(
        self, clickhouse: Client, dynamodb: DynamoDBClient, org: str
    ) -> None:
        history.load(clickhouse, results([("old", "1", 9), ("new", "1", 7), ("old", "2", 5)], org))
        history.refresh(clickhouse)
        for name, repository_id in (("old", "1"), ("old", "2"), ("old", "2"), ("new", "1"), ("old", "")):
            self.start(dynamodb, f"{org}/{name}", repository_id and f"{org}.{repository_id}")
        shown = {name: self.read(clickhouse, dynamodb, f"{org}/{name}") for name in ("old", "new")}
        assert {name: len(page.running or ()) for name, page in shown.items()} == {"old": 3, "new": 2}
        names = read_names(asking(clickhouse))
        counts = RunningJobs(dynamodb, RESULTS_TABLE).counts([f"{org}/old", f"{org}/new"], names)
        assert counts == {f"{org}/old": 3, f"{org}/new": 2}

    def test_the_first_job_after_a_rename_leads_to_the_backend(
        self, clickhouse: Client, dynamodb: DynamoDBClient, org: str
    ) -> None:
        history.load(clickhouse, results([("old", "1", 9)], org))
        history.refresh(clickhouse)
        self.start(dynamodb, f"{org}/new", f"{org}.1")
        page = self.read(clickhouse, dynamodb, f"{org}/new")
        assert (page.asked, page.repo, len(page.running or ())) == (f"{org}/new", f"{org}/old", 1)
        assert page.health.counts.total == 1

    def test_the_first_job_of_another_repo_is_not_the_earlier_ones(
        self, clickhouse: Client, dynamodb: DynamoDBClient, org: str
    ) -> None:
        rows = results([("name", "1", 9)], org, pr_number=PR, upstream_repo=org)
        history.load(clickhouse, rows)
        history.refresh(clickhouse)
        self.start(dynamodb, f"{org}/name", f"{org}.2")
        assert self.read(clickhouse, dynamodb, f"{org}/name").running == ()
        asked, jobs = asking(clickhouse), RunningJobs(dynamodb, RESULTS_TABLE)
        page = read_pull_request(asked, jobs, read_names(asked), PR, org, NOW)
        backends = {one.repo: one.is_new for commit in page.commits for one in commit.backends}
        assert backends == {f"{org}/name": False, f"{org}/name@{org}.2": True}


def test_names_of_a_moment_ago_do_not_hide_a_renamed_backend(clickhouse: Client) -> None:
    """Names are kept for some seconds; where that makes a page that is not there, they are read again."""
    asked = asking(clickhouse)
    history.load(clickhouse, results([("old", "1", 9)], "names-stale"))
    history.refresh(clickhouse)
    before = read_names(asked)
    history.load(clickhouse, results([("new", "1", 5)], "names-stale"))
    history.refresh(clickhouse)
    page = read_backend(asked, RUNNING, before, Criteria(), "names-stale/old", Filters(), 1, NOW)
    assert (page.repo, page.health.counts.total) == ("names-stale/new", 2)
    with pytest.raises(RefusedError, match="No backend named names-stale/none"):
        read_backend(asked, RUNNING, before, Criteria(), "names-stale/none", Filters(), 1, NOW)


def test_history_from_before_the_names_were_kept_is_there(clickhouse: Client) -> None:
    """The upgrade: rows that no view has seen yet, and hours that were counted without an id."""
    rows = results([("old", "", 40), ("old", "1", 30)], "names-upgrade")
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    clickhouse.command("DELETE FROM default.oot_repo_names WHERE startsWith(repo, 'names-upgrade/')")
    clickhouse.command("DELETE FROM oot.backend_names WHERE startsWith(repo, 'names-upgrade/')")
    clickhouse.command(
        "INSERT INTO oot.backend_hours SELECT * REPLACE ('' AS repository_id) FROM oot.backend_hours FINAL "
        "WHERE repo = 'names-upgrade/old'"
    )
    clickhouse.command("DELETE FROM oot.backend_hours WHERE repo = 'names-upgrade/old' AND repository_id != ''")
    [backfill] = [sql for sql in statements() if "INSERT INTO default.oot_repo_names" in sql]
    clickhouse.command(backfill)
    clickhouse.command(backfill)  # cut off, and run again
    history.refresh(clickhouse)
    history.load(clickhouse, results([("new", "1", 5)], "names-upgrade"))
    history.refresh(clickhouse)
    assert page_of(clickhouse, "names-upgrade/new").health.counts.failure == 3


def test_names_without_any_row() -> None:
    names = Names()
    assert (names.find("o/r"), names.backend_of("o/r", "7", NOW), names.names_of("o/r")) == ("o/r", "o/r", {"o/r"})
    assert (names.history("o/r"), names.earlier("o/r"), names.is_new("o/r")) == ((), (), False)
