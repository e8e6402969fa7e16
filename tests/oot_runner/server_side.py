"""What the server makes of a callback: the runner's tests have their reports read by it.

The server needs Python 3.11. The runner is tested on 3.8 as well, where the JSON is taken as it is.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if sys.version_info >= (3, 11):
    from hud_endpoint import contract
    from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from hud_endpoint.contract import Callback

REPOSITORY = "example/backend"
needs_server = pytest.mark.skipif(sys.version_info < (3, 11), reason="the server, which needs Python 3.11, reads it")


def accept(data: bytes) -> Callback:
    """Return the callback. Raises RefusedError where the contract refuses it."""
    if sys.version_info >= (3, 11):
        assert len(data) <= contract.RELAY_BODY_BYTES
        return contract.parse(contract.Callback, data)
    else:
        callback: Any = json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))
        return callback


def respond(data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer of our relay to a callback."""
    if sys.version_info >= (3, 11):
        try:
            callback = accept(data)
            key = contract.dynamo_key(REPOSITORY, callback)
        except RefusedError as error:
            return error.status, {"detail": error.message, "code": error.code}
    else:
        callback, key = accept(data), f"{REPOSITORY}/key"
    words = {"ok": True, "status": callback.workflow.status, "outcome": "delivered"}
    return 200, {**words, "dynamoKey": key, "hud_url": "https://hud.example/oot/example/backend"}
