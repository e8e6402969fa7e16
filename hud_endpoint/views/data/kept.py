"""What was read is kept: for a few seconds as the answer, and for an outage as the last good one. Bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")

FRESH_SECONDS = 10.0  # as often as the rollup is refreshed
RETRY_SECONDS = 5.0  # after a failure nobody waits for another one
MAX_KEPT = 64


class UnavailableError(Exception):
    """A source did not answer."""


class Kept(NamedTuple, Generic[T]):
    """A value, and whether it is only the last good one."""

    value: T
    last_good: bool


class _Entry:
    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.value: Any = None
        self.good = False  # there is a value
        self.fresh_until = 0.0
        self.failure: UnavailableError | None = None
        self.retry_at = 0.0


class Keeper:
    """Keeps the last values by key. One caller reads, the others of the same key wait for what it gets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, size: int = MAX_KEPT) -> None:
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> Kept[T]:
        """Give the value of the key, read anew when it is older than FRESH_SECONDS.

        Raises UnavailableError when `read` raises it and nothing good is kept; what else `read` raises passes through.
        """
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        async with entry.lock:
            now = self._clock()
            if entry.good and now < entry.fresh_until:
                return Kept(entry.value, last_good=False)
            if entry.failure is None or now >= entry.retry_at:
                try:
                    entry.value = await read()
                except UnavailableError as error:
                    entry.failure, entry.retry_at = error, self._clock() + RETRY_SECONDS
                else:
                    entry.good, entry.failure = True, None
                    entry.fresh_until = self._clock() + FRESH_SECONDS
                    return Kept(entry.value, last_good=False)
            if not entry.good:
                raise entry.failure
            return Kept(entry.value, last_good=True)
