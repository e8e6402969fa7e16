"""What a comparison found, told to people, to programs, to Prometheus' textfile collector and to CloudWatch."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hud_endpoint.metrics import Metrics
    from oot_replicator.comparing.staging import Difference

LISTED = 1000  # keys of each kind that are named; all are counted
KINDS = ("missing", "stale", "extra")
_COUNTS = ("compared", *KINDS, "in_flight", "poison", "repaired")


@dataclass
class Report:
    """Counts of keys, and the first of those that differ; `differences` in metrics is all that was found.

    `in_flight` changed while they were compared; `poison` are items that can never become rows (their reasons are in
    the dead letters); `repaired` are among missing, stale and extra, and are written.
    """

    since: datetime
    compared: int = 0
    missing: int = 0
    stale: int = 0
    extra: int = 0
    in_flight: int = 0
    poison: int = 0
    repaired: int = 0
    seconds: float = 0
    keys: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, found: Difference) -> None:
        """Count a difference."""
        setattr(self, found.kind, getattr(self, found.kind) + 1)
        if len(self.keys[found.kind]) < LISTED:
            self.keys[found.kind].append(found.dynamo_key)

    @property
    def different(self) -> int:
        """How many keys differ, and have not been repaired."""
        return self.missing + self.stale + self.extra - self.repaired

    def text(self) -> str:
        """Give one line of counts."""
        told = f"{self.compared:,} jobs compared: {self.missing:,} missing, {self.stale:,} stale, {self.extra:,} extra"
        more = [f"{getattr(self, name):,} {name.replace('_', ' ')}" for name in _COUNTS[4:] if getattr(self, name)]
        return ", ".join([told, *more]) + f" (first seen since {_iso(self.since)}; {self.seconds:.1f} s)"

    def to_json(self) -> str:
        """Give everything as JSON."""
        return json.dumps(asdict(self) | {"since": _iso(self.since), "seconds": round(self.seconds, 3)})

    def counts(self) -> dict[str, Any]:
        """Give the numbers alone; what was repaired is among the differences, for somebody should ask why."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        found = sum(getattr(self, kind) for kind in KINDS)
        return {**counts, "differences": found, "seconds": round(self.seconds, 3)}

    def record(self, metrics: Metrics) -> None:
        """Record the counts, and when they were."""
        metrics.record({**self.counts(), "timestamp": time.time()})


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
