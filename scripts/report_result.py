#!/usr/bin/env python3
"""Report this job's result to HUD: the script that actions/report-result runs; on other CIs see --help.

Standard library only. This file is written so that a Python that is too old can say so.
"""

import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - it is what is told to whoever has an older one
    sys.exit("report_result.py needs Python 3.8 or later, and this is %s." % sys.version.split()[0])  # noqa: UP031


def main() -> int:
    """Run from the command line and return the exit code."""
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120 - with `python -P` it is not there
    from oot_runner.reporting import main as report

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a log may not be UTF-8
    return report(sys.argv[1:], dict(os.environ))


if __name__ == "__main__":
    sys.exit(main())
