"""Writes the lock of what actions/upload-artifacts installs for S3: boto3's closure, as requirements.txt locks it.

python .ci/lock-s3.py            # `make lock` runs it after it has written requirements.txt
"""  # noqa: INP001 - a script beside another, no package

import re
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "actions" / "upload-artifacts" / "requirements-s3.txt"
HEAD = "# What S3 needs, as requirements.txt locks it: `make lock` writes this file.\n"


def closure(name: str) -> set[str]:
    """Give a package and all that it requires, without extras."""
    names = (re.split(r"[^\w.-]", text)[0].lower() for text in requires(name) or () if "extra ==" not in text)
    return {name}.union(*map(closure, names))


def text() -> str:
    """Give the lock's text."""
    entries = re.split(r"(?m)^(?=\S)", (ROOT / "requirements.txt").read_text())
    locked = {entry.partition("==")[0]: entry for entry in entries if "==" in entry}
    return HEAD + "".join(locked[name] for name in sorted(closure("boto3")))


if __name__ == "__main__":
    LOCK.write_text(text())
