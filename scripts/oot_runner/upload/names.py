"""Names: of an artifact, by which collectors tell kind, attempt and job; and of the files in its archive.

The artifact's name is what pytorch's tools/stats expect: it starts with the kind, one of its parts between hyphens is
`runattempt<N>`, and what follows the last underscore is the job's id.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Iterable

#: What neither GitHub (an artifact's name or a path in it) nor Windows can store.
FORBIDDEN = re.compile(r'["<>|*?:\\/]')
NAME_BYTES = 200
COMPONENT_BYTES = 200  # file systems take 255
PATH_BYTES = 1500  # the collector takes 2,048
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control and direction characters, lone surrogates, line separators
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)")


def artifact_name(kind: str, attempt: str, job_name: str, job_id: str, used: Iterable[str] = ()) -> str:
    """Name an artifact; `used` are the names that this job has given away.

    `job_id` is GitHub's number of this execution of the job; where it is not known, `run<run id>`, which collectors
    take for no number.
    """
    taken = set(used)
    number = 1
    while True:
        head, tail = f"{kind}-runattempt{attempt}-", f"{f'-{number}' if number > 1 else ''}_{job_id}"
        # A second `runattempt` would be read as another attempt.
        wanted = re.sub("(?i)runattempt", "run-attempt", job_name)
        slug = clean(wanted, NAME_BYTES - len(f"{head}{tail}".encode()), whole=job_name)
        name = f"{head}{slug}{tail}"
        if name not in taken:
            return name
        number += 1


def clean(text: str, limit: int = NAME_BYTES, *, whole: str = "", suffix: bool = False) -> str:
    """Give `text` as a name that can be stored; where that changed it, with a short hash of what it was.

    So two texts don't become one name. `whole` is what it was before the caller changed it; with `suffix` the hash
    goes before a file's suffix.
    """
    visible = "".join("_" if unicodedata.category(each) in _UNSEEN else each for each in text)
    name = FORBIDDEN.sub("_", visible).rstrip(" .") or "_"
    if len(name.encode()) <= limit and name == (whole or text):
        return name
    return _hashed(name, whole or text, limit, suffix=suffix)


def _hashed(name: str, whole: str, limit: int, *, suffix: bool) -> str:
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, kept = name.rpartition(".")
    if not suffix or not stem or len(kept.encode()) > 16:
        stem, dot, kept = name, "", ""
    end = f"~{digest}{dot}{kept}"
    return stem.encode()[: max(limit - len(end.encode()), 0)].decode(errors="ignore") + end


class MemberNames:
    """Names in one archive: paths that GitHub, Windows and a careful reader of zips can store, none twice."""

    def __init__(self, *reserved: str) -> None:
        self._taken = {self._key(name) for name in reserved}

    def take(self, path: str) -> str:
        """Give the name for a path (`/` between its parts); it is the path itself wherever possible."""
        parts = [_component(part) for part in path.split("/")]
        if sum(len(part.encode()) + 1 for part in parts) > PATH_BYTES:
            parts = [_hashed("long-path", path, COMPONENT_BYTES, suffix=False), parts[-1]]
        name = "/".join(parts)
        attempt = 0
        while self._key(name) in self._taken:
            # Differs from another by case or Unicode normal form alone: on some systems that is the same file.
            attempt += 1
            last = _hashed(parts[-1], f"{path}{attempt}", COMPONENT_BYTES, suffix=True)
            name = "/".join([*parts[:-1], last])
        self._taken.add(self._key(name))
        return name

    @staticmethod
    def _key(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _component(part: str) -> str:
    name = clean(part, COMPONENT_BYTES, suffix=True)
    return _hashed(f"_{name}", part, COMPONENT_BYTES, suffix=True) if _DEVICE.match(name) else name
