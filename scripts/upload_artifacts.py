#!/usr/bin/env python3
"""Upload this job's files: the script that actions/upload-artifacts runs, `begin` first and `end` last.

Standard library only, but for boto3 where S3 is asked for. This file is written so that a Python that is too old can
say so.
"""

import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - it is what is told to whoever has an older one
    sys.exit("upload_artifacts.py needs Python 3.8 or later, and this is %s." % sys.version.split()[0])  # noqa: UP031


def main() -> int:
    """Run from the command line and return the exit code."""
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120 - with `python -P` it is not there
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a log may not be UTF-8
    if sys.argv[1:] == ["begin"]:
        from oot_runner.upload.begin import main as step
    elif sys.argv[1:] == ["end"]:
        from oot_runner.upload.end import main as step
    else:
        sys.exit("%s\nusage: upload_artifacts.py begin | end" % __doc__)  # noqa: UP031 - as above
    return step(dict(os.environ))


if __name__ == "__main__":
    sys.exit(main())
