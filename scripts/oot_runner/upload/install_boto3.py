"""boto3, for S3 alone: the one that is there, else one installed hash-locked into a venv of this process's own."""

from __future__ import annotations

import atexit
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from oot_runner.upload.messages import UploadError

LOCK = Path(__file__).resolve().parents[3] / "actions" / "upload-artifacts" / "requirements-s3.txt"
LOCK_NEEDS = (3, 10)  # the Python of the locked boto3
OLDEST = (1, 26)  # knows checksums of parts and AWS_ENDPOINT_URL's forerunners
INSTALL_SECONDS = 300


class Boto3(NamedTuple):
    """What this action takes of boto3 and botocore; untyped, for they are imported only where S3 is asked for."""

    client: Any
    create_transfer_manager: Any
    TransferConfig: Any
    Config: Any
    UNSIGNED: Any
    ClientError: Any
    Error: Any


def load(temp: Path, say: Callable[[str], None], lock: Path = LOCK) -> Boto3:
    """Import boto3, installing it first where it is missing or too old.

    Raises UploadError `old_python` or `no_boto3`.
    """
    boto3 = _import()
    if boto3 is None:
        if sys.version_info < LOCK_NEEDS:
            needed, version = (".".join(map(str, numbers[:2])) for numbers in (LOCK_NEEDS, sys.version_info))
            raise UploadError("old_python", needed=needed, version=version)
        _forget()
        sys.path.insert(0, str(_install(temp, say, lock)))
        importlib.invalidate_caches()
        boto3 = _import()
    if boto3 is None:
        raise UploadError("no_boto3", why="it was installed and cannot be imported")
    return boto3


def _import() -> Boto3 | None:
    try:
        names = ("boto3", "boto3.s3.transfer", "botocore", "botocore.config", "botocore.exceptions")
        boto3, transfer, botocore, config, errors = map(importlib.import_module, names)
        numbers = re.match(r"(\d+)\.(\d+)", boto3.__version__)
        if not numbers or tuple(map(int, numbers.groups())) < OLDEST:
            return None
        return Boto3(
            client=boto3.client,
            create_transfer_manager=transfer.create_transfer_manager,
            TransferConfig=transfer.TransferConfig,
            Config=config.Config,
            UNSIGNED=botocore.UNSIGNED,
            ClientError=errors.ClientError,
            Error=errors.BotoCoreError,
        )
    except (ImportError, AttributeError):
        return None


def _forget() -> None:
    """Let a boto3 that is too old, and what belongs to it, be imported anew."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"):
            del sys.modules[name]


def _install(temp: Path, say: Callable[[str], None], lock: Path) -> Path:
    """Make a venv for this process alone and return its site-packages.

    Its folder has a name that nobody knows before: in one that an earlier step of the job could have made, that step's
    code would run with this step's role.
    """
    started = time.monotonic()
    try:
        folder = Path(tempfile.mkdtemp(prefix="oot-hud-boto3-", dir=str(temp)))
    except OSError as error:
        raise UploadError("no_boto3", why=error) from None
    atexit.register(shutil.rmtree, str(folder), ignore_errors=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    say(f"Installing boto3 into {folder} …")
    _run([sys.executable, "-I", "-m", "venv", str(folder)])
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"]
    _run([str(python), "-I", "-m", "pip", "install", *options, "--require-hashes", "-r", str(lock)])
    say(f"Installed in {time.monotonic() - started:.1f} s.")
    found = sorted(folder.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"))
    if not found:
        raise UploadError("no_boto3", why=f"{folder} has no site-packages")
    return found[0]


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        ran = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UploadError("no_boto3", why=error) from None
    if ran.returncode:
        lines = ran.stdout.decode("utf-8", "replace").split("\n")
        told = " ".join(line.strip() for line in lines if line.strip())
        raise UploadError("no_boto3", why=told[-600:] or f"{command[3]} ended with {ran.returncode}")
