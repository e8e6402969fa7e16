"""Where the allowlist comes from, and what stays in force while its source is away or talks nonsense."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import orjson
import pytest
import requests

from hud_endpoint.app import relay
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import is_self_reported
from hud_endpoint.relay import allowlist_source
from hud_endpoint.relay.allowlist import MAX_BYTES, AllowlistError, Listed
from hud_endpoint.relay.allowlist_source import AllowlistSource, find_source
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.settings import RelaySettings
from tests.hud_endpoint.relay.desk import IDENTITY, KEY, REPO, SCHEDULED, Desk, new_table
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, changed
from tests.hud_endpoint.web import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

    from tests.hud_endpoint.web import Web

GOOD = b"L2: [org/repo]\n"
BLOB = "https://github.com/pytorch/pytorch/blob/main/.github/allowlist.yml"
RAW = "/pytorch/pytorch/main/.github/allowlist.yml"


def no_s3() -> S3Client:
    raise AssertionError("S3 is not asked for anything")


def reader(name: str, web: Web | None = None, s3: Callable[[], S3Client] = no_s3) -> Callable[[], bytes]:
    return find_source(name, session=requests.Session(), raw_url=web.url if web else "http://127.0.0.1:9", s3=s3)


class TestFile:
    def test_is_read_each_time(self, tmp_path: Path) -> None:
        file = tmp_path / "allowlist.yaml"
        file.write_bytes(GOOD)
        read = reader(str(file))
        file.write_bytes(b"L4: []")
        assert read() == b"L4: []"

    @pytest.mark.parametrize("name", ["missing.yaml", "."])
    def test_that_cannot_be_read_is_named(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(AllowlistError, match="it can't be read"):
            reader(str(tmp_path / name))()

    def test_is_not_read_beyond_what_an_allowlist_may_have(self, tmp_path: Path) -> None:
        (tmp_path / "huge").write_bytes(b"#" * (MAX_BYTES * 2))
        assert len(reader(str(tmp_path / "huge"))()) == MAX_BYTES + 1


class TestGitHub:
    def test_is_read_from_the_raw_content(self, web: Web) -> None:
        web.answers[RAW] = Answer(body=GOOD)
        assert reader(BLOB, web)() == GOOD
        assert web.paths() == [RAW]
        assert "authorization" not in web.asked[0].headers

    @pytest.mark.parametrize(
        ("page", "path"),
        [
            ("o/r/blob/v1/a.yaml", "/o/r/v1/a.yaml"),
            ("o/r/blob/feature/x/a.yaml", "/o/r/feature/x/a.yaml"),
            ("o/r.x/blob/main/a%20b/c%C3%A9.yaml", "/o/r.x/main/a%20b/c%C3%A9.yaml"),
            ("o/r/blob/main/a@b+c.yaml", "/o/r/main/a%40b%2Bc.yaml"),
        ],
    )
    def test_of_any_ref_and_path(self, web: Web, page: str, path: str) -> None:
        web.answers[path] = Answer(body=GOOD)
        assert reader(f"https://github.com/{page}", web)() == GOOD

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (Answer(404, b"404: Not Found"), "HTTP 404"),
            (Answer(500), "HTTP 500"),
            (Answer(429), "HTTP 429"),
            (Answer(302, headers={"location": "/elsewhere"}), "HTTP 302"),  # a renamed repo, which others may take over
            (Answer(body=GOOD, announced=4096, headers={"connection": "close"}), "did not answer"),
            (Answer(body=b"no gzip", headers={"content-encoding": "gzip"}), "did not answer"),
            (Answer(held=True), "did not answer"),
        ],
        ids=["404", "500", "429", "redirect", "cut off", "not gzip", "hanging"],
    )
    def test_that_does_not_give_it(self, web: Web, answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(allowlist_source, "_TIMEOUT", (60, 0.1 if answer.held else 60))
        web.answers[RAW], web.answers["/elsewhere"] = answer, Answer(body=GOOD)
        with pytest.raises(AllowlistError, match=f"{RAW} .*{told}"):
            reader(BLOB, web)()
        assert web.paths() == [RAW]

    def test_that_is_gone(self) -> None:
        with pytest.raises(AllowlistError, match="did not answer"):
            reader(BLOB)()


class TestS3:
    @pytest.fixture
    def s3(self, aws: dict[str, Any]) -> S3Client:
        return boto3.client("s3", **aws)

    def test_object_is_read_each_time(self, s3: S3Client) -> None:
        bucket, key = f"lists-{uuid.uuid4().hex}", "a b/allowlist.yaml"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=key, Body=GOOD)
        read = reader(f"s3://{bucket}/{key}", s3=lambda: s3)
        assert read() == GOOD
        s3.put_object(Bucket=bucket, Key=key, Body=b"#" * (MAX_BYTES + 2))
        assert len(read()) == MAX_BYTES + 1
        s3.delete_object(Bucket=bucket, Key=key)
        with pytest.raises(AllowlistError, match=r"S3 did not give it: .*NoSuchKey"):
            read()

    def test_that_is_gone(self, closed_port: int, aws: dict[str, Any]) -> None:
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1})
        gone = boto3.client("s3", **aws | {"endpoint_url": f"http://127.0.0.1:{closed_port}", "config": config})
        with pytest.raises(AllowlistError, match="S3 did not give it: "):
            reader("s3://bucket/key", s3=lambda: gone)()


@pytest.mark.parametrize(
    "name",
    [
        *("http://github.com/o/r/blob/main/a.yaml", "https://github.com/o/r/raw/main/a.yaml", "https://github.com/o/r"),
        *("https://github.com.evil.org/o/r/blob/main/a.yaml", "https://github.com/o/r/blob/main", "s3://bucket"),
        *(
            "https://github.com/o/r/blob/main/a.yaml?raw=1",
            "https://github.com/o/r/blob/main/../../x/y/main/a",
            "s3://",
        ),
        *("https://github.com/o/r/blob/main/%2e%2e/a", "https://example.org/allowlist.yaml", "file:///etc/passwd"),
        *("https://user@github.com/o/r/blob/main/a.yaml", "s3://Bucket/key", "s3://bucket/", "HTTPS://github.com/o"),
    ],
)
def test_other_places_are_refused(name: str) -> None:
    with pytest.raises(AllowlistError, match=r"expected a path, s3://bucket/key or https://github\.com/<owner>/"):
        reader(name)


class Source:
    """A source in any mood, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.data: bytes | AllowlistError = GOOD
        self.gate = threading.Event()
        self.gate.set()
        self.reads = 0
        monkeypatch.setattr(allowlist_source, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.allowlist = AllowlistSource("the-list", self.read, 300)

    def read(self) -> bytes:
        self.reads += 1
        assert self.gate.wait(60)
        if isinstance(self.data, AllowlistError):
            raise self.data
        return self.data

    def knows(self, repo: str) -> bool:
        try:
            self.allowlist.entry(repo)
        except RefusedError:
            return False
        return True

    def settle(self) -> None:
        """Wait until nobody renews."""
        for thread in threading.enumerate():
            if thread.name == "allowlist":
                thread.join(60)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(monkeypatch)


def test_a_copy_is_kept_for_its_time(source: Source) -> None:
    source.data = b"L2: [org/new]"
    for _ in range(100):
        assert source.knows("org/repo")
        source.now += 3
    assert source.reads == 1


def test_a_new_one_is_read_without_anybody_waiting(source: Source) -> None:
    source.data = b"L2: [org/new]\nproviders: {gitlab: {repo_map: {5: org/new}}}"
    source.now += 301
    source.gate.clear()
    for _ in range(50):
        assert source.knows("org/repo")
        assert source.allowlist.pipeline("https://gitlab.com", "5") is None
    assert source.reads <= 2
    source.gate.set()
    source.settle()
    assert source.knows("org/new")
    assert not source.knows("org/repo")
    assert source.allowlist.pipeline("https://gitlab.com", "5") is not None
    assert source.reads == 2


BAD: dict[str, bytes | AllowlistError] = {
    "gone": AllowlistError("it can't be read"),
    "empty": b"",
    "nobody": b"L1: []",
    "no YAML": b"L2: [",
    "an error page": b"<html>Rate limited</html>",
    "cut off": b"L2: [org/repo]\nL3:\n  npu:\n    org/x: [a",
    "not UTF-8": b"L2: [\xff]",
    "one bad line": b"L2: [org/new, new]",
    "too large": b"#" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_the_last_good_copy_stays_and_the_log_says_why(
    source: Source, data: bytes | AllowlistError, caplog: pytest.LogCaptureFixture
) -> None:
    source.data = data
    for attempt in range(1, 3):
        source.now += 301
        assert source.knows("org/repo")
        source.settle()
        assert source.knows("org/repo")
        assert not source.knows("org/new")
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == attempt  # each time it is tried, and no more often
        assert "can't be renewed, the copy of " in errors[-1]
        assert "stays in force: the-list: " in errors[-1]
    source.data = b"L2: [org/new]"
    source.now += 301
    source.knows("org/new")
    source.settle()
    assert source.knows("org/new")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{tmp}/missing.yaml", "missing.yaml: it can't be read (No such file or directory)."),
        ("{tmp}/wrong.yaml", "wrong.yaml: line 2: `repo` is not written owner/name."),
        ("https://example.org/allowlist.yaml", "expected a path, s3://bucket/key or https://github.com/"),
    ],
)
def test_a_relay_does_not_start_without_an_allowlist(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "wrong.yaml").write_text("L2: [org/repo]\nL4: [repo]")
    settings = RelaySettings(
        hud_api_url="https://hud.example.org",
        hud_api_token="t" * 16,
        dispatch_token="t" * 16,
        callback_signing_key=KEY,
        allowlist=name.format(tmp=tmp_path),
    )
    with pytest.raises(SystemExit, match=r"^The allowlist can't be used: ") as caught:
        relay(settings)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("events", "event", "outcome"),
    [
        ((), "pull_request", "delivered"),
        (("pull_request", "nightly"), "nightly", "delivered"),
        (("pull_request",), "nightly", "ignored"),
        (("nightly",), "pull_request", "ignored"),
        (("pull_request",), "push", "delivered"),
        (("nightly",), "push", "ignored"),
        (("nightly",), "periodic", "delivered"),
    ],
)
def test_a_repo_takes_part_in_the_events_it_named(
    dynamodb: DynamoDBClient, events: tuple[str, ...], event: str, outcome: str
) -> None:
    sent: list[Any] = []

    def send(payload: dict[str, Any]) -> Delivered:
        sent.append(payload)
        return Delivered(duplicate=False)

    desk = Desk(dynamodb, new_table(dynamodb), send, dispatch_policy="optional")
    body = changed(COMPLETED_CALLBACK, {"event_type": event, "delivery_id": str(uuid.uuid4())})
    identity = replace(SCHEDULED if is_self_reported(event) else IDENTITY, token_id=uuid.uuid4().hex)
    taken = desk.handler.accept(identity, Listed(REPO, "L2", events=events), orjson.dumps(body))
    assert (taken.status_code, taken.body["outcome"], len(sent)) == (200, outcome, int(outcome == "delivered"))
    if outcome == "ignored":
        assert taken.body["status"] == "ignored"
        assert f"takes part in {', '.join(events)} (see the allowlist); this is {event}." in taken.body["message"]
