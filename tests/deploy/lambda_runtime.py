"""Plays Lambda's runtime for one handler: events come in as lines of JSON, answers go out as lines of JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time


class Context:
    """What Lambda tells of an invocation."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + 60

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends - time.monotonic()) * 1000)


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what a function prints goes to its log
    module, _, name = sys.argv[1].rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        print(json.dumps(handler(json.loads(line), Context())), file=answers, flush=True)


if __name__ == "__main__":
    main()
