"""How a token is read: the header, the clocks, the keys, and the exact options that verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.oidc import Verifier
from tests.hud_endpoint.relay.issuer import JWKS, Issuer, private_key, public_jwk
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.web import Web, as_json

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


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"iat": 60}, "invalid_token", "still to come by this relay's clock, which says 20"),
        ({"nbf": 60}, "invalid_token", "still to come by this relay's clock, which says 20"),
        ({"iat": 10**6}, "invalid_token", "the clock of the token's issuer is wrong"),
        ({"iat": 10**300}, "invalid_token", "clock"),
        ({"iat": 3600, "nbf": 3600, "exp": 3900}, "invalid_token", "clock"),  # the relay is an hour behind
        ({"exp": -7200}, "expired_token", "over an hour ago by this relay's clock, which says 20"),
        ({"exp": -(10**300)}, "expired_token", "the relay's clock is wrong, and its operator has to set it"),
        ({"exp": -60}, "expired_token", "(they live for minutes): fetch it right before the callback."),
        ({"exp": -3000}, "expired_token", "(they live for minutes): fetch it right before the callback."),
    ],
    ids=str,
)
def test_clock_trouble_is_told_as_such(
    verifier: Verifier, issuer: Issuer, changes: dict[str, int], code: str, told: str
) -> None:
    now = issuer.claims()["iat"]
    token = issuer.sign(issuer.claims(**{name: now + seconds for name, seconds in changes.items()}))
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {token}")
    assert (caught.value.code, told in caught.value.message) == (code, True), caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("times", [{"exp": -7200}, {"iat": 60}], ids=str)
def test_nobody_s_clock_is_blamed_for_what_nobody_signed(
    verifier: Verifier, issuer: Issuer, times: dict[str, int]
) -> None:
    now = issuer.claims()["iat"]
    claims = issuer.claims(**{name: now + seconds for name, seconds in times.items()})
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {issuer.sign(claims, key='attacker', kid='main')}")
    assert (caught.value.code, "clock" in caught.value.message) == ("invalid_token", False)


@pytest.mark.parametrize(
    ("iss", "told"),
    [
        (
            "https://token.actions.githubusercontent.com/acme",
            "from https://token.actions.githubusercontent.com/acme, which this relay does not accept. It is an",
        ),
        ("https://token.actions.githubusercontent.com", "from https://token.actions.githubusercontent.com, which"),
        ("https://git.example.org/_services/token", "from https://git.example.org/_services/token, which"),
        ("x" * 5000, f"from {'x' * 200}, which"),
        ("https://e\n::error::x", "from https://e\\n::error::x, which"),
        ("\ud800", "from \\ud800, which"),
        ('"', "from \\, which"),
        ("", "from an issuer without a name, which"),
        (None, "from an issuer without a name, which"),
        (["https://token.actions.githubusercontent.com"], "from an issuer without a name, which"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_unknown_issuer_is_named_and_where_it_would_be_added(
    verifier: Verifier, issuer: Issuer, iss: Any, told: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {issuer.sign(issuer.claims(iss=iss))}")
    assert (caught.value.code, told in caught.value.message) == ("unknown_issuer", True), caught.value.message
    assert "OIDC_ISSUERS" in caught.value.message


def test_an_enterprise_s_own_issuer_is_one_like_github_s(web: Web, session: requests.Session) -> None:
    """Its keys and its discovery document are under its own path."""
    issuer = Issuer(web, "main")
    issuer.url = f"{web.url}/acme"
    web.answers["/acme/.well-known/openid-configuration"] = as_json({"issuer": issuer.url, "jwks_uri": web.url + JWKS})
    verifier = Verifier([web.url, issuer.url], AUDIENCE, session)
    identity = verifier.verify(f"Bearer {issuer.sign()}")
    assert (identity.repo, identity.issuer) == ("example-org/torch-sample", issuer.url)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("others", [1, 3])
def test_of_keys_of_one_name_any_may_have_signed(verifier: Verifier, issuer: Issuer, place: str, others: int) -> None:
    good = public_jwk("main")
    same_name = [public_jwk(f"same-{number}", kid="main") for number in range(others)]
    issuer.publish(*([*same_name, good] if place == "before" else [good, *same_name]))
    assert verifier.verify(f"Bearer {issuer.sign()}").run_id == "240"
    with pytest.raises(RefusedError, match="InvalidSignatureError"):
        verifier.verify(f"Bearer {issuer.sign(key='attacker', kid='main')}")
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {issuer.sign(issuer.claims(aud='sigstore'))}")
    assert caught.value.code == "wrong_audience"


def test_no_token_makes_the_relay_try_more_keys_than_a_few(
    verifier: Verifier, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.publish(*(public_jwk("same", kid="main") for _ in range(50)))
    tried, decode = 0, jwt.decode

    def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal tried
        tried += 1
        return decode(*args, **kwargs)

    monkeypatch.setattr(jwt, "decode", count)
    with pytest.raises(RefusedError):
        verifier.verify(f"Bearer {issuer.sign()}")
    assert tried == 4
