"""Who calls: the identity that a GitHub Actions OIDC token proves.

Claims and their meaning: https://docs.github.com/actions/reference/security/oidc. `sub` is never parsed (its format
changed in 2026): identity is `repository` and its immutable ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.jwks import KeySet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import requests

ALGORITHMS = ["RS256"]
LEEWAY_SECONDS = 30
REQUIRED_CLAIMS = ["iss", "aud", "exp", "iat", "sub"]
MAX_TOKEN_BYTES = 16 * 1024
# pull_request_target runs a fork's pull request with the base repo's identity: it must not speak for the repo.
ACCEPTED_EVENTS = frozenset({"repository_dispatch", "schedule", "workflow_dispatch", "push", "workflow_run"})


def _matches(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


CLAIM_RULES: Mapping[str, Callable[[object], bool]] = {
    "repository": _matches(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}"),
    "repository_id": _matches(r"[0-9]{1,20}"),
    "repository_owner_id": _matches(r"[0-9]{1,20}"),
    "run_id": _matches(r"[0-9]{1,20}"),
    "run_attempt": _matches(r"[0-9]{1,6}"),
    "event_name": _matches(r"[a-z_]{1,50}"),
}


@dataclass(frozen=True)
class Identity:
    """What a verified token proves of its caller."""

    repo: str
    repository_id: str
    run_id: str
    run_attempt: int
    check_run_id: str | None
    event_name: str
    workflow_ref: str | None
    ref: str | None
    sha: str | None


class Verifier:
    """Verifies tokens of a fixed list of issuers."""

    def __init__(self, issuers: Iterable[str], audience: str, session: requests.Session) -> None:
        self._audience = audience
        self._keys = {issuer: KeySet(issuer, session) for issuer in issuers}

    def verify(self, authorization: str | None) -> Identity:
        """Give the identity behind an `Authorization: Bearer <token>` header.

        Raises RefusedError with one of the codes missing_token, invalid_token, expired_token, unknown_issuer,
        wrong_audience, event_not_accepted, issuer_unavailable.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise RefusedError(
                "missing_token", "No OIDC token came along: give the job `permissions: id-token: write`."
            )
        return _identity(self._claims(token.strip()))

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise RefusedError("invalid_token", f"The token has more than {MAX_TOKEN_BYTES:,} bytes.")
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            issuer, kid = unverified["payload"].get("iss"), unverified["header"].get("kid")
            if not isinstance(issuer, str) or issuer not in self._keys:
                raise RefusedError("unknown_issuer", "The token comes from an issuer that this relay does not accept.")
            if unverified["header"].get("alg") not in ALGORITHMS or not isinstance(kid, str):
                raise RefusedError("invalid_token", "The token must be signed with RS256 and name its key in `kid`.")
            # The key is always the issuer's own; jku, x5u and jwk in the header are never looked at.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._keys[issuer].key(kid),
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS, "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise RefusedError(
                "expired_token", "The token has expired (they live for minutes): fetch it right before the callback."
            ) from None
        except jwt.InvalidAudienceError:
            raise RefusedError("wrong_audience", f"The token's audience must be {self._audience}.") from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise RefusedError("invalid_token", f"The token is not valid ({type(error).__name__}).") from None
        return claims


def _identity(claims: Mapping[str, Any]) -> Identity:
    for name, holds in CLAIM_RULES.items():
        if not holds(claims.get(name)):
            raise RefusedError("invalid_token", f"The token's claim {name} is missing or malformed.")
    if claims["event_name"] not in ACCEPTED_EVENTS:
        raise RefusedError(
            "event_not_accepted",
            f"Results from {claims['event_name']} runs are not accepted: "
            f"report from one of {', '.join(sorted(ACCEPTED_EVENTS))}.",
        )
    check_run_id = claims.get("check_run_id")
    return Identity(
        repo=claims["repository"],
        repository_id=claims["repository_id"],
        run_id=claims["run_id"],
        run_attempt=int(claims["run_attempt"]),
        check_run_id=str(check_run_id) if isinstance(check_run_id, str | int) else None,
        event_name=claims["event_name"],
        **{
            name: value if isinstance(value := claims.get(name), str) else None
            for name in ("workflow_ref", "ref", "sha")
        },
    )
