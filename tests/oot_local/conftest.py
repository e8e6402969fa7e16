"""What the tests of the local runner share: a job of theirs, and one Node process a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from oot_local.actions.job import Job
from oot_local.actions.parser import ActionParser

if TYPE_CHECKING:
    from pathlib import Path

MakeJob: TypeAlias = Callable[..., Job]


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


@pytest.fixture
def make_job(tmp_path: Path, parser: ActionParser) -> MakeJob:
    # Spaces and letters beyond ASCII: a path that meets a shell unquoted, or another encoding, fails every test.
    workspace = tmp_path / "wörk späce"
    workspace.mkdir()

    def make(**given: Any) -> Job:
        return Job(workspace, tmp_path / "témp dir", parser=parser, **given)

    return make


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    return make_job()
