"""Runs AWS's own runtime client for one handler, under the rights of its role: what these don't allow is an error."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from awslambdaric.__main__ import main
from botocore.session import Session

from tests.deploy import log_probe


def watch(allowed: frozenset[str]) -> None:
    """Check each call of every client that is made from here on."""

    def check(model: Any, params: dict[str, Any], **_: Any) -> None:
        actions = {model.name}
        if model.name == "TransactWriteItems":  # has no action of its own, but those of what it does
            asked = json.loads(params["body"])["TransactItems"]
            actions = {f"{kind}Item" for one in asked for kind in one}
        missing = {f"{model.service_model.endpoint_prefix}:{action}" for action in actions} - allowed
        if missing:
            print(f"the role does not allow {', '.join(sorted(missing))}", file=sys.stderr, flush=True)
            os._exit(13)  # louder than an error, which a handler may take for an outage

    create_client = Session.create_client

    def create_watched(*args: Any, **kwargs: Any) -> Any:
        client = create_client(*args, **kwargs)
        client.meta.events.register("before-call", check)
        return client

    Session.create_client = create_watched  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(frozenset(json.loads(os.environ["ALLOWED_ACTIONS"])))
    if "LOG_PROBE" in os.environ:
        log_probe.install(os.environ["LOG_PROBE"])
    main(sys.argv)
