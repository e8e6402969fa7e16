"""Callbacks read as far as they can be: a wrong optional field costs the field, never the result (design 4.1).

Identity, status and what the record's key is made of stay strict, and so does what the relay vouches for. Everything
else that can't be read is left out and named. Words that mean one of GitHub's are taken for it: CONCLUSIONS, STATUSES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from hud_endpoint.contract import LenientFailedTest, invalid_callback, problem_text
from hud_endpoint.wire_types import ENVIRONMENT_ENTRIES, Conclusion, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    Path = tuple[str | int, ...]

M = TypeVar("M", bound=BaseModel)

# What people and CI systems write for GitHub's conclusions (https://docs.github.com/rest/checks/runs), in lower case.
CONCLUSIONS = {word: word for word in get_args(Conclusion)} | {
    "passed": "success",
    "pass": "success",
    "succeeded": "success",
    "successful": "success",
    "ok": "success",
    "failed": "failure",
    "fail": "failure",
    "error": "failure",
    "errored": "failure",
    "broken": "failure",
    "startup_failure": "failure",
    "canceled": "cancelled",
    "aborted": "cancelled",
    "timeout": "timed_out",
    "timedout": "timed_out",
}
# Words for the status; a conclusion among them says both, unless the callback names another.
STATUSES: dict[str, tuple[str, str | None]] = {
    "in_progress": ("in_progress", None),
    "running": ("in_progress", None),
    "started": ("in_progress", None),
    "completed": ("completed", None),
    "complete": ("completed", None),
    "finished": ("completed", None),
    "done": ("completed", None),
    **{word: ("completed", conclusion) for word, conclusion in CONCLUSIONS.items()},
}
OPTIONAL_FIELDS = (
    "schema_version",
    "url",
    "started_at",
    "completed_at",
    "test_results",
    "artifact_url",
    "failed_tests",
    "environment",
)
MAX_NAMED = 20  # of the fields that were left out
_CHECKED_TESTS = 2000  # where one failed test can't be read: more are never stored
_ROUNDS = 6  # some problems are only found when others are gone
_FAILED_TEST: TypeAdapter[Any] = TypeAdapter(LenientFailedTest)


class Dropped(NamedTuple):
    """A field that was left out, and why."""

    field: str
    why: str


def read_leniently(model: type[M], data: object, callback: Path = ()) -> tuple[M, dict[str, Any], list[Dropped]]:
    """Validate parsed JSON; `callback` is the path to the callback in it.

    Returns the model, the data without what was left out of it (the caller's own is not changed), and what that was.
    Raises RefusedError `invalid_callback` naming each field that is wrong and must not be.
    """
    dropped: list[Dropped] = []
    data = _with_known_words(data, (*callback, "workflow"), dropped)
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(data), data, dropped  # type: ignore[return-value]  # an object, or it is refused
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
        strict = [problem for problem in problems if not _is_optional(problem["loc"], callback)]
        if strict:
            raise invalid_callback(strict)
        data = _without_problems(data, problems, (*callback, "workflow"), dropped)
    raise invalid_callback(problems)


def answer_of(dropped: Sequence[Dropped]) -> dict[str, Any]:
    """Return what an answer says of fields that were left out; nothing where there are none."""
    if not dropped:
        return {}
    return {"dropped": [{"field": cut(each.field, 100), "why": each.why} for each in dropped[:MAX_NAMED]]}


def _with_known_words(data: object, path: Path, dropped: list[Dropped]) -> Any:  # noqa: ANN401 - JSON
    """Return the data with GitHub's words for status and conclusion, and without an attempt of 0."""
    workflow = _at(data, path)
    if not isinstance(workflow, dict):
        return data
    changes: dict[str, Any] = {}
    status, meant = STATUSES.get(_word(workflow.get("status")), (None, None))
    if status is not None and status != workflow["status"]:
        changes["status"] = status
    conclusion = workflow.get("conclusion")
    if conclusion in (None, ""):
        if meant is not None:
            changes["conclusion"] = meant
    elif (known := CONCLUSIONS.get(_word(conclusion))) != conclusion:
        changes["conclusion"] = known
        if known is None:
            # A word that nobody knows is never a pass.
            changes["conclusion"] = "failure" if status == "completed" else None
            why = f"{cut(ascii(conclusion), 60)} is none of GitHub's conclusions; it is taken as a failure"
            dropped.append(Dropped("workflow.conclusion", why))
    if workflow.get("run_attempt") in (0, "0"):
        changes["run_attempt"] = None
    return _replaced(data, path, {**workflow, **changes}) if changes else data


def _word(value: object) -> str:
    return value.strip().casefold().replace("-", "_").replace(" ", "_") if isinstance(value, str) else ""


def _is_optional(loc: Path, callback: Path) -> bool:
    base = (*callback, "workflow")
    return loc[: len(base)] == base and len(loc) > len(base) and loc[len(base)] in OPTIONAL_FIELDS


def _without_problems(data: object, problems: list[ErrorDetails], path: Path, dropped: list[Dropped]) -> Any:  # noqa: ANN401 - JSON
    workflow: dict[str, Any] = dict(_at(data, path))  # type: ignore[call-overload]  # an object, as its fields are named
    for problem in problems:
        field, *inner = problem["loc"][len(path) :]
        value = workflow.get(str(field))
        if field == "failed_tests" and isinstance(value, list):
            workflow["failed_tests"] = _readable_tests(value, dropped)
        elif field == "environment" and isinstance(value, dict) and not inner:
            entries = {name: each for name, each in value.items() if isinstance(each, str | int | float | None)}
            if len(entries) < len(value) <= ENVIRONMENT_ENTRIES:
                workflow["environment"] = entries
                names = sorted(map(str, value.keys() - entries.keys()))
                dropped += [Dropped(f"workflow.environment.{name}", "it is no plain value") for name in names]
            else:
                del workflow["environment"]
                dropped.append(Dropped("workflow.environment", problem_text(problem)))
        elif inner and isinstance(value, dict) and inner[0] in value:
            workflow[str(field)] = {name: each for name, each in value.items() if name != inner[0]}
            dropped.append(Dropped(f"workflow.{field}.{inner[0]}", problem_text(problem)))
        elif workflow.pop(str(field), None) is not None:
            dropped.append(Dropped(f"workflow.{field}", problem_text(problem)))
    return _replaced(data, path, workflow)


def _readable_tests(tests: list[Any], dropped: list[Dropped]) -> list[Any]:
    readable: list[Any] = []
    for index, test in enumerate(tests[:_CHECKED_TESTS]):
        try:
            _FAILED_TEST.validate_python(test)
            readable.append(test)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
            names = [str(name) for name, *_ in (problem["loc"] or ("",) for problem in problems)]
            if isinstance(test, dict):  # its other details, and the default for this one
                readable.append({name: each for name, each in test.items() if name not in names})
            dropped += [
                Dropped(f"workflow.failed_tests.{index}.{name}".rstrip("."), problem_text(problem))
                for name, problem in zip(names, problems, strict=True)
            ]
    if len(tests) > _CHECKED_TESTS:
        why = f"{len(tests) - _CHECKED_TESTS:,} entries beyond the first {_CHECKED_TESTS:,} were not looked at"
        dropped.append(Dropped("workflow.failed_tests", why))
    return readable


def _at(data: object, path: Path) -> object:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _replaced(data: Any, path: Path, value: object) -> Any:  # noqa: ANN401 - JSON
    if not path:
        return value
    first, *rest = path
    return {**data, first: _replaced(data[first], tuple(rest), value)}
