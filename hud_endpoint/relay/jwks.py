"""The public keys of OIDC issuers: cached, refreshed for an unknown `kid` with a cool-down, kept when it is down.

Discovery follows OpenID Connect Discovery 1.0 section 4, keys are RFC 7517 JWK sets.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import orjson
import requests
from urllib3.exceptions import HTTPError

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FRESH_SECONDS = 3600.0
COOL_DOWN_SECONDS = 30.0  # an attacker who invents kids makes us ask the issuer at most this often
_TIMEOUT = (3.05, 5.0)
_MAX_BYTES = 512 * 1024
# What an issuer that is down, or talks nonsense, ends in; urllib3's own errors come while the body is being read.
_FAILURES = (
    requests.RequestException,
    HTTPError,
    jwt.PyJWTError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


class KeySet:
    """The RSA keys of one issuer, by `kid`."""

    def __init__(self, issuer: str, session: requests.Session) -> None:
        self._issuer = issuer
        self._session = session
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def key(self, kid: str) -> jwt.PyJWK:
        """Give the key.

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
            fresh = dict(_usable(self._get(keys_url)["keys"]))
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
        return orjson.loads(body)


def _usable(keys: Iterable[dict[str, Any]]) -> Iterator[tuple[str, jwt.PyJWK]]:
    """Give the RSA signing keys: nothing else may verify an RS256 signature. A malformed one spoils no other."""
    for jwk in keys:
        if jwk.get("kty") == "RSA" and jwk.get("use", "sig") == "sig" and isinstance(jwk.get("kid"), str):
            with suppress(jwt.PyJWTError):
                yield jwk["kid"], jwt.PyJWK(jwk, algorithm="RS256")
