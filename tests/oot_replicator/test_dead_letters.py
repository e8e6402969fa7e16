"""Dead letters in the table and in a queue: listed, replayed after the fix, dropped; twice is once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hud_endpoint.clickhouse.ddl import insert_columns
from oot_ops.cli import main
from oot_replicator import dead_letters
from oot_replicator.writing import letters, writer
from oot_replicator.writing.letters import DeadLetter, Queue, QueueReader, Table
from oot_replicator.writing.writer import Writer, Written
from tests.oot_replicator.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack

SEEN = (datetime.now(UTC) - timedelta(hours=2)).isoformat()


class Place:
    """A job table that refuses pull request 666 until it is mended, an errors table and a queue; all of the test's."""

    def __init__(self, client: Client, sqs: Any) -> None:
        self.client, self.sqs = client, sqs
        suffix = uuid.uuid4().hex
        self.jobs, self.errors = f"default.jobs_{suffix}", f"default.errors_{suffix}"
        client.command(f"CREATE TABLE {self.jobs} AS default.oot_workflow_job")
        client.command(f"ALTER TABLE {self.jobs} ADD CONSTRAINT no_beasts CHECK pr_number != 666")
        client.command(f"CREATE TABLE {self.errors} AS default.oot_replication_errors")
        attributes = {"VisibilityTimeout": "0"}
        self.queue_url = sqs.create_queue(QueueName=f"dead-{suffix}", Attributes=attributes)["QueueUrl"]

    def mend(self) -> None:
        """What an operator does about the reason of a dead letter."""
        self.client.command(f"ALTER TABLE {self.jobs} DROP CONSTRAINT no_beasts")

    def writer(self, *, queue: bool) -> Writer:
        table = Table(self.client)
        columns = insert_columns(self.client, self.jobs)
        return Writer(self.client, columns, ["completed"], Queue(self.sqs, self.queue_url, table) if queue else table)

    def rows(self) -> list[str]:
        found = self.client.query(f"SELECT dynamoKey FROM {self.jobs} FINAL ORDER BY 1").result_rows  # noqa: S608
        return [str(key) for (key,) in found]

    def in_table(self) -> list[str]:
        return [one.record_id for page in Table(self.client).pages() for one in page]

    def in_queue(self) -> int:
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=wanted)["Attributes"]
        return sum(int(told[name]) for name in wanted)

    def drop(self) -> None:
        self.sqs.delete_queue(QueueUrl=self.queue_url)
        for table in (self.jobs, self.errors):
            self.client.command(f"DROP TABLE {table}")


@pytest.fixture
def place(clickhouse: Client, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    sqs = boto3.client("sqs", **aws)
    made = Place(clickhouse, sqs)
    monkeypatch.setattr(writer, "TABLE", made.jobs)
    monkeypatch.setattr(dead_letters, "TABLE", made.jobs)
    monkeypatch.setattr(letters, "TABLE", made.errors)
    yield made
    made.drop()
    sqs.close()


@pytest.fixture
def command(place: Place, stack: Stack, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.state["aws_endpoint_url"])
    for name in ("region_name", "aws_access_key_id", "aws_secret_access_key"):
        monkeypatch.setenv("AWS_DEFAULT_REGION" if name == "region_name" else name.upper(), aws[name])

    def run(*flags: str, url: str = stack.state["clickhouse_url"]) -> int:
        return main(["dead-letters", *flags, "--clickhouse-url", url, "--dead-letter-queue", place.queue_url])

    return run


def job(key: str, **changes: Any) -> dict[str, Any]:
    times = {"first_seen": SEEN, "started_at": SEEN, "completed_at": SEEN}
    return record(dynamoKey=key, sequence_number=f"number-{key}", **times | changes)


BATCH = [job("k1"), job("beast", pr_number=666), job("k2", first_seen="yesterday"), job("k3")]


@pytest.mark.parametrize("queue", [False, True])
def test_what_is_mended_becomes_a_row_and_the_rest_stays_dead(
    place: Place,
    command: Any,
    capsys: pytest.CaptureFixture[str],
    queue: bool,  # noqa: FBT001 - a column
) -> None:
    assert place.writer(queue=queue).write(BATCH) == Written(2, 2)
    assert (len(place.in_table()), place.in_queue()) == ((0, 2) if queue else (2, 0))
    place.mend()
    assert command("replay") == 0
    assert place.rows() == ["beast", "k1", "k3"]
    assert (len(place.in_table()), place.in_queue()) == ((0, 1) if queue else (1, 0))
    out = capsys.readouterr().out
    assert "1 dead letters replayed" in out
    assert "still dead: 'k2'" in out


def test_a_replay_sets_no_row_back(place: Place, command: Any) -> None:
    place.writer(queue=False).write([job("beast", pr_number=666, revision=2)])
    place.writer(queue=False).write([job("beast", pr_number=7, revision=3, conclusion="success")])
    place.mend()
    assert command("replay") == 0
    query = f"SELECT conclusion, pr_number FROM {place.jobs} FINAL"  # noqa: S608 - our own name
    assert place.client.query(query).result_rows == [("success", 7)]


def test_a_replay_may_be_cut_off_and_run_again(place: Place, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place.writer(queue=False).write(BATCH)
    place.mend()
    with monkeypatch.context() as patch:
        patch.setattr(Table, "remove", lambda *_: (_ for _ in ()).throw(ConnectionError("killed here")))
        assert command("replay") == 1
    assert len(place.in_table()) == 2
    assert command("replay") == 0
    assert (place.rows(), place.in_table()) == (["beast", "k1", "k3"], ["k2"])


def test_a_list_changes_nothing(place: Place, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    place.writer(queue=False).write(BATCH)
    place.writer(queue=True).write([job("k9", revision="x")])
    for flags in (["list"], ["replay", "--dry-run"], ["drop", "--all", "--dry-run"]):
        assert command(*flags) == 0
        out = capsys.readouterr().out
        assert "3 dead letters" in out
        assert "dynamodb-stream  'k2'  number-k2" in out
        assert (len(place.in_table()), place.in_queue()) == (2, 1)


def test_a_drop_needs_a_choice(place: Place, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    place.writer(queue=False).write(BATCH)
    with pytest.raises(SystemExit):
        command("drop")
    assert "--all" in capsys.readouterr().err
    assert command("drop", "--id", "k2") == 0
    assert place.in_table() == ["beast"]
    place.writer(queue=True).write(BATCH)
    assert command("drop", "--all") == 0
    assert (place.in_table(), place.in_queue()) == ([], 0)


def test_letters_of_others_are_listed_and_left(place: Place, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Table(place.client).bury([DeadLetter("s3", "test_run/1/1", "", "bad gzip", "{}")])
    place.sqs.send_message(
        QueueUrl=place.queue_url, MessageBody='{"requestContext": {"condition": "RetriesExhausted"}}'
    )
    assert command("list") == 0
    assert "s3  'test_run/1/1'  -  'bad gzip'" in capsys.readouterr().out
    assert command("replay") == 0
    assert (place.in_table(), place.in_queue()) == (["test_run/1/1"], 1)


def test_a_letter_that_a_queue_is_too_small_for_goes_to_the_table(place: Place) -> None:
    large = job("large", revision="x", environment="é" * 200_000)
    assert place.writer(queue=True).write([large, job("small", revision="x")]) == Written(0, 2)
    assert (place.in_table(), place.in_queue()) == (["large"], 1)
    [[small]] = list(QueueReader(place.sqs, place.queue_url).pages())
    assert small.replayed() == job("small", revision="x")


def test_a_letter_that_can_not_be_read_stays(place: Place, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Table(place.client).bury(
        [DeadLetter(letters.SOURCE, "k1", "1", "why", "no json"), DeadLetter(letters.SOURCE, "k2", "2", "why", "7")]
    )
    assert command("replay") == 0
    assert place.in_table() == ["k1", "k2"]
    assert "can't be read" in capsys.readouterr().out


def test_more_letters_than_a_page(place: Place, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "PAGE", 3)
    place.writer(queue=False).write([job(f"k{number}", pr_number=666) for number in range(8)])
    assert len(place.in_table()) == 8
    place.mend()
    assert command("replay") == 0
    assert (place.in_table(), len(place.rows())) == ([], 8)


def test_while_clickhouse_is_away(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("list", url="http://127.0.0.1:9") == 1
    assert "dead-letters: " in capsys.readouterr().err
