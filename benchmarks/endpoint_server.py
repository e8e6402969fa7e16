"""The results endpoint with a store that does nothing: `python -m benchmarks.endpoint_server PORT CORE`.

Everything else is real: uvicorn, the router, the token, the caps, validation, flattening. It runs on one core (-1: on
any), and tells at /_cpu the seconds of CPU that it has used.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from hud_endpoint.http import answer_errors, as_json
from hud_endpoint.results.api import results_operation
from hud_endpoint.results.store import Outcome, ResultStore
from hud_endpoint.settings import HudSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from hud_endpoint.record import Write

TOKEN = "benchmark-service-token"  # noqa: S105 - guards nothing


class _Stub:
    """A store that takes no time."""

    @staticmethod
    def apply(_write: Write) -> Outcome:
        return Outcome.STORED


def make_app() -> Starlette:
    """Build the endpoint around the stub."""
    settings = HudSettings.model_validate({"internal_api_token": TOKEN})

    async def cpu(_request: Request) -> Response:
        return as_json({"seconds": time.process_time()})

    operation = results_operation(settings, cast("ResultStore", _Stub()))
    app = Starlette(routes=[*operation.routes(), Route("/_cpu", cpu)])
    answer_errors(app, "error")
    return app


def main() -> None:
    """Serve until SIGTERM."""
    port, core = int(sys.argv[1]), int(sys.argv[2])
    if core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    uvicorn.run(make_app(), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
