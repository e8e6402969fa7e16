"""Who vouches for what a result is about: our dispatch of a pull request or push, the upstream of a nightly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.views import states
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import ask
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.running import RunningJobs
from hud_endpoint.views.models.filters import Filters
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.views.test_oracle import NO_NAMES, RUNNING, plain

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

# event, dispatch_verified, commit_verified, verified. An earlier relay wrote a nightly's commit to dispatch_verified.
ROWS = [
    ("pull_request", True, False, True),
    ("pull_request", False, False, False),
    ("pull_request", False, True, False),
    ("push", True, False, True),
    ("push", False, True, False),
    ("nightly", False, True, True),
    ("nightly", True, False, True),
    ("nightly", False, False, False),
    ("periodic", False, True, True),
    ("periodic", False, False, False),
    ("made_up", False, True, False),
]


def test_a_finished_job(clickhouse: Client) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    repo, rows = "verified/backend", []
    for number, (event, dispatch, commit, _) in enumerate(ROWS):
        row = plain(repo, now - timedelta(hours=3, minutes=number), 7_100_000 + number, "success")
        about = {"event_type": event, "dispatch_verified": dispatch, "commit_verified": commit}
        rows.append({**row, **about, "pytorch_head_sha": f"{number:040x}"})
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    asked: Any = partial(ask, lambda: clickhouse)
    shown = read_backend(asked, RUNNING, NO_NAMES, Criteria(), repo, Filters(), 1, now).matrix.rows
    assert len(shown) == len(ROWS)
    for number, (_, _, _, verified) in enumerate(ROWS):
        (on_matrix,) = [one for one in shown if one.sha == f"{number:040x}"]
        assert on_matrix.verified is verified
        assert [job.verified for cell in on_matrix.cells if cell for job in cell.jobs] == [verified]
        page = read_pull_request(asked, RUNNING, NO_NAMES, 7_100_000 + number, "verified/upstream", now)
        assert [job.verified for about in page.commits for one in about.backends for job in one.jobs] == [verified]


@pytest.mark.parametrize(("event", "dispatch", "commit", "verified"), ROWS)
def test_a_running_job(dynamodb: DynamoDBClient, event: str, *, dispatch: bool, commit: bool, verified: bool) -> None:
    repo = f"verified-running/{event}-{dispatch}-{commit}"
    dynamodb.put_item(
        TableName="torchci-oot-workflow-job",
        Item={
            "dynamoKey": {"S": repo},
            "running_repo": {"S": repo},
            "event_type": {"S": event},
            "dispatch_verified": {"BOOL": dispatch},
            "commit_verified": {"BOOL": commit},
        },
    )
    [(job, _)] = RunningJobs(dynamodb, "torchci-oot-workflow-job").under_name(repo, NO_NAMES)
    assert job.verified is verified


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("pull_request", "not dispatched by PyTorch"),
        ("push", "not dispatched by PyTorch"),
        ("made_up", "not dispatched by PyTorch"),
        ("nightly", "its commit is not known upstream"),
        ("periodic", "its commit is not known upstream"),
    ],
)
def test_the_words_say_what_is_missing(event: str, words: str) -> None:
    assert states.unverified(event)[0] == words
