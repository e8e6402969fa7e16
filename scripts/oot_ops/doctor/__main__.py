"""Says what is wrong with a set-up, and what to do: for maintainers of a backend, and for operators of HUD.

    python -m oot_ops.doctor backend --test-reports 'reports/**/*.xml'   # takes the flags of report-result
    python -m oot_ops.doctor backend --allowlist allowlist.yml --repo org/backend
    python -m oot_ops.doctor operator                # reads the settings of relay, HUD and replicator

`backend` belongs into a step of the job that reports, before report-result; elsewhere it checks what it can. It posts
nothing. `operator` changes nothing. Exit code: 0 when all is well or only warned about, 1 when something failed.
"""

from __future__ import annotations

import argparse
import logging
import os

from oot_ops.doctor.check import tell


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m oot_ops.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("who", choices=["backend", "operator"], help="whose set-up to examine")
    parser.add_argument("--json", action="store_true", help="all checks as JSON, for a program")
    parser.add_argument("--allowlist", help="backend: the relay's allowlist, a path, s3:// or a file's page on GitHub")
    parser.add_argument("--repo", help="backend: owner/name (default: GITHUB_REPOSITORY)")
    options, flags = parser.parse_known_args()
    logging.disable(logging.CRITICAL)  # what is wrong is told by the checks
    if options.who == "backend":
        from oot_ops.doctor.backend import examine
        from oot_runner.command_line import overlay

        usual = {"OOT_STATUS": "completed", "OOT_CONCLUSION": "success"}  # how the job ends is not known yet
        environ = overlay(flags, {**usual, **os.environ})
        return tell(examine(environ, allowlist=options.allowlist, repo=options.repo), as_json=options.json)
    if flags:
        parser.error(f"operator takes no {flags[0]}")
    from oot_ops.doctor.operator import examine as examine_stores

    return tell(examine_stores(dict(os.environ)), as_json=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
