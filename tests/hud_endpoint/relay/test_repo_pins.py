"""A repo is its ids: pinned by the first result that is accepted, compared for each, released by an operator alone."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.events import Grant
from hud_endpoint.relay.allowlist import Listed
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.relay.repo_pins import RepoPin, RepoPins, stable_id
from tests.hud_endpoint.relay.desk import IDENTITY, REPO, SCHEDULED, Desk, new_table
from tests.hud_endpoint.relay.jobs import Job, refused
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, changed

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack


class Relay:
    """A handler, and nightlies of a repo that need no dispatch."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.table = new_table(client)
        self.desk = Desk(client, self.table, lambda _: Delivered(duplicate=False))
        self.pins = RepoPins(client, self.table)

    def post(self, listed: Listed = Listed(REPO, "L2"), **proven: Any) -> str:  # noqa: B008 - frozen
        """Report a nightly; returns the outcome, or the code."""
        body = changed(COMPLETED_CALLBACK, {"event_type": "nightly", "delivery_id": uuid.uuid4().hex})
        identity = replace(SCHEDULED, token_id=uuid.uuid4().hex, **proven)
        try:
            return str(self.desk.handler.accept(identity, listed, orjson.dumps(body)).body["outcome"])
        except RefusedError as error:
            return error.code


@pytest.fixture
def relay(dynamodb: DynamoDBClient) -> Relay:
    return Relay(dynamodb)


def test_the_first_accepted_result_pins_the_repo(relay: Relay) -> None:
    assert [relay.post() for _ in range(2)] == ["delivered", "delivered"]
    [pin] = relay.pins.every()
    assert pin == RepoPin(IDENTITY.issuer, REPO, "77", "7", relay.desk.clock())


@pytest.mark.parametrize(
    "other",
    [{"repository_id": "78"}, {"repository_owner_id": "8"}, {"repository_id": "78", "repository_owner_id": "8"}],
    ids=str,
)
@pytest.mark.parametrize("name", [REPO, REPO.upper()])
def test_the_same_name_with_other_ids_is_refused_and_stays_so(relay: Relay, other: dict[str, Any], name: str) -> None:
    assert relay.post() == "delivered"
    assert [relay.post(repo=name, **other) for _ in range(2)] == ["repo_id_changed"] * 2
    assert relay.post() == "delivered"


def test_what_was_refused_pins_nothing(relay: Relay) -> None:
    assert relay.post(grant=Grant.DISPATCHED) == "event_mismatch"
    assert list(relay.pins.every()) == []


def test_of_many_at_once_one_repo_is_pinned(relay: Relay) -> None:
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: relay.post(repository_id=str(number % 2)), range(16)))
    [pin] = relay.pins.every()
    mine = [outcome for number, outcome in enumerate(outcomes) if str(number % 2) == pin.repository_id]
    assert set(mine) == {"delivered"}
    assert outcomes.count("repo_id_changed") == 8


def test_a_released_pin_is_set_anew(relay: Relay) -> None:
    relay.post()
    [pin] = relay.pins.every()
    assert relay.pins.release(pin)
    assert relay.post(repository_id="78") == "delivered"
    assert not relay.pins.release(pin)  # it has changed since
    assert relay.post() == "repo_id_changed"


def test_the_id_of_the_allowlist_counts_over_any_pin(relay: Relay) -> None:
    assert relay.post() == "delivered"
    listed = Listed(REPO, "L2", repository_id="78")
    assert relay.post(listed) == "repo_id_changed"
    assert relay.post(listed, repository_id="78") == "delivered"


def test_another_issuers_repo_of_this_name_is_another(relay: Relay) -> None:
    assert relay.post() == "delivered"
    assert relay.post(issuer="https://ghes.example.org", repository_id="1") == "delivered"
    assert relay.post(issuer="https://ghes.example.org", repository_id="77") == "repo_id_changed"


def test_a_pipeline_elsewhere_is_known_by_the_allowlists_ids(relay: Relay) -> None:
    for pipeline in ("a", "b"):  # several may report for one repo
        elsewhere: dict[str, Any] = {
            "issuer": "https://agent.buildkite.com",
            "repository_owner_id": None,
            "repository_id": pipeline,
        }
        assert relay.post(**elsewhere) == "delivered"
    assert list(relay.pins.every()) == []


@pytest.mark.parametrize(
    ("proven", "stable"),
    [
        ({}, "77"),
        ({"issuer": "https://token.actions.githubusercontent.com/some-enterprise"}, "77"),
        ({"issuer": "https://ghes.example.org/_services/token"}, "ghes.example.org:77"),
        ({"issuer": "https://agent.buildkite.com", "repository_owner_id": None}, None),
        ({"issuer": "https://gitlab.com", "repository_owner_id": None}, None),  # 77 is another project there
    ],
    ids=str,
)
def test_no_two_repos_have_one_id(proven: dict[str, Any], stable: str | None) -> None:
    assert stable_id(replace(IDENTITY, **proven)) == stable


def test_over_the_wire(stack: Stack) -> None:
    job = Job(stack)
    job.dispatch()
    job.report()
    other = Job(stack)
    other.dispatch()
    taken_over = {"repository_id": "222", "repository_owner_id": "999"}
    message = refused(other.post(other.body(), other.token(**taken_over)), "repo_id_changed")
    assert "of repository 222 of owner 999" in message
