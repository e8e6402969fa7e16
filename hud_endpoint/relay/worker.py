"""Empties the outbox while the relay runs; on Lambda a schedule calls `drain` instead."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.outbox import DEAD, QUEUE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hud_endpoint.metrics import Metrics
    from hud_endpoint.relay.forward import Answer, Conflicting, Refused
    from hud_endpoint.relay.outbox import Entry, Outbox
    from hud_endpoint.relay.sweeper import Sweeper

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
MEASURE_SECONDS = 15.0


class OutboxWorker:
    """One of any number of workers: entries are claimed one by one, so that workers never meet."""

    def __init__(
        self,
        outbox: Outbox,
        send: Callable[[dict[str, Any]], Answer],
        on_refused: Callable[[Entry, Refused | Conflicting], None],
        sweeper: Sweeper,
        metrics: Metrics,
    ) -> None:
        self._outbox = outbox
        self._send = send
        self._on_refused = on_refused
        self._sweeper = sweeper
        self._metrics = metrics
        self._stopping = threading.Event()

    def drain(self) -> int:
        """Try everything that is due; gives how many entries were tried, 0 also while the store is away."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._outbox.drain(self._send, self._on_refused, stopping=self._stopping.is_set)
        except (ClientError, BotoCoreError, RefusedError) as error:
            log.warning("the outbox waits for its store: %s", error)
            return 0

    def measure(self) -> None:
        """Tell how deep and how old the queues are, and how long ago the sweeper came by."""
        from botocore.exceptions import BotoCoreError, ClientError

        now = time.time()
        try:
            for queue in (QUEUE, DEAD):
                depth, oldest = self._outbox.depth(queue)
                self._metrics.record({"outbox_depth": depth}, queue=queue)
                if queue == QUEUE:
                    self._metrics.record({"outbox_age": 0.0 if oldest is None else max(0.0, now - oldest)})
            last = self._sweeper.last_sweep()
            if last is not None:
                self._metrics.record({"sweeper_age": now - last})
        except (ClientError, BotoCoreError) as error:
            log.warning("the outbox can't be measured: %s", error)

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Work for as long as the application runs."""
        task = asyncio.create_task(self._work())
        yield
        self._stopping.set()  # a round may be long while HUD hangs
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _work(self) -> None:
        measured_at = float("-inf")
        while True:
            tried = 0
            try:
                if time.monotonic() - measured_at > MEASURE_SECONDS:
                    measured_at = time.monotonic()
                    await run_in_threadpool(self.measure)
                tried = await run_in_threadpool(self.drain)
            except Exception:  # the outermost edge: a worker that ended would leave every result waiting
                log.exception("the outbox's worker goes on after an unforeseen error")
            if not tried:
                await asyncio.sleep(PAUSE_SECONDS)
