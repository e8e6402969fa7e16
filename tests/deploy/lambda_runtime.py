"""Plays Lambda's runtime for one handler: events come in as lines of JSON, answers go out as lines of JSON.

It plays IAM as well: a call that the function's role does not allow (ALLOWED_ACTIONS) is an error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from botocore.session import Session


class Context:
    """What Lambda tells of an invocation."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + 60

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends - time.monotonic()) * 1000)


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


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what a function prints goes to its log
    watch(frozenset(json.loads(os.environ["ALLOWED_ACTIONS"])))
    module, _, name = sys.argv[1].rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        print(json.dumps(handler(json.loads(line), Context())), file=answers, flush=True)


if __name__ == "__main__":
    main()
