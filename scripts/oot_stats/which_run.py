"""The flags that say which run is meant: those of every command here."""

from __future__ import annotations

import argparse
import os

from oot_stats.sources.artifacts import is_repo


def add_arguments(parser: argparse.ArgumentParser, *, latest: bool = False) -> None:
    """Add them; with `latest`, the attempt may be left out."""
    here = os.environ.get("GITHUB_REPOSITORY")
    parser.add_argument(
        "--repo",
        type=_repo,
        default=here,
        required=not here,
        metavar="ORG/NAME",
        help="the run's repository (default: GITHUB_REPOSITORY)",
    )
    parser.add_argument(
        "--workflow-run-id", type=number, required=True, metavar="N", help="the run, as its address has it"
    )
    parser.add_argument(
        "--workflow-run-attempt",
        type=number,
        required=not latest,
        metavar="N",
        help="which attempt of it" + (" (default: the latest)" if latest else ""),
    )


def _repo(text: str) -> str:
    if not is_repo(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no repository: it is written owner/name")
    return text


def number(text: str) -> int:
    """Give a whole number from 1. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)
