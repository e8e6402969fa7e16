"""The operators' commands for the relay, run as they run them: `oot-hud outbox` and `oot-hud sweep`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.relay.dispatch import ORPHAN_SECONDS, Dispatches
from hud_endpoint.relay.forward import Refused, Unavailable
from hud_endpoint.relay.job_store import JobStore
from hud_endpoint.relay.lifecycle import Claim, advance
from hud_endpoint.relay.outbox import Entry, Outbox, new_entry
from hud_endpoint.relay.repo_pins import RepoPins, pin_put
from tests.hud_endpoint.relay.desk import IDENTITY
from tests.hud_endpoint.relay.test_sweeper import new_dispatch, start_payload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack


@pytest.fixture
def run(stack: Stack, relay_table: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        told = {
            "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "RELAY_TABLE": relay_table,
        }
        return subprocess.run(
            [sys.executable, "-m", "oot_ops", *arguments],
            env={**os.environ, **told, **env},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return command


@pytest.fixture
def outbox(dynamodb: DynamoDBClient, relay_table: str) -> Outbox:
    return Outbox(dynamodb, relay_table)


def store(dynamodb: DynamoDBClient, outbox: Outbox, repo: str, **changes: Any) -> Entry:
    payload = {"trusted": {"verified_repo": repo}, "untrusted": {"callback_payload": {"delivery_id": "d1"}}}
    entry = replace(new_entry(payload, f"{repo}/d1/ci/test/1\n", "completed", time.time()), **changes)
    dynamodb.transact_write_items(TransactItems=[outbox.put_item(entry)])  # type: ignore[list-item]
    return entry


def find(outbox: Outbox, entry: Entry) -> tuple[str, Entry] | None:
    for queue in ("outbox", "dead"):
        for found in outbox.entries(queue):
            if found.entry_id == entry.entry_id:
                return queue, found
    return None


def new_repo() -> str:
    return f"o/{uuid.uuid4().hex}"


def test_list_shows_what_waits_with_its_history(run: Any, dynamodb: DynamoDBClient, outbox: Outbox) -> None:
    repo, other = new_repo(), new_repo()
    entry = store(dynamodb, outbox, repo)
    store(dynamodb, outbox, other)
    outbox.settle(entry, Unavailable("HTTP 503", ours=False), time.time())
    listed = run("outbox", "list", "--repo", repo, "--history")
    assert listed.returncode == 0, listed.stderr
    assert entry.entry_id in listed.stdout
    assert listed.stdout.count("attempt 1: HTTP 503") == 2
    assert listed.stdout.endswith("1 entries\n")
    assert other not in listed.stdout
    assert "test/1\n" not in listed.stdout  # a name can't forge a line


@pytest.mark.parametrize(("age", "count"), [("1h", 0), ("1s", 1)])
def test_older_than(run: Any, dynamodb: DynamoDBClient, outbox: Outbox, age: str, count: int) -> None:
    repo = new_repo()
    store(dynamodb, outbox, repo, created_at=time.time() - 60)
    assert run("outbox", "list", "--repo", repo, "--older-than", age).stdout.endswith(f"{count} entries\n")


def test_retry_makes_what_waits_due_now(run: Any, dynamodb: DynamoDBClient, outbox: Outbox) -> None:
    repo = new_repo()
    entry = store(dynamodb, outbox, repo, due_at=time.time() + 3600)
    assert run("outbox", "retry", "--repo", repo).returncode == 0
    assert entry.entry_id in [due.entry_id for due in outbox.due(time.time(), limit=10_000)]


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_dead_letters_are_replayed_or_dropped_after_a_dry_run(
    run: Any, dynamodb: DynamoDBClient, outbox: Outbox, command: str
) -> None:
    repo = new_repo()
    dead, waits = store(dynamodb, outbox, repo), store(dynamodb, outbox, repo)
    outbox.settle(dead, Refused(400, "HTTP 400: name is wrong"), time.time())
    said = run("outbox", command, "--repo", repo, "--dry-run")
    assert said.stdout.endswith(f"1 entries: would be touched by {command}\n")
    assert find(outbox, dead) is not None
    assert run("outbox", "list", "--dead", "--repo", repo).stdout.endswith("1 entries\n")
    assert run("outbox", command, "--repo", repo).returncode == 0
    found = find(outbox, dead)
    assert (found and found[0]) == ("outbox" if command == "replay" else None)
    left = find(outbox, waits)
    assert left is not None
    assert left[0] == "outbox"  # nobody drops what still waits


def test_sweep_times_out_and_names_orphans(run: Any, dynamodb: DynamoDBClient, relay_table: str) -> None:
    jobs, key, dispatch = JobStore(dynamodb, relay_table), f"{new_repo()}/d1/ci/test/987", new_dispatch()
    past = time.time() - ORPHAN_SECONDS - 60
    record = jobs.read_job(key)
    job, _ = advance(record.job, Claim("in_progress", {}), past)
    assert jobs.write(record, job, now=past, deadline=past + 1, start_payload=start_payload(key))
    Dispatches(dynamodb, relay_table).record(dispatch, past)
    said = run("sweep", "--dry-run").stdout
    assert f"would time out {key}" in said
    assert "never answered: " in said
    swept = run("sweep")
    assert swept.returncode == 0, swept.stderr
    assert f"timed out {key}" in swept.stdout
    assert dispatch.delivery_id in swept.stdout
    assert dispatch.delivery_id in run("sweep", "--orphans").stdout


@pytest.mark.parametrize("command", [("outbox", "list"), ("sweep",)])
def test_a_store_that_is_away_is_said_in_a_sentence(run: Any, command: tuple[str, ...]) -> None:
    ran = run(*command, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "the relay's table can't be used" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("age", ["", "5", "5w", "-1h"])
def test_a_wrong_age_is_said(run: Any, age: str) -> None:
    ran = run("outbox", "list", f"--older-than={age}")
    assert ran.returncode == 2
    assert "is not an age such as 90s" in ran.stderr


def test_drop_needs_a_choice(run: Any, dynamodb: DynamoDBClient, outbox: Outbox) -> None:
    dead = store(dynamodb, outbox, new_repo())
    outbox.settle(dead, Refused(400, "HTTP 400"), time.time())
    ran = run("outbox", "drop")
    assert ran.returncode == 2
    assert "--all drops every dead letter" in ran.stderr
    assert find(outbox, dead) is not None


def test_a_replay_gives_three_more_days_and_keeps_when_it_was_accepted(
    run: Any, dynamodb: DynamoDBClient, outbox: Outbox
) -> None:
    accepted_at = time.time() - 4 * 24 * 3600
    dead = store(dynamodb, outbox, new_repo(), created_at=accepted_at)
    outbox.settle(dead, Unavailable("HTTP 503", ours=False), time.time())
    assert (find(outbox, dead) or ("", dead))[0] == "dead"
    assert run("outbox", "replay", "--id", dead.entry_id).returncode == 0
    queue, replayed = find(outbox, dead) or ("", dead)
    assert (queue, replayed.created_at) == ("outbox", accepted_at)
    outbox.settle(replayed, Unavailable("HTTP 503", ours=False), time.time())
    assert (find(outbox, dead) or ("", dead))[0] == "outbox"  # not dead again at the first failure


def test_a_dead_letter_that_was_just_replayed_is_not_dropped(dynamodb: DynamoDBClient, outbox: Outbox) -> None:
    entry = store(dynamodb, outbox, new_repo())
    outbox.settle(entry, Refused(400, "HTTP 400"), time.time())
    _, seen = find(outbox, entry) or ("", entry)
    assert outbox.replay(seen, time.time())
    assert not outbox.drop_dead(seen)
    assert (find(outbox, entry) or ("gone", entry))[0] == "outbox"


def test_pins_are_listed_and_released_with_an_audit_record(
    run: Any, dynamodb: DynamoDBClient, relay_table: str
) -> None:
    repo = new_repo()
    dynamodb.transact_write_items(TransactItems=[pin_put(relay_table, replace(IDENTITY, repo=repo), 1_790_000_000)])  # type: ignore[list-item]
    assert f"{repo}  repository 77  owner 7" in run("repo-pins", "list", "--repo", repo.upper()).stdout
    release = ("repo-pins", "release", "--repo", repo, "--by", "me", "--why", "made anew")
    assert run("repo-pins", "release", "--repo", repo).returncode == 2  # nobody said why
    assert "would be released" in run(*release, "--dry-run").stdout
    released = run(*release)
    assert (released.returncode, "1 released" in released.stdout) == (0, True), released.stderr
    [record] = [json.loads(line) for line in released.stderr.splitlines() if "oot_hud.audit" in line]
    named = {"repo": repo, "repository_id": "77", "by": "me", "why": "made anew"}
    assert {name: record[name] for name in named} == named
    assert run(*release).returncode == 1  # there is none
    assert repo not in [pin.repo for pin in RepoPins(dynamodb, relay_table).every()]


ALLOWLIST = """
L1: [{known}/unpinned]
L2:
  - {known}/PINNED
  - {known}/listed: {{id: 1234}}
  - {known}/elsewhere
  - {known}/both
providers:
  gitlab:
    repo_map:
      "46573356": {known}/elsewhere
      "46573357": {known}/both
"""


def test_each_repo_on_the_allowlist_is_listed_with_how_it_is_known(
    run: Any, dynamodb: DynamoDBClient, relay_table: str, tmp_path: Path
) -> None:
    known = f"known-{uuid.uuid4().hex[:8]}"
    for name in ("pinned", "listed", "both", "left"):  # a pin from before the allowlist named the id says nothing
        identity = replace(IDENTITY, repo=f"{known}/{name}")
        dynamodb.transact_write_items(TransactItems=[pin_put(relay_table, identity, 1_790_000_000)])  # type: ignore[list-item]
    file = tmp_path / "allowlist.yml"
    file.write_text(ALLOWLIST.format(known=known))
    listed = run("repo-pins", "list", "--allowlist", str(file))
    pinned = f"pinned: repository 77  owner 7  {IDENTITY.issuer}  since 2026-09-21T14:13:20+00:00"
    assert (listed.returncode, [line for line in listed.stdout.splitlines() if line.startswith(known)]) == (
        0,
        [
            f"{known}/unpinned  L1  unpinned: its next accepted result pins it",
            f"{known}/PINNED  L2  {pinned}",
            f"{known}/listed  L2  id from the allowlist: repository 1234",
            f"{known}/elsewhere  L2  not pinned: known by the allowlist's pipeline ids, https://gitlab.com 46573356",
            f"{known}/both  L2  {pinned}",
            f"{known}/both  L2  not pinned: known by the allowlist's pipeline ids, https://gitlab.com 46573357",
            f"{known}/left  not on the allowlist  {pinned}",
        ],
    ), listed.stderr
    one = run("repo-pins", "list", "--allowlist", str(file), "--repo", f"{known}/pinned")
    assert one.stdout.splitlines() == [f"{known}/PINNED  L2  {pinned}", "1 on the allowlist, 1 pinned"]
    pins = RepoPins(dynamodb, relay_table)
    assert all(pins.release(pin) for pin in pins.every())  # as other tests expect the table


@pytest.mark.parametrize(("text", "told"), [(None, "can't be read"), ("L9: [o/r]", "line 1: L9 is no level")])
def test_an_allowlist_that_is_none_is_said(run: Any, tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "allowlist.yml"
    if text is not None:
        file.write_text(text)
    listed = run("repo-pins", "list", "--allowlist", str(file))
    assert (listed.returncode, told in listed.stderr) == (2, True), listed.stderr
