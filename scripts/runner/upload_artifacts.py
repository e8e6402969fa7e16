#!/usr/bin/env python3
"""Upload this job's files: the script that actions/upload-artifacts runs, `begin` first and `end` last.

Standard library only, but for boto3 where S3 is asked for. This file is written so that a Python that is too old can
say so.
"""

import os
import sys
import types
from pathlib import Path

if sys.version_info < (3, 8):  # noqa: UP036 - it is what is told to whoever has an older one
    sys.exit("upload_artifacts.py needs Python 3.8 or later, and this is %s." % sys.version.split()[0])  # noqa: UP031


def _main() -> int:
    # The package is made here from this folder alone: nothing else on sys.path can stand in for it or be hidden by it.
    here = Path(__file__).resolve().parent
    scripts = types.ModuleType("scripts")
    scripts.__path__ = [str(here.parent)]
    sys.modules["scripts"] = scripts
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a log may not be UTF-8
    if sys.argv[1:] == ["begin"]:
        from scripts.runner.upload.begin import main
    elif sys.argv[1:] == ["end"]:
        from scripts.runner.upload.end import main
    else:
        sys.exit("%s\nusage: upload_artifacts.py begin | end" % __doc__)  # noqa: UP031 - as above
    return main(dict(os.environ))


if __name__ == "__main__":
    sys.exit(_main())
