"""What a page is asked for: window, level, event, text; each has a stable place in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOWS: Mapping[int, str] = {1: "24 hours", 7: "7 days", 30: "30 days"}
LEVELS = ("L4", "L3", "L2", "L1")
EVENTS: Mapping[str, str] = {
    "pull_request": "Pull requests",
    "push": "Pushes",
    "nightly": "Nightly",
    "periodic": "Periodic",
}
STALE_HOURS = 36
PAGE_ROWS = 25
MAX_PAGE = 1000
TEXT_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a page is asked for; every field has a stable place in the URL."""

    days: int = 7
    level: str = ""
    event: str = ""
    text: str = ""

    @classmethod
    def parse(cls, *, days: str = "", level: str = "", event: str = "", text: str = "") -> Filters:
        """Read the values of a query string; an empty one is the default. Raises RefusedError `invalid_parameter`."""
        windows = {str(window): window for window in WINDOWS}
        if days and days not in windows:
            raise RefusedError("invalid_parameter", f"days is one of {', '.join(windows)}.")
        if level and level not in LEVELS:
            raise RefusedError("invalid_parameter", f"level is one of {', '.join(sorted(LEVELS))}, or left out.")
        if event and event not in EVENTS:
            raise RefusedError("invalid_parameter", f"event is one of {', '.join(EVENTS)}, or left out.")
        if len(text) > TEXT_CHARACTERS:
            raise RefusedError("invalid_parameter", f"text has at most {TEXT_CHARACTERS} characters.")
        return cls(days=windows.get(days, 7), level=level, event=event, text=text.strip())

    def query(self, **changes: object) -> str:
        """Give the query string of these filters with some changed, defaults left out: "" or "?days=30&level=L2".

        Names that are no filter (page, name, classname …) are added as they are, unless empty or None.
        """
        values: dict[str, Any] = {"days": self.days, "level": self.level, "event": self.event, "text": self.text}
        values |= changes
        told = {
            name: value for name, value in values.items() if value not in ("", None) and (name, value) != ("days", 7)
        }
        return f"?{urlencode(told)}" if told else ""
