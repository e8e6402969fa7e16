"""Builds what a release publishes into dist/: source archive, wheel, Lambda zip, SBOM, checksums and release notes.

python -m oot_ops.build_release --tag v0.1.0     # refuses a tag that is not the version, or not in CHANGELOG.md
python -m oot_ops.build_release                  # a trial: the same files, of the commit that is checked out

`make dist` calls it with the SBOM's tool in an environment of its own.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from hud_endpoint import __version__
from oot_ops.build_lambda import ROOT, BuildError, build, build_wheel

TAG = re.compile(r"v\d+\.\d+\.\d+")


def check_tag(tag: str, version: str, changelog: str) -> str:
    """Return the version that a tag releases. Raises BuildError where code or changelog say otherwise."""
    if not TAG.fullmatch(tag):
        raise BuildError(f"{tag} is not a release's tag: write vMAJOR.MINOR.PATCH, such as v{version}.")
    if tag != f"v{version}":
        raise BuildError(
            f"Tag {tag} releases version {tag[1:]}, but hud_endpoint.__version__ is {version}: change one of them."
        )
    if not notes(version, changelog):
        raise BuildError(f"CHANGELOG.md has no section `## [{version}]`: rename `## [Unreleased]` to it.")
    return version


def notes(version: str, changelog: str) -> str:
    """Give the changelog's section of a version, "" when there is none."""
    heading = rf"^## \[{re.escape(version)}\](?:[ \t][^\n]*)?\n"
    found = re.search(rf"{heading}(.*?)(?=^## |^\[[^\n]*\]: |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found else ""


def write_source(target: Path, name: str) -> None:
    """Archive the commit that is checked out: git gives the same tar for the same commit, and gzip gets no time."""
    tar = _run(["git", "archive", "--format=tar", f"--prefix={name}/", "HEAD"])
    with target.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as archive:
        archive.write(tar)


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS over the folder's files, as sha256sum reads it."""
    files = sorted(file for file in folder.iterdir() if file.suffix in {".gz", ".json", ".whl", ".zip"})
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed: `make dist` sets it up.") from None
    if done.returncode:
        raise BuildError(f"`{' '.join(command[:3])} …` failed: {done.stderr.decode(errors='replace').strip()[:500]}")
    return done.stdout


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="the tag that is being released; without it, a trial")
    parser.add_argument("--cyclonedx", default="cyclonedx-py", help="the SBOM's tool (default: cyclonedx-py)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder to write to (default: dist)")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    try:
        changelog = (ROOT / "CHANGELOG.md").read_text()
        version = check_tag(options.tag, __version__, changelog) if options.tag else "trial"
        write_source(out / f"oot-hud-{version}.tar.gz", f"oot-hud-{version}")
        build_wheel(out)
        build(out / "oot-hud-lambda.zip")
        sbom = [options.cyclonedx, "requirements", "--output-reproducible", "--pyproject", "pyproject.toml"]
        _run([*sbom, "-o", str(out / "sbom.cdx.json"), "requirements.txt"])
        (out / "NOTES.md").write_text(notes(version, changelog) or "A trial.\n")
        write_checksums(out)
    except BuildError as error:
        print(f"build_release: {error}", file=sys.stderr)
        return 1
    print((out / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
