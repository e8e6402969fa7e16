"""A test case as the row that pytorch's tools/stats/upload_test_stats.py makes of it.

A row has the element's attributes, `text` and `tail` where they are more than blanks, and each child element under its
tag, several of a tag as a list. Attributes that Python's int() or float() takes become numbers; but what is not finite
stays the text it was, so that a test named "nan" keeps its name. How the test ended is always told by a child, also
where the report tells it by an attribute alone.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from oot_runner import junit_cases as cases

if TYPE_CHECKING:
    from oot_runner.junit_reader import Attributes, Element

MOST_CHARACTERS = 64 * 1024  # of an attribute
# An unsanitized pytest report (its process was killed) has the module in the class and no file.
_DOTTED = re.compile(r"(?:test\.)?(?P<file>.*)\.(?P<classname>[^.]*)", re.DOTALL)


class Identity(NamedTuple):
    """Whose test cases these are. `workflow_id` is text: that is how pytorch's script gets it, and writes it."""

    workflow_id: str
    workflow_run_attempt: int
    job_id: int | None
    invoking_file: str  # the name of the folder that the report lies in


def number(text: str) -> str | int | float:
    """Return an attribute as a row has it: as a number where it is one."""
    if text >= ":" or not text:  # from there on are the letters: no number starts with one
        return text
    if "." not in text:  # else int() refuses it, which takes five times as long as float() does
        try:
            return int(text)
        except ValueError:
            pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if isfinite(value) else text


def dump(anything: object) -> bytes:
    """Return JSON; an integer may have any length."""
    try:
        return orjson.dumps(anything)
    except TypeError:
        return json.dumps(anything, ensure_ascii=False, separators=(",", ":")).encode()


@lru_cache(maxsize=4096)
def file_and_class(file: str, classname: str) -> tuple[str, str]:
    """Return both as a row has them: where there is no file, a dotted class tells it."""
    parts = None if number(file) or number(classname) != classname else _DOTTED.fullmatch(classname)
    if parts is None or not parts["file"] or not parts["classname"]:
        return file, classname
    return f"{parts['file'].replace('.', '/')}.py", parts["classname"]


def of_case(
    attributes: Attributes, content: Element | None, told: list[Element], status: str, *, plain: bool
) -> dict[str, Any]:
    """Return the row of a test case, with its `results` and its status; `plain` as in `of_attributes`."""
    row = of_attributes(attributes, plain=plain) if content is None else of_element(content, plain=plain)
    if status in (cases.FAILURE, cases.ERROR):
        if "failure" not in row and "error" not in row:
            row[status] = _why(attributes, told)
    elif status in (cases.SKIPPED, cases.UNKNOWN):
        row.pop("failure", None)  # of a todo test of node's runner
        row.pop("error", None)
        if "skipped" not in row:
            row["skipped"] = _why(attributes, told)
    return row


def of_element(element: Element, *, plain: bool) -> dict[str, Any]:
    """Return the row of an element as pytorch's script makes it: attributes, texts, then children by their tags."""
    row = of_attributes(element.attributes, plain=plain)
    if element.text:
        row["text"] = element.text
    if element.tail:
        row["tail"] = element.tail
    for child in element.children:
        tag, inner = child.tag, of_element(child, plain=plain)
        if tag not in row:
            row[tag] = inner
        elif isinstance(row[tag], list):
            row[tag].append(inner)
        else:
            row[tag] = [row[tag], inner]
    return row


def of_attributes(attributes: Attributes, *, plain: bool) -> dict[str, Any]:
    """Return attributes as a row has them; `plain` ones are not huge, and their names have no namespace.

    Of others, huge values are cut, and names are as ElementTree writes them: the namespace in braces.
    """
    if plain:
        return {name: text if text >= ":" else number(text) for name, text in attributes.items()}
    return {f"{{{name}" if "}" in name else name: number(text[:MOST_CHARACTERS]) for name, text in attributes.items()}


def _why(attributes: Attributes, told: list[Element]) -> dict[str, Any]:
    return of_element(told[0], plain=False) if told else {"message": cases.stated_message(attributes)}


def tells_reruns_of_disabled(told: list[Element]) -> bool:
    """Return whether a skip's message is what pytorch's runs of disabled tests write: how often the test was red."""
    return any("num_red" in element.attributes.get("message", "") for element in told if element.tag == "skipped")
