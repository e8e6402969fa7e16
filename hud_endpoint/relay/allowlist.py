"""Who may report: the allowlist, in CRCR's YAML (L1..L4, L3 by device, oncalls) and RFC-0050's plain lists.

L1: [org/repo]
L3:
  npu:
    org/npu-repo: [oncall1, oncall2]
L4:
  - org/repo: oncall1, oncall2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from hud_endpoint.contract import Level, Repo
from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEVELS: tuple[Level, ...] = get_args(Level)
_REPO: TypeAdapter[str] = TypeAdapter(Repo)


class AllowlistError(Exception):
    """The allowlist can't be used; the message says where it is wrong."""


@dataclass(frozen=True)
class Entry:
    """A repo that may report; `repo` is written as the allowlist has it."""

    repo: str
    level: Level
    device: str = ""
    oncalls: tuple[str, ...] = ()


class Allowlist:
    """Repos by name, which GitHub compares without case."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def entry(self, repo: str) -> Entry:
        """Give the repo's entry. Raises RefusedError `repo_not_allowed` for an unknown repo."""
        found = self._entries.get(repo.lower())
        if found is None:
            raise RefusedError(
                "repo_not_allowed", f"{repo} is not on the allowlist: ask PyTorch's dev infra to add it (RFC-0050)."
            )
        return found


def parse_allowlist(text: str) -> Allowlist:
    """Read the YAML. Raises AllowlistError naming the place that is wrong."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AllowlistError(f"not YAML: {error}") from None
    if not isinstance(raw, dict) or not set(raw) <= set(LEVELS):
        raise AllowlistError(f"expected a mapping with the keys {', '.join(LEVELS)}")
    entries: dict[str, Entry] = {}
    for level in LEVELS:
        for entry in _entries(level, raw.get(level) or []):
            if entry.repo.lower() in entries:
                raise AllowlistError(f"{level}: {entry.repo} is listed twice")
            entries[entry.repo.lower()] = entry
    return Allowlist(entries)


def load_allowlist(path: str) -> Allowlist:
    """Read the file. Raises AllowlistError when it is missing or wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AllowlistError(f"{path}: {error}") from None
    try:
        return parse_allowlist(text)
    except AllowlistError as error:
        raise AllowlistError(f"{path}: {error}") from None


def _entries(level: Level, raw: object) -> Iterator[Entry]:
    if isinstance(raw, list):
        for item in raw:
            yield from _one(level, "", item)
    elif isinstance(raw, dict):
        for device, repos in raw.items():
            if not isinstance(repos, dict | list):
                raise AllowlistError(f"{level}.{device}: expected the device's repos")
            for item in [{repo: oncalls} for repo, oncalls in repos.items()] if isinstance(repos, dict) else repos:
                yield from _one(level, str(device), item)
    else:
        raise AllowlistError(f"{level}: expected a list of repos, or repos by device")


def _one(level: Level, device: str, item: object) -> Iterator[Entry]:
    for repo, about in item.items() if isinstance(item, dict) else [(item, None)]:
        try:
            name = _REPO.validate_python(repo)
        except ValidationError:
            raise AllowlistError(f"{level}: {repo!r} is not written owner/name") from None
        # CRCR's newer entries are mappings; their `events` say what is dispatched, which is not decided here.
        oncalls = about.get("oncalls") if isinstance(about, dict) else about
        names = oncalls.split(",") if isinstance(oncalls, str) else oncalls or []
        if not isinstance(names, list):
            raise AllowlistError(f"{level}: the oncalls of {repo} are neither a list nor text separated by commas")
        yield Entry(name, level, device, tuple(str(one).strip() for one in names))
