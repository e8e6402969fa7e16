"""Who has to wait before it is heard again: callers whose calls were refused too often.

Counted is what was refused, and what said nothing new; never what was accepted. So a thousand honest jobs behind one
address are never held up, and what one token repeats costs its repo nothing. Who proves to be on the allowlist pays by
its token, anybody else by its address, and a repo that is not listed by its name too. An address is no proof of guilt,
since runners share them: where its budget is spent, a token that names a listed repo is verified all the same, and only
a call that is then refused is told to wait.

The counts are this process's own and coarse: an old one is forgotten where there are too many. In front of many
processes, limits for each address belong to a firewall (docs/operating.md#in-front-of-the-functions).
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MAX_KEYS = 10_000  # of each kind, about 2 MB
ADDRESS_FACTOR = 3  # an address may be shared by this many repos' mistakes
_UNLISTED = frozenset({"repo_not_allowed", "pipeline_not_allowed"})
_NOBODY = "unknown"


class Claim(NamedTuple):
    """Whom a token names that nobody has verified yet: the repo or pipeline, and whether the allowlist has it."""

    source: str = ""
    is_listed: bool = False


class Budget:
    """Lets each key be counted `per_minute` times a minute, all at once if it likes; see rate_limit for the algorithm.

    For one thread, such as the event loop's.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        self._interval = 60 / per_minute
        self._clock = clock
        self._max_keys = max_keys
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when the key's budget is whole again

    def wait(self, key: str) -> float:
        """Return the seconds until the key has something left; 0 where it has."""
        return max(0.0, self._full_at.get(key, 0.0) - self._clock() - 60 + self._interval)

    def count(self, key: str) -> None:
        """Take one from the key's budget; from an empty one nothing more is taken."""
        now = self._clock()
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        self._full_at[key] = min(full_at, now + 60)  # as the newest
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)


class Admission:
    """The budgets of refused calls; `per_minute` is what a repo may bring in."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._addresses = Budget(per_minute * ADDRESS_FACTOR, clock)
        self._sources = Budget(per_minute, clock)
        self._tokens = Budget(per_minute, clock)

    def check_stranger(self, address: str, claim: Claim) -> None:
        """Raise RefusedError `too_many_refusals` before a token is verified that would most likely be refused."""
        if claim.is_listed:
            return
        _require(self._sources.wait(claim.source), f"Calls of {claim.source or 'nobody'} were")
        _require(self._addresses.wait(address), "Calls from your address were")

    def count_stranger(self, address: str, claim: Claim, error: RefusedError) -> RefusedError:
        """Count a refusal of who has not proved to be listed, and return what to answer."""
        if not _is_callers(error):
            return error
        wait = self._addresses.wait(address)
        self._addresses.count(address)
        if error.code in _UNLISTED:
            self._sources.count(claim.source)
        return _too_many("Calls from your address were", wait, f" This one: {error.message}") if wait else error

    def check_token(self, token_id: str) -> None:
        """Raise RefusedError `too_many_refusals` before the body of a call is read that brings nothing new."""
        _require(self._tokens.wait(token_id), "Calls with this token were")

    def count_token(self, token_id: str, error: RefusedError | None = None) -> None:
        """Count a call of a listed repo that was refused, or said nothing new."""
        if error is None or _is_callers(error):
            self._tokens.count(token_id)


def client_address(scope: Mapping[str, Any], *, behind_proxy: bool) -> str:
    """Return the address that a call counts for: IPv6 by its /64, which one household or machine has whole.

    A server may have taken it from X-Forwarded-For (uvicorn does, where the call comes from loopback). Unless
    `behind_proxy` says that this is wanted, anybody may have written that header, and all who send one count together.
    On Lambda, API Gateway says who calls.
    """
    host, _port = scope.get("client") or ("", 0)
    forwarded = any(name.lower() == b"x-forwarded-for" for name, _ in scope["headers"])
    if forwarded and not behind_proxy and "aws.event" not in scope:
        return _NOBODY
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return _NOBODY
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _is_callers(error: RefusedError) -> bool:
    """Whether a refusal is the caller's own doing; who is told to wait has been counted already."""
    return 400 <= error.status < 500 and error.status != 429


def _require(wait: float, calls: str) -> None:
    if wait:
        raise _too_many(calls, wait)


def _too_many(calls: str, wait: float, detail: str = "") -> RefusedError:
    seconds = max(1, math.ceil(wait))
    return RefusedError(
        "too_many_refusals",
        f"{calls} refused, or said nothing new, too often: try again after {seconds} s.{detail}",
        retry_after=seconds,
    )
