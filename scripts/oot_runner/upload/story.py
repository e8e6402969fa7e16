"""What is known of an upload, handed from the action's first step to its last in a file of RUNNER_TEMP."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from oot_runner.upload.messages import UploadMessage, tell

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Story:
    """What is known so far; whatever happens next, the last step tells it.

    `outcome` is `uploaded`, `nothing` or `failed`; `handed` while GitHub's own action has the files. `bytes` are the
    files' before compression. `why` is why the files went where they went. `folder` is what the last step removes.
    """

    outcome: str = "failed"
    destination: str = ""
    kind: str = ""
    name: str = ""
    job_name: str = ""
    files: int = 0
    bytes: int = 0
    archive_bytes: int = 0
    sha256: str = ""
    manifest: str = ""
    url: str = ""
    why: str = ""
    folder: str = ""
    must_fail: bool = False
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def messages(self) -> list[UploadMessage]:
        """What is to be told, in order."""
        return [tell(code, **facts) for code, facts in self.told]

    def tell(self, code: str, **facts: object) -> None:
        """Add a message."""
        self.told.append((code, tell(code, **facts).facts))

    def save(self, path: Path) -> None:
        """Write it down."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Story:
        """Read it back; raises OSError or ValueError where there is none."""
        known = json.loads(path.read_text(encoding="utf-8"))
        known["told"] = [(code, facts) for code, facts in known["told"]]
        return cls(**known)
