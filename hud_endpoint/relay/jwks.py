"""The public keys of OIDC issuers: cached, refreshed for an unknown `kid` with a cool-down, kept when it is down.

Discovery follows OpenID Connect Discovery 1.0 section 4, keys are RFC 7517 JWK sets.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from urllib3.exceptions import HTTPError

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

FRESH_SECONDS = 3600.0
COOL_DOWN_SECONDS = 30.0  # an attacker who invents kids makes us ask the issuer at most this often
_TIMEOUT = (3.05, 5.0)
_MAX_BYTES = 512 * 1024
_KEY_BITS = range(2048, 16_384 + 1)  # RFC 7518, 3.3, asks for 2,048 or more; OpenSSL verifies with no more than 16,384
_SAME_NAME = 4  # keys that are tried for one token; RFC 7517, 4.5, wants names to differ
_EXPONENT_BITS = 64  # what OpenSSL takes with a large key; issuers use 65537
# What an issuer that is down, or talks nonsense, ends in; urllib3's own errors come while the body is being read.
_FAILURES = (
    requests.RequestException,
    HTTPError,
    jwt.PyJWTError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


class KeySet:
    """The RSA keys of one issuer, by `kid`, which should name one key and does not always."""

    def __init__(self, issuer: str, session: requests.Session) -> None:
        self._issuer = issuer
        self._session = session
        self._keys: dict[str, list[jwt.PyJWK]] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def keys(self, kid: str) -> list[jwt.PyJWK]:
        """Return the keys of this name, at least one.

        Raises RefusedError `invalid_token` for a kid the issuer does not have, `issuer_unavailable` when no keys
        could be fetched yet.
        """
        known = kid in self._keys
        if not known or time.monotonic() - self._fetched_at > FRESH_SECONDS:
            self._ask(wait=not known)  # who has a key, however stale, does not wait for a slow issuer
        keys = self._keys
        if kid in keys:
            return keys[kid]
        if not keys:
            raise RefusedError(
                "issuer_unavailable",
                f"The keys of {self._issuer} can't be fetched right now: try again in a minute.",
            )
        raise RefusedError("invalid_token", f"The token is signed with a key that {self._issuer} does not publish.")

    def _ask(self, *, wait: bool) -> None:
        """Refresh the keys, unless that was tried just now or somebody else is at it."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            now = time.monotonic()
            if now - self._tried_at > COOL_DOWN_SECONDS:
                self._tried_at = now
                self._refresh(now)
        finally:
            self._lock.release()

    def _refresh(self, now: float) -> None:
        try:
            discovery = self._get(f"{self._issuer}/.well-known/openid-configuration")
            if discovery["issuer"] != self._issuer:
                raise ValueError("the document belongs to another issuer")  # section 4.3: it must not be used
            keys_url = str(discovery["jwks_uri"])
            if urlsplit(keys_url).scheme != urlsplit(self._issuer).scheme:
                raise ValueError("keys of an https issuer come over https")
            fresh: dict[str, list[jwt.PyJWK]] = {}
            for kid, key in _usable(self._get(keys_url)["keys"]):
                same_name = fresh.setdefault(kid, [])
                if len(same_name) < _SAME_NAME:
                    same_name.append(key)
        except _FAILURES:
            return  # stale keys still verify; the cool-down paces the next try
        if fresh:
            self._keys, self._fetched_at = fresh, now

    def _get(self, url: str) -> Any:  # noqa: ANN401 - JSON
        with self._session.get(url, timeout=_TIMEOUT, allow_redirects=False, stream=True) as response:
            if response.status_code != 200:
                raise ValueError(f"HTTP {response.status_code}")
            body = response.raw.read(_MAX_BYTES + 1, decode_content=True)
        if len(body) > _MAX_BYTES:
            raise ValueError("too large")
        # Not orjson, which refuses a whole document for one lone surrogate; no number of a key set is used.
        return json.loads(body, parse_int=float)


def _usable(keys: object) -> Iterator[tuple[str, jwt.PyJWK]]:
    """Yield the RSA signing keys by `kid`, the only ones that may verify an RS256 signature.

    An entry that is something else, or malformed, is left out alone. Raises TypeError where `keys` is no list.
    """
    if not isinstance(keys, list):
        raise TypeError("keys must be a list")
    for entry in keys:
        key = _signing_key(entry)
        if key is not None:
            yield entry["kid"], key


def _signing_key(entry: object) -> jwt.PyJWK | None:
    """Return the public key of one entry of a key set, or None for what can't verify a signature."""
    if not isinstance(entry, dict) or entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(entry.get("kid"), str) or "d" in entry:  # a private key that is published proves nothing
        return None
    try:
        key = jwt.PyJWK({name: entry[name] for name in ("kty", "n", "e")}, algorithm="RS256")
    except (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError):
        return None
    public = key.key
    if not isinstance(public, RSAPublicKey) or public.key_size not in _KEY_BITS:
        return None
    return key if public.public_numbers().e.bit_length() <= _EXPONENT_BITS else None
