"""Parts of a page that do not need each other are read at the same time.

Each page asks one question first, alone: where ClickHouse is away that is known after one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

P = ParamSpec("P")
T = TypeVar("T")

# Two parts beside its own for each page that is read at once. A part starts no other part, so none waits for a thread
# that waits for it.
PART_THREADS = 16
_PARTS = ThreadPoolExecutor(PART_THREADS, thread_name_prefix="page-part")


def start(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call `read` in a thread of its own; the future gives what it gives or raises."""
    context = copy_context()  # what is logged in a part names the same request
    return _PARTS.submit(lambda: context.run(read, *args, **kwargs))
