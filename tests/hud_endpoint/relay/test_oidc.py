"""How a token is read: the header, the clocks, the keys, and the exact options that verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.oidc import Verifier
from tests.hud_endpoint.relay.issuer import Issuer, private_key, public_jwk
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "bearer    ", "Basic dTpw", "Token x", "Bearerx"])
def test_no_token_is_told_apart_from_a_bad_one(verifier: Verifier, header: str | None) -> None:
    with pytest.raises(RefusedError, match="id-token: write") as caught:
        verifier.verify(header)
    assert (caught.value.code, caught.value.status) == ("missing_token", 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(verifier: Verifier, issuer: Issuer, scheme: str) -> None:
    assert verifier.verify(f"{scheme} {issuer.sign()}").run_id == "240"


@pytest.mark.parametrize("changes", [{"exp": -20}, {"nbf": 20}, {"iat": 20}], ids=str)
def test_clocks_may_be_half_a_minute_apart(verifier: Verifier, issuer: Issuer, changes: dict[str, int]) -> None:
    now = issuer.claims()["iat"]
    token = issuer.sign(issuer.claims(**{name: now + seconds for name, seconds in changes.items()}))
    assert verifier.verify(f"Bearer {token}").run_id == "240"


@pytest.mark.parametrize(
    "sub",
    [
        "repo:example-org/torch-sample:ref:refs/heads/main",  # until 2026
        "repo:example-org@1/torch-sample@2:ref:refs/heads/main",  # since
        "repo:victim/repo:pull_request",
        "repository_owner_id:1",  # a template of the customer's own
        "x",
    ],
)
def test_the_subject_says_nothing(verifier: Verifier, issuer: Issuer, sub: str) -> None:
    identity = verifier.verify(f"Bearer {issuer.sign(issuer.claims(sub=sub))}")
    assert (identity.repo, identity.event_name) == ("example-org/torch-sample", "repository_dispatch")


def test_each_issuer_has_keys_of_its_own(verifier: Verifier, issuer: Issuer, other_issuer: Issuer) -> None:
    assert verifier.verify(f"Bearer {other_issuer.sign(key='other')}").run_id == "240"
    other_issuer.publish(public_jwk("main"))  # even where both publish a key of the same name
    with pytest.raises(RefusedError, match=r"is not valid|does not publish") as caught:
        verifier.verify(f"Bearer {other_issuer.sign(other_issuer.claims(iss=issuer.url), key='other')}")
    assert caught.value.code == "invalid_token"


def test_a_token_is_known_by_its_issuers_jti(verifier: Verifier, issuer: Issuer, other_issuer: Issuer) -> None:
    def token_id(of: Issuer, key: str, **claims: Any) -> str:
        return verifier.verify(f"Bearer {of.sign(of.claims(**claims), key=key)}").token_id

    assert token_id(issuer, "main", jti="a") == token_id(issuer, "main", jti="a", run_id="241")
    assert token_id(issuer, "main", jti="a") != token_id(issuer, "main", jti="b")
    assert token_id(issuer, "main", jti="a") != token_id(other_issuer, "other", jti="a")


@pytest.mark.parametrize("jti", [ABSENT, ""])
def test_a_token_without_a_jti_is_known_by_itself(verifier: Verifier, issuer: Issuer, jti: Any) -> None:
    first, second = (issuer.sign(issuer.claims(jti=jti, run_id=run)) for run in ("1", "2"))
    ids = [verifier.verify(f"Bearer {token}").token_id for token in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]


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
