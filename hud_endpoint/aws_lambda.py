"""AWS Lambda's entry points: one handler for each thing that is deployed as a function.

`hud_handler` and `relay_handler` answer API Gateway's HTTP API or a function URL. `sweep_handler` and `outbox_handler`
are for schedules, once a minute each: they do what the relay's worker and `oot_ops.sweep` do on a server.

A handler is built when it is first named, which Lambda's runtime does while it starts a function: each function pays
for its own parts, in the start-up phase, and a wrong setting ends the start with a sentence in the log.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

    class Context(Protocol):
        """What Lambda tells of an invocation; what we ask of it."""

        def get_remaining_time_in_millis(self) -> int: ...

    Handler = Callable[[Any, Context], dict[str, Any]]

_ENOUGH_MILLISECONDS = 15_000  # one delivery may take the relay's five seconds, and its bookkeeping as long


def _http(app: Starlette) -> Handler:
    import asyncio

    from mangum import Mangum

    asyncio.set_event_loop(asyncio.new_event_loop())  # of this process's whole life, which Mangum uses
    return cast("Handler", Mangum(app, lifespan="off"))


def _hud() -> Handler:
    from hud_endpoint.app import hud

    return _http(hud())


def _relay() -> Handler:
    from hud_endpoint.app import relay

    return _http(relay())


def _sweep() -> Handler:
    from hud_endpoint import aws
    from hud_endpoint.logs import set_up
    from hud_endpoint.relay.dispatch import Dispatches
    from hud_endpoint.relay.ledger import Ledger
    from hud_endpoint.relay.outbox import Outbox
    from hud_endpoint.relay.sweeper import Sweeper
    from hud_endpoint.settings import RELAY_TABLE

    set_up()
    client, table = aws.patient_dynamodb(), os.environ.get("RELAY_TABLE") or RELAY_TABLE
    sweeper = Sweeper(client, table, Ledger(client, table), Outbox(client, table), Dispatches(client, table))

    def sweep(_event: Any, _context: Context) -> dict[str, Any]:  # noqa: ANN401 - a schedule says nothing of use
        swept = sweeper.sweep(time.time())
        return {"timed_out": len(swept.timed_out), "orphans": len(swept.orphans)}

    return sweep


def _outbox() -> Handler:
    from hud_endpoint.app import relay_parts
    from hud_endpoint.logs import set_up
    from hud_endpoint.relay.worker import OutboxWorker
    from hud_endpoint.settings import RelaySettings, load

    set_up()
    parts = relay_parts(load(RelaySettings))
    worker = OutboxWorker(parts.outbox, parts.handler, parts.sweeper, parts.metrics)

    def drain(_event: Any, context: Context) -> dict[str, Any]:  # noqa: ANN401
        # Not the worker's own `drain`: what it forgives, because it comes round again, has to fail an invocation.
        def enough() -> bool:
            return context.get_remaining_time_in_millis() < _ENOUGH_MILLISECONDS

        tried = 0
        while not enough():
            found = parts.outbox.drain(parts.handler.send, parts.handler.give_step_free, stopping=enough)
            tried += found
            if not found:
                break
        worker.measure()
        return {"tried": tried}

    return drain


_BUILDERS = {"hud_handler": _hud, "relay_handler": _relay, "sweep_handler": _sweep, "outbox_handler": _outbox}


def __getattr__(name: str) -> Handler:
    if name not in _BUILDERS:
        raise AttributeError(f"there is no handler {name!r}: {', '.join(_BUILDERS)} are")
    handler = globals()[name] = _BUILDERS[name]()
    return handler
