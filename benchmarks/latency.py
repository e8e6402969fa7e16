"""End to end: the time from the relay's 200 to the row being visible in ClickHouse, on the whole local stack.

Completed callbacks of several repos, with tokens of the local issuer, arrive at a steady pace (with jitter, so that
they don't march in step with the replicator); one client asks ClickHouse every few milliseconds which rows are there.
What a poll's interval adds counts against us.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from benchmarks import callbacks
from benchmarks.result import BenchmarkError, Budget, Row
from benchmarks.servers import refuse_real_services
from benchmarks.timing import median, percentile
from hud_endpoint.clickhouse.connection import connect
from oot_local import stack
from oot_local.github import register_dispatch

if TYPE_CHECKING:
    from benchmarks.result import Say

NAME = "latency"
BUDGET = Budget("under", 2_000)
# All at L2 or above in the local stack's allowlist; several, so that none meets its rate limit.
REPOS = (
    "example-org/torch-sample",
    "example-labs/torch-falcon",
    "northwind/pytorch-npu",
    "contoso/torch-aurora",
    "fabrikam/torch-mesa",
)
POLL_SECONDS = 0.005
LAST_ROW_SECONDS = 30.0


class Size(NamedTuple):
    """How many callbacks, and how many a second."""

    callbacks: int
    rate: float


FULL = Size(callbacks=300, rate=15)
QUICK = Size(callbacks=60, rate=15)


class Prepared(NamedTuple):
    """A callback ready to be posted."""

    token: str
    body: dict[str, Any]


class _Sender(threading.Thread):
    """Posts the callbacks at their pace; `accepted` has the moment of each 200, by the job's key."""

    def __init__(self, relay_url: str, prepared: list[Prepared], rate: float) -> None:
        super().__init__(daemon=True)
        self._relay_url, self._prepared, self._rate = relay_url, prepared, rate
        self.accepted: dict[str, float] = {}
        self.answered: list[float] = []
        self.failure = ""

    def run(self) -> None:
        pace = random.Random(54)  # noqa: S311 - spreads load
        with requests.Session() as session:
            due = time.perf_counter()
            for token, body in self._prepared:
                time.sleep(max(due - time.perf_counter(), 0))
                due += pace.uniform(0.5, 1.5) / self._rate
                started = time.perf_counter()
                try:
                    url, headers = f"{self._relay_url}/github/callback", {"authorization": f"Bearer {token}"}
                    response = session.post(url, json=body, headers=headers, timeout=30)
                    now, answer = time.perf_counter(), response.json()
                except (requests.RequestException, ValueError) as error:
                    self.failure = f"the relay did not answer: {error}"
                    return
                if response.status_code != 200 or answer.get("outcome") != "delivered":
                    self.failure = f"the relay answered {response.status_code}: {answer}"
                    return
                self.answered.append(now - started)
                self.accepted[answer["dynamoKey"]] = now


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget. Raises BenchmarkError when a row does not come."""
    refuse_real_services()
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-", ignore_cleanup_errors=True) as folder:
        say("starting the local stack")
        with stack.running(Path(folder)) as running:
            prepared = prepare(running.state, size.callbacks)
            say(f"{size.callbacks} callbacks at {size.rate:g}/s")
            sender = _Sender(running.state["relay_url"], prepared, size.rate)
            sender.start()
            seen = _watch(running.state["clickhouse_url"], sender, size.callbacks)
            sender.join()
    # A row may be there before its sender has read the answer: then nothing was waited for.
    waits = [1000 * max(seen[key] - at, 0.0) for key, at in sender.accepted.items()]
    relay = f"the relay's own answer took {1000 * median(sender.answered):.0f} ms (median)"
    note = f"{size.callbacks} callbacks at {size.rate:g}/s; {relay}"
    return [
        Row(NAME, "accepted callback to row in ClickHouse, p50", "ms", median(waits), note=note),
        Row(NAME, "accepted callback to row in ClickHouse, p99", "ms", percentile(waits, 0.99), budget=BUDGET),
    ]


def prepare(state: dict[str, Any], count: int) -> list[Prepared]:
    """Give callbacks of different jobs of dispatches that the stack knows, each with a token of its own."""
    payloads = {repo: register_dispatch(state, repo, 179565, callbacks.SHA) for repo in REPOS}
    prepared = []
    with requests.Session() as session:
        for number in range(count):
            repo = REPOS[number % len(REPOS)]
            ids = {"run_id": str(10**9 + number), "run_attempt": "1", "check_run_id": str(10**10 + number)}
            answer = session.post(f"{state['github_url']}/_local/mint", json={"repo": repo, "claims": ids}, timeout=10)
            failed = 2 if number % 20 == 0 else 0
            body = payloads[repo] | {"workflow": callbacks.workflow(failed, **ids)}
            prepared.append(Prepared(answer.json()["token"], body))
    return prepared


def _watch(clickhouse_url: str, sender: _Sender, count: int) -> dict[str, float]:
    """Give the moment at which each key was first seen."""
    seen: dict[str, float] = {}
    client = connect(clickhouse_url)
    try:
        deadline = None
        while len(seen) < count:
            keys = client.query("SELECT dynamoKey FROM default.oot_workflow_job").result_columns
            now = time.perf_counter()
            for key in keys[0] if keys else ():
                seen.setdefault(key, now)
            if sender.failure:
                raise BenchmarkError(sender.failure)
            if not sender.is_alive():
                deadline = deadline or now + LAST_ROW_SECONDS
                if now > deadline:
                    raise BenchmarkError(
                        f"{count - len(seen)} of {count} rows did not come within {LAST_ROW_SECONDS:.0f} s"
                    )
            time.sleep(POLL_SECONDS)
    finally:
        client.close()
    return seen
