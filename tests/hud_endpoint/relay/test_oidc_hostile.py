"""Tokens that nobody may get in with, whatever kind of issuer they claim to be from. What each kind's own claims must
be is the table of test_issuers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.issuers import PROFILES, Pipeline
from hud_endpoint.relay.oidc import Verifier
from tests.hud_endpoint.relay.issuer import DISCOVERY, JWKS, Issuer, private_key, public_jwk, public_pem, segment
from tests.hud_endpoint.samples import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from tests.hud_endpoint.web import Web

    Make = Callable[[Issuer], str]


def unsigned(issuer: Issuer, algorithm: object) -> str:
    return f"{segment({'alg': algorithm, 'kid': 'main'})}.{segment(issuer.claims())}."


def with_hmac(issuer: Issuer, secret: bytes) -> str:
    """The classic: a verifier that lets the token choose takes the RSA key's text for an HMAC secret."""
    signed = f"{segment({'alg': 'HS256', 'kid': 'main'})}.{segment(issuer.claims())}"
    return f"{signed}.{segment(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def with_payload(issuer: Issuer, payload: object) -> str:
    head, _, signature = issuer.sign().split(".")
    return f"{head}.{segment(payload)}.{signature}"


def with_header(issuer: Issuer, header: object) -> str:
    _, body, signature = issuer.sign().split(".")
    return f"{segment(header)}.{body}.{signature}"


def signed_text(payload: str, header: str = '{"alg": "RS256", "kid": "main"}') -> str:
    """Sign JSON that no library would write."""
    from jwt import get_algorithm_by_name

    signed = f"{segment(header.encode())}.{segment(payload.encode())}"
    return f"{signed}.{segment(get_algorithm_by_name('RS256').sign(signed.encode(), private_key('main')))}"


def twice(issuer: Issuer, name: str, first: str) -> str:
    """The issuer's own signature over a payload that names a claim twice."""
    return signed_text(f'{{"{name}": {json.dumps(first)}, {json.dumps(issuer.claims())[1:]}')


def claim(name: str, value: Any) -> Make:
    return lambda issuer: issuer.sign(issuer.claims(**{name: value}))


def later(name: str, seconds: float) -> Make:
    return lambda issuer: issuer.sign(issuer.claims(**{name: int(time.time() + seconds)}))


PAYLOADS: list[object] = [
    *(None, 1, "text", [], {}, {"iss": None}, {"iss": []}, {"iss": {}}, {"iss": 1}, {"iss": ""}),
    *({"iss": "{url}"}, {"iss": "{url}", "repository": None}, {"iss": "{url}", "repository": ["spec/backend"]}),
    *({"iss": "{url}", "repository": {"a": 1}}, {"iss": "{url}", "repository": "x" * 9000}, {"repository": "o/r"}),
    *(
        {"iss": "{url}", "repository": "\ud800"},
        {"iss": "{url}", "project_id": []},
        {"iss": "{url}", "project_id": None},
    ),
]


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_a_token_claims_unverified_is_read_without_an_error(
    web: Web, session: requests.Session, kind: str, payload: object
) -> None:
    """It decides who has to wait, before anything is proven."""
    issuer = Issuer(web, "main", kind=kind)
    body = json.dumps(payload).replace("{url}", issuer.url).encode()
    token = f"{segment({'alg': 'none'})}.{segment(body)}."
    for header in (f"Bearer {token}", token, f"Bearer {token[:-9]}", f"Bearer a.{'é' * 9}.c", "Bearer a", None):
        source, repo = Verifier([issuer.setting], AUDIENCE, session).claimed_source(header)
        assert len(source) <= 400
        assert isinstance(repo, str)


FORGED: dict[str, Make] = {
    "alg none": lambda issuer: unsigned(issuer, "none"),
    "alg None": lambda issuer: unsigned(issuer, "None"),
    "alg null": lambda issuer: unsigned(issuer, None),
    "alg empty": lambda issuer: unsigned(issuer, ""),
    "alg list": lambda issuer: unsigned(issuer, ["RS256"]),
    "alg gone": lambda issuer: with_header(issuer, {"kid": "main"}),
    "alg in lower case": lambda issuer: with_header(issuer, {"alg": "rs256", "kid": "main"}),
    "HS256 with the public key": lambda issuer: with_hmac(issuer, public_pem("main")),
    "HS256 with the public key's JWK": lambda issuer: with_hmac(issuer, json.dumps(public_jwk("main")).encode()),
    "HS256 with nothing": lambda issuer: with_hmac(issuer, b""),
    "RS512": lambda issuer: issuer.sign(algorithm="RS512"),
    "PS256": lambda issuer: issuer.sign(algorithm="PS256"),
    "unknown kid": lambda issuer: issuer.sign(kid="invented"),
    "no kid": lambda issuer: issuer.sign(kid=ABSENT),
    "kid null": lambda issuer: with_header(issuer, {"alg": "RS256", "kid": None}),
    "kid a number": lambda issuer: with_header(issuer, {"alg": "RS256", "kid": 1}),
    "kid a list": lambda issuer: with_header(issuer, {"alg": "RS256", "kid": ["main"]}),
    "kid a path": lambda issuer: issuer.sign(kid="../../../dev/null"),
    "kid a URL": lambda issuer: issuer.sign(kid=f"{issuer.url}/evil"),
    "kid a query": lambda issuer: issuer.sign(kid="main' OR '1'='1"),
    "kid a command": lambda issuer: issuer.sign(kid="main; id"),
    "kid of 8 KB": lambda issuer: issuer.sign(kid="k" * 8192),
    "another key under a known kid": lambda issuer: issuer.sign(key="attacker", kid="main"),
    "another issuer's key": lambda issuer: issuer.sign(key="other"),
    "another issuer's key under a known kid": lambda issuer: issuer.sign(key="other", kid="main"),
    "jku elsewhere": lambda issuer: issuer.sign(key="attacker", kid="main", jku=f"{issuer.url}/evil"),
    "x5u elsewhere": lambda issuer: issuer.sign(key="attacker", kid="main", x5u=f"{issuer.url}/evil"),
    "x5c inside": lambda issuer: issuer.sign(key="attacker", kid="main", x5c=[public_pem("attacker").decode()]),
    "jwk inside": lambda issuer: issuer.sign(key="attacker", kid="main", jwk=public_jwk("attacker")),
    "jwk inside, no kid": lambda issuer: issuer.sign(key="attacker", kid=ABSENT, jwk=public_jwk("attacker")),
    "crit": lambda issuer: issuer.sign(crit=["made-up"]),
    "detached": lambda issuer: issuer.sign(b64=False, crit=["b64"]),
    "payload changed": lambda issuer: with_payload(issuer, issuer.claims(jti="another")),
    "signature cut": lambda issuer: issuer.sign()[:-10],
    "signature gone": lambda issuer: issuer.sign().rpartition(".")[0] + ".",
    "signature of another token": lambda issuer: (
        issuer.sign().rpartition(".")[0] + "." + issuer.sign(issuer.claims(jti="another")).rpartition(".")[2]
    ),
    "two parts": lambda issuer: issuer.sign().rpartition(".")[0],
    "four parts": lambda issuer: issuer.sign() + ".x",
    "five parts": lambda _: "a.b.c.d.e",  # an encrypted token has five
    "one part": lambda _: "x",
    "only dots": lambda _: "..",
    "two tokens": lambda issuer: f"{issuer.sign()},{issuer.sign()}",
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
    "iss twice": lambda issuer: twice(issuer, "iss", "https://evil.example.org"),
    "aud twice": lambda issuer: twice(issuer, "aud", "sigstore"),
    "repository twice": lambda issuer: (
        signed_text(
            json.dumps(issuer.claims(repository="victim/repo"))[:-1] + ', "repository": "example-org/torch-sample"}'
        )
        if issuer.kind == "github"
        else twice(issuer, "sub", "x")
    ),
    "kid twice": lambda issuer: signed_text(
        json.dumps(issuer.claims()), '{"kid": "other", "alg": "RS256", "kid": "main"}'
    ),
}
if sys.version_info < (3, 12):  # later ones read it, and what a known issuer signed beside its claims harms nobody
    FORGED["signed payload nested deeply"] = lambda issuer: signed_text(
        f'{json.dumps(issuer.claims())[:-1]}, "deep": {"[" * 5000}{"]" * 5000}}}'
    )

CLAIMS: dict[str, tuple[Make, str]] = {
    "iss absent": (claim("iss", ABSENT), "unknown_issuer"),
    "iss null": (claim("iss", None), "unknown_issuer"),
    "iss a list": (lambda issuer: issuer.sign(issuer.claims(iss=[issuer.url])), "unknown_issuer"),
    "iss an object": (claim("iss", {}), "unknown_issuer"),
    "iss GitHub, which this relay has not": (claim("iss", PROFILES["github"].default_url), "unknown_issuer"),
    "iss Buildkite, which this relay has not": (claim("iss", PROFILES["buildkite"].default_url), "unknown_issuer"),
    "iss GitLab, which this relay has not": (claim("iss", PROFILES["gitlab"].default_url), "unknown_issuer"),
    "iss elsewhere": (claim("iss", "https://evil.example.org"), "unknown_issuer"),
    "aud absent": (claim("aud", ABSENT), "invalid_token"),
    "aud null": (claim("aud", None), "invalid_token"),
    "aud empty": (claim("aud", ""), "invalid_token"),
    "aud GitHub's default": (claim("aud", "https://github.com/example-org"), "wrong_audience"),
    "aud in upper case": (claim("aud", AUDIENCE.upper()), "wrong_audience"),
    "aud with a slash": (claim("aud", AUDIENCE + "/"), "wrong_audience"),
    "aud with a space": (claim("aud", AUDIENCE + " "), "wrong_audience"),
    "aud a list": (claim("aud", [AUDIENCE]), "wrong_audience"),  # for several: each of them may replay it
    "aud of two": (claim("aud", [AUDIENCE, "sigstore"]), "wrong_audience"),
    "aud an object": (claim("aud", {AUDIENCE: True}), "wrong_audience"),
    "exp absent": (claim("exp", ABSENT), "invalid_token"),
    "exp null": (claim("exp", None), "invalid_token"),
    "exp text": (claim("exp", "soon"), "invalid_token"),
    "exp a list": (claim("exp", [9999999999]), "invalid_token"),
    "exp infinite": (
        lambda issuer: signed_text(json.dumps(issuer.claims(exp=float("inf")))),
        "invalid_token",
    ),
    "exp passed": (later("exp", -40), "expired_token"),
    "exp 1970": (claim("exp", 0), "expired_token"),
    "exp negative": (claim("exp", -1), "expired_token"),
    "iat absent": (claim("iat", ABSENT), "invalid_token"),
    "iat text": (claim("iat", "now"), "invalid_token"),
    "iat in an hour": (later("iat", 3600), "invalid_token"),
    "iat in a century": (later("iat", 3_000_000_000), "invalid_token"),
    "nbf in an hour": (later("nbf", 3600), "invalid_token"),
    "nbf text": (claim("nbf", "later"), "invalid_token"),
    "sub absent": (claim("sub", ABSENT), "invalid_token"),
    "sub null": (claim("sub", None), "invalid_token"),
    "sub a number": (claim("sub", 5), "invalid_token"),
}

LOOKALIKES = [
    *("{url}/", "{url}//", " {url}", "{url} ", "{url}\n", "{url}?", "{url}#", "{url}/.", "{url}\x00", "{url}%00"),
    *("https://{host}", "HTTP://{host}", "//{host}", "{host}", "github={url}"),
    *("http://{host}@evil.example.org", "http://evil.example.org@{host}", "http://{host}.evil.example.org"),
    *("http://localhost:{port}", "http://127.1:{port}", "http://127.0.0.1\u2024:{port}", "http://１27.0.0.1:{port}"),  # noqa: RUF001 - look-alikes
]


def lookalike(form: str) -> Make:
    def make(issuer: Issuer) -> str:
        host = issuer.url.removeprefix("http://")
        return issuer.sign(issuer.claims(iss=form.format(url=issuer.url, host=host, port=host.partition(":")[2])))

    return make


HOSTILE: dict[str, tuple[Make, str]] = {
    **{name: (make, "invalid_token") for name, make in FORGED.items()},
    **CLAIMS,
    **{f"iss {form!r}": (lookalike(form), "unknown_issuer") for form in LOOKALIKES},
}


def test_the_table_is_as_long_as_it_is_said_to_be() -> None:
    assert len(HOSTILE) == len(FORGED) + len(CLAIMS) + len(LOOKALIKES) >= 110


@pytest.fixture(params=PROFILES)
def issuer(web: Web, request: pytest.FixtureRequest) -> Issuer:
    return Issuer(web, "main", kind=request.param)


@pytest.fixture
def verifier(issuer: Issuer, session: requests.Session) -> Verifier:
    return Verifier([issuer.setting], AUDIENCE, session, lambda _issuer, _id: Pipeline("example-org/torch-sample"))


@pytest.mark.parametrize(("make", "code"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_tokens(verifier: Verifier, issuer: Issuer, make: Make, code: str) -> None:
    assert verifier.verify(f"Bearer {issuer.sign()}").repo == "example-org/torch-sample"  # so far, all is well
    token = make(issuer)
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {token}")
    assert (caught.value.code, caught.value.status) == (code, 401)
    assert len(caught.value.message) < 300
    assert token not in caught.value.message
    assert set(issuer.web.paths()) == {DISCOVERY, JWKS}  # and nothing that the token named


@pytest.mark.parametrize("form", LOOKALIKES)
def test_look_alikes_are_not_asked_for_keys(verifier: Verifier, issuer: Issuer, form: str) -> None:
    with pytest.raises(RefusedError):
        verifier.verify(f"Bearer {lookalike(form)(issuer)}")
    assert issuer.web.asked == []
