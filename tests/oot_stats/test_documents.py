"""The documents know every quota and every reason, and the code uses each of them."""

from __future__ import annotations

import re
from pathlib import Path

from oot_stats.limits import PREFIX, Limits
from oot_stats.reasons import REASONS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
ERRORS = (
    (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").partition("## Test stats: what collect leaves out")[2]
)
READER = ROOT / "scripts" / "oot_runner" / "junit_reader.py"
SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in (*(ROOT / "scripts" / "oot_stats").rglob("*.py"), READER)
)


def test_every_quota_is_in_the_document_with_its_default() -> None:
    told = re.findall(rf"^\| `{PREFIX}(\w+)` \| `(\d+)` \|", SETTINGS, re.MULTILINE)
    assert {name.lower(): int(value) for name, value in told} == Limits()._asdict()


def test_every_reason_is_in_the_document_with_its_remedy() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", ERRORS, re.MULTILINE)
    assert {code: what for code, what, _ in rows} == {
        code: f"{what[0].upper()}{what[1:]}." for code, what in REASONS.items()
    }
    assert all(remedy.endswith(".") for *_, remedy in rows)


def test_quotas_that_the_document_names_exist() -> None:
    assert {name.lower() for name in re.findall(rf"`{PREFIX}(\w+)`", ERRORS)} <= set(Limits._fields)


def test_every_reason_is_given_somewhere() -> None:
    for code in REASONS:
        assert SOURCES.count(f'"{code}"') > 1, code  # once where it is explained
