"""The issuer's keys: asked for rarely, rotated in time, kept when the issuer is down or talks nonsense."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay import jwks
from hud_endpoint.relay.jwks import COOL_DOWN_SECONDS, FRESH_SECONDS, KeySet
from tests.hud_endpoint.relay.issuer import DISCOVERY, JWKS, Issuer, private_key, public_jwk
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.web import Answer, Web, as_json

if TYPE_CHECKING:
    import requests

EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "use": "sig",
    "kid": "ec",
}  # RFC 7515, appendix A.3


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def issuer(web: Web) -> Issuer:
    return Issuer(web, "main")


@pytest.fixture
def keys(issuer: Issuer, session: requests.Session, clock: Clock) -> KeySet:
    return KeySet(issuer.url, session)


def code(keys: KeySet, kid: str) -> str:
    """What asking for a key ends in."""
    try:
        keys.keys(kid)
    except RefusedError as error:
        return error.code
    return "found"


def fetches(issuer: Issuer) -> int:
    return issuer.web.paths().count(DISCOVERY)


def test_keys_are_fetched_once_and_kept(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    for _ in range(100):
        (found,) = keys.keys("main")
        clock.now += 30
    public: Any = found.key
    assert public.public_numbers() == private_key("main").public_key().public_numbers()
    assert issuer.web.paths() == [DISCOVERY, JWKS]


def test_keys_are_refreshed_after_an_hour(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    keys.keys("main")
    clock.now += FRESH_SECONDS + 1
    keys.keys("main")
    assert fetches(issuer) == 2


def test_invented_kids_ask_the_issuer_once_a_cool_down(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    for round_ in range(1, 4):
        for number in range(50):
            assert code(keys, f"invented-{number}") == "invalid_token"
        assert fetches(issuer) == round_
        clock.now += COOL_DOWN_SECONDS + 1


def test_a_rotated_key_is_found_after_the_cool_down(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    keys.keys("main")
    issuer.publish(public_jwk("other"))
    assert code(keys, "other") == "invalid_token"
    clock.now += COOL_DOWN_SECONDS + 1
    assert code(keys, "other") == "found"
    assert code(keys, "main") == "invalid_token"  # what the issuer took back is gone


GOOD = json.dumps({"keys": [public_jwk("main")]}).encode()
BOMB = gzip.compress(GOOD.ljust(10_000_000))
NONSENSE: dict[str, dict[str, Answer]] = {
    "discovery 404": {DISCOVERY: Answer(404)},
    "discovery 500": {DISCOVERY: Answer(500)},
    "discovery not JSON": {DISCOVERY: Answer(body=b"<html>")},
    "discovery a list": {DISCOVERY: as_json([])},
    "discovery without jwks_uri": {DISCOVERY: as_json({"issuer": "{url}"})},
    "discovery of another issuer": {
        DISCOVERY: as_json({"issuer": "https://evil.example.org", "jwks_uri": "{url}/keys"})
    },
    "discovery pointing at a file": {DISCOVERY: as_json({"issuer": "{url}", "jwks_uri": "file:///etc/passwd"})},
    "discovery pointing nowhere": {DISCOVERY: as_json({"issuer": "{url}", "jwks_uri": None})},
    "discovery pointing to another scheme": {
        DISCOVERY: as_json({"issuer": "{url}", "jwks_uri": "https://127.0.0.1:9/keys"})
    },
    "discovery redirecting": {DISCOVERY: Answer(302, headers={"location": "{url}/keys"})},
    "404": {JWKS: Answer(404)},
    "500": {JWKS: Answer(500)},
    "204": {JWKS: Answer(204)},
    "redirecting": {JWKS: Answer(302, headers={"location": "{url}/keys"})},
    "not JSON": {JWKS: Answer(body=b"<html>")},
    "empty": {JWKS: Answer()},
    "not UTF-8": {JWKS: Answer(body=b'{"keys": ["\xff"]}')},
    "a list": {JWKS: as_json([])},
    "keys a string": {JWKS: as_json({"keys": "x"})},
    "keys null": {JWKS: as_json({"keys": None})},
    "keys not objects": {JWKS: as_json({"keys": [1]})},
    "no keys": {JWKS: as_json({"keys": []})},
    "nested deeply": {JWKS: Answer(body=b"[" * 100_000)},
    "more than 512 KB": {JWKS: Answer(body=GOOD.ljust(600_000))},
    "a gzip bomb": {JWKS: Answer(body=BOMB, headers={"content-encoding": "gzip"})},
    "not gzip": {JWKS: Answer(body=b"not gzip", headers={"content-encoding": "gzip"})},
    "cut off": {JWKS: Answer(body=GOOD, announced=1000 + len(GOOD), headers={"connection": "close"})},
    "hanging": {JWKS: Answer(held=True)},
    "only an EC key": {JWKS: as_json({"keys": [EC_KEY]})},
    "only a symmetric key": {JWKS: as_json({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "main"}]})},
    "only an encryption key": {
        JWKS: as_json({"keys": [{"kty": "RSA", "use": "enc", "kid": "main", "n": "AQ", "e": "AQAB"}]})
    },
    "only a key without kid": {JWKS: as_json({"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB"}]})},
    "only a malformed key": {JWKS: as_json({"keys": [{"kty": "RSA", "kid": "main", "n": "AQ"}]})},
}


def talk_nonsense(issuer: Issuer, answers: dict[str, Answer]) -> None:
    """Answer so from now on; `{url}` in an answer becomes the issuer's own."""
    url = issuer.url
    issuer.web.answers["/keys"] = as_json({"keys": [public_jwk("main")]})  # where redirects would lead
    for path, answer in answers.items():
        headers = {name: value.replace("{url}", url) for name, value in answer.headers.items()}
        body = answer.body.replace(b"{url}", url.encode())
        issuer.web.answers[path] = Answer(answer.status, body, headers, answer.announced, answer.held)


@pytest.fixture
def impatient(answers: dict[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits in vain no longer than a test needs."""
    held = any(answer.held for answer in answers.values())
    monkeypatch.setattr(jwks, "_TIMEOUT", (60, 0.1 if held else 60))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answers", NONSENSE.values(), ids=NONSENSE)
class TestAnIssuerThatTalksNonsense:
    def test_is_unavailable_until_it_mends(
        self, keys: KeySet, issuer: Issuer, clock: Clock, answers: dict[str, Answer]
    ) -> None:
        good = dict(issuer.web.answers)
        talk_nonsense(issuer, answers)
        with pytest.raises(RefusedError, match="try again in a minute") as caught:
            keys.keys("main")
        assert (caught.value.code, caught.value.status) == ("issuer_unavailable", 503)
        issuer.web.answers.update(good)
        assert code(keys, "main") == "issuer_unavailable"  # the cool-down paces the next try
        clock.now += COOL_DOWN_SECONDS + 1
        assert code(keys, "main") == "found"

    def test_does_not_spoil_the_keys_it_gave_before(
        self, keys: KeySet, issuer: Issuer, clock: Clock, answers: dict[str, Answer]
    ) -> None:
        keys.keys("main")
        talk_nonsense(issuer, answers)
        clock.now += FRESH_SECONDS + 1
        assert code(keys, "main") == "found"
        assert code(keys, "invented") == "invalid_token"
        assert fetches(issuer) == 2
        assert "/keys" not in issuer.web.paths()  # no redirect is followed


def test_an_issuer_that_is_gone_does_not_take_its_keys_along(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    keys.keys("main")
    issuer.web.close()
    clock.now += 7 * 24 * 3600
    assert code(keys, "main") == "found"


def test_nobody_with_a_known_key_waits_for_a_slow_issuer(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    keys.keys("main")
    issuer.web.answers[DISCOVERY] = Answer(held=True)
    clock.now += FRESH_SECONDS + 1
    refreshing = threading.Thread(target=keys.keys, args=("main",))
    refreshing.start()
    while fetches(issuer) < 2:
        assert refreshing.is_alive()
    assert code(keys, "main") == "found"
    assert refreshing.is_alive()
    issuer.web.close()
    refreshing.join(60)
    assert not refreshing.is_alive()


def test_keys_of_an_https_issuer_never_come_in_the_clear(
    session: requests.Session, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def get(url: str) -> Any:
        asked.append(url)
        return {"issuer": "https://issuer.example.org", "jwks_uri": f"{web.url}/keys"}

    keys = KeySet("https://issuer.example.org", session)
    monkeypatch.setattr(keys, "_get", get)
    assert code(keys, "main") == "issuer_unavailable"
    assert asked == ["https://issuer.example.org/.well-known/openid-configuration"]


def test_other_keys_beside_a_good_one_are_left_out(keys: KeySet, issuer: Issuer) -> None:
    malformed = {"kty": "RSA", "kid": "malformed", "n": "AQ"}
    issuer.publish(EC_KEY, malformed, public_jwk("encryption", use="enc"), public_jwk("main"))
    assert [code(keys, kid) for kid in ("main", "ec", "malformed", "encryption")] == ["found"] + ["invalid_token"] * 3


def test_an_rsa_key_verifies_rs256_whatever_it_says_of_itself(keys: KeySet, issuer: Issuer) -> None:
    issuer.publish(public_jwk("main", alg="RS512"))
    assert [key.algorithm_name for key in keys.keys("main")] == ["RS256"]


def number(value: int) -> str:
    """A number as a JWK has it."""
    return base64.urlsafe_b64encode(value.to_bytes(-(-value.bit_length() // 8) or 1, "big")).rstrip(b"=").decode()


def bad(**changes: Any) -> dict[str, Any]:
    """A key like the good one but for these members, under a kid of its own; ABSENT takes one out."""
    entry = public_jwk("main", **{"kid": "bad", **changes})
    return {name: value for name, value in entry.items() if value is not ABSENT}


@cache
def small_key() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505 - it must be refused
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "bad"}


MODULUS = private_key("main").public_key().public_numbers().n
WRONG_NUMBERS: list[Any] = [None, 12, 1.5, True, [], {}, "", "***", "é", "\ud800", "A", number(0), number(1)]
BROKEN: dict[str, Any] = {
    "null": None,
    "text": "x",
    "a number": 1,
    "true": True,
    "a list": [public_jwk("main")],
    "empty": {},
    "of an unknown type": {"kty": "AKP", "alg": "ML-DSA-65", "kid": "bad", "pub": "AAAA"},
    "of no type": bad(kty=ABSENT),
    "its type a list": bad(kty=["RSA"]),
    "a symmetric key": {"kty": "oct", "k": "c2VjcmV0", "kid": "bad"},
    "for encryption": bad(use="enc"),
    "its use a list": bad(use=["sig"]),
    "its use null": bad(use=None),
    "without kid": bad(kid=ABSENT),
    "its kid a number": bad(kid=1),
    "its kid a list": bad(kid=["bad"]),
    "its kid half a character": bad(kid="\ud800"),
    **{f"{name} missing": bad(**{name: ABSENT}) for name in ("n", "e")},
    **{f"{name} {value!r:.12}": bad(**{name: value}) for name in ("n", "e") for value in WRONG_NUMBERS},
    "n tiny": bad(n=number(3233)),
    "n of 1,024 bits": small_key(),
    "n of 17,000 bits": bad(n=number((1 << 17_000) + 1)),
    "n of two million bits": bad(n=number((1 << 2_000_000) + 1)),
    "e even": bad(e=number(2)),
    "e beyond n": bad(e=number(MODULUS + 2)),
    "e of 2,000 bits": bad(e=number((1 << 2000) + 1)),
    "e of 70 bits": bad(e=number((1 << 70) + 1)),
    "a private key": {**RSAAlgorithm.to_jwk(private_key("main"), as_dict=True), "kid": "bad"},
    "half a private key": bad(d="AQ"),
    "a wrong private key": bad(d="AQ", p="AQ", q="AQ", dp="AQ", dq="AQ", qi="AQ"),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("entry", BROKEN.values(), ids=BROKEN)
def test_a_broken_entry_costs_itself_alone(keys: KeySet, issuer: Issuer, entry: Any, place: str) -> None:
    good = public_jwk("main")
    issuer.publish(*([entry, good] if place == "before" else [good, entry]))
    assert code(keys, "main") == "found"
    assert code(keys, "bad") == "invalid_token"


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("entry", [one for one in BROKEN.values() if isinstance(one, dict)])
def test_a_broken_entry_under_the_name_of_a_good_one_does_not_displace_it(
    keys: KeySet, issuer: Issuer, entry: dict[str, Any], place: str
) -> None:
    good, same_name = public_jwk("main"), {**entry, "kid": "main"}
    issuer.publish(*([same_name, good] if place == "before" else [good, same_name]))
    found: list[Any] = [key.key for key in keys.keys("main")]
    assert {key.public_numbers().n for key in found} == {MODULUS}


def test_a_number_of_more_digits_than_python_reads_costs_its_entry_alone(keys: KeySet, issuer: Issuer) -> None:
    good = json.dumps(public_jwk("main"))
    issuer.web.answers[JWKS] = Answer(body=f'{{"keys": [{{"kid": {"9" * 10_000}}}, {good}]}}'.encode())
    assert code(keys, "main") == "found"
