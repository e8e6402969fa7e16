"""The manifest beside a run's rows: what collect told of each artifact, within bounds, and what publish made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from oot_stats.publish.normalised import Run
    from oot_stats.publish.outcome import Table

MANIFEST_BYTES = 32 * 1024 * 1024
_MAX_DEPTH = 8
_TEXT_BYTES = 4096


class ManifestError(Exception):
    """The manifest can't be used, so nothing is published."""


class _Rows(BaseModel):
    model_config = ConfigDict(extra="ignore")
    rows: Annotated[int, Field(ge=0, lt=2**53)]


class _Collected(BaseModel):
    """The part that publish looks at; the rest is passed on within bounds."""

    model_config = ConfigDict(extra="ignore")
    schema_version: Literal["1"]
    collected_at: Annotated[str, Field(max_length=64)] = ""
    tables: dict[Literal["test_run_summary", "failed_test_runs", "test_run"], _Rows]
    totals: dict[str, Any] = Field(default_factory=dict)
    artifacts: list[Any] = Field(default_factory=list)
    fallbacks: list[Any] = Field(default_factory=list)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what collect wrote. Raises ManifestError with what was wrong and what to do."""
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise ManifestError(
                f"{path} has more than {MANIFEST_BYTES:,} bytes: something other than collect wrote it."
            )
        told = _Collected.model_validate(orjson.loads(path.read_bytes())).model_dump()
    except FileNotFoundError:
        raise ManifestError(f"There is no {path}: run collect first, with the same --out.") from None
    except orjson.JSONDecodeError as error:
        raise ManifestError(f"{path} is not JSON ({error.msg}): run collect again.") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][:2])
        raise ManifestError(f"{path} is not what collect writes (at {where!r}): run collect again.") from None
    return {name: _bounded(value) for name, value in told.items()}


def manifest_of(told: Mapping[str, Any], whose: Run, tables: Sequence[Table]) -> dict[str, Any]:
    """Give the manifest to store: identity from the event, the artifacts' fates from collect, rows as counted here."""
    return {
        "schema_version": "1",
        "repo": whose.repo,
        "workflow_run_id": whose.run_id,
        "workflow_run_attempt": whose.attempt,
        "collected_at": told["collected_at"],
        "tables": {table.name: _table(table) for table in tables},
        "totals": told["totals"],
        "artifacts": told["artifacts"],
        "fallbacks": told["fallbacks"],
    }


def _table(table: Table) -> dict[str, Any]:
    whole: dict[str, Any] = {"rows": table.tally.rows, "collected_rows": table.collected}
    if table.digest:
        whole |= {"key": table.key, "bytes": table.tally.bytes, "sha256": table.digest}
    if table.error:
        code, why = table.error
        whole["error"] = {"code": code, "message": why}
    if table.tally.rejected:
        whole["rejected"] = dict(sorted(table.tally.rejected.items()))
        whole["rejected_lines"] = [{"line": line, "reason": code} for line, code in table.tally.examples]
    return whole


def _bounded(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Cut texts, drop what is nested beyond reason, and leave no character that a terminal or a log would obey."""
    if isinstance(value, str):
        text = value.encode()[:_TEXT_BYTES].decode(errors="ignore")
        return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {_bounded(name): _bounded(each, depth + 1) for name, each in value.items()}
    return [_bounded(each, depth + 1) for each in value] if isinstance(value, list) else value
