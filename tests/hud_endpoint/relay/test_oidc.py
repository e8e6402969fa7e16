"""Which tokens prove who calls, and why every other one is refused."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.oidc import ACCEPTED_EVENTS, CLAIM_RULES, Verifier
from tests.hud_endpoint.relay.issuer import Issuer, private_key, public_jwk, public_pem, segment
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.web import Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests


@pytest.fixture
def issuer(web: Web) -> Issuer:
    return Issuer(web, "main")


@pytest.fixture
def other_issuer() -> Iterator[Issuer]:
    web = Web()
    yield Issuer(web, "other")
    web.close()


@pytest.fixture
def verifier(issuer: Issuer, other_issuer: Issuer, session: requests.Session) -> Verifier:
    return Verifier([issuer.url, other_issuer.url], AUDIENCE, session)


def refused(verifier: Verifier, token: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {token}")
    assert len(caught.value.message) < 300
    assert token not in caught.value.message
    return caught.value


def test_a_good_token_proves_an_identity(verifier: Verifier, issuer: Issuer) -> None:
    identity = verifier.verify(f"Bearer {issuer.sign()}")
    assert (identity.repo, identity.run_id, identity.run_attempt) == ("example-org/torch-sample", "240", 1)
    assert (identity.check_run_id, identity.event_name) == ("987", "repository_dispatch")
    assert identity.repository_id == issuer.claims()["repository_id"]
    assert identity.ref == "refs/heads/main"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "bearer    ", "Basic dTpw", "Token x", "Bearerx"])
def test_no_token_is_told_apart_from_a_bad_one(verifier: Verifier, header: str | None) -> None:
    with pytest.raises(RefusedError, match="id-token: write") as caught:
        verifier.verify(header)
    assert (caught.value.code, caught.value.status) == ("missing_token", 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(verifier: Verifier, issuer: Issuer, scheme: str) -> None:
    assert verifier.verify(f"{scheme} {issuer.sign()}").run_id == "240"


CLAIMS: list[tuple[str, Any, str]] = [
    ("iss", ABSENT, "unknown_issuer"),
    ("iss", None, "unknown_issuer"),
    ("iss", ["https://token.actions.githubusercontent.com"], "unknown_issuer"),
    ("iss", "https://token.actions.githubusercontent.com", "unknown_issuer"),  # GitHub's, which this relay has not
    ("iss", "https://evil.example.org", "unknown_issuer"),
    ("aud", ABSENT, "invalid_token"),
    ("aud", None, "invalid_token"),
    ("aud", "", "invalid_token"),
    ("aud", "https://github.com/example-org", "wrong_audience"),
    ("aud", AUDIENCE.upper(), "wrong_audience"),
    ("aud", AUDIENCE + "/", "wrong_audience"),
    ("aud", [AUDIENCE], "wrong_audience"),  # a token for several may be replayed by each of them
    ("aud", [AUDIENCE, "sigstore"], "wrong_audience"),
    ("exp", ABSENT, "invalid_token"),
    ("exp", None, "invalid_token"),
    ("exp", "soon", "invalid_token"),
    ("exp", timedelta(seconds=-40), "expired_token"),
    ("exp", 0, "expired_token"),
    ("iat", ABSENT, "invalid_token"),
    ("iat", "now", "invalid_token"),
    ("iat", timedelta(hours=1), "invalid_token"),
    ("nbf", timedelta(hours=1), "invalid_token"),
    ("sub", ABSENT, "invalid_token"),
    ("sub", None, "invalid_token"),
    ("sub", 5, "invalid_token"),
]


@pytest.mark.parametrize(
    ("claim", "value", "code"), CLAIMS, ids=lambda value: "absent" if value is ABSENT else str(value)
)
def test_registered_claims(verifier: Verifier, issuer: Issuer, claim: str, value: Any, code: str) -> None:
    if isinstance(value, timedelta):
        value = int(time.time() + value.total_seconds())
    error = refused(verifier, issuer.sign(issuer.claims(**{claim: value})))
    assert (error.code, error.status) == (code, 401)


@pytest.mark.parametrize("changes", [{"exp": -20}, {"nbf": 20}, {"iat": 20}], ids=str)
def test_clocks_may_be_half_a_minute_apart(verifier: Verifier, issuer: Issuer, changes: dict[str, int]) -> None:
    now = int(time.time())
    token = issuer.sign(issuer.claims(**{name: now + seconds for name, seconds in changes.items()}))
    assert verifier.verify(f"Bearer {token}").run_id == "240"


@pytest.mark.parametrize(
    "lookalike",
    [
        "{url}/",
        "{url}//",
        " {url}",
        "{url}\n",
        "{url}?",
        "{url}#",
        "{url}/.",
        "https://{host}",
        "HTTP://{host}",
        "//{host}",
        "{host}",
        "http://{host}@evil.example.org",
        "http://evil.example.org@{host}",
        "http://{host}.evil.example.org",
        "http://localhost:{port}",
        "http://127.0.0.1\u2024:{port}",
    ],
)
def test_issuers_are_compared_to_the_letter(verifier: Verifier, issuer: Issuer, lookalike: str) -> None:
    host = issuer.url.removeprefix("http://")
    iss = lookalike.format(url=issuer.url, host=host, port=host.partition(":")[2])
    assert refused(verifier, issuer.sign(issuer.claims(iss=iss))).code == "unknown_issuer"
    assert issuer.web.asked == []  # nobody is asked for keys


CLAIM_TABLE: list[tuple[str, list[Any]]] = [
    (
        "repository",
        [
            *(ABSENT, None, "", "torch-sample", "/torch-sample", "example-org/", "a/b/c", 5, ["a/b"]),
            *("example-org/torch-sample\n", "example-org/torch sample", "example-org /torch", "../../x"),
            *("exаmple-org/torch-sample", "example-org／torch-sample", "EXAMPLE-ORG/torch-sampłe", "a/" + "b" * 101),  # noqa: RUF001 - look-alikes
        ],
    ),
    ("repository_id", [ABSENT, None, "", 5, "x", "-1", "1\n", "٣", "1" * 21]),
    ("repository_owner_id", [ABSENT, None, "", 5]),
    ("run_id", [ABSENT, None, "", 240, 240.0, "240 ", "2e3", "0x1", "1" * 21]),
    ("run_attempt", [ABSENT, None, "", 1, True, "-1", "1.0", "1" * 7]),
    ("event_name", [ABSENT, None, "", "Push", "push\n", 5]),
]


@pytest.mark.parametrize(("claim", "wrong"), CLAIM_TABLE, ids=[claim for claim, _ in CLAIM_TABLE])
def test_githubs_claims(verifier: Verifier, issuer: Issuer, claim: str, wrong: list[Any]) -> None:
    for value in wrong:
        error = refused(verifier, issuer.sign(issuer.claims(**{claim: value})))
        assert (error.code, error.message) == ("invalid_token", f"The token's claim {claim} is missing or malformed.")


def test_every_claim_that_is_used_has_a_rule() -> None:
    assert set(CLAIM_RULES) == {claim for claim, _ in CLAIM_TABLE}


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "issue_comment", "merge_group", "release"])
def test_events_that_strangers_can_start_are_refused(verifier: Verifier, issuer: Issuer, event: str) -> None:
    error = refused(verifier, issuer.sign(issuer.claims(event_name=event)))
    assert (error.code, error.status) == ("event_not_accepted", 401)
    assert "repository_dispatch" in error.message


@pytest.mark.parametrize("event", sorted(ACCEPTED_EVENTS))
def test_events_of_the_repos_own_are_accepted(verifier: Verifier, issuer: Issuer, event: str) -> None:
    assert verifier.verify(f"Bearer {issuer.sign(issuer.claims(event_name=event))}").event_name == event


def test_the_accepted_events_are_these() -> None:
    assert {"repository_dispatch", "schedule", "workflow_dispatch", "push", "workflow_run"} == ACCEPTED_EVENTS


@pytest.mark.parametrize(
    ("check_run_id", "proven"), [("987", "987"), (987, "987"), (ABSENT, None), (None, None), (["987"], None)]
)
def test_check_run_id_is_optional(verifier: Verifier, issuer: Issuer, check_run_id: Any, proven: str | None) -> None:
    token = issuer.sign(issuer.claims(check_run_id=check_run_id))
    assert verifier.verify(f"Bearer {token}").check_run_id == proven


def unsigned(issuer: Issuer, algorithm: object) -> str:
    return f"{segment({'alg': algorithm, 'kid': 'main'})}.{segment(issuer.claims())}."


def hmac_of_the_public_key(issuer: Issuer) -> str:
    """The classic: a verifier that lets the token choose takes the RSA key's text for an HMAC secret."""
    signed = f"{segment({'alg': 'HS256', 'kid': 'main'})}.{segment(issuer.claims())}"
    return f"{signed}.{segment(hmac.new(public_pem('main'), signed.encode(), hashlib.sha256).digest())}"


def with_payload(issuer: Issuer, payload: object) -> str:
    head, _, signature = issuer.sign().split(".")
    return f"{head}.{segment(payload)}.{signature}"


def with_header(issuer: Issuer, header: object) -> str:
    _, body, signature = issuer.sign().split(".")
    return f"{segment(header)}.{body}.{signature}"


HOSTILE: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda issuer: unsigned(issuer, "none"),
    "alg None": lambda issuer: unsigned(issuer, "None"),
    "alg null": lambda issuer: unsigned(issuer, None),
    "alg list": lambda issuer: unsigned(issuer, ["RS256"]),
    "HS256 with the public key": hmac_of_the_public_key,
    "RS512": lambda issuer: issuer.sign(algorithm="RS512"),
    "PS256": lambda issuer: issuer.sign(algorithm="PS256"),
    "alg in lower case": lambda issuer: with_header(issuer, {"alg": "rs256", "kid": "main"}),
    "unknown kid": lambda issuer: issuer.sign(kid="invented"),
    "no kid": lambda issuer: issuer.sign(kid=ABSENT),
    "kid null": lambda issuer: with_header(issuer, {"alg": "RS256", "kid": None}),
    "kid a number": lambda issuer: with_header(issuer, {"alg": "RS256", "kid": 1}),
    "kid a path": lambda issuer: issuer.sign(kid="../../../dev/null"),
    "another key under a known kid": lambda issuer: issuer.sign(key="attacker", kid="main"),
    "another issuer's key": lambda issuer: issuer.sign(key="other"),
    "another issuer's key under a known kid": lambda issuer: issuer.sign(key="other", kid="main"),
    "jku elsewhere": lambda issuer: issuer.sign(key="attacker", kid="main", jku=f"{issuer.url}/evil"),
    "x5u elsewhere": lambda issuer: issuer.sign(key="attacker", kid="main", x5u=f"{issuer.url}/evil"),
    "jwk inside": lambda issuer: issuer.sign(key="attacker", kid="main", jwk=public_jwk("attacker")),
    "crit": lambda issuer: issuer.sign(crit=["made-up"]),
    "detached": lambda issuer: issuer.sign(b64=False, crit=["b64"]),
    "payload changed": lambda issuer: with_payload(issuer, issuer.claims(repository="victim/repo")),
    "signature cut": lambda issuer: issuer.sign()[:-10],
    "signature gone": lambda issuer: issuer.sign().rpartition(".")[0] + ".",
    "two parts": lambda issuer: issuer.sign().rpartition(".")[0],
    "four parts": lambda issuer: issuer.sign() + ".x",
    "five parts": lambda _: "a.b.c.d.e",  # an encrypted token has five
    "one part": lambda _: "x",
    "only dots": lambda _: "..",
    "not base64": lambda _: "!.!.!",
    "not ASCII": lambda issuer: "é" + issuer.sign(),
    "NUL": lambda issuer: issuer.sign() + "\x00",
    "spaces inside": lambda issuer: issuer.sign().replace(".", " . "),
    "payload not JSON": lambda issuer: with_payload(issuer, b"{"),
    "payload a list": lambda issuer: with_payload(issuer, [issuer.url]),
    "payload a string": lambda issuer: with_payload(issuer, issuer.url),
    "payload not UTF-8": lambda issuer: with_payload(issuer, b'{"iss": "\xff"}'),
    "payload nested deeply": lambda issuer: with_payload(issuer, b'{"a":' * 1800),
    "header nested deeply": lambda issuer: with_header(issuer, b"[" * 8000),
    "header a list": lambda issuer: with_header(issuer, []),
    "huge": lambda issuer: issuer.sign(issuer.claims(padding="x" * 16_384)),
    "huge garbage": lambda _: "x" * 1_000_000,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tokens(verifier: Verifier, issuer: Issuer, make: Callable[[Issuer], str]) -> None:
    verifier.verify(f"Bearer {issuer.sign()}")  # its keys are known by now
    error = refused(verifier, make(issuer))
    assert (error.code, error.status) == ("invalid_token", 401)
    assert set(issuer.web.paths()) == {"/.well-known/openid-configuration", "/.well-known/jwks"}  # and nothing else


def test_each_issuer_has_keys_of_its_own(verifier: Verifier, issuer: Issuer, other_issuer: Issuer) -> None:
    assert verifier.verify(f"Bearer {other_issuer.sign(key='other')}").run_id == "240"
    other_issuer.publish(public_jwk("main"))  # even where both publish a key of the same name
    claims = other_issuer.claims(iss=issuer.url)
    assert refused(verifier, other_issuer.sign(claims, key="other")).code == "invalid_token"


def test_exactly_these_options_verify(verifier: Verifier, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = jwt.decode, []

    def spy(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        return real(*args, **kwargs)

    monkeypatch.setattr(jwt, "decode", spy)
    token = issuer.sign()
    verifier.verify(f"Bearer {token}")
    [(args, kwargs)] = calls
    assert args[0] == token
    assert args[1].key.public_numbers() == private_key("main").public_key().public_numbers()
    assert kwargs == {
        "algorithms": ["RS256"],
        "audience": "pytorch-cross-repo-ci-relay",
        "issuer": issuer.url,
        "leeway": 30,
        "options": {"require": ["iss", "aud", "exp", "iat", "sub"], "strict_aud": True},
    }
