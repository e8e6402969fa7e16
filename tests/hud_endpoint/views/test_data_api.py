"""The pages' data over real sockets: twins that agree, caching, what a spreadsheet or a feed reader makes of it."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import orjson
import pytest
import requests

from hud_endpoint.app import hud
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.settings import HudSettings
from hud_endpoint.views import csv_twin
from hud_endpoint.views.badge import draw_badge
from hud_endpoint.views.data.running import RunningJobs
from hud_endpoint.views.feed import write_feed
from hud_endpoint.views.models.counts import Counts
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed
from tests.hud_endpoint.views import sample_pages
from tests.hud_endpoint.views.test_oracle import NO_NAMES
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.hud_endpoint.clickhouse.history import Row
    from tests.hud_endpoint.conftest import Serve

ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"
TOKEN = "a-token-that-is-not-used"
REPO = "twins/torch.json-like"


@pytest.fixture
def url(stack: Stack) -> str:
    return str(stack.state["hud_url"])


@pytest.fixture(scope="module")
def rows(clickhouse: Client) -> list[Row]:
    """A backend with a history of its own."""
    rows = history.made_up([REPO], datetime.now(UTC), "twins", runs=80)
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    return rows


def get(url: str, **query: Any) -> requests.Response:
    return requests.get(url, params=query, timeout=60)


def table(answer: requests.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


@pytest.mark.usefixtures("rows")
class TestTwins:
    def test_of_the_summary(self, url: str) -> None:
        page = get(f"{url}/oot.json", days=30, text="twins/").json()
        [backend] = [one for one in page["backends"] if one["repo"] == REPO]
        [row] = table(get(f"{url}/oot.csv", days=30, text="twins/"))
        assert row["repo"] == REPO
        assert int(row["failure"]) == backend["counts"]["failure"] > 0
        assert float(row["pass_rate"]) == backend["counts"]["pass_rate"]
        assert row["last_run"] == backend["last_run"]
        assert page["filters"] == {"days": 30, "level": "", "event": "", "text": "twins/"}
        rolled_up = datetime.fromisoformat(page["freshness"]["rolled_up_at"])
        assert timedelta() <= datetime.now(UTC) - rolled_up < timedelta(minutes=2)

    def test_of_a_backend(self, url: str) -> None:
        page = get(f"{url}/oot/{REPO}.json", days=30).json()
        rows = table(get(f"{url}/oot/{REPO}.csv", days=30))
        jobs = [job for row in page["matrix"]["rows"] for cell in row["cells"] if cell for job in cell["jobs"]]
        assert sorted(job["state"] for job in jobs) == sorted(row["state"] for row in rows)
        assert page["repo"] == REPO
        assert page["failures"]

    def test_of_a_pull_request(self, url: str, rows: list[Row]) -> None:
        number = next(row["pr_number"] for row in rows if row["pr_number"] and row["upstream_repo"] == "other/pytorch")
        page = get(f"{url}/pr/{number}.json", upstream_repo="other/pytorch").json()
        told = table(get(f"{url}/pr/{number}.csv", upstream_repo="other/pytorch"))
        backends = [backend for commit in page["commits"] for backend in commit["backends"]]
        assert len(told) == sum(len(one["jobs"]) + len(one["superseded"]) for one in backends) > 0
        assert {row["superseded"] for row in told} <= {"true", "false"}

    def test_of_a_test(self, url: str) -> None:
        name = history.TESTS[-1]  # with quotes, braces and more than ASCII
        page = get(f"{url}/oot/test.json", name=name, days=30).json()
        told = table(get(f"{url}/oot/test.csv", name=name, days=30))
        assert page["occurrences"]
        assert [row["message"] for row in told] == [one["message"] for one in page["occurrences"]]
        assert {row["name"] for row in told} == {name}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    "path",
    ["/oot.json", "/oot.csv", "/oot.atom", f"/oot/{REPO}.json", f"/oot/{REPO}.csv", f"/oot/{REPO}.atom", "/pr/101.json",
     "/pr/101.csv", "/oot/test.json?name=test_sdpa", "/oot/test.csv?name=test_sdpa", f"/badge/{REPO}.svg",
     '/api/clickhouse/oot_pr_results?parameters={"pr":101}'],
)  # fmt: skip
def test_who_has_it_already_is_told_so(url: str, path: str) -> None:
    first = get(url + path)
    assert first.status_code == 200
    tag = first.headers["etag"]
    assert first.headers["cache-control"].startswith("public, max-age=")
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["content-security-policy"].startswith("default-src 'none'")
    for told in (tag, f'"other", W/{tag}', "*"):
        again = requests.get(url + path, headers={"if-none-match": told}, timeout=60)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = requests.get(url + path, headers={"if-none-match": '"other"'}, timeout=60)
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        *(("/oot.json", {"days": days}, "days") for days in ("0", "-7", "2", "1" * 30, "7.5", "x", "7;DROP", "\u0667")),
        ("/oot.csv", {"level": "L5"}, "level"),
        ("/oot.json", {"event": "<script>"}, "event"),
        ("/oot.json", {"text": "x" * 201}, "text"),
        ("/oot/o/r.json", {"page": "0"}, "page"),
        ("/oot/o/r.json", {"page": "1001"}, "page"),
        ("/oot/o/r.csv", {"page": "x"}, "page"),
        ("/oot/o/r.csv", {"page": "9" * 40}, "page"),
        ("/pr/0.json", {}, "number"),
        ("/pr/-1.json", {}, "number"),
        ("/pr/x.csv", {}, "number"),
        ("/oot/test.json", {}, "name"),
        ("/oot/test.csv", {"name": "x" * 2001}, "name"),
        ("/api/clickhouse/oot_summary", {}, "days"),
        ("/api/clickhouse/oot_summary", {"parameters": "{"}, "JSON"),
        ("/api/clickhouse/oot_summary", {"parameters": "[]"}, "object"),
        ("/api/clickhouse/oot_summary", {"parameters": '{"days":"7; DROP"}'}, "days"),
        ("/api/clickhouse/oot_pr_results", {"parameters": '{"pr":-1}'}, "pr"),
        ("/api/clickhouse/oot_backend_dashboard", {"parameters": '{"days":7,"repo":"\\ud800"}'}, "JSON"),
        ("/api/clickhouse/oot_summary", {"parameters": json.dumps({"days": 7, "x": "y" * 16_384})}, "parameters"),
    ],
)
def test_what_can_not_be_asked_is_refused_by_name(url: str, path: str, query: dict[str, str], named: str) -> None:
    answer = get(url + path, **query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter"), answer.text
    assert named in answer.json()["error"]
    assert len(answer.json()["error"]) < 250


@pytest.mark.parametrize(
    "path",
    ["/oot/nobody/here.json", "/oot/nobody/here.csv", "/api/clickhouse/made_up", "/api/clickhouse/..%2F..%2Fschema",
     "/api/clickhouse/", "/api/clickhouse/oot_summary/query.sql"],
)  # fmt: skip
def test_what_is_not_there_is_404(url: str, path: str) -> None:
    answer = get(url + path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/pr/999999999.json", "/oot/test.json?name=test_that_never_fails", "/oot.atom"])
def test_nothing_to_show_is_no_error(url: str, path: str) -> None:
    assert get(url + path).status_code == 200


def test_a_saved_query_answers_as_huds_own_api(url: str, rows: list[Row]) -> None:
    number = next(row["pr_number"] for row in rows if row["pr_number"])
    told = get(f"{url}/api/clickhouse/oot_pr_results", parameters=json.dumps({"pr": str(number), "ignored": 1})).json()
    assert isinstance(told, list)
    row = told[0]
    assert isinstance(row["run_attempt"], int)
    assert datetime.fromisoformat(row["started_at"]).tzinfo
    summary = get(f"{url}/api/clickhouse/oot_summary", parameters='{"days":30}').json()
    [own] = [row for row in summary if row["repo"] == REPO]
    assert own["judged"] == own["successes"] + own["failures"] + own["timed_out"]
    assert own["pass_rate"] == pytest.approx(own["successes"] / own["judged"])


DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("x")',
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_spreadsheet_takes_no_cell_for_a_formula(text: str) -> None:
    written = csv_twin.write_csv((("a", "b"), [(text, -1.5)])).decode()
    [_, [cell, number]] = list(csv.reader(io.StringIO(written, newline="")))
    assert cell == f"'{text}"
    assert number == "-1.5"  # a number of ours, not somebody's text


def test_other_text_stays_as_it_is() -> None:
    cells = ["o/r", 'a "quoted", one', "two\nlines", "", "a=b", "日本", "#123"]
    written = csv_twin.write_csv((("x",), [(cell,) for cell in cells])).decode()
    assert [row[0] if row else "" for row in list(csv.reader(io.StringIO(written, newline="")))[1:]] == cells


@pytest.mark.parametrize(
    "made",
    [
        csv_twin.summary_table(sample_pages.SUMMARY),
        csv_twin.backend_table(sample_pages.BACKEND),
        csv_twin.pull_request_table(sample_pages.PULL_REQUEST),
        csv_twin.failed_test_table(sample_pages.TEST),
    ],
    ids=["summary", "backend", "pull request", "test"],
)
def test_each_row_has_the_headers_width(made: csv_twin.Table) -> None:
    header, rows = made
    told = [list(row) for row in rows]
    assert told
    assert {len(row) for row in told} == {len(header)}
    assert len(set(header)) == len(header)


@pytest.mark.parametrize("name", ["SUMMARY", "BACKEND", "PULL_REQUEST", "TEST", "EMPTY_BACKEND", "EMPTY_SUMMARY"])
def test_every_page_has_a_json_form(name: str) -> None:
    assert json.loads(orjson.dumps(getattr(sample_pages, name), option=orjson.OPT_UTC_Z))["freshness"]


NEW_FAILURE: dict[str, Any] = {
    "repo": "o/r",
    "reported_as": "o/r",
    "classname": "TestA",
    "name": "test_a",
    "file": "",
    "began_at": datetime(2026, 5, 4, 12, tzinfo=UTC),
    "key": "k",
    "workflow": "ci",
    "job": "test",
    "upstream_repo": "pytorch/pytorch",
    "pr_number": 7,
    "sha": "a" * 40,
    "event_type": "pull_request",
    "run_url": "",
}


def published(entry: ET.Element) -> datetime:
    return datetime.fromisoformat(entry.findtext(f"{ATOM}published", ""))


class TestFeed:
    def test_it_is_what_rfc_4287_asks_for(self, url: str, rows: list[Row]) -> None:
        assert rows
        answer = get(f"{url}/oot/{REPO}.atom")
        assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
        feed = ET.fromstring(answer.content)  # noqa: S314 - our own
        check_feed(feed)
        assert feed.findall(f"{ATOM}entry")
        [itself] = [link for link in feed.findall(f"{ATOM}link") if link.get("rel") == "self"]
        assert itself.get("href") == f"/oot/{REPO}.atom"  # no HUD_PUBLIC_URL is set

        def all_of_them_are_in_the_feed_of_all_backends() -> bool:
            whole = ET.fromstring(get(f"{url}/oot.atom").content).findall(f"{ATOM}entry")  # noqa: S314 - our own
            if not whole:
                return False
            oldest = min(published(entry) for entry in whole)  # it is capped, and other tests have newer failures
            own = {entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry") if published(entry) > oldest}
            return own <= {entry.findtext(f"{ATOM}id") for entry in whole}

        wait_for(all_of_them_are_in_the_feed_of_all_backends, "an answer that is not a kept one of before")

    @pytest.mark.parametrize(
        "text", ["<script>alert(1)</script>", "\x00\x08\ufffe", "\ud800", "&lt;", "]]>", "x" * 5000]
    )
    def test_hostile_text_is_only_text(self, text: str) -> None:
        hostile = NEW_FAILURE | dict.fromkeys(("name", "classname", "file", "workflow", "job", "repo", "sha"), text)
        made = write_feed([hostile, NEW_FAILURE], asked="", backend="", base="https://hud", now=datetime.now(UTC))
        feed = ET.fromstring(made)  # noqa: S314 - our own
        check_feed(feed)
        assert {element.tag.removeprefix(ATOM) for element in feed.iter()} == {
            "feed", "id", "title", "updated", "link", "author", "name", "entry", "published", "summary",
        }  # fmt: skip

    def test_an_entry_keeps_its_id_and_a_new_failure_has_another(self) -> None:
        def ids(*rows: dict[str, Any]) -> list[str | None]:
            made = write_feed(rows, asked="", backend="", base="https://hud", now=datetime.now(UTC))
            return [entry.findtext(f"{ATOM}id") for entry in ET.fromstring(made).findall(f"{ATOM}entry")]  # noqa: S314

        told = [NEW_FAILURE | {"message": "other"}, NEW_FAILURE | {"key": "k2"}, NEW_FAILURE | {"reported_as": "o/s"}]
        same, later, elsewhere = ids(*told)
        assert ids(NEW_FAILURE) == [same]
        assert len({same, later, elsewhere}) == 3


def check_feed(feed: ET.Element) -> None:
    """RFC 4287: 4.1.1 and 4.1.2; ids are absolute and unique, every time has a zone."""
    assert feed.tag == f"{ATOM}feed"
    ids = []
    for element in (feed, *feed.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
        ids.append(str(element.findtext(f"{ATOM}id")))
        assert datetime.fromisoformat(str(element.findtext(f"{ATOM}updated"))).tzinfo
        href = str(element.find(f"{ATOM}link").get("href"))  # type: ignore[union-attr]  # checked
        assert href.startswith(("https://hud/", "/oot"))  # absolute, or a path that leads nowhere else
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("tag:pytorch.org,2026:") for one in ids)
    assert feed.findtext(f"{ATOM}author/{ATOM}name")


class TestBadge:
    @pytest.mark.parametrize(
        ("counts", "told", "color"),
        [
            (None, "no data", "#59636e"),
            (Counts.of(cancelled=3), "no data", "#59636e"),
            (Counts.of(success=1), "100% passed", "#1a7f37"),
            (Counts.of(success=9996, failure=4), "99.9% passed", "#1a7f37"),
            (Counts.of(success=949, failure=51), "94.9% passed", "#8a5a00"),
            (Counts.of(success=7, failure=3), "70% passed", "#c0291d"),
        ],
    )
    def test_says_the_rate_in_words_and_color(self, counts: Counts | None, told: str, color: str) -> None:
        drawn = draw_badge("o/r", counts).decode()
        assert [text.text for text in ET.fromstring(drawn).iter(f"{SVG}text")][1] == told  # noqa: S314 - our own
        assert color in drawn

    @pytest.mark.parametrize("repo", ["<script>/x", 'a"onload="x/y', "&/&", "\ud800/x"])
    def test_a_hostile_repo_is_only_text(self, repo: str) -> None:
        drawn = ET.fromstring(draw_badge(repo, None))  # noqa: S314 - our own
        assert {element.tag.removeprefix(SVG) for element in drawn.iter()} == {
            "svg",
            "title",
            "clipPath",
            "rect",
            "g",
            "text",
        }
        assert not [name for element in drawn.iter() for name in element.attrib if name.startswith("on")]

    def test_is_grey_for_whom_nobody_knows_and_kept_for_a_while(self, url: str, rows: list[Row]) -> None:
        assert rows
        unknown = get(f"{url}/badge/nobody/here.svg")
        assert (unknown.status_code, unknown.headers["content-type"]) == (200, "image/svg+xml")
        assert "no data" in unknown.text
        assert unknown.headers["cache-control"] == "public, max-age=300"
        assert "passed" in get(f"{url}/badge/{REPO}.svg").text


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/crcr", "/oot"),
        ("/crcr/", "/oot"),
        ("/crcr/o/r", "/oot/o/r"),
        ("/crcr?days=30", "/oot?days=30"),
        ("/crcr/o/r%2Fx?a=%0D%0Aset-cookie:x", "/oot/o/r%2Fx?a=%0D%0Aset-cookie:x"),
        ("/crcr//evil.example", "/oot//evil.example"),
    ],
)
def test_crcrs_addresses_lead_to_ours(url: str, path: str, leads_to: str) -> None:
    answer = requests.get(url + path, allow_redirects=False, timeout=60)
    assert (answer.status_code, answer.headers["location"]) == (308, leads_to)
    assert "set-cookie" not in answer.headers


@pytest.mark.usefixtures("aws_environment")
def test_without_clickhouse_and_nothing_kept_it_is_said_in_words(serve: Serve, closed_port: int) -> None:
    settings = HudSettings(internal_api_token=TOKEN, clickhouse_url=f"http://127.0.0.1:{closed_port}")
    url = serve(hud(settings))
    for path in (
        "/oot.json",
        "/oot/o/r.csv",
        "/pr/1.json",
        "/oot.atom",
        '/api/clickhouse/oot_summary?parameters={"days":7}',
    ):
        answer = get(url + path)
        assert (answer.status_code, answer.json()["code"]) == (503, "dashboard_unavailable")
        assert answer.headers["retry-after"] == "30"
        assert str(closed_port) not in answer.text
    badge = get(f"{url}/badge/o/r.svg")
    assert (badge.status_code, badge.headers["cache-control"]) == (200, "no-cache")
    assert "no data" in badge.text


def test_running_jobs_come_from_dynamodb(stack: Stack, url: str, dynamodb: DynamoDBClient) -> None:
    """Seen as soon as HUD has them, gone as soon as they end; ClickHouse need not have heard of either."""
    repo, number = f"running/{uuid.uuid4().hex}", 1_000_000 + uuid.uuid4().int % 10**6
    headers = {"x-hud-internal-bot": stack.state["internal_api_token"]}

    def report(callback: dict[str, Any], **changes: Any) -> None:
        body = {
            "trusted": {
                "verified_repo": repo,
                "downstream_repo_level": "L2",
                "ci_metrics": {"queue_time": 2.5, "execution_time": None},
            },
            "untrusted": {"callback_payload": changed(callback, {"payload.pull_request.number": number, **changes})},
        }
        answer = requests.post(f"{url}/api/oot/results", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text

    report(IN_PROGRESS)
    report(IN_PROGRESS, **{"workflow.check_run_id": "988", "workflow.job_name": "test-bf16"})
    page = get(f"{url}/pr/{number}.json").json()
    assert page["freshness"]["running_known"]
    [commit] = page["commits"]
    [backend] = commit["backends"]
    assert (backend["repo"], backend["running"], backend["counts"]["total"]) == (repo, 2, 0)
    assert {(job["name"], job["state"], job["queue_time"]) for job in backend["jobs"]} == {
        ("test-float32", "running", 2.5),
        ("test-bf16", "running", 2.5),
    }
    page = get(f"{url}/oot/{repo}.json").json()  # known by what runs alone
    assert len(page["running"]) == page["health"]["running"] == 2
    report(COMPLETED_CALLBACK)
    running = RunningJobs(dynamodb, RESULTS_TABLE)
    assert [job.name for job, _ in running.of_pull_request("pytorch/pytorch", number, NO_NAMES)] == ["test-bf16"]
    assert running.of_pull_request("other/pytorch", number, NO_NAMES) == []
    assert running.counts([repo, "nobody/here"], NO_NAMES) == {repo: 1, "nobody/here": 0}
