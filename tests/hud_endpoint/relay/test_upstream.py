"""Whether a nightly's commit is the upstream's: asked of the local GitHub over HTTP, and of one that misbehaves."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import requests

from hud_endpoint.contract import Callback, parse
from hud_endpoint.relay import upstream
from hud_endpoint.relay.allowlist import Listed
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.relay.github_calls import CALLS_PER_MINUTE
from hud_endpoint.relay.upstream import COOL_DOWN_SECONDS, MAX_COMMITS, UNKNOWN_SECONDS, Upstream, ask_github
from oot_local.github import make_app
from tests.hud_endpoint.relay.desk import REPO, SCHEDULED, Desk, new_table
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, SHA, changed
from tests.hud_endpoint.web import Answer, as_json

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from tests.hud_endpoint.conftest import Serve
    from tests.hud_endpoint.web import Web

UPSTREAM = "pytorch/pytorch"
ASKED = f"/repos/{UPSTREAM}/commits/{SHA}?page=1&per_page=1"
OTHER = "b" * 40


class TestTheLocalGitHub:
    @pytest.fixture
    def github(self, serve: Serve) -> str:
        url = serve(make_app("http://127.0.0.1:9"))
        requests.post(f"{url}/_local/commits", json={"repo": UPSTREAM, "sha": SHA.upper()}, timeout=60)
        return url

    @pytest.mark.parametrize(
        ("repo", "sha", "has"),
        [(UPSTREAM, SHA, True), ("PyTorch/PyTorch", SHA, True), (UPSTREAM, OTHER, False), ("o/r", SHA, False)],
    )
    def test_knows_what_was_pushed(self, github: str, repo: str, sha: str, has: bool) -> None:  # noqa: FBT001 - a column
        assert ask_github(github, repo, None)(sha) is has

    @pytest.mark.parametrize(("path", "status"), [(OTHER, 422), ("main", 422), (SHA, 200), (SHA.upper(), 200)])
    def test_answers_as_github_does(self, github: str, path: str, status: int) -> None:
        answer = requests.get(f"{github}/repos/{UPSTREAM}/commits/{path}", timeout=60)
        assert answer.status_code == status
        assert requests.get(f"{github}/repos/o/r/commits/{path}", timeout=60).status_code == 404


COMMIT_ANSWER = as_json({"sha": SHA, "files": []})
NO_ANSWER: dict[str, tuple[Answer, str]] = {
    "401": (as_json({"message": "Bad credentials"}, 401), "HTTP 401"),
    "403": (as_json({"message": "Resource not accessible"}, 403), "HTTP 403"),
    "rate limited": (as_json({"message": "API rate limit exceeded for 1.2.3.4"}, 403), "rate limited; a GITHUB_TOKEN"),
    "rate limited for long": (as_json({"message": "You have exceeded a secondary rate limit"}, 429), "HTTP 429|rate"),
    "500": (Answer(500), "HTTP 500"),
    "502 of a proxy": (Answer(502, b"<html>Bad gateway</html>"), "HTTP 502"),
    "not JSON": (Answer(body=b"<html>"), "is .* GitHub's API"),
    "no commit": (as_json({}), "is .* GitHub's API"),
    "a commit without a SHA": (as_json({"sha": None}), "is .* GitHub's API"),
    "a list": (as_json([]), "is .* GitHub's API"),
    "a number": (as_json(5), "is .* GitHub's API"),
    "redirecting elsewhere": (Answer(302, headers={"location": "http://evil.example.org/"}), "."),
    "cut off": (Answer(body=b"{}", announced=4096, headers={"connection": "close"}), "."),
}


class TestAskingGitHub:
    def test_is_one_call_that_carries_the_token(self, web: Web) -> None:
        web.answers[ASKED] = COMMIT_ANSWER
        assert ask_github(web.url, UPSTREAM, "ghp_secret")(SHA)
        assert web.paths() == [ASKED]
        assert web.asked[0].headers["authorization"] == "token ghp_secret"

    def test_without_a_token_none_is_sent(self, web: Web) -> None:
        web.answers[ASKED] = COMMIT_ANSWER
        assert ask_github(web.url, UPSTREAM, None)(SHA)
        assert "authorization" not in web.asked[0].headers

    @pytest.mark.parametrize("status", [404, 422])
    def test_a_commit_that_is_not_there(self, web: Web, status: int) -> None:
        web.answers[ASKED] = as_json({"message": f"No commit found for SHA: {SHA}"}, status)
        assert ask_github(web.url, UPSTREAM, None)(SHA) is False

    def test_another_commit_is_not_this_one(self, web: Web) -> None:
        web.answers[ASKED] = as_json({"sha": OTHER})
        assert ask_github(web.url, UPSTREAM, None)(SHA) is False

    @pytest.mark.parametrize(("answer", "told"), NO_ANSWER.values(), ids=NO_ANSWER)
    def test_what_is_no_answer(self, web: Web, answer: Answer, told: str) -> None:
        web.answers[ASKED] = answer
        with pytest.raises(LookupError, match=told):
            ask_github(web.url, UPSTREAM, None)(SHA)
        assert web.paths() == [ASKED]  # not tried again

    def test_nobody_is_there(self, closed_port: int) -> None:
        with pytest.raises(LookupError, match="ConnectionError"):
            ask_github(f"http://127.0.0.1:{closed_port}", UPSTREAM, None)(SHA)


class GitHub:
    """Answers as told, and counts."""

    def __init__(self) -> None:
        self.has: bool | LookupError = True
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, sha: str) -> bool:
        self.asked.append(sha)
        assert self.gate.wait(60)
        if isinstance(self.has, LookupError):
            raise self.has
        return self.has


@pytest.fixture
def github() -> GitHub:
    return GitHub()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(upstream, "time", clock)
    return clock


def test_what_is_there_stays(github: GitHub, clock: SimpleNamespace) -> None:
    commits = Upstream(UPSTREAM, github)
    for _ in range(10):
        assert commits.commit_exists(SHA, REPO) is True
        assert commits.commit_exists(SHA.upper(), REPO) is True
        clock.now += 1e6
    assert github.asked == [SHA]


def test_what_is_not_there_may_be_pushed(github: GitHub, clock: SimpleNamespace) -> None:
    commits = Upstream(UPSTREAM, github)
    github.has = False
    assert [commits.commit_exists(SHA, REPO) for _ in range(5)] == [False] * 5
    github.has = True
    clock.now += UNKNOWN_SECONDS + 1
    assert commits.commit_exists(SHA, REPO) is True
    assert len(github.asked) == 2


@pytest.mark.parametrize("told", ["", "main", SHA[:39], SHA + "0", "g" * 40, "buildkite-89-01945ecf", "../../../user"])
def test_what_is_no_sha_is_not_asked_for(github: GitHub, told: str) -> None:
    assert Upstream(UPSTREAM, github).commit_exists(told, REPO) is False
    assert github.asked == []


def test_an_outage_is_paid_for_once_a_minute(
    github: GitHub, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    commits = Upstream(UPSTREAM, github)
    assert commits.commit_exists(OTHER, REPO) is True
    github.has = LookupError("HTTP 500")
    for _ in range(2):
        assert [commits.commit_exists(f"{number:040x}", REPO) for number in range(50)] == [None] * 50
        assert commits.commit_exists(OTHER, REPO) is True  # what is known is known
        clock.now += COOL_DOWN_SECONDS + 1
    assert len(github.asked) == 3
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert "nightlies are marked as unverified: HTTP 500" in told[0]


def test_nobody_waits_longer_than_that(github: GitHub) -> None:
    commits = Upstream(UPSTREAM, github, wait_seconds=0.05)
    github.gate.clear()
    assert commits.commit_exists(SHA, REPO) is None
    assert commits.commit_exists(OTHER, REPO) is None  # and the next ones do not wait at all
    assert github.asked == [SHA]
    github.gate.set()
    deadline = time.monotonic() + 60
    while commits.commit_exists(SHA, REPO) is None:  # the answer that came late counts all the same
        assert time.monotonic() < deadline
    assert commits.commit_exists(SHA, REPO) is True
    assert github.asked == [SHA]


def test_a_crowd_asks_once(github: GitHub) -> None:
    commits = Upstream(UPSTREAM, github, wait_seconds=60)
    github.gate.clear()
    answers: list[bool | None] = []
    crowd = [threading.Thread(target=lambda: answers.append(commits.commit_exists(SHA, REPO))) for _ in range(20)]
    for one in crowd:
        one.start()
    while not github.asked:
        assert crowd[0].is_alive()
    github.gate.set()
    for one in crowd:
        one.join(60)
    assert answers == [True] * 20
    assert github.asked == [SHA]


def test_made_up_commits_fill_no_memory_and_push_no_real_ones_out(github: GitHub) -> None:
    commits = Upstream(UPSTREAM, github)
    assert commits.commit_exists(SHA, REPO) is True
    github.has = False
    for number in range(MAX_COMMITS + 10):
        assert commits.commit_exists(f"{number:040x}", f"o/{number}") is False
    assert (len(commits._found), len(commits._missing)) == (1, MAX_COMMITS)
    assert commits.commit_exists(SHA, REPO) is True


def test_one_repo_s_made_up_commits_do_not_use_up_the_calls_of_all(github: GitHub) -> None:
    commits, github.has = Upstream(UPSTREAM, github), False
    answers = [commits.commit_exists(f"{number:040x}", REPO) for number in range(CALLS_PER_MINUTE + 5)]
    assert answers == [False] * CALLS_PER_MINUTE + [None] * 5
    assert len(github.asked) == CALLS_PER_MINUTE
    assert commits.commit_exists(f"{0:040x}", REPO) is False  # what is known costs nothing
    github.has = True
    assert commits.commit_exists(SHA, "spec/another") is True


NIGHTLY = changed(COMPLETED_CALLBACK, {"event_type": "nightly", "payload.pull_request": ABSENT})
FORGED = {"payload.pull_request": {"number": 7, "head": {"sha": SHA}}}


@pytest.mark.parametrize(
    ("changes", "verified"),
    [
        ({"payload.head_sha": SHA}, True),
        ({"payload.after": SHA}, True),
        ({"delivery_id": SHA}, True),
        ({"delivery_id": SHA.upper()}, True),
        ({"payload.head_sha": SHA, "payload.repository": ABSENT}, True),
        ({"payload.head_sha": SHA, "payload.repository.full_name": "PyTorch/pytorch"}, True),
        ({"payload.head_sha": SHA, "payload.repository.full_name": "someone/pytorch"}, False),
        ({"payload.head_sha": OTHER}, False),
        ({"payload.head_sha": OTHER, "payload.after": SHA, "delivery_id": SHA}, False),
        ({"payload.head_sha": "main", "payload.after": SHA}, False),
        ({"delivery_id": "buildkite-89-1"}, False),
        ({**FORGED, "payload.head_sha": OTHER}, False),  # HUD would show OTHER: a pull request proves nothing here
        ({**FORGED, "delivery_id": "buildkite-89-1"}, False),
        ({**FORGED, "payload.head_sha": SHA}, True),
    ],
)
def test_the_commit_that_hud_shows_is_the_one_that_is_asked_for(changes: dict[str, Any], verified: bool) -> None:  # noqa: FBT001 - a column
    callback = parse(Callback, orjson.dumps(changed(NIGHTLY, changes)))
    assert Upstream(UPSTREAM, lambda sha: sha == SHA).is_upstream_commit(callback, REPO) is verified


@pytest.mark.parametrize("event", ["nightly", "periodic"])
@pytest.mark.parametrize("status", ["in_progress", "completed"])
@pytest.mark.parametrize("verified", [True, False])
def test_a_nightly_is_accepted_either_way_and_flagged(
    dynamodb: DynamoDBClient,
    event: str,
    status: str,
    verified: bool,  # noqa: FBT001 - a column
) -> None:
    sent: list[dict[str, Any]] = []

    def send(payload: dict[str, Any]) -> Delivered:
        sent.append(payload)
        return Delivered(duplicate=False)

    desk = Desk(dynamodb, new_table(dynamodb), send)
    desk.handler._is_upstream_commit = lambda _callback, _repo: verified
    changes = {"event_type": event, "delivery_id": str(uuid.uuid4()), "workflow.status": status}
    body = changed(NIGHTLY, {**changes, **FORGED, "payload.head_sha": SHA, "payload.noise": "x" * 5000})
    taken = desk.handler.accept(replace(SCHEDULED, token_id=uuid.uuid4().hex), Listed(REPO, "L2"), orjson.dumps(body))
    assert taken.body["outcome"] == "delivered"
    [payload] = sent
    assert payload["trusted"]["dispatch_verified"] is False  # nobody asked for it
    assert payload["trusted"]["commit_verified"] is verified
    assert "pull_request" not in payload["untrusted"]["callback_payload"]["payload"]
    job = desk.jobs.read_job(taken.body["dynamoKey"])
    assert len(job.start_payload) < 1000  # what the sweeper keeps has no room for the reporter's noise


def test_the_stacks_relay_asks_the_stacks_github(stack: Any, dynamodb: DynamoDBClient) -> None:
    from tests.hud_endpoint.relay.jobs import Job

    sha = f"{uuid.uuid4().int % 16**40:040x}"
    for known in (False, True):
        job = Job(stack)
        if known:
            sha = f"{uuid.uuid4().int % 16**40:040x}"  # of the other one it is known for a while that it is not there
            body = {"repo": UPSTREAM, "sha": sha}
            requests.post(f"{stack.state['github_api_url']}/_local/commits", json=body, timeout=60).raise_for_status()
        changes = {"event_type": "nightly", "payload.head_sha": sha}
        told = job.report(changes=changes, event_name="schedule")
        key = {"dynamoKey": {"S": told["dynamoKey"]}}
        item = dynamodb.get_item(TableName=stack.state["tables"]["results"], Key=key, ConsistentRead=True)["Item"]
        assert (item["commit_verified"]["BOOL"], item["dispatch_verified"]["BOOL"]) == (known, False)
