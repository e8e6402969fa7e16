"""The same completion, however it was spelled and whoever stored it; another one is never taken for it."""

from __future__ import annotations

from typing import Any

import pytest

from hud_endpoint.record import RELAY_FIELDS, TERMINAL_FIELDS, Value
from hud_endpoint.results.sameness import attribute, same_completion
from tests.hud_endpoint.test_record import write

FIELDS: dict[str, Value] = write(ci_metrics={"execution_time": 1800.5}).fields
OURS: dict[str, Any] = {
    **{name: attribute(value) for name, value in FIELDS.items()},
    "revision": {"N": "2"},
    "first_seen": {"S": "2026-05-04T03:00:00.000000Z"},
    "started_at": {"S": "2026-05-04T03:02:01.000000Z"},
}
THEIRS: dict[str, Any] = {name: value for name, value in OURS.items() if name not in ("revision", "first_seen")}


@pytest.mark.parametrize("stored", [OURS, THEIRS], ids=["ours", "another HUD's"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"total_tests": {"N": "8452.0"}},
        {"total_tests": {"N": "8.452E+3"}},
        {"completed_at": {"S": "2026-05-04T03:32:01Z"}},
        {"completed_at": {"S": "2026-05-04T05:32:01.000+02:00"}},
        {"error_tests": {"NULL": True}},
        {"flaky_tests": {"S": ""}},
        {"made_up": {"S": "x"}},
        {"started_at": {"S": "2020-01-01T00:00:00Z"}},
        *({name: {"S": "another"}} for name in sorted(RELAY_FIELDS)),
    ],
    ids=str,
)
def test_the_same(stored: dict[str, Any], changes: dict[str, Any]) -> None:
    assert same_completion(FIELDS, stored | changes)


@pytest.mark.parametrize("stored", [OURS, THEIRS], ids=["ours", "another HUD's"])
@pytest.mark.parametrize(
    "changes",
    [
        {"conclusion": {"S": "success"}},
        {"conclusion": {"NULL": True}},
        {"total_tests": {"N": "8453"}},
        {"total_tests": {"S": "8452"}},
        {"total_tests": {"N": "many"}},
        {"total_tests": {"BOOL": True}},
        {"error_tests": {"N": "0"}},
        {"completed_at": {"S": "2026-05-04T03:32:02Z"}},
        {"completed_at": {"S": "yesterday"}},
        {"completed_at": {"S": "2026-05-04T03:32:01"}},
        {"failed_tests_json": {"L": []}},
        {"failed_tests_json": {"B": b"[]"}},
        {"environment": {"M": {"sdk": {"S": "8.0"}}}},
        {"pr_number": {"SS": ["1"]}},
        {"conclusion": {}},
        {"conclusion": {"S": "failure", "N": "1"}},
        {"conclusion": "failure"},
    ],
    ids=str,
)
def test_another(stored: dict[str, Any], changes: dict[str, Any]) -> None:
    assert not same_completion(FIELDS, stored | changes)


@pytest.mark.parametrize("name", [name for name in TERMINAL_FIELDS if name in FIELDS and name not in RELAY_FIELDS])
def test_a_field_that_is_missing_counts_where_the_writer_knows_it(name: str) -> None:
    assert not same_completion(FIELDS, {field: value for field, value in OURS.items() if field != name})
    assert same_completion(FIELDS, {field: value for field, value in THEIRS.items() if field != name})


def test_an_empty_item_of_ours_is_another() -> None:
    assert not same_completion(FIELDS, {"revision": {"N": "1"}})
