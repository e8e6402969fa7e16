"""Who calls: the identity that an OIDC token proves. What the claims of each issuer mean is in its row of `issuers`."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import orjson
from jwt.utils import base64url_decode

from hud_endpoint.errors import RefusedError
from hud_endpoint.events import Grant
from hud_endpoint.relay.issuers import Issuer, Pipeline, parse_issuer, pipeline_id
from hud_endpoint.relay.jwks import KeySet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import requests

ALGORITHMS = ["RS256"]
LEEWAY_SECONDS = 30
# https://docs.github.com/actions/reference/security/oidc#customizing-the-issuer-value-for-an-enterprise
_ENTERPRISE_ISSUER = "https://token.actions.githubusercontent.com/"
_CLOCK_SECONDS = 3600  # a token that expired longer ago than this was fetched too early, or a clock is wrong
REQUIRED_CLAIMS = ["iss", "aud", "exp", "iat", "sub"]
MAX_TOKEN_BYTES = 16 * 1024


@dataclass(frozen=True)
class Identity:
    """What a verified token proves of its caller; `token_id` stands for its jti, else for the token.

    `run_attempt` and `check_run_id` are None where the issuer does not say them, `repository_owner_id` where the repo
    is not a claim of the token but the allowlist's word. `event_listed` says that the allowlist names the event for
    this very pipeline.
    """

    repo: str
    repository_id: str
    run_id: str
    run_attempt: int | None
    check_run_id: str | None
    event_name: str
    workflow_ref: str | None
    ref: str | None
    sha: str | None
    token_id: str
    issuer: str = ""
    repository_owner_id: str | None = None
    grant: Grant | None = None  # what runs of its event may report
    event_listed: bool = False
    reports_whole_run: bool = False

    def binding(self, key: str) -> str:
        """Return what a use of the token is remembered by: the token, or each job where it reports a whole run."""
        if self.reports_whole_run:
            return hashlib.sha256(f"{self.token_id}#{key}".encode()).hexdigest()
        return self.token_id

    @property
    def run_key(self) -> str:
        """Name the run among all runs of the issuer."""
        return f"{self.repository_id}#{self.run_id}"


class Verifier:
    """Verifies tokens of a fixed list of issuers.

    `issuers` are URLs, or `kind=URL` (see `parse_issuer`); `pipelines` finds who a pipeline elsewhere speaks for, by
    its issuer's URL and its immutable ids.
    """

    def __init__(
        self,
        issuers: Iterable[str],
        audience: str,
        session: requests.Session,
        pipelines: Callable[[str, str], Pipeline | None] = lambda _issuer, _id: None,
    ) -> None:
        self._audience = audience
        self._pipelines = pipelines
        self._issuers = {issuer.url: issuer for issuer in map(parse_issuer, issuers)}
        self._keys = {url: KeySet(url, session) for url in self._issuers}

    def verify(self, authorization: str | None) -> Identity:
        """Return the identity behind an `Authorization: Bearer <token>` header.

        Raises RefusedError with one of the codes missing_token, invalid_token, expired_token, unknown_issuer,
        wrong_audience, event_not_accepted, pipeline_not_allowed, issuer_unavailable.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise RefusedError(
                "missing_token", "No OIDC token came along: give the job `permissions: id-token: write`."
            )
        token = token.strip()
        claims = self._claims(token)
        issuer = self._issuers[claims["iss"]]
        return _identity(issuer, claims, self._resolve_repo(issuer, claims), token)

    def claimed_source(self, authorization: str | None) -> tuple[str, str]:
        """Return who a token claims to come from and the repo that this would be, both "" where it says nothing.

        Nothing is verified: anybody can write such a token.
        """
        token = (authorization or "").partition(" ")[2].strip()
        if len(token) > MAX_TOKEN_BYTES:
            return "", ""
        try:
            claims = orjson.loads(base64url_decode(token.split(".")[1]))
            issuer = self._issuers[claims["iss"]]
            source = claims[issuer.profile.repo] if issuer.profile.repo else pipeline_id(issuer.profile, claims)
        except (LookupError, ValueError, TypeError):
            return "", ""
        source = str(source)[:300]
        if issuer.profile.repo:
            return source.lower(), source
        pipeline = self._pipelines(issuer.url, source)
        return f"{issuer.url} {source}", pipeline.repo if pipeline else ""

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise RefusedError("invalid_token", f"The token has more than {MAX_TOKEN_BYTES:,} bytes.")
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            issuer, kid = unverified["payload"].get("iss"), unverified["header"].get("kid")
            if not isinstance(issuer, str) or issuer not in self._keys:
                raise _unknown_issuer(issuer)
            if unverified["header"].get("alg") not in ALGORITHMS or not isinstance(kid, str):
                raise RefusedError("invalid_token", "The token must be signed with RS256 and name its key in `kid`.")
            for part in token.split(".")[:2]:
                json.loads(base64url_decode(part), object_pairs_hook=_without_duplicates)
            # The key is always the issuer's own; jku, x5u and jwk in the header are never looked at.
            claims = self._verified_claims(token, issuer, self._keys[issuer].keys(kid))
        except jwt.ExpiredSignatureError:
            raise _expired(unverified["payload"]["exp"]) from None
        except jwt.ImmatureSignatureError:
            raise RefusedError(
                "invalid_token",
                f"The token's time is still to come by this relay's clock, which says {_now()}: where that is wrong, "
                "its operator has to set it; else the clock of the token's issuer is wrong.",
            ) from None
        except jwt.InvalidAudienceError:
            raise RefusedError("wrong_audience", f"The token's audience must be {self._audience}.") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise RefusedError("invalid_token", f"The token is not valid ({type(error).__name__}).") from None
        for name, holds in self._issuers[issuer].profile.rules.items():
            if not holds(claims.get(name)):
                raise RefusedError("invalid_token", f"The token's claim {name} is missing or malformed.")
        return claims

    def _verified_claims(self, token: str, issuer: str, keys: list[jwt.PyJWK]) -> dict[str, Any]:
        """Return the claims that one of the keys has signed. Raises PyJWTError."""
        *others, last = keys
        for key in others:  # an issuer that gives two keys one name
            with suppress(jwt.InvalidSignatureError):
                return self._decode(token, issuer, key)
        return self._decode(token, issuer, last)

    def _decode(self, token: str, issuer: str, key: jwt.PyJWK) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED_CLAIMS, "strict_aud": True},
        )
        return claims

    def _resolve_repo(self, issuer: Issuer, claims: Mapping[str, Any]) -> Pipeline:
        if issuer.profile.repo:
            return Pipeline(claims[issuer.profile.repo])
        name = pipeline_id(issuer.profile, claims)
        pipeline = self._pipelines(issuer.url, name)
        if pipeline is None:
            raise RefusedError(
                "pipeline_not_allowed",
                f"Pipeline {name} of {issuer.url} speaks for no repo: ask PyTorch's dev infra to add it to "
                "`providers` in the allowlist.",
            )
        for claim, accepted in pipeline.required_claims.items():
            value = claims.get(claim)
            if not isinstance(value, str | int) or str(value) not in accepted:
                raise RefusedError(
                    "pipeline_not_allowed",
                    f"Pipeline {name} speaks for {pipeline.repo} only where {claim} is {' or '.join(accepted)}.",
                )
        return pipeline


def _unknown_issuer(issuer: object) -> RefusedError:
    # As JSON would have it: nobody has signed this text yet.
    name = json.dumps(issuer)[1:201].rstrip('"') if isinstance(issuer, str) and issuer else "an issuer without a name"
    hint = " It is an enterprise's own on github.com." if name.startswith(_ENTERPRISE_ISSUER) else ""
    return RefusedError(
        "unknown_issuer",
        f"The token comes from {name}, which this relay does not accept.{hint} Its operator adds issuers that it shall "
        "accept to OIDC_ISSUERS.",
    )


def _expired(expiry: int) -> RefusedError:
    remedy = "fetch it right before the callback."
    if time.time() - int(expiry) > _CLOCK_SECONDS:
        remedy = (
            f"this one did over an hour ago by this relay's clock, which says {_now()}: {remedy} Where the step does, "
            "the relay's clock is wrong, and its operator has to set it."
        )
    return RefusedError("expired_token", f"The token has expired (they live for minutes): {remedy}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two parsers that disagree about which of two `repository` counts are how one repo becomes another.
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name is there twice")
    return unique


def _identity(issuer: Issuer, claims: Mapping[str, Any], pipeline: Pipeline, token: str) -> Identity:
    profile = issuer.profile
    event = claims[profile.event]
    listed = event in pipeline.required_claims.get(profile.event, ())
    if event not in profile.events and not listed:
        raise RefusedError(
            "event_not_accepted",
            f"Results from {event} runs are not accepted: report from one of {', '.join(sorted(profile.events))}.",
        )
    check_run_id, jti = claims.get(profile.check_run_id), claims.get("jti")
    name = f"{claims['iss']}#{jti}" if isinstance(jti, str) and jti else token
    return Identity(
        token_id=hashlib.sha256(name.encode()).hexdigest(),
        repo=pipeline.repo,
        repository_id=claims[profile.repository_id],
        repository_owner_id=claims[profile.repository_owner_id] if profile.repository_owner_id else None,
        run_id=str(claims[profile.run_id]),
        run_attempt=int(claims[profile.run_attempt]) if profile.run_attempt else None,
        check_run_id=None if check_run_id is None else str(check_run_id),
        event_name=event,
        issuer=issuer.url,
        grant=profile.events.get(event, Grant.SELF_REPORTED_IF_LISTED),
        event_listed=listed,
        reports_whole_run=profile.reports_whole_run,
        **{
            name: value if isinstance(value := claims.get(claim), str) else None
            for name, claim in (("workflow_ref", profile.workflow_ref), ("ref", profile.ref), ("sha", profile.sha))
        },
    )
