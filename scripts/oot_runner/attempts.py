"""Which reports are of earlier attempts, by their names: Bazel's `test_attempts/attempt_1.xml` beside its `test.xml`.

Read for themselves they would count tests again, and failures of tests that passed when they were tried again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Iterable

# Each has `before`, `number` and `after`; the last attempt may be in the file without what stands between them.
_NAMES = (
    re.compile(r"(?P<before>(?:.*/)?)test_attempts/attempt_(?P<number>\d{1,4})(?P<after>\.xml)", re.IGNORECASE),
    re.compile(r"(?P<before>(?:.*/)?)attempt[._-]?(?P<number>\d{1,4})/(?P<after>[^/].*\.xml)", re.IGNORECASE),
    re.compile(
        r"(?P<before>(?:.*/)?[^/]+?)[._-]attempt[._-]?(?P<number>\d{1,4})(?P<after>(?:\.[^/]*)?\.xml)", re.IGNORECASE
    ),
)
_BAZEL_TEST = "test"


def earlier(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files that stand for a last attempt, each with those of the attempts before it, in their order.

    `paths` have slashes. A file that is no attempt of anything is not in the result.
    """
    given = set(paths)
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for path in given:
        for kind in _NAMES:
            match = kind.fullmatch(path)
            if match:
                base = _BAZEL_TEST if kind is _NAMES[0] else ""
                group = groups.setdefault((match["before"] + base, match["after"]), [])
                group.append((int(match["number"]), path))
                break
    last = {}
    for (before, after), attempts in groups.items():
        ordered = [path for _, path in sorted(attempts)]
        final = before + after
        if final in given and final not in ordered:
            last[final] = ordered
        elif len(ordered) > 1:
            last[ordered[-1]] = ordered[:-1]
    return last
