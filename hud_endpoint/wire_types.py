"""The types of the wire's fields: what each takes, and its cap in UTF-8 bytes. `contract.py` makes messages of them."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

NAME_BYTES = 512
URL_BYTES = 2048
ENVIRONMENT_BYTES = 16 * 1024
ENVIRONMENT_ENTRIES = 1000

Status = Literal["in_progress", "completed"]
Conclusion = Literal[
    "success", "failure", "cancelled", "timed_out", "skipped", "neutral", "action_required", "stale"
]  # https://docs.github.com/rest/checks/runs, `conclusion`
Level = Literal["L1", "L2", "L3", "L4"]
Origin = Literal["job", "sweeper", "deferred"]

_REPO = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def is_sha(text: str) -> bool:
    """Tell a full commit SHA from the free text that some nightlies send instead (`buildkite-<build>-<job>`)."""
    return _SHA.fullmatch(text) is not None


def cut(text: str, limit: int) -> str:
    """Give the longest prefix of `text` that fits `limit` bytes, cut between characters."""
    data = text.encode()
    return text if len(data) <= limit else data[:limit].decode(errors="ignore")


def cut_name(text: str) -> str:
    """Cap a name at NAME_BYTES; a cut one ends in a hash of the whole, so two long names never become one."""
    if len(text) <= NAME_BYTES // 4 or len(text.encode()) <= NAME_BYTES:  # no character has more than 4 bytes
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{cut(text, NAME_BYTES - 13)}~{digest}"


def to_id(value: object) -> object:
    """Write an integer or a UUID as text. Raises ValueError for a boolean, and for a number that JSON parsers round."""
    if isinstance(value, bool):
        raise ValueError("an id is a string or an integer, not a boolean")  # noqa: TRY004 - pydantic reports ValueError
    if isinstance(value, int) and value.bit_length() > 63:
        raise ValueError("an id beyond 64 bits must be a string: JSON parsers round such numbers")
    return str(value) if isinstance(value, int | UUID) else value


def _check_id(value: str) -> str:
    if not value.strip() or len(value.encode()) > NAME_BYTES:
        raise ValueError(f"an id has 1 to {NAME_BYTES} bytes")
    if "\ufffd" in value:  # two ids that differ in it would become one
        raise ValueError("an id holds no broken character")
    return value


def to_count(value: object) -> object:
    """Refuse what pydantic would take for a number and is none. Raises ValueError."""
    if isinstance(value, bool | str):
        raise ValueError("a count is a JSON number")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _read_count(value: object) -> object:
    """Read digits in a text as a count, as some clients send them. Raises ValueError."""
    digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16
    return int(str(value)) if digits else to_count(value)


def check_name(value: str) -> str:
    """Cap a name. Raises ValueError for an empty one."""
    if not value.strip():
        raise ValueError("a name must not be empty")
    return cut_name(value)


def _check_url(value: str) -> str:
    if len(value.encode()) > URL_BYTES:
        raise ValueError(f"a URL has at most {URL_BYTES} bytes")
    parts = urlsplit(value)
    host, _ = parts.hostname, parts.port  # a wrong port raises ValueError
    # A user name makes one host look like another, and so do characters that are not seen (spaces, bidi marks).
    whole = parts.scheme in ("http", "https") and host
    if not whole or parts.username is not None or " " in value or "\\" in value or not value.isprintable():
        raise ValueError("only http(s) URLs with a host, and without spaces or a user name, are accepted")
    return value


def _check_repo(value: str) -> str:
    if not _REPO.fullmatch(value):
        raise ValueError("a repository is written owner/name")
    return value


def _check_time(value: object) -> object:
    # Without the pattern, pydantic takes "1714792921" for seconds since 1970, or milliseconds, as it guesses.
    if not (value is None or isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value))):
        raise ValueError("a time is an ISO 8601 string, such as 2026-05-04T03:02:01Z")
    return value


def _to_utc(value: datetime) -> datetime:
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if not _EARLIEST <= value < _LATEST:
        raise ValueError("a time lies between the years 2000 and 2200")
    return value.astimezone(UTC)


def _check_environment(value: object) -> object:
    """Refuse what is too much, or no plain value, before each entry is looked at: one problem, not a million."""
    if not isinstance(value, dict):
        return value
    if len(value) > ENVIRONMENT_ENTRIES:
        raise ValueError(f"environment has more than {ENVIRONMENT_ENTRIES} entries")
    for name, entry in value.items():
        if not isinstance(entry, str | int | float | bool | None):
            raise ValueError(f"environment.{cut(name, 60)} is neither text, a number, a boolean nor null")  # noqa: TRY004
    return value


def _check_environment_size(value: dict[str, object]) -> dict[str, object]:
    if sum(len(f"{name}{entry}".encode()) for name, entry in value.items()) > ENVIRONMENT_BYTES:
        raise ValueError(f"environment has more than {ENVIRONMENT_BYTES} bytes")
    return value


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


def drop_nothing(value: object) -> object:
    """A null, or an empty text, is the same as nothing said: CRCR's HUD takes them so."""
    if not isinstance(value, dict):
        return value
    return {name: entry for name, entry in value.items() if entry is not None and entry != ""}


# Bounds stand before the validators that wrap them, and what else is taken is said: JSON Schemas are made of these.
Environment = Annotated[
    dict[str, str | int | float | bool | None],
    BeforeValidator(_check_environment, json_schema_input_type=dict[str, str | int | float | bool | None]),
    AfterValidator(_check_environment_size),
]
Id = Annotated[str, BeforeValidator(to_id, json_schema_input_type=str | int), AfterValidator(_check_id)]
Name = Annotated[str, AfterValidator(check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_is_none)]  # CRCR's client sends "" for none
Repo = Annotated[str, AfterValidator(_check_repo)]
Time = Annotated[datetime, BeforeValidator(_check_time), AfterValidator(_to_utc)]
OptionalTime = Annotated[Time | None, BeforeValidator(_blank_is_none)]
Count = Annotated[int, Field(ge=0, le=10**12), BeforeValidator(_read_count)]
Seconds = Annotated[float, Field(ge=0, le=10**9, strict=True)]  # strict: a JSON number
Text = Annotated[str, Field(default="")]
Label = Annotated[str, AfterValidator(cut_name), Field(default="")]  # a name that may be empty
Attempt = Annotated[
    int,
    Field(ge=1, le=10**6),
    BeforeValidator(lambda value: None if isinstance(value, bool) else value, json_schema_input_type=int | str),
]
OptionalConclusion = Annotated[
    Conclusion | None, BeforeValidator(_blank_is_none, json_schema_input_type=Conclusion | Literal[""] | None)
]
