"""Structured logs: one JSON object a line, with what the work at hand is about (repo, delivery_id) and without secrets.

The format is that of Powertools for AWS Lambda, in containers as well. Tokens are never passed to loggers on purpose;
`redact` takes out those that an exception, another library or a mistake brings along.
https://docs.aws.amazon.com/powertools/python/latest/core/logger/
"""

from __future__ import annotations

import copy
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging.formatter import THREAD_LOCAL_KEYS, LambdaPowertoolsFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

REDACTED = "[redacted]"
_SHORTEST_SECRET = 8
_secrets: list[str] = []  # the longest first: one may hold another

# Each pattern reads a hostile text in linear time: what may repeat is bounded, or is consumed by the match.
_TOKENS = re.compile(
    r"eyJ[\w-]{8,2048}+(?:\.[\w-]*)+"  # a JWT
    r"|(?:gh[pousr]_|github_pat_|glpat-)[\w.-]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END|\Z)",
    re.DOTALL,
)
# How names of secrets end, whatever they begin with: x-amz-security-token, HUD_API_TOKEN, clientSecret.
_NAME = (
    r"(?:authorization|cookie|credentials?|internal-bot|passw(?:or)?d|secret|signature|token|(?<![a-z])sig"
    r"|(?:access|api|clickhouse|private|signing)[-_]?key)"
)
_SECRET_NAME = re.compile(rf".*{_NAME}", re.IGNORECASE | re.DOTALL)
# What follows such a name, or the name of a scheme; the one group that took part is the value.
_VALUES = re.compile(
    rf"""{_NAME}(?:\\*["']\s*[:=,]\s*b?\\*["']([^"'\\]+)"""  # JSON, also within JSON; what repr writes
    r"""|=([^\s"'\\&,;<>()\[\]{}]+)"""  # a query string
    r"""|\s*:\s*(?=\S{0,200}\d)([^\s"'\\,;<>]{8,}))"""  # a header; "token: expired" is none
    r"|\b(?:Bearer|Basic|Token)\s+(?-i:(?=\S{1,200}[\dA-Z=]))([\w.~+/=:-]{8,})"
    r"|://[^/\s:@]*:([^/\s@]+)(?=@)",  # a password in a URL
    re.IGNORECASE,
)


def bind(**about: str) -> None:
    """Let every log line from here on, in this request or invocation, say what it is about."""
    THREAD_LOCAL_KEYS.set({**THREAD_LOCAL_KEYS.get(), **about})


@contextmanager
def bound(**about: str) -> Iterator[None]:
    """Let every log line of this block say what it is about."""
    before = THREAD_LOCAL_KEYS.set({**THREAD_LOCAL_KEYS.get(), **about})
    try:
        yield
    finally:
        THREAD_LOCAL_KEYS.reset(before)


def hide(secret: str) -> None:
    """Take this very text out of every log line from here on: one of our own secrets."""
    if len(secret) >= _SHORTEST_SECRET and secret not in _secrets:
        _secrets.append(secret)
        _secrets.sort(key=len, reverse=True)


def redact(text: str) -> str:
    """Replace what authenticates somebody: our secrets, tokens by their looks, values by the names before them."""
    for secret in _secrets:
        text = text.replace(secret, REDACTED)
    return _VALUES.sub(_without_value, _TOKENS.sub(REDACTED, text))


def _without_value(match: re.Match[str]) -> str:
    return match[0].removesuffix(match[match.lastindex or 0]) + REDACTED


class RedactingFormatter(LambdaPowertoolsFormatter):
    """Powertools' JSON, with the logger's name, and with everything in it redacted."""

    def __init__(self) -> None:
        super().__init__(utc=True, use_rfc3339=True, serialize_stacktrace=False, json_deserializer=str)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        record = copy.copy(record)  # other handlers see it as it was
        try:
            record.msg = record.getMessage()
        except (TypeError, ValueError):  # placeholders that don't fit: a line, not a traceback that shows the arguments
            record.msg = f"{record.msg} {record.args!r}"
        record.args, record.taskName = None, None
        vars(record)["logger"] = record.name
        return super().format(record)

    def serialize(self, log: Any) -> str:  # noqa: ANN401 - Powertools' own dict
        """Return the line's JSON."""
        return super().serialize(_without_secrets(log))


def _without_secrets(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _without_secrets(_named(str(name), value[name])) for name in value}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(item) for item in value]
    return redact(str(value))


def _named(name: str, value: object) -> object:
    return REDACTED if _SECRET_NAME.fullmatch(name) and isinstance(value, str | bytes) and value else value


def set_up(level: str = "INFO") -> None:
    """Log to stderr, from every logger, what is of this level or above.

    The handler of Lambda's runtime is replaced; any other program that has set up logging already keeps what it has.
    """
    root = logging.getLogger()
    if root.handlers and "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter())
    root.handlers[:] = [handler]
    if "AWS_LAMBDA_LOG_LEVEL" not in os.environ:  # else the runtime has set it
        root.setLevel(level)
    for logger in map(logging.getLogger, ("uvicorn", "uvicorn.access")):
        if logger.handlers:  # uvicorn's own; without --no-access-log the second has none
            logger.handlers.clear()
            logger.propagate = True
    logging.getLogger("botocore").setLevel(max(root.level, logging.WARNING))  # at DEBUG it shows whole bodies
    logging.raiseExceptions = False  # an error while logging would print the arguments as they are
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda error: _log_uncaught(error.exc_type, error.exc_value, error.exc_traceback)
    for name, value in os.environ.items():
        if _SECRET_NAME.fullmatch(name):
            hide(value)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        logging.getLogger(__name__).critical("nobody caught this", exc_info=(kind, error or kind(), where))
