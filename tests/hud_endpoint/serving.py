"""An application of ours behind the production server, on a real socket."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette


@contextmanager
def served(
    app: Starlette, listener: socket.socket | None = None, *, lifespan: Literal["on", "off"] = "off"
) -> Iterator[str]:
    """Serve an application, on a socket that is bound already where one is given; `lifespan` runs its workers too."""
    with socket.socket() as own:
        if listener is None:
            own.bind(("127.0.0.1", 0))
        bound = listener or own
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan=lifespan))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        bound.listen()  # from here on connections wait until the server takes them
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
