"""What the relay keeps in its table, wired up once for the application, the schedules and the operator's commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from hud_endpoint.relay.dispatch import Dispatches
from hud_endpoint.relay.job_store import JobStore
from hud_endpoint.relay.outbox import Outbox
from hud_endpoint.relay.sweeper import Sweeper

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.outbox import Bodies


@dataclass(frozen=True)
class RelayStores:
    """The stores of one table, and the sweeper that works on them."""

    jobs: JobStore
    dispatches: Dispatches
    outbox: Outbox
    sweeper: Sweeper

    @classmethod
    def of(cls, client: DynamoDBClient, table: str, bodies: Bodies | None = None) -> Self:
        """Return the stores of a table; `bodies` holds what is too large for an item."""
        jobs, dispatches = JobStore(client, table), Dispatches(client, table)
        outbox = Outbox(client, table, bodies)
        return cls(jobs, dispatches, outbox, Sweeper(client, table, jobs, outbox, dispatches))
