"""What AWS is asked for: a session whose name it takes, and whose policy says no more than this run's own folder."""

from __future__ import annotations

import json
import re

import pytest

from oot_runner.upload.inputs import PREFIX_BYTES
from oot_runner.upload.role import session_name, session_policy

ROLE = "arn:aws:iam::123456789012:role/oot-ci-results"


@pytest.mark.parametrize(
    ("repository", "run_id", "name"),
    [
        ("example/backend", "240", "example@backend-240-2"),
        ("o/" + "r" * 100, "123456789012", "o@" + "r" * 47 + "-123456789012-2"),
        ("ö/r; DROP", "1", "-@r--DROP-1-2"),
        ("", "", "--2"),
    ],
)
def test_session_names(repository: str, run_id: str, name: str) -> None:
    told = session_name(repository, run_id, "2")
    assert told == name
    assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", told)


def test_a_session_writes_below_its_prefix_and_nothing_else() -> None:
    objects, keys = json.loads(session_policy(ROLE, "bucket", "o/r/1/1/artifact"))["Statement"]
    assert objects == {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "Resource": "arn:aws:s3:::bucket/o/r/1/1/artifact/*",
    }
    assert keys["Condition"] == {"StringLike": {"kms:ViaService": "s3.*"}}
    assert {action.split(":")[0] for action in keys["Action"]} == {"kms"}


def test_other_partitions() -> None:
    told = session_policy(ROLE.replace("arn:aws:", "arn:aws-cn:"), "bucket", "p")
    assert json.loads(told)["Statement"][0]["Resource"] == "arn:aws-cn:s3:::bucket/p/*"


def test_it_fits_into_what_sts_takes() -> None:
    assert len(session_policy(ROLE, "b" * 63, "p" * PREFIX_BYTES)) < 2048
