"""Structured logs: one JSON object a line, with what a record is about (repo, delivery_id) beside its words.

Nothing that authenticates anybody is ever logged: tokens are not passed to loggers, and `redact` takes out the rest.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the work at hand is about; each request runs in a context of its own.
_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def bind(**about: str) -> None:
    """Let every log line of this request, or of this entry, say what it is about."""
    _bound.set({**_bound.get(), **about})


def redact(text: str) -> str:
    """Take out what looks like a JWT."""
    return _JWT.sub("[token]", text)


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, whatever `extra` bound to it, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def set_up() -> None:
    """Log to stderr as JSON, unless somebody has set up logging already."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("botocore").setLevel(logging.WARNING)
