"""Builds the one zip that every Lambda function of deploy/template.yaml runs, the same bytes each time.

python -m oot_ops.build_lambda dist/oot-hud-lambda.zip
python -m oot_ops.build_lambda dist/oot-hud-lambda.zip --architecture x86_64 --python 3.12

The packages come from requirements.txt, by their hashes, as wheels for Lambda's platform. What Lambda's runtime has
already (boto3) or has no use for (servers, PyGithub) stays out.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.13"
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
LEFT_OUT = frozenset(
    {
        *("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six"),  # in Lambda's runtime
        *("uvicorn", "click", "h11", "httptools", "uvloop", "prometheus-client"),  # a server's; Lambda is the server
        *("pygithub", "pynacl", "isal"),  # upload-test-stats runs on GitHub
        *("argcomplete", "pycparser", "tzdata"),  # for a shell; for building cffi; for Windows
    }
)
OURS_LEFT_OUT = frozenset({"oot_local", "oot_runner", "oot_stats", "report_result.py", "upload_artifacts.py"})
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell
_MADE_BY_INSTALLING = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


class BuildError(Exception):
    """The archive could not be built; the message says what to do."""


def requirements(lock: str) -> str:
    """Give the part of a hashed lock file that goes into the archive."""
    blocks = re.findall(r"^[a-z0-9].*(?:\n[ \t]+.*)*", lock, re.MULTILINE)
    kept = [block for block in blocks if re.split(r"[ =;\[]", block, maxsplit=1)[0] not in LEFT_OUT]
    return "\n".join(kept) + "\n"


def build(target: Path, *, architecture: str = "arm64", python: str = PYTHON) -> str:
    """Write the archive and give its SHA-256. Raises BuildError."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "packages"
        lock = Path(scratch) / "requirements.txt"
        lock.write_text(requirements((ROOT / "requirements.txt").read_text()))
        _install(lock, folder, ARCHITECTURES[architecture], python)
        _pip(
            [
                "install",
                "--no-deps",
                "--no-index",
                "--no-compile",
                "--target",
                str(folder),
                str(build_wheel(Path(scratch))),
            ]
        )
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        target.parent.mkdir(parents=True, exist_ok=True)
        write_zip(target, {name: file for name, file in files.items() if _is_wanted(name)})
    return hashlib.sha256(target.read_bytes()).hexdigest()


def write_zip(target: Path, files: dict[str, Path]) -> None:
    """Write files in the order of their names, with one time and one mode: equal content gives equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.external_attr = 0o100644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name].read_bytes())


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel with the locked build packages, and return its path. Raises BuildError."""
    _pip(["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("oot_hud-*.whl")
    return wheel


def _install(lock: Path, folder: Path, machine: str, python: str) -> None:
    platforms = [f"--platform={kind}_{machine}" for kind in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    command = ["install", "--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [f"--python-version={python}", *platforms, "--target", str(folder), "--requirement", str(lock)]
    try:
        _pip(command)
    except BuildError as error:
        raise BuildError(f"pip could not install the packages for Python {python} on {machine}:\n{error}") from None


def _pip(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR"))[:2000]
        raise BuildError(errors or done.stderr)


def _is_wanted(name: str) -> bool:
    parts = name.split("/")
    if "__pycache__" in parts or parts[0] == "bin" or parts[0] in OURS_LEFT_OUT:
        return False
    return not (parts[0].endswith(".dist-info") and parts[-1] in _MADE_BY_INSTALLING)


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="the zip to write")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), default="arm64", help="default: arm64")
    parser.add_argument("--python", default=PYTHON, help=f"the runtime's version (default: {PYTHON})")
    options = parser.parse_args()
    try:
        digest = build(options.target, architecture=options.architecture, python=options.python)
    except BuildError as error:
        print(f"build_lambda: {error}", file=sys.stderr)
        return 1
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
