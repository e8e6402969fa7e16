"""Every number on the pages against plain Python, on made-up histories that arrive in pieces."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hud_endpoint.views.data import backend_page
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.backends import BUCKET_HOURS
from hud_endpoint.views.data.names import Names, read_names
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import ask
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.data.test_page import read_test
from hud_endpoint.views.models.filters import EVENTS, WINDOWS, Filters
from tests.hud_endpoint.clickhouse import history

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from hud_endpoint.views.data.rows import Ask
    from hud_endpoint.views.models.jobs import Job
    from tests.hud_endpoint.clickhouse.history import Row

SEEDS = ("a", "b", "renamed")
BASELINE_COMMITS, BASELINE_SHARE = 5, 0.8  # the rule of breakers
FILTERS = [*(Filters(days=days) for days in WINDOWS), *(Filters(days=30, event=event) for event in EVENTS)]
filters_named = pytest.mark.parametrize("filters", FILTERS, ids=lambda one: f"{one.days}-{one.event or 'all'}")


class NothingRuns:
    """DynamoDB without a running job."""

    def under_name(self, _repo: str, _names: Names) -> list[tuple[Job, str]]:
        return []

    def of_pull_request(self, _upstream_repo: str, _number: int, _names: Names) -> list[tuple[Job, str]]:
        return []

    def counts(self, _backends: Any, _names: Names) -> dict[str, int]:
        return {}


RUNNING: Any = NothingRuns()
NO_NAMES = Names()  # where nothing was renamed, each name is its own


class History(NamedTuple):
    """A history in ClickHouse."""

    seed: str
    ask: Ask
    names: Names
    repos: list[str]
    rows: list[Row]
    now: datetime


@pytest.fixture(scope="module", params=SEEDS)
def told(request: pytest.FixtureRequest, clickhouse: Client) -> History:
    """A history whose re-runs come after the rollup has counted their first attempts."""
    now = datetime.now(UTC)
    seed = f"oracle-{request.param}"
    repos = [f"{seed}/backend-{number}" for number in range(4)]
    rows = reported = history.made_up(repos, now, seed, runs=80)
    if request.param == "renamed":
        ended = [row for row in rows if row["status"] == "completed"]
        reported, rows = history.under_former_names(ended, repos, now)
        repos = sorted({row["downstream_repo"] for row in rows})
    history.load(clickhouse, [row for row in reported if row["run_attempt"] == 1 and not row["is_deleted"]])
    history.refresh(clickhouse)
    history.load(clickhouse, [row for row in reported if row["run_attempt"] > 1 or row["is_deleted"]])
    history.refresh(clickhouse)
    asked = partial(ask, lambda: clickhouse)
    return History(request.param, asked, read_names(asked), repos, rows, now)


def events(filters: Filters) -> list[str]:
    return [filters.event] if filters.event else []


def counts(told: Any) -> dict[str, int]:
    return {name: getattr(told, name) for name in ("success", "failure", "timed_out", "cancelled", "other")}


@filters_named
def test_the_summary(told: History, filters: Filters) -> None:
    page = read_summary(told.ask, RUNNING, told.names, filters, told.now)
    shown = {row.repo: row for row in page.backends if row.repo in told.repos}
    expected = history.by_repo(history.counted(told.rows, told.now, filters.days, events(filters)))
    remembered = history.by_repo(history.counted(told.rows, told.now, max(7, filters.days), events(filters)))
    assert set(shown) == set(remembered)
    rates = [(row.counts.pass_rate is None, row.counts.pass_rate or 0, row.repo) for row in page.backends]
    assert rates == sorted(rates)  # worst first
    for repo, row in shown.items():
        jobs = expected.get(repo, [])
        ended = history.ended(jobs)
        assert counts(row.counts) == ended
        assert row.counts.judged == ended["success"] + ended["failure"] + ended["timed_out"]
        assert row.counts.total == len(jobs)
        assert row.counts.pass_rate == (ended["success"] / row.counts.judged if row.counts.judged else None)
        assert row.tests == sum(job["total_tests"] for job in jobs)
        assert row.tests_failed == sum(job["failed_tests"] for job in jobs)
        assert row.tests_flaky == sum(job["flaky_tests"] for job in jobs)
        assert row.disputed == sum(bool(job["conflicts"]) for job in jobs)
        assert row.pull_requests == len({(job["upstream_repo"], job["pr_number"]) for job in jobs if job["pr_number"]})
        newest = max(remembered[repo], key=lambda job: job["first_seen"])
        assert row.last_run == newest["first_seen"]
        assert row.stale == (told.now - newest["first_seen"] > timedelta(hours=36))
        check_spread(row.duration, history.durations(jobs))
        check_spread(row.queue, [job["queue_time"] for job in jobs if job["queue_time"] is not None])
        check_trend(row.trend, jobs, filters, told.now)


def check_spread(spread: Any, samples: list[float]) -> None:
    assert spread.samples == len(samples)
    if not samples:
        assert (spread.average, spread.p50, spread.p95) == (None, None, None)
        return
    assert spread.average == pytest.approx(sum(samples) / len(samples))
    ordered = sorted(samples)
    for value, share in ((spread.p50, 0.5), (spread.p95, 0.95)):
        # A quantile lies between the samples next to its place; seconds are whole, and from 1,024 s in steps of 16.
        place = share * len(ordered)
        low, high = ordered[max(0, int(place) - 1)], ordered[min(len(ordered) - 1, int(place) + 1)]
        assert low - 16 <= value <= high + 16


def check_trend(trend: Any, jobs: list[Row], filters: Filters, now: datetime) -> None:
    bucket = timedelta(hours=BUCKET_HOURS[filters.days])
    starts = [point.start for point in trend]
    assert not starts or starts[0] <= history.window(now, filters.days)
    assert not starts or starts[-1] <= now < starts[-1] + bucket
    assert all(later - earlier == bucket for earlier, later in pairwise(starts))
    for point in trend:
        within = [job for job in jobs if point.start <= job["first_seen"] < point.start + bucket]
        assert counts(point.counts) == history.ended(within)


@filters_named
def test_breakers(told: History, filters: Filters) -> None:
    """The rule once more, in other words: commit by commit, over sets."""
    page = read_summary(told.ask, RUNNING, told.names, filters, told.now)
    found = {
        (one.upstream_repo, one.pr_number, one.sha): one
        for one in page.breakers
        if {broken.repo for broken in one.broken} <= set(told.repos)
    }
    baseline = history.by_repo(
        [
            row
            for row in history.counted(told.rows, told.now, max(7, filters.days))
            if row["conclusion"] in ("success", "failure", "timed_out")
        ]
    )
    jobs = history.counted(told.rows, told.now, filters.days, events(filters))
    commits = defaultdict(list)
    for job in jobs:
        commits[history.commit_of(job)].append(job)
    newest: dict[tuple[str, int], datetime] = {}
    for (upstream, number, _), of_commit in commits.items():
        first = min(job["first_seen"] for job in of_commit)
        newest[upstream, number] = max(first, newest.get((upstream, number), first))
    expected = {}
    for commit, of_commit in commits.items():
        broken = set()
        for repo in {job["downstream_repo"] for job in of_commit if history.is_broken(job)}:
            others = {history.commit_of(job) for job in baseline[repo]} - {commit}
            bad = {history.commit_of(job) for job in baseline[repo] if history.is_broken(job)} - {commit}
            if len(others) >= BASELINE_COMMITS and 1 - len(bad) / len(others) >= BASELINE_SHARE - 1e-9:
                broken.add(repo)
        first = min(job["first_seen"] for job in of_commit)
        if len(broken) >= 2 and (not commit[1] or first == newest[commit[:2]]):
            expected[commit] = broken
    assert {commit: {broken.repo for broken in one.broken} for commit, one in found.items()} == expected


def test_some_history_has_breakers(clickhouse: Client) -> None:
    """Two healthy backends, one that fails on everything, and a PR whose second commit breaks them all."""
    now = datetime.now(UTC).replace(microsecond=0)
    rows = []
    for number in range(8):
        for name in ("well", "too", "sick"):
            bad = number == 7 or name == "sick"
            rows.append(
                plain(f"breaker/{name}", now - timedelta(hours=20 - number), number, "failure" if bad else "success")
            )
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    page = read_summary(partial(ask, lambda: clickhouse), RUNNING, NO_NAMES, Filters(days=1), now)
    [breaker] = [one for one in page.breakers if one.upstream_repo == "breaker/upstream"]
    assert (breaker.pr_number, breaker.sha) == (7, "7" * 40)
    assert [(one.repo, one.baseline, one.baseline_commits) for one in breaker.broken] == [
        ("breaker/too", 1.0, 7),
        ("breaker/well", 1.0, 7),
    ]
    assert breaker.judged_backends == 3
    assert breaker.tests == ("test_shared",)
    repaired = [plain(f"breaker/{name}", now - timedelta(minutes=5), 7, "success") for name in ("well", "too")]
    for row in repaired:
        row |= {"pytorch_head_sha": "a" * 40, "dynamoKey": row["dynamoKey"] + "/again"}
    history.load(clickhouse, repaired)
    history.refresh(clickhouse)
    page = read_summary(partial(ask, lambda: clickhouse), RUNNING, NO_NAMES, Filters(days=1), now)
    assert "breaker/upstream" not in {one.upstream_repo for one in page.breakers}  # the PR's newest commit is well


BREAKERS: list[tuple[list[tuple[Any, ...]], list[str]]] = [
    # Commits as (sha, broken backends, minute, PR); then those that are breakers, in order.
    ([("x", "a b")], ["x"]),
    ([("x", "a")], []),
    ([("x", "a sick")], []),
    ([("x", "a unheard")], []),
    ([("x", "a b"), ("y", "", 5)], []),  # the PR's newer commit is well
    ([("x", ""), ("y", "a b", 5)], ["y"]),
    ([("x", "a b", 0, 0), ("y", "", 5, 0)], ["x"]),  # commits that are no PR's
    ([("x", "a b", 5, 1), ("y", "a b c", 0, 2)], ["y", "x"]),  # most backends first
]


def test_the_rule_of_breakers(clickhouse: Client) -> None:
    """Backends a, b and c are well otherwise, `sick` is not, and of `unheard` nothing else is known."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    rows: list[Row] = []
    for number, (commits, _) in enumerate(BREAKERS):
        upstream = f"rule-{number}"
        for earlier in range(6):
            for name, conclusion in (("a", "success"), ("b", "success"), ("c", "success"), ("sick", "failure")):
                at = hour - timedelta(hours=2, minutes=-earlier)
                rows.append(plain(f"{upstream}/{name}", at, 900 + earlier, conclusion))
        for commit in commits:
            sha, broken = commit[:2]
            minute, pull_request = commit[2:] + (0, 7)[len(commit) - 2 :]
            for name in ("a", "b", "c", "sick", "unheard") if broken else ("a", "b", "c"):
                if name == "unheard" and name not in broken:
                    continue
                conclusion = "failure" if name in broken.split() else "success"
                row = plain(f"{upstream}/{name}", hour + timedelta(minutes=minute), pull_request, conclusion)
                rows.append({**row, "pytorch_head_sha": sha * 40, "dynamoKey": f"{row['dynamoKey']}/{sha}"})
    history.load(clickhouse, [{**row, "event_type": "push"} for row in rows])
    history.refresh(clickhouse)
    filters = Filters(days=1, event="push")
    page = read_summary(partial(ask, lambda: clickhouse), RUNNING, NO_NAMES, filters, datetime.now(UTC))
    found = [(one.upstream_repo, one.sha) for one in page.breakers]
    for number, (_, expected) in enumerate(BREAKERS):
        ours = [sha[0] for upstream, sha in found if upstream == f"rule-{number}/upstream"]
        assert ours == expected, BREAKERS[number]


def test_pages_of_the_matrix_are_the_whole_in_order(told: History, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = Filters(days=30)
    monkeypatch.setattr(backend_page, "PAGE_ROWS", 200)
    whole = read_backend(told.ask, RUNNING, told.names, Criteria(), told.repos[0], filters, 1, told.now).matrix.rows
    monkeypatch.setattr(backend_page, "PAGE_ROWS", 3)
    pages = [
        read_backend(told.ask, RUNNING, told.names, Criteria(), told.repos[0], filters, page, told.now)
        for page in range(1, len(whole) // 3 + 2)
    ]
    assert len(whole) > 6
    assert pages[0].paging.pages == -(-len(whole) // 3)
    assert [row.sha for page in pages for row in page.matrix.rows] == [row.sha for row in whole]
    assert [row.superseded for page in pages for row in page.matrix.rows] == [row.superseded for row in whole]


def plain(repo: str, seen: datetime, number: int, conclusion: str) -> Row:
    """One finished job, of its own run on a PR of its own."""
    return {
        "dynamoKey": f"{repo}/{number}/{seen:%j%H%M}",
        "downstream_repo": repo,
        "upstream_repo": f"{repo.split('/', maxsplit=1)[0]}/upstream",
        "pr_number": number,
        "pytorch_head_sha": str(number % 10) * 40,
        "delivery_id": f"d{number}-{seen:%j%H%M}",
        "workflow_name": "ci",
        "job_name": "test",
        "run_id": str(number),
        "run_attempt": 1,
        "status": "completed",
        "conclusion": conclusion,
        "started_at": seen - timedelta(minutes=1),
        "completed_at": seen,
        "failed_tests_json": '[{"name": "test_shared", "status": "failure"}]' if conclusion == "failure" else "",
        "first_seen": seen,
        "version": 3 * 10**13 + 1,
    }


@filters_named
def test_a_backend(told: History, filters: Filters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_page, "PAGE_ROWS", 200)
    for repo in told.repos if told.seed == "renamed" else told.repos[:1]:
        page = read_backend(told.ask, RUNNING, told.names, Criteria(), repo, filters, 1, told.now)
        jobs = [
            job
            for job in history.counted(told.rows, told.now, filters.days, events(filters))
            if job["downstream_repo"] == repo
        ]
        assert counts(page.health.counts) == history.ended(jobs)
        telling = [job for job in jobs if job["environment"]]
        newest = max((job["first_seen"] for job in telling), default=None)
        assert {entry.name: entry.value for entry in page.environment} in (
            [json.loads(job["environment"]) for job in telling if job["first_seen"] == newest] or [{}]
        )
        check_matrix(page, jobs)
        check_failures(page, told, repo, filters)
        check_readiness(page.readiness, told, repo)
        check_slow_jobs(page, jobs)


def check_matrix(page: Any, jobs: list[Row]) -> None:
    commits = defaultdict(list)
    for job in jobs:
        commits[history.commit_of(job)].append(job)
    rows = {(row.upstream_repo, row.pr_number, row.sha): row for row in page.matrix.rows}
    assert set(rows) == set(commits)
    assert page.paging.total_rows == len(commits)
    seen = [row.first_seen for row in page.matrix.rows]
    assert seen == sorted(seen, reverse=True)
    for commit, row in rows.items():
        assert counts(row.counts) == history.ended(commits[commit])
        shown = Counter(job.key for cell in row.cells if cell for job in cell.jobs if job.state != "running")
        assert shown == Counter(job["dynamoKey"] for job in commits[commit])
        newer = [
            other
            for other, of_other in commits.items()
            if other[:2] == commit[:2]
            and min(job["first_seen"] for job in of_other) > min(job["first_seen"] for job in commits[commit])
        ]
        assert row.superseded == bool(newer and commit[1])


def test_of(row: Row) -> tuple[str, str, str]:
    return row["classname"], row["name"], row["file"]


test_of.__test__ = False  # type: ignore[attr-defined]


def check_failures(page: Any, told: History, repo: str, filters: Filters) -> None:
    start = history.window(told.now, filters.days)
    everything = history.failed_tests(history.executions(told.rows))
    within = [
        row
        for row in everything
        if row["first_seen"] >= start and (not filters.event or row["event_type"] == filters.event)
    ]
    own = [row for row in within if row["downstream_repo"] == repo]
    failures = Counter(test_of(row) for row in own if not row["superseded"])
    assert {(one.classname, one.name, one.file): one.failures for one in page.failures} == dict(failures)
    assert page.failures_total == len(failures)
    all_of_them = told.ask(
        "oot_backend_failures", repo=repo, days=filters.days, events=events(filters), limit=page.failures_total
    )
    assert {test_of(dict(row)): row["failures"] for row in all_of_them} == dict(failures)
    flakes: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
    for row in own:
        if row["recovered"]:
            flakes[test_of(row)].add(history.job_of(row))
    ranked = sorted(flakes, key=lambda test: (-len(flakes[test]), test))[:10]
    assert [(one.classname, one.name, one.file, one.flakes) for one in page.flakiest_tests] == [
        (*test, len(flakes[test])) for test in ranked
    ]
    slowest: dict[tuple[str, str, str], float] = {}
    for row in own:
        told_by = not row["superseded"] or row["recovered"] or failures[test_of(row)] or flakes[test_of(row)]
        if row.get("duration_seconds") and told_by:
            slowest[test_of(row)] = max(row["duration_seconds"], slowest.get(test_of(row), 0))
    assert [(one.classname, one.name, one.file) for one in page.slowest_tests] == sorted(
        slowest, key=lambda test: (-slowest[test], test)
    )[:10]
    for one in page.failures:
        test = (one.classname, one.name, one.file)
        counting = [row for row in own if test_of(row) == test and not row["superseded"]]
        assert one.last_seen == max(row["first_seen"] for row in counting)
        assert (one.message, one.sha, one.run_url) in {
            (row["message"], row["pytorch_head_sha"], row["workflow_run_url"])
            for row in counting
            if row["first_seen"] == one.last_seen
        }
        others = {row["downstream_repo"] for row in within if test_of(row) == test and row["downstream_repo"] != repo}
        assert {other for other in one.also_on if other in told.repos} == others
        assert sum(day.failures for day in one.history) == one.failures
        first = min(row["first_seen"] for row in own if test_of(row) == test)
        before = [
            row["first_seen"]
            for row in everything
            if row["downstream_repo"] == repo
            and test_of(row) == test
            and history.window(told.now, 2 * filters.days) <= row["first_seen"] < start
        ]
        assert one.is_new == (not before or first - max(before) > timedelta(days=filters.days))
        assert one.first_seen == min([first, *before])


def check_readiness(readiness: Any, told: History, repo: str) -> None:
    jobs = [
        row
        for row in history.counted(told.rows, told.now, 14)
        if row["downstream_repo"] == repo and row["event_type"] not in ("nightly", "periodic")
    ]
    ended = history.ended(jobs)
    judged = ended["success"] + ended["failure"] + ended["timed_out"]
    values = {one.name: one for one in readiness.criteria}
    assert values["pass_rate"].value == (ended["success"] / judged if judged else None)
    assert values["timeout_rate"].value == (ended["timed_out"] / judged if judged else None)
    spans = []
    commits = defaultdict(list)
    for job in jobs:
        if job["run_attempt"] == 1 and not job["times_estimated"]:
            commits[history.commit_of(job)].append(job)
    for of_commit in commits.values():
        starts = [
            job["started_at"] - timedelta(seconds=job["queue_time"])
            for job in of_commit
            if job["queue_time"] is not None
        ]
        end = max(job["completed_at"] for job in of_commit)
        if starts and end > min(starts):
            spans.append((end - min(starts)).total_seconds())
    assert values["end_to_end_p50"].samples == len(spans)
    if spans:
        ordered = sorted(spans)
        assert values["end_to_end_p50"].value == pytest.approx(ordered[len(ordered) // 2])
        assert abs(values["end_to_end_p50"].value - median(spans)) <= max(ordered) - min(ordered)


def check_slow_jobs(page: Any, jobs: list[Row]) -> None:
    took = defaultdict(list)
    for row in jobs:
        if row["conclusion"] in ("success", "failure") and not row["times_estimated"]:
            took[row["workflow_name"], row["job_name"]].append(
                (row["completed_at"] - row["started_at"]).total_seconds()
            )
    shown = {(one.workflow, one.job): one.duration for one in page.slowest_jobs}
    assert set(shown) == set(took)
    for job, duration in shown.items():
        check_spread(duration, took[job])
    medians = [one.duration.p50 for one in page.slowest_jobs]
    assert medians == sorted(medians, reverse=True)


def test_a_pull_request(told: History) -> None:
    alive = history.executions(told.rows)
    for number in {row["pr_number"] for row in alive if row["pr_number"]}:
        page = read_pull_request(told.ask, RUNNING, told.names, number, "pytorch/pytorch", told.now)
        shown = {
            job.key: (commit.sha, job)
            for commit in page.commits
            for backend in commit.backends
            for job in backend.jobs
            if job.repo in told.repos and job.state != "running"
        }
        expected = {
            row["dynamoKey"]: row
            for row in alive
            if row["pr_number"] == number and row["upstream_repo"] == "pytorch/pytorch" and not row["superseded"]
        }
        assert set(expected) <= set(shown)
        for key, row in expected.items():
            sha, job = shown[key]
            assert (sha, job.state, job.attempt) == (row["pytorch_head_sha"], row["conclusion"], row["run_attempt"])
            if not row["times_estimated"]:
                assert job.duration == (row["completed_at"] - row["started_at"]).total_seconds()


@pytest.mark.parametrize(("name", "days"), [*((name, 30) for name in history.TESTS), ("test_sdpa", 7), ("test_rng", 1)])
def test_a_test(told: History, name: str, days: int) -> None:
    page = read_test(told.ask, name, "", "", Filters(days=days), told.now)
    start = history.window(told.now, days)
    within = [
        row
        for row in history.failed_tests(history.executions(told.rows))
        if row["name"] == name and row["first_seen"] >= start
    ]
    expected = history.by_repo([row for row in within if not row["superseded"] or row["recovered"]])
    shown = {one.repo: one for one in page.backends if one.repo in told.repos}
    groups = defaultdict(list)
    for row in within:
        groups[row["downstream_repo"], row["classname"], row["file"]].append(row)
    assert set(shown) == set(expected)
    jobs = history.by_repo(history.counted(told.rows, told.now, days))
    for repo, one in shown.items():
        rows = expected[repo]
        assert one.failures == sum(not row["superseded"] for row in rows)
        assert one.flakes == len({history.job_of(row) for row in rows if row["recovered"]})
        ended = history.ended(jobs[repo])
        assert one.judged_jobs == ended["success"] + ended["failure"] + ended["timed_out"]
        assert sum(day.failures for day in one.history) == one.failures
    assert page.occurrences_total >= len(within)
    times = [one.seen for one in page.occurrences]
    assert times == sorted(times, reverse=True)


def test_new_failures(told: History) -> None:
    days = 7
    rows = told.ask("oot_new_failures", days=days, limit=10_000, repo="")
    found = {
        (row["repo"], row["classname"], row["name"], row["file"]): row["key"]
        for row in rows
        if row["repo"] in told.repos
    }
    everything = defaultdict(list)
    for row in history.failed_tests(history.executions(told.rows)):
        everything[(row["downstream_repo"], *test_of(row))].append(row)
    expected: dict[tuple[str, ...], set[str]] = {}
    for test, failures in everything.items():
        counting = [
            row for row in failures if not row["superseded"] and row["first_seen"] >= history.window(told.now, days)
        ]
        if not counting:
            continue
        began = min(row["first_seen"] for row in counting)
        since = began - timedelta(days=days)
        if not any(since <= row["first_seen"] < began for row in failures if row not in counting):
            expected[test] = {row["dynamoKey"] for row in counting if row["first_seen"] == began}
    assert found.keys() == expected.keys()
    assert all(key in expected[test] for test, key in found.items())
