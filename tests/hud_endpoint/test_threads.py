"""Threads of a kind's own: the caller's context goes along, errors come back, and a crowd is turned away at once."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from hud_endpoint.threads import BusyError, Threads

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def test_what_it_gives_and_raises_comes_back() -> None:
    async def ask() -> None:
        threads = Threads(1, 0, "test")
        assert await threads.run(divmod, 7, 2) == (3, 1)
        assert (await threads.run(threading.current_thread)).name.startswith("test")
        for _ in range(3):  # a call that fails gives its room back
            with pytest.raises(ZeroDivisionError):
                await threads.run(divmod, 7, 0)

    asyncio.run(ask())


def test_each_call_runs_in_its_callers_context() -> None:
    async def ask(threads: Threads, name: str) -> tuple[str, str]:
        WHO.set(name)
        return name, await threads.run(WHO.get)

    async def all_of_them() -> list[tuple[str, str]]:
        threads = Threads(2, 100, "test")
        return await asyncio.gather(*(ask(threads, f"caller-{number}") for number in range(50)))

    assert all(name == seen for name, seen in asyncio.run(all_of_them()))


def test_a_crowd_is_turned_away_at_once_and_the_rest_is_served() -> None:
    release = threading.Event()

    async def ask() -> list[object]:
        threads = Threads(2, 3, "test")
        calls = [asyncio.create_task(threads.run(release.wait, 10)) for _ in range(9)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        assert (len(done), len(waiting)) == (4, 5)
        release.set()
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert await threads.run(release.wait, 10)  # there is room again
        return list(told)

    told = asyncio.run(ask())
    assert told[:5] == [True] * 5
    assert all(isinstance(one, BusyError) for one in told[5:])
