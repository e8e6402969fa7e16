"""What pytorch's tools/stats/upload_test_stats.py makes of a report, told again with ElementTree, to compare with.

Where ours differs on purpose, so does this: what is not finite or not in ASCII stays text, a time that is no number
counts as 0, and text between test cases belongs to none.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from oot_runner.junit_cases import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOSE = {"workflow_id": "240", "workflow_run_attempt": 1, "job_id": 7, "invoking_file": "test_ops"}


def number(text: str) -> Any:
    if text >= ":":  # digits of other scripts stay text
        return text
    for kind in (int, float):
        try:
            found = kind(text)
        except ValueError:
            continue
        return found if math.isfinite(found) else text
    return text


def element(node: ET.Element) -> dict[str, Any]:
    row: dict[str, Any] = {name: number(text) for name, text in node.attrib.items()}
    tail = None if node.tag == "testcase" else node.tail  # what stands between test cases is none's
    row |= {name: text for name, text in (("text", node.text), ("tail", tail)) if text and text.strip()}
    for child in node:
        told = element(child)
        if child.tag in row:
            row[child.tag] = [*(row[child.tag] if isinstance(row[child.tag], list) else [row[child.tag]]), told]
        else:
            row[child.tag] = told
    return row


def rows(report: bytes, whose: dict[str, Any] = WHOSE) -> Iterator[dict[str, Any]]:
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - made by the tests
        row = element(case)
        dotted = re.search(r"^(test\.)?(.*)\.([^.]*)$", str(row.get("classname")), re.DOTALL)
        if not row.get("file") and isinstance(row.get("classname"), str) and dotted and dotted[2] and dotted[3]:
            row["file"], row["classname"] = dotted[2].replace(".", "/") + ".py", dotted[3]
        yield {**row, **whose}


def summary(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for row in cases:
        key = repr([row.get("file"), row.get("classname"), row["job_id"], row["invoking_file"]])
        group = groups.setdefault(
            key,
            {name: row.get(name) for name in ("file", "classname", *WHOSE)}
            | dict.fromkeys(("tests", "failures", "errors", "skipped", "successes"), 0)
            | {"time": 0.0},
        )
        group["tests"] += 1
        outcome = next((one for one in ("failure", "error", "skipped") if one in row), "success")
        group[{"failure": "failures", "error": "errors", "success": "successes"}.get(outcome, outcome)] += 1
        time = row.get("time")
        group["time"] += seconds(str(time)) if isinstance(time, str | int | float) else 0.0
    return list(groups.values())
