"""A progress bar with rate and ETA on a terminal's standard error; silent elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24
_REDRAW_SECONDS = 0.1


class Progress:
    """Counts towards a total that is only known roughly (0: not at all)."""

    def __init__(self, what: str, total: int = 0, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._began = time.monotonic()
        self._drawn_at = float("-inf")
        self.done = 0

    def add(self, count: int) -> None:
        """Count more."""
        self.done += count
        if self._shown and time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = time.monotonic()
            self._stream.write(f"\r\x1b[K{self.line(self._drawn_at - self._began)}")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """Give the line as it is after so many seconds."""
        rate = self.done / seconds if seconds > 0 else 0
        told = f"{self._what}  {self.done:,} at {rate:,.0f}/s"
        if not self._total:
            return told
        share = min(self.done / self._total, 1)
        bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
        left = f", {_duration(max(self._total - self.done, 0) / rate)} left" if rate else ""
        return f"[{bar}] {share:4.0%}  {self._what}  {self.done:,} of about {self._total:,} at {rate:,.0f}/s{left}"

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
