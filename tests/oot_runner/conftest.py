"""What the runner's tests share: the web server, and the settings and run of an ordinary job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oot_runner import ci
from oot_runner.settings import Settings, read
from tests.oot_runner.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What an older Python can't run: documents and the server's modules need 3.11, and so does the boto3 of our lock.
_NEED_311 = ("contract", "documents", "python38", "upload_boto3", "upload_documents", "upload_s3")
collect_ignore = [f"test_{name}.py" for name in _NEED_311] if sys.version_info < (3, 11) else []
SHA = "0123456789abcdef0123456789abcdef01234567"
CLIENT_PAYLOAD: dict[str, Any] = {
    "event_type": "pull_request",
    "delivery_id": "a8f5f167-0000-4000-8000-000000000001",
    "payload": {
        "action": "synchronize",
        "pull_request": {"number": 179565, "head": {"sha": SHA, "ref": "feature"}},
        "repository": {"full_name": "pytorch/pytorch"},
    },
}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    """Gives checked settings; arguments are the inputs' names with underscores."""

    def make(**given: str) -> Settings:
        return read({"OOT_STATUS": "completed", **{f"OOT_{name.upper()}": text for name, text in given.items()}})

    return make


@pytest.fixture
def run() -> ci.Run:
    return ci.Run(
        provider="github",
        repository="example/backend",
        workflow_name="npu-ci",
        run_id="240",
        run_attempt="1",
        run_url="https://github.com/example/backend/actions/runs/240",
        job_name="test",
        check_run_id="987",
        job_status="success",
        event_name="repository_dispatch",
        event={"client_payload": CLIENT_PAYLOAD},
        workspace=Path("/workspace"),
    )
