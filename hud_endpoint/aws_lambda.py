"""AWS Lambda's entry points: one handler for each thing that is deployed as a function.

`relay_handler`, `results_handler` and `pages_handler` answer API Gateway or a function URL; `hud_handler` is the last
two in one. `sweep_handler` and `outbox_handler` are for schedules, once a minute each: they do what the relay's worker
and `oot-hud sweep` do on a server.

A handler is built when it is first named, which Lambda's runtime does while it starts a function: each function pays
for its own parts, in the start-up phase, and a wrong setting ends the start with a sentence in the log.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from hud_endpoint.logs import bind, redact, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    class Context(Protocol):
        """What Lambda tells of an invocation; what we ask of it."""

        aws_request_id: str

        def get_remaining_time_in_millis(self) -> int: ...

    Handler = Callable[[Any, Context], dict[str, Any]]

log = logging.getLogger(__name__)

_ENOUGH_MILLISECONDS = 15_000  # one delivery may take the relay's five seconds, and its bookkeeping as long


class HandlerError(Exception):
    """A function could not start, or an invocation failed; the message holds no secret."""


def _http(name: str) -> Handler:
    import asyncio

    from mangum import Mangum

    from hud_endpoint import app

    application = getattr(app, name)()
    asyncio.set_event_loop(asyncio.new_event_loop())  # of this process's whole life, which Mangum uses
    return cast("Handler", Mangum(application, lifespan="off"))


def _sweep() -> Handler:
    from hud_endpoint import aws
    from hud_endpoint.contract import RELAY_TABLE
    from hud_endpoint.relay.stores import RelayStores

    sweeper = RelayStores.of(aws.patient_dynamodb(), os.environ.get("RELAY_TABLE") or RELAY_TABLE).sweeper

    def sweep(_event: Any, _context: Context) -> dict[str, Any]:  # noqa: ANN401 - a schedule says nothing of use
        swept = sweeper.sweep(time.time())
        return {"timed_out": len(swept.timed_out), "orphans": len(swept.orphans)}

    return sweep


def _outbox() -> Handler:
    from hud_endpoint.app import relay_parts
    from hud_endpoint.relay.worker import OutboxWorker
    from hud_endpoint.settings import RelaySettings, load

    parts = relay_parts(load(RelaySettings))
    worker = OutboxWorker(parts.outbox, parts.send, parts.handler.undo_step, parts.sweeper, parts.metrics)

    def drain(_event: Any, context: Context) -> dict[str, Any]:  # noqa: ANN401
        # Not the worker's own `drain`: what it forgives, because it comes round again, has to fail an invocation.
        def enough() -> bool:
            return context.get_remaining_time_in_millis() < _ENOUGH_MILLISECONDS

        tried = 0
        while not enough():
            found = parts.outbox.drain(parts.send, parts.handler.undo_step, stopping=enough)
            tried += found
            if not found:
                break
        worker.measure()
        return {"tried": tried}

    return drain


def handlers(builders: Mapping[str, Callable[[], Handler]]) -> Callable[[str], Handler]:
    """Return the `__getattr__` of a module of handlers, which builds each when it is first named.

    Every log line of an invocation carries its request id, and nothing that another invocation was about. An error is
    logged here and reported as HandlerError: Lambda's runtime would log and report it as it is, with all that it holds.
    """

    @functools.cache
    def handler(name: str) -> Handler:
        if name not in builders:
            raise AttributeError(f"there is no handler {name!r}: {', '.join(builders)} are")
        set_up()
        with _errors_reported():
            handle = builders[name]()

        def invoke(event: Any, context: Context) -> dict[str, Any]:  # noqa: ANN401 - any JSON
            bind(function_request_id=context.aws_request_id)
            with _errors_reported():
                return handle(event, context)

        return lambda event, context: contextvars.copy_context().run(invoke, event, context)

    return handler


@contextmanager
def _errors_reported() -> Iterator[None]:
    try:
        yield
    except SystemExit as stop:  # a setting is wrong, as its sentence says
        log.critical("%s", stop)
        raise HandlerError(redact(str(stop))) from None
    except Exception as error:  # the outermost edge of a function
        log.exception("the function failed")
        raise HandlerError(redact(f"{type(error).__name__}: {error}")) from None


_BUILDERS: dict[str, Callable[[], Handler]] = {
    **{f"{name}_handler": functools.partial(_http, name) for name in ("hud", "pages", "relay", "results")},
    "sweep_handler": _sweep,
    "outbox_handler": _outbox,
}
__getattr__ = handlers(_BUILDERS)
