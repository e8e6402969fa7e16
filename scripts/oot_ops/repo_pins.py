"""Which repository each name stands for: the ids that the relay pinned when a repo first reported.

    oot-hud repo-pins list
    oot-hud repo-pins list --allowlist allowlist.yml    # how each repo on it is known
    oot-hud repo-pins release --repo ORG/NAME --by YOU --why "made anew, see issue 12"
    ... --dry-run                                 # says what it would release

A token with the name and other ids is refused (`repo_id_changed`) until its pin is released: make sure first that the
new repository is the backend's own. The release is written to the log `oot_hud.audit`. Reads AWS's usual environment
and RELAY_TABLE.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.logs import set_up
from hud_endpoint.relay import audit
from hud_endpoint.relay.allowlist import AllowlistError, parse_allowlist
from hud_endpoint.relay.repo_pins import RepoPins

if TYPE_CHECKING:
    from hud_endpoint.relay.allowlist import Allowlist
    from hud_endpoint.relay.repo_pins import RepoPin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("command", choices=("list", "release"))
    parser.add_argument("--repo", metavar="ORG/NAME", help="only this repo's pins")
    parser.add_argument("--allowlist", metavar="FILE", help="with list: say of each repo on it how it is known")
    parser.add_argument("--by", default="", help="with release: who decided it, for the audit record")
    parser.add_argument("--why", default="", help="with release: the reason, for the audit record")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be released")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if options.command == "release" and not (options.repo and options.by and options.why):
        raise argparse.ArgumentError(None, "release needs --repo, --by and --why: the audit record holds them")
    set_up()
    try:
        allowlist = parse_allowlist(Path(options.allowlist).read_bytes()) if options.allowlist else None
    except OSError as error:
        print(f"repo-pins: {options.allowlist} can't be read: {error.strerror}", file=sys.stderr)
        return 2
    except AllowlistError as error:
        print(f"repo-pins: {options.allowlist}: {error}", file=sys.stderr)
        return 2
    try:
        pins = RepoPins(boto3.client("dynamodb"), os.environ.get("RELAY_TABLE", RELAY_TABLE))
        wanted = [pin for pin in pins.every() if options.repo is None or pin.repo.lower() == options.repo.lower()]
        if options.command == "list" and allowlist:
            _list_by_allowlist(allowlist, wanted, options.repo)
            return 0
        for pin in sorted(wanted, key=lambda pin: (pin.repo.lower(), pin.issuer)):
            print(_line(pin))
        if options.command == "list":
            print(f"{len(wanted)} pinned; repos of pipelines elsewhere are known by the ids in the allowlist")
            return 0
        return _release(pins, wanted, options)
    except (BotoCoreError, ClientError) as error:
        print(f"repo-pins: the relay's table can't be used: {error}", file=sys.stderr)
        return 1


def _list_by_allowlist(allowlist: Allowlist, pins: list[RepoPin], repo: str | None) -> None:
    """Print how each repo on the allowlist is known, then the pins of those that are no longer on it."""
    listed = [entry for entry in allowlist.entries() if repo is None or entry.repo.lower() == repo.lower()]
    for entry in listed:
        pipelines = allowlist.pipelines_of(entry.repo)
        own = [pin for pin in pins if pin.repo.lower() == entry.repo.lower()]
        if entry.repository_id:
            print(f"{entry.repo}  {entry.level}  id from the allowlist: repository {entry.repository_id}")
        elif own:
            for pin in own:
                print(f"{entry.repo}  {entry.level}  pinned: {_ids(pin)}")
        elif not pipelines:
            print(f"{entry.repo}  {entry.level}  unpinned: its next accepted result pins it")
        for issuer, pipeline in pipelines:
            print(
                f"{entry.repo}  {entry.level}  not pinned: known by the allowlist's pipeline ids, {issuer} {pipeline}"
            )
    names = {entry.repo.lower() for entry in allowlist.entries()}
    for pin in pins:
        if pin.repo.lower() not in names:
            print(f"{pin.repo}  not on the allowlist  pinned: {_ids(pin)}")
    print(f"{len(listed)} on the allowlist, {len(pins)} pinned")


def _release(pins: RepoPins, wanted: list[RepoPin], options: argparse.Namespace) -> int:
    if not wanted:
        print(f"repo-pins: {options.repo} has no pin", file=sys.stderr)
        return 1
    if options.dry_run:
        print("would be released")
        return 0
    released = [pin for pin in wanted if pins.release(pin)]
    for pin in released:
        audit.record_release(pin, options.by, options.why)
    print(f"{len(released)} released: the next result that is accepted pins the repo anew")
    return 0 if len(released) == len(wanted) else 1


def _line(pin: RepoPin) -> str:
    return f"{pin.repo}  {_ids(pin)}"


def _ids(pin: RepoPin) -> str:
    at = datetime.fromtimestamp(pin.pinned_at, UTC).isoformat(timespec="seconds")
    return f"repository {pin.repository_id}  owner {pin.repository_owner_id}  {pin.issuer}  since {at}"
