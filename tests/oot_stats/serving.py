"""A local GitHub of a test's own, in this process: what it was asked can be looked at, and nobody else is on it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from oot_local.github import make_app
from oot_local.processes import free_port
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving() -> Iterator[str]:
    """Hold it up; gives its URL."""
    port = free_port(0, "github")
    url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(make_app(url), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the local GitHub")
        yield url
    finally:
        server.should_exit = True
        thread.join()
