"""Floods of calls that are refused, at a real relay: they are told to wait, and cost nobody else anything."""

from __future__ import annotations

import itertools
import json
import socket
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.app import relay
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay import admission
from hud_endpoint.relay.admission import ADDRESS_FACTOR, Admission, Budget, Claim, client_address
from hud_endpoint.settings import RelaySettings
from tests.hud_endpoint.relay.issuer import Issuer
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed
from tests.hud_endpoint.web import as_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.applications import Starlette

    from tests.hud_endpoint.conftest import Serve
    from tests.hud_endpoint.web import Web

PER_MINUTE = 6
PER_ADDRESS = PER_MINUTE * ADDRESS_FACTOR
MEMBERS = ["spec/backend", "spec/neighbour", "spec/third"]
BASES = {"in_progress": IN_PROGRESS, "completed": COMPLETED_CALLBACK}


@dataclass
class Relay:
    """A relay of the test's own, and the issuer that it believes."""

    url: str
    issuer: Issuer

    def token(self, repo: str = MEMBERS[0], *, key: str = "main", **claims: Any) -> str:
        own = {"repository": repo, "jti": uuid.uuid4().hex, "run_id": str(uuid.uuid4().int % 10**12), **claims}
        return self.issuer.sign(self.issuer.claims(**own), key=key, kid="main")

    def post(self, token: str, body: Any = b"x", **headers: str) -> requests.Response:
        data = json.dumps(body) if isinstance(body, dict) else body
        told = {"authorization": f"Bearer {token}", **headers}
        return requests.post(f"{self.url}/github/callback", data=data, headers=told, timeout=60)

    def begin(self, token: str) -> socket.socket:
        """Begin a call whose body does not come."""
        place = urlsplit(self.url)
        connection = socket.create_connection((str(place.hostname), place.port or 80), timeout=60)
        head = f"POST /github/callback HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        connection.sendall(f"{head}content-length: 9000\r\n\r\n{{".encode())
        return connection

    def callback(self, status: str = "completed", **changes: Any) -> dict[str, Any]:
        own = {"delivery_id": uuid.uuid4().hex, "workflow.run_id": None, "workflow.check_run_id": "987"}
        return changed(BASES[status], {**own, **changes})

    def honest(self, repo: str = MEMBERS[0], **headers: str) -> requests.Response:
        """One job's callback, as it should be."""
        run_id = str(uuid.uuid4().int % 10**12)
        return self.post(self.token(repo, run_id=run_id), self.callback(**{"workflow.run_id": run_id}), **headers)


@pytest.fixture
def make(
    web: Web, tmp_path: Path, own_relay_table: str, aws_environment: None
) -> Callable[..., tuple[Starlette, Issuer]]:
    """Builds a relay that believes one issuer; HUD takes everything."""
    web.answers["/api/oot/results"] = as_json({"ok": True, "outcome": "stored"})
    allowlist = tmp_path / "allowlist.yaml"
    allowlist.write_text(f"L2: [{', '.join(MEMBERS)}]\n")
    issuer = Issuer(web, "main")

    def build(**settings: Any) -> tuple[Starlette, Issuer]:
        told = {
            "hud_api_url": f"{web.url}/api/oot/results",
            "hud_api_token": "t" * 16,
            "dispatch_token": "t" * 16,
            "callback_signing_key": "k" * 32,
            "allowlist": str(allowlist),
            "oidc_issuers": [issuer.url],
            "dispatch_policy": "optional",
            "relay_table": own_relay_table,
            "rate_limit_per_minute": PER_MINUTE,
            **settings,
        }
        return relay(RelaySettings(**told)), issuer

    return build


@pytest.fixture
def at(make: Callable[..., tuple[Starlette, Issuer]], serve: Serve) -> Relay:
    app, issuer = make()
    return Relay(serve(app), issuer)


def waits(answer: requests.Response) -> str:
    """The code of an answer; one that asks to wait says for how long."""
    if answer.status_code == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert f"try again after {answer.headers['retry-after']} s" in answer.json()["detail"]
    return str(answer.json().get("code", answer.json().get("outcome")))


FLOODS: dict[str, tuple[Callable[[Relay], str], str, int]] = {
    "no token": (lambda _: "", "missing_token", PER_ADDRESS),
    "no token at all": (lambda _: "x", "invalid_token", PER_ADDRESS),
    "a genuine token of a repo that is not listed": (
        lambda at: at.token("stranger/anything"),
        "repo_not_allowed",
        PER_MINUTE,
    ),
    "and of another each time": (
        lambda at: at.token(f"stranger/{uuid.uuid4().hex}"),
        "repo_not_allowed",
        PER_ADDRESS,
    ),
    "a forged token of a member": (lambda at: at.token(key="attacker"), "invalid_token", PER_ADDRESS),
    "an expired token of a member": (lambda at: at.token(exp=1), "expired_token", PER_ADDRESS),
    "a token for somebody else": (lambda at: at.token(aud="sigstore"), "wrong_audience", PER_ADDRESS),
    "a token of another issuer": (lambda at: at.token(iss="https://evil.example"), "unknown_issuer", PER_ADDRESS),
    "a token of an event that strangers start": (
        lambda at: at.token(event_name="pull_request_target"),
        "event_not_accepted",
        PER_ADDRESS,
    ),
}


@pytest.mark.parametrize(("make_token", "code", "budget"), FLOODS.values(), ids=FLOODS)
def test_a_flood_is_told_to_wait_and_members_at_its_address_are_heard(
    at: Relay, make_token: Callable[[Relay], str], code: str, budget: int
) -> None:
    token = make_token(at)
    fresh = make_token(at) != token
    answers = [waits(at.post(make_token(at) if fresh else token)) for _ in range(budget + 10)]
    assert answers[:budget] == [code] * budget
    assert Counter(answers[budget:])["too_many_refusals"] >= 5  # a few come back while it runs
    assert [at.honest(repo).status_code for repo in MEMBERS * 3] == [200] * 9


def test_a_repo_that_is_not_listed_is_not_even_verified_any_more(at: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = 0
    decode = jwt.decode

    def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal verified
        verified += 1
        return decode(*args, **kwargs)

    monkeypatch.setattr(jwt, "decode", count)
    token = at.token("stranger/anything")
    answers = [waits(at.post(token)) for _ in range(PER_MINUTE * 3)]
    assert verified == answers.count("repo_not_allowed") < PER_MINUTE + 5
    assert waits(at.post(at.token("stranger/other"))) == "repo_not_allowed"  # at the same address, and no flood


def test_what_is_accepted_never_counts(at: Relay) -> None:
    """Three busy backends behind one address: more calls than any budget of refusals."""
    answers = [at.honest(repo).json()["outcome"] for _ in range(PER_MINUTE) for repo in MEMBERS]
    assert answers == ["delivered"] * PER_MINUTE * 3
    assert waits(at.post("x")) == "invalid_token"


@pytest.mark.parametrize("forged", ["203.0.113.{n}", "203.0.113.{n}:4{n}", "{n}", "::{n}", "127.0.0.1, 203.0.113.{n}"])
def test_a_header_is_no_way_to_another_budget(at: Relay, forged: str) -> None:
    answers = [waits(at.post("x", **{"x-forwarded-for": forged.format(n=n)})) for n in range(PER_ADDRESS + 10)]
    assert answers[:PER_ADDRESS] == ["invalid_token"] * PER_ADDRESS
    assert Counter(answers)["too_many_refusals"] >= 5


def test_behind_a_proxy_that_is_named_each_caller_has_its_own(
    make: Callable[..., tuple[Starlette, Issuer]], serve: Serve
) -> None:
    app, issuer = make(forwarded_allow_ips="127.0.0.1")
    at = Relay(serve(app), issuer)
    for _ in range(PER_ADDRESS + 5):
        last = waits(at.post("x", **{"x-forwarded-for": "198.51.100.1"}))
    assert last == "too_many_refusals"
    assert waits(at.post("x", **{"x-forwarded-for": "198.51.100.2"})) == "invalid_token"
    # What stands before the proxy's own entry was written by the caller.
    assert waits(at.post("x", **{"x-forwarded-for": "198.51.100.9, 198.51.100.1"})) == "too_many_refusals"


class TestOneListedToken:
    """T8b of the security review: what one token of a repo repeats, the repo's other jobs do not pay."""

    @pytest.mark.parametrize("body", [b"x", b"{}", b"", b"[" * 100_000, {"delivery_id": "d"}], ids=range(5))
    def test_invalid_bodies_cost_the_repo_nothing(self, at: Relay, body: Any) -> None:
        token = at.token()
        answers = [waits(at.post(token, body)) for _ in range(PER_MINUTE * 2)]
        assert set(answers[:PER_MINUTE]) & {"invalid_json", "invalid_callback"}
        assert Counter(answers[PER_MINUTE:])["too_many_refusals"] >= PER_MINUTE // 2
        assert [at.honest().json()["outcome"] for _ in range(PER_MINUTE)] == ["delivered"] * PER_MINUTE
        assert waits(at.honest()) == "rate_limited"  # the repo's own limit, after its own jobs

    def test_neither_do_repetitions_and_other_bodies(self, at: Relay) -> None:
        token = at.token(run_id="240")
        body = at.callback(**{"workflow.run_id": "240"})
        assert at.post(token, body).json()["outcome"] == "delivered"
        others = [changed(body, {"workflow.job_name": "another"}), changed(body, {"workflow.conclusion": "failure"})]
        sent = itertools.islice(itertools.cycle([body, *others]), PER_MINUTE * 2)
        answers = [waits(at.post(token, one)) for one in sent]
        assert {"duplicate", "replayed_token", "conflicting_completion", "too_many_refusals"} >= set(answers)
        assert answers.count("too_many_refusals") >= PER_MINUTE // 2
        honest = [at.honest().json()["outcome"] for _ in range(PER_MINUTE - 1)]
        assert honest == ["delivered"] * (PER_MINUTE - 1)

    def test_its_bodies_are_not_even_read_any_more(self, at: Relay) -> None:
        token = at.token()
        for _ in range(PER_MINUTE + 5):
            at.post(token)
        with at.begin(token) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")

    def test_slow_bodies_hold_nothing_of_the_repo_s(self, at: Relay) -> None:
        with ExitStack() as held:
            for _ in range(PER_MINUTE * 2):
                held.enter_context(at.begin(at.token()))
            assert [at.honest().json()["outcome"] for _ in range(PER_MINUTE)] == ["delivered"] * PER_MINUTE


def test_a_repo_over_its_limit_is_told_before_its_body_is_read(at: Relay) -> None:
    for _ in range(PER_MINUTE):
        assert at.honest().status_code == 200
    assert waits(at.honest()) == "rate_limited"
    with at.begin(at.token()) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")
    assert at.honest(MEMBERS[1]).status_code == 200


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestBudget:
    @given(st.sampled_from([1, 2, 7, 60, 300]), st.lists(st.floats(0, 30), max_size=60))
    def test_no_more_is_counted_than_the_budget_and_what_has_come_back(
        self, per_minute: int, pauses: list[float]
    ) -> None:
        clock, counted = Clock(), []
        budget = Budget(per_minute, clock)
        for pause in pauses:
            clock.now += pause
            if not budget.wait("key"):
                counted.append(clock.now)
                budget.count("key")
        for first, last in itertools.combinations_with_replacement(range(len(counted)), 2):
            assert last - first + 1 <= per_minute + (counted[last] - counted[first]) * per_minute / 60 + 1e-6

    @given(st.sampled_from([1, 2, 7, 60]), st.integers(1, 200))
    def test_the_wait_is_exact_however_often_a_blocked_one_is_counted(self, per_minute: int, times: int) -> None:
        clock = Clock()
        budget = Budget(per_minute, clock)
        for _ in range(times):
            budget.count("key")
        wait = budget.wait("key")
        assert (wait > 0) == (times >= per_minute)
        assert wait <= 60 / per_minute + 1e-6  # nobody is held up longer for insisting
        clock.now += wait + 1e-6
        assert budget.wait("key") == 0

    def test_others_do_not_pay(self) -> None:
        budget = Budget(1, Clock())
        budget.count("one")
        assert (budget.wait("one") > 0, budget.wait("another")) == (True, 0)

    def test_it_remembers_no_more_than_it_may_and_forgets_the_oldest_first(self) -> None:
        budget = Budget(1, Clock(), max_keys=100)
        for number in range(10_000):
            budget.count(f"key-{number}")
            budget.count("insistent")
        assert len(budget._full_at) == 100
        assert budget.wait("insistent") > 0
        assert budget.wait("key-0") == 0

    def test_what_a_flood_from_everywhere_may_fill_is_small(self) -> None:
        assert admission.MAX_KEYS * 200 < 4_000_000  # bytes, of a key and its number


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("invalid_token", True),
        ("repo_not_allowed", True),
        ("body_too_slow", True),
        ("conflicting_completion", True),
        ("rate_limited", False),  # counted where the limit is
        ("too_many_refusals", False),
        ("issuer_unavailable", False),  # ours to mend
        ("store_unavailable", False),
        ("internal_error", False),
    ],
)
def test_what_counts_is_the_caller_s_own_doing(code: str, counts: bool) -> None:  # noqa: FBT001 - a column
    kept = Admission(1, Clock())
    assert kept.count_stranger("address", Claim(), RefusedError(code, "why")).code == code
    kept.count_token("token", RefusedError(code, "why"))
    for _ in range(ADDRESS_FACTOR):
        kept.count_stranger("address", Claim(), RefusedError(code, "why"))
    checks: list[Callable[[], None]] = [
        lambda: kept.check_stranger("address", Claim()),
        lambda: kept.check_token("token"),
    ]
    for check in checks:
        if counts:
            with pytest.raises(RefusedError, match="too often") as caught:
                check()
            assert (caught.value.code, caught.value.status) == ("too_many_refusals", 429)
        else:
            check()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("192.0.2.1, 192.0.2.2", "unknown"),
        ("999.1.1.1", "unknown"),
    ],
)
def test_an_address_is_what_one_caller_has(host: str, address: str) -> None:
    scope = {"client": (host, 4711), "headers": []}
    assert client_address(scope, behind_proxy=False) == address
    assert client_address({"client": None, "headers": []}, behind_proxy=False) == "unknown"


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"X-Forwarded-For"])
def test_on_lambda_api_gateway_says_who_calls_whatever_a_header_says(name: bytes) -> None:
    scope = {"client": ("192.0.2.1", 0), "headers": [[name, b"203.0.113.9"]], "aws.event": {}}
    assert client_address(scope, behind_proxy=False) == "192.0.2.1"
