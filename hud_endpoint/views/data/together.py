"""Parts of a page that do not need each other are read at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from typing import Any

P = ParamSpec("P")
T = TypeVar("T")

# A page starts at most two parts: that many threads for each of the eight pages that are read at once.
PART_THREADS = 16
_PARTS = ThreadPoolExecutor(PART_THREADS, thread_name_prefix="page-part")


class Start(Protocol):
    """Calls a function in a thread of its own; the future gives what it gives or raises."""

    def __call__(self, read: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start it."""
        ...


@contextmanager
def together() -> Iterator[Start]:
    """Give what starts parts; all of them have ended when the block is left, however it is left."""
    started: list[Future[Any]] = []

    def start(read: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        context = copy_context()  # what is logged in a part names the same request
        future = _PARTS.submit(lambda: context.run(read, *args, **kwargs))
        started.append(future)
        return future

    try:
        yield start
    finally:
        wait(started)
