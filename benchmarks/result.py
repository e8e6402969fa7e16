"""What a measurement comes to: a row of the table, the budget it is held against, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]  # tells progress


class BenchmarkError(Exception):
    """Something could not be measured; the message says what and why."""


class Budget(NamedTuple):
    """A limit for the measured value, or for its ratio to the baseline; `when` is the condition it is stated for."""

    kind: Literal["at least", "at most", "under"]
    limit: float
    of: Literal["ours", "ratio"] = "ours"
    when: str = ""

    def is_met_by(self, value: float) -> bool:
        """Tell whether a value keeps to the limit."""
        if self.kind == "at least":
            return value >= self.limit
        return value <= self.limit if self.kind == "at most" else value < self.limit


class Row(NamedTuple):
    """One line of the table. `ratio` says how many times better than the baseline ours is, whatever the unit.

    `comparable` is False where this run does not fulfil the budget's own condition: then there is no verdict.
    """

    room: str
    what: str
    unit: str
    ours: float
    baseline: float | None = None
    ratio: float | None = None
    budget: Budget | None = None
    comparable: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None where there is none, or this run can't tell."""
        if self.budget is None or not self.comparable:
            return None
        value = self.ratio if self.budget.of == "ratio" else self.ours
        return None if value is None else self.budget.is_met_by(value)

    def to_json(self) -> dict[str, Any]:
        """The row in JSON's own types."""
        budget = self.budget._asdict() if self.budget else None
        return self._asdict() | {"budget": budget, "met": self.met}
