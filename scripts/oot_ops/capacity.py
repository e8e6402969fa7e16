"""What a load costs and where its limits are: the arithmetic behind docs/capacity.md.

oot-hud capacity                                   # 1,000 backends x 50 jobs x 300 PRs a day
oot-hud capacity --backends 40 --jobs 12 --prs 250
oot-hud capacity --json

Sizes and times are the assumptions below, each with where it comes from. Prices are us-east-1's list prices in USD,
on demand, without free tiers; a month has 30 days.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

from hud_endpoint.relay.due import SHARDS

DAY = 86_400
MONTH = 30
KEY_WRITES = 1_000  # write units a second that DynamoDB gives to one partition, and so to one key
TABLE_START = 4_000  # write units a second of a new on-demand table; it then doubles its last peak every 30 minutes
GATEWAY_RATE = 10_000  # requests a second for an account's APIs in a region
LAMBDA_CONCURRENCY = 1_000  # of a new account
INSERTS_A_SECOND = 1.0  # what ClickHouse's documentation advises for synchronous inserts into one table
RELAY_DAYS = 14  # hud_endpoint.relay.job_store.KEEP_SECONDS


@dataclass(frozen=True)
class Plan:
    """A load, and what one job weighs."""

    backends: int = 1_000
    jobs: int = 50  # a backend and PR
    prs: int = 300  # a day
    peak: float = 5.0  # the busiest minute over the day's average
    item_kb: float = 2.0  # a job record with a few failed tests; without any it has 1.2
    body_kb: float = 1.0  # a callback in the outbox, compressed
    retention_days: int = 100
    row_bytes: float = 120.0  # a row in ClickHouse, compressed; `make bench ARGS='--only dashboards'` fills such rows
    relay_seconds: float = 0.06  # a callback's time in the relay: six calls of DynamoDB, one of HUD
    hud_seconds: float = 0.02
    memory_gb: float = 1.0  # deploy/template.yaml


class Line(NamedTuple):
    """One figure: what it is, its value in words, the limit it meets, and what to do about it."""

    what: str
    value: str
    limit: str = ""
    remedy: str = ""


def callbacks_per_second(plan: Plan) -> tuple[float, float]:
    """Give the average and the peak: each job calls back twice."""
    average = plan.backends * plan.jobs * plan.prs * 2 / DAY
    return average, average * plan.peak


def write_units(plan: Plan) -> dict[str, float]:
    """Give the DynamoDB write units of one job (two callbacks), by table. Transactions cost double."""
    item, body = math.ceil(plan.item_kb), math.ceil(plan.body_kb)
    # Each callback: job and token and outbox entry in one transaction, the entry's deletion, the rate limit's number.
    transaction = 2 * (math.ceil(body + 0.5) + 1 + math.ceil(body + 0.5))
    index = 2 + 1  # the outbox entry enters the `due` index and leaves it; the job enters or leaves it
    relay = 2 * (transaction + math.ceil(body + 0.5) + 1 + index)
    # Each callback updates the record once; the first puts it into two indexes, the second takes it out of them.
    results = item + item + 2 * item + 2 * item
    return {"relay": float(relay), "results": float(results)}


def limits(plan: Plan) -> list[Line]:
    """Give where the plan meets a limit, and what to do there."""
    average, peak = callbacks_per_second(plan)
    units = write_units(plan)
    relay_peak, results_peak = peak / 2 * units["relay"], peak / 2 * units["results"]
    shards = max(1, math.ceil(results_peak / KEY_WRITES))
    per_repo = plan.jobs * plan.prs * 2 / DAY * 60 * plan.peak
    per_pr = plan.backends * plan.jobs * 2 * math.ceil(plan.item_kb)
    return [
        Line("callbacks", f"{average:,.0f}/s, {peak:,.0f}/s at the peak"),
        Line(
            "API Gateway",
            f"{peak:,.0f} requests/s",
            f"{GATEWAY_RATE:,}/s an account",
            f"`RequestsPerSecond` of the template: {_round_up(peak)}",
        ),
        Line(
            "rate limit, one repo",
            f"{per_repo:,.0f} callbacks/min",
            "`RATE_LIMIT_PER_MINUTE`, 100",
            f"set {_round_up(max(per_repo * 2, plan.jobs * 2))}; more are told to wait, none is lost",
        ),
        Line(
            "Lambda at once",
            f"{peak * plan.relay_seconds:,.0f} relay, {peak * plan.hud_seconds:,.0f} HUD, {shards} replicator",
            f"{LAMBDA_CONCURRENCY:,} an account",
            "ask for more above two thirds of it",
        ),
        Line(
            "DynamoDB, relay's table",
            f"{relay_peak:,.0f} writes/s",
            f"{TABLE_START:,}/s when new",
            _warm(relay_peak),
        ),
        Line(
            "DynamoDB, results",
            f"{results_peak:,.0f} writes/s",
            f"{TABLE_START:,}/s when new",
            _warm(results_peak),
        ),
        Line(
            "index `due`, one of its keys",
            f"{peak * 2 / SHARDS:,.0f} writes/s",
            f"{KEY_WRITES:,}/s",
            f"the outbox is spread over {SHARDS} keys: {KEY_WRITES * SHARDS // 2:,} callbacks/s; `due.SHARDS` is more",
        ),
        Line(
            "index `running_pr`, one PR",
            f"{per_pr:,} writes in all",
            f"{KEY_WRITES:,}/s",
            f"a PR's jobs may start and end within {max(1, math.ceil(per_pr / KEY_WRITES))} s",
        ),
        Line("stream shards", f"about {shards}", "one Lambda each", "`ParallelizationFactor` up to 10 a shard"),
        Line(
            "ClickHouse inserts",
            f"{shards}/s",
            f"{INSERTS_A_SECOND:.0f}/s a table, synchronous",
            "`async_insert` joins them on the server: a new part every 0.2 s at most",
        ),
        Line(
            "ClickHouse rows",
            f"{average / 2 * DAY / 1e6:,.1f} M a day, {average / 2 * DAY * plan.retention_days / 1e6:,.0f} M kept",
            "",
            f"{average / 2 * DAY * plan.retention_days * plan.row_bytes / 1e9:,.0f} GB",
        ),
    ]


def _warm(writes: float) -> str:
    if writes <= TABLE_START:
        return "none"
    return f"set the table's WarmThroughput to {_round_up(writes)} before the first busy day"


def _round_up(number: float) -> str:
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))))
    return f"{math.ceil(number / step) * step:,}"


def costs(plan: Plan) -> dict[str, float]:
    """Give USD a month, by what is paid for."""
    callbacks = callbacks_per_second(plan)[0] * DAY * MONTH
    jobs, units = callbacks / 2, write_units(plan)
    records_gb = jobs / MONTH * plan.retention_days * plan.item_kb / 1e6
    relay_gb = jobs / MONTH * RELAY_DAYS * (plan.body_kb + 0.5 + 2 * 0.5) / 1e6
    seconds = callbacks * (plan.relay_seconds + plan.hud_seconds) * plan.memory_gb
    return {
        "DynamoDB writes": jobs * (units["relay"] + units["results"]) * 0.625 / 1e6,
        "DynamoDB reads": callbacks * 4 * 0.125 / 1e6,  # job, token (consistent), dispatch, rate
        "DynamoDB storage": (records_gb + relay_gb) * 0.25,
        "DynamoDB point-in-time recovery": (records_gb + relay_gb) * 0.20,
        "Lambda": seconds * 0.0000133334 + callbacks * 2 * 0.20 / 1e6,
        "API Gateway": callbacks * 2 * 3.50 / 1e6,  # REST; the relay calls HUD through it as well
        "WAF": callbacks * 2 * 0.60 / 1e6,  # and 6 USD for the rule and its list
        "CloudWatch logs": callbacks * 1.6 * 0.50 / 1e6,  # KB: an audit record and its numbers, two lines of access
    }


def report(plan: Plan) -> str:
    """Give both tables as Markdown."""
    load = f"{plan.backends:,} backends x {plan.jobs} jobs x {plan.prs} PRs a day"
    rows = [
        f"**{load}, a peak of {plan.peak:g} times the average**",
        "",
        "| what | load | limit | remedy |",
        "|---|---|---|---|",
    ]
    rows += [f"| {line.what} | {line.value} | {line.limit} | {line.remedy} |" for line in limits(plan)]
    paid = costs(plan)
    rows += ["", "| USD a month | |", "|---|--:|"]
    rows += [f"| {what} | {usd:,.0f} |" for what, usd in paid.items()]
    rows += [f"| **together** | **{sum(paid.values()):,.0f}** |"]
    rows += [f"| a million jobs | {sum(paid.values()) / (plan.backends * plan.jobs * plan.prs * MONTH / 1e6):,.2f} |"]
    return "\n".join(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    usual = Plan()
    parser.add_argument("--backends", type=int, default=usual.backends)
    parser.add_argument("--jobs", type=int, default=usual.jobs, help=f"of a backend for a PR (default: {usual.jobs})")
    parser.add_argument("--prs", type=int, default=usual.prs, help=f"a day (default: {usual.prs})")
    parser.add_argument("--peak", type=float, default=usual.peak, help="the busiest minute over the day's average")
    parser.add_argument("--item-kb", type=float, default=usual.item_kb, help="size of a job record")
    parser.add_argument("--retention-days", type=int, default=usual.retention_days)
    parser.add_argument("--json", action="store_true", help="figures for a program")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    plan = Plan(**{name: value for name, value in vars(options).items() if name != "json"})
    if min(plan.backends, plan.jobs, plan.prs, plan.retention_days) < 1 or plan.peak < 1 or plan.item_kb <= 0:
        raise argparse.ArgumentError(None, "every figure must be positive, and the peak at least 1")
    if options.json:
        figures = {"plan": asdict(plan), "limits": [line._asdict() for line in limits(plan)], "usd": costs(plan)}
        print(json.dumps(figures, indent=2))
    else:
        print(report(plan))
    return 0
