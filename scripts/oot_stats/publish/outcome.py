"""How publishing went, table by table and object by object."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from oot_stats.publish.normalised import Tally
    from oot_stats.publish.objects import Fate


class Table(NamedTuple):
    """How one table went; `error` is a code with a sentence where nothing of it was stored."""

    name: str
    tally: Tally
    collected: int = 0  # rows, as the manifest has it
    key: str = ""
    digest: str = ""
    fate: Fate | None = None
    error: tuple[str, str] | None = None

    @property
    def lost(self) -> bool:
        """Whether anything of what was collected is not stored."""
        return bool(self.error or self.tally.rejected) or self.tally.rows != self.collected


class Loads(NamedTuple):
    """What ClickHouse has of one object, and what it should have; `error` says what it could not take."""

    key: str
    rows: int
    expected: int
    error: str | None
    bad_lines: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row is in its table, or known to be none that the table can take."""
        return self.rows + self.bad_lines == self.expected
