"""An application that is built when it is first needed: a cold start pays only for what it serves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from starlette.types import ASGIApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

A = TypeVar("A", bound=ASGIApp)


class LazyApp(Generic[A]):
    """Serves what `build` gives. Where there is a start-up (a server's, not Lambda's), it is built there."""

    def __init__(self, build: Callable[[], A]) -> None:
        self.built = cache(build)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.built()(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Build it now."""
        self.built()
        yield
