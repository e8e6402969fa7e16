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
from fastapi import FastAPI

from hud_endpoint.http import answer_errors
from hud_endpoint.results.api import results_router
from hud_endpoint.results.store import Outcome, ResultStore
from hud_endpoint.settings import HudSettings

if TYPE_CHECKING:
    from hud_endpoint.results.record import Write

TOKEN = "benchmark-service-token"  # noqa: S105 - guards nothing


class _Stub:
    """A store that takes no time."""

    @staticmethod
    def apply(_write: Write) -> Outcome:
        return Outcome.STORED


def make_app() -> FastAPI:
    """Build the endpoint around the stub."""
    settings = HudSettings.model_validate({"internal_api_token": TOKEN})
    app = FastAPI(docs_url=None, redoc_url=None)
    answer_errors(app, "error")
    app.include_router(results_router(settings, cast("ResultStore", _Stub())))

    @app.get("/_cpu")
    async def cpu() -> dict[str, float]:
        return {"seconds": time.process_time()}

    return app


def main() -> None:
    """Serve until SIGTERM."""
    port, core = int(sys.argv[1]), int(sys.argv[2])
    if core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    uvicorn.run(make_app(), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
