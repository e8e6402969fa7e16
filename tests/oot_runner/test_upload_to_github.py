"""The way to GitHub's artifacts: where they are, and a runner without room for the copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oot_runner.upload import files, to_github
from oot_runner.upload.archive import Entry
from oot_runner.upload.inputs import read
from oot_runner.upload.messages import UploadError
from oot_runner.upload.plan import Plan, place_of
from oot_runner.upload.story import Story
from oot_runner.workflow_commands import Runner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("server", "there"),
    [
        ("https://github.com", True),
        ("https://github.com/", True),
        ("", True),
        ("https://octocorp.ghe.com", True),
        ("https://github.example.com", False),
        ("https://notghe.com", False),
        ("https://github.com.example.org", False),
    ],
)
def test_where_artifacts_are(server: str, *, there: bool) -> None:
    assert to_github.is_there(place_of({"GITHUB_SERVER_URL": server})) is there


def test_a_runner_without_room_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<x/>")
    (file,) = files.select(("a.xml",), tmp_path, include_hidden=False).files
    settings, place = read({"OOT_PATH": "a.xml"}), place_of({})
    plan = Plan(settings, place, "name", [Entry(file, "a.xml")], [], tmp_path / "not" / "there")
    with pytest.raises(UploadError) as failed:
        to_github.stage(plan, Runner({}), Story())
    assert (failed.value.message.code, failed.value.message.facts["size"]) == ("no_room", 4)


def test_without_github_s_id_a_job_has_none_that_a_collector_would_believe() -> None:
    for told in ("", "null", "9a"):
        assert place_of({"GITHUB_RUN_ID": "240", "OOT_CHECK_RUN_ID": told}).job_id == "run240"
    assert place_of({"OOT_CHECK_RUN_ID": "987", "OOT_MATRIX": "not json"})[4:6] == ("987", None)
