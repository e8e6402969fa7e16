"""boto3 for S3: taken where it is, else installed by its hashes into a venv; here from wheels made for the test."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.oot_runner.test_report_result import find_python

ROOT = Path(__file__).parents[2]
#: Loads boto3 in a process where none is there, and tells what it got.
PROGRAM = f"""
import sys, types
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
sys.path.insert(0, {str(ROOT / "scripts")!r})
from pathlib import Path
from oot_runner.upload import install_boto3
from oot_runner.upload.messages import UploadError
try:
    got = install_boto3.load(Path(sys.argv[1]), print, Path(sys.argv[2]))
    print("got", got.client)
except UploadError as error:
    print("told", error.message.code, error.message.facts)
"""
SOURCES = {
    "boto3/__init__.py": '__version__ = "1.43.0"\nclient = "a client"\n',
    "boto3/s3/__init__.py": "",
    "boto3/s3/transfer.py": "create_transfer_manager = TransferConfig = None\n",
    "botocore/__init__.py": "UNSIGNED = None\n",
    "botocore/config.py": "Config = None\n",
    "botocore/exceptions.py": "ClientError = BotoCoreError = Exception\n",
}


def make_wheel(folder: Path) -> str:
    """Make a boto3 of our own; gives its lock."""
    path = folder / "boto3-1.43.0-py3-none-any.whl"
    info = "boto3-1.43.0.dist-info"
    files = {
        **SOURCES,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: boto3\nVersion: 1.43.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": "\n".join([*lines, f"{info}/RECORD,,"])}.items():
            wheel.writestr(name, text)
    return f"boto3==1.43.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def load(temp: Path, lock: Path, wheels: Path, python: str = sys.executable) -> str:
    ran = subprocess.run(
        [python, "-E", "-s", "-c", PROGRAM, str(temp), str(lock)],
        env={"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "HOME": str(temp)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    folder = tmp_path / "témp folder"
    folder.mkdir()
    return folder


def test_it_is_installed_by_its_hash_and_not_at_all_when_the_hash_differs(tmp_path: Path, temp: Path) -> None:
    lock = tmp_path / "lock.txt"
    right = make_wheel(tmp_path)
    lock.write_text(right.replace(right[-9:-1], "0" * 8))
    refused = load(temp, lock, tmp_path)
    assert "told no_boto3" in refused
    assert "HASH" in refused.upper()

    lock.write_text(right)
    first, second = load(temp, lock, tmp_path), load(temp, lock, tmp_path)
    assert "Installed in" in first
    assert "Installed in" in second
    assert first.splitlines()[-1] == second.splitlines()[-1] == "got a client"
    assert not list(temp.glob("oot-hud-*"))  # nothing is left for a later step to change or to use


def test_what_an_earlier_step_left_is_never_run(tmp_path: Path, temp: Path) -> None:
    """Whatever earlier code of the job put where a venv was last time, or where one could be expected."""
    lock = tmp_path / "lock.txt"
    lock.write_text(make_wheel(tmp_path))
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    used = load(temp, lock, tmp_path).split("into ")[1].split(" …")[0]
    planted = [temp / "oot-hud-boto3-{}.{}".format(*sys.version_info), temp / "oot-hud-boto3-", Path(used)]
    ran = tmp_path / "ran"
    for folder in planted:
        packages = folder / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        (packages / "boto3").mkdir(parents=True)
        (packages / "boto3" / "__init__.py").write_text(f"open({str(ran)!r}, 'w')\nclient = 'planted'\n")
        (packages / "planted.pth").write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n")
        (folder / "bin").mkdir()
        (folder / "bin" / "python").write_text(f"#!/bin/sh\ntouch {ran}\n")
        (folder / "bin" / "python").chmod(0o755)
        (folder / "installed").write_text(digest)
    told = load(temp, lock, tmp_path)
    assert told.splitlines()[-1] == "got a client"
    assert not any(f"into {folder} " in told for folder in planted)
    assert not ran.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, temp: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(make_wheel(tmp_path))
    assert "told no_boto3" in load(temp / "gone", lock, tmp_path)


def test_a_machine_without_venv_is_told(tmp_path: Path, temp: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(make_wheel(tmp_path))
    temp.joinpath("scripts").mkdir()
    program = PROGRAM.replace("from pathlib", "sys.executable = 'no-such-python'\nfrom pathlib", 1)
    ran = subprocess.run(
        [sys.executable, "-c", program, str(temp), str(lock)], capture_output=True, encoding="utf-8", check=False
    )
    assert "told no_boto3" in ran.stdout, ran.stderr


def test_an_old_python_is_told_before_anything_is_installed(tmp_path: Path, temp: Path) -> None:
    python = find_python("3.8") or find_python("3.9")
    if python is None:
        pytest.skip("there is no Python 3.8 or 3.9 on this machine")
    lock = tmp_path / "lock.txt"
    lock.write_text("")
    assert "told old_python {'needed': '3.10'" in load(temp, lock, tmp_path, python)
    assert not list(temp.iterdir())
