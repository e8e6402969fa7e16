"""Runs `publish` and kills it (-9) right before its n-th HTTP request, to S3 or ClickHouse; test_publish starts it.

    python -m tests.oot_stats.killed_publish < runs.json     # [{"fault": n, "argv": [...]}, ...]

Prints how each process ended, as JSON, in its last line. They are forked from this one, which has loaded everything and
started no thread.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from itertools import count
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

from oot_replicator import s3_to_clickhouse
from oot_stats.publish import command as publish

LOADED = (s3_to_clickhouse,)  # once, and not in each process
_urlopen: Any = HTTPConnectionPool.urlopen  # boto3 and clickhouse_connect both ask through it


def run(fault: int, argv: list[str]) -> int:
    """Publish, and die."""
    requests = count(1)

    def urlopen(*args: Any, **given: Any) -> Any:
        if next(requests) == fault:
            os.kill(os.getpid(), signal.SIGKILL)
        return _urlopen(*args, **given)

    HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign]
    parser = argparse.ArgumentParser()
    publish.add_arguments(parser)
    return publish.main(parser.parse_args(argv))


def main() -> int:
    ends = []
    for each in json.load(sys.stdin):
        child = os.fork()
        if child == 0:
            os._exit(run(each["fault"], each["argv"]))
        _, status = os.waitpid(child, 0)
        ends.append(os.waitstatus_to_exitcode(status))
    print(json.dumps(ends))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
