"""Threads for one kind of work: it may block without holding up the event loop, and uses up no other kind's threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class BusyError(Exception):
    """All threads are taken, and as many wait for one as may."""


class Threads:
    """At most `count` threads, started as they are needed, and `waiting` calls that wait for one."""

    def __init__(self, count: int, waiting: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._room = count + waiting

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `work` in a thread, in a copy of the caller's context, and give what it gives or raises.

        Raises BusyError at once where there is no room: better than to keep a caller who has long gone away waiting.
        """
        if not self._room:
            raise BusyError
        self._room -= 1  # on the event loop alone, so it needs no lock
        context = copy_context()
        try:
            # Half the CPU of anyio's to_thread, whose cancellation nobody here needs.
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lambda: context.run(work, *args, **kwargs)
            )
        finally:
            self._room += 1
