"""A local GitHub of a test's own, in this process: what it was asked can be looked at, and nobody else is on it."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oot_local.github import make_app
from tests.hud_endpoint.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving() -> Iterator[str]:
    """Hold it up; gives its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with served(make_app(f"http://127.0.0.1:{listener.getsockname()[1]}"), listener) as url:
            yield url
