"""What operators see of the relay: the audit record and the logs, neither of which ever holds a token."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import requests

from hud_endpoint.logs import RedactingFormatter
from hud_endpoint.relay import audit
from hud_endpoint.relay.oidc import Identity
from oot_local.github import register_dispatch

if TYPE_CHECKING:
    import pytest

    from oot_local.stack import Stack

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"
IDENTITY = Identity(
    repo="o/r",
    repository_id="77",
    run_id="240",
    run_attempt=1,
    check_run_id="987",
    event_name="push",
    workflow_ref=None,
    ref=None,
    sha=None,
    token_id="f" * 64,
)


def test_an_audit_record_says_who_what_and_what_was_decided(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oot_hud.audit"):
        audit.record(IDENTITY, "delivered", key="o/r/d/ci/test/987")
        audit.record(IDENTITY, "refused", code="run_mismatch")
    first, second = (json.loads(RedactingFormatter().format(record)) for record in caplog.records)
    assert (first["message"], first["repo"], first["run_id"], first["key"]) == (
        "delivered",
        "o/r",
        "240",
        "o/r/d/ci/test/987",
    )
    assert (second["message"], second["code"]) == ("refused", "run_mismatch")
    assert first["claims"] == second["claims"]  # one identity
    assert len(first["claims"]) == 64
    assert first["token_id"] == IDENTITY.token_id  # a hash is no secret


def test_unauthenticated_noise_is_never_audited_and_every_authenticated_decision_is(stack: Stack) -> None:
    log = stack.folder / "logs" / "relay.log"
    url = f"{stack.state['relay_url']}/github/callback"
    before = log.read_text().count("oot_hud.audit")
    requests.post(url, data=b"{}", timeout=60)
    requests.post(url, data=b"{}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    assert log.read_text().count("oot_hud.audit") == before
    mint = requests.post(f"{stack.state['github_url']}/_local/mint", json={"repo": "stranger/x"}, timeout=60).json()
    answer = requests.post(url, data=b"{}", headers={"Authorization": f"Bearer {mint['token']}"}, timeout=60)
    assert answer.json()["code"] == "repo_not_allowed"
    written = log.read_text()
    assert written.count("oot_hud.audit") == before + 1
    line = json.loads([text for text in written.splitlines() if "oot_hud.audit" in text][-1])
    assert (line["repo"], line["message"], line["code"]) == ("stranger/x", "refused", "repo_not_allowed")
    assert mint["token"] not in written


def test_the_relays_own_log_binds_repo_and_delivery(stack: Stack) -> None:
    payload = register_dispatch(stack.state, stack.state["sample_repo"], 7, "a" * 40)
    body = {"repo": stack.state["sample_repo"], "claims": {"run_id": "240", "check_run_id": "987"}}
    minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=body, timeout=60).json()["token"]
    callback = {**payload, "workflow": {"status": "in_progress", "name": "ci", "run_id": "240", "check_run_id": "987"}}
    url = f"{stack.state['relay_url']}/github/callback"
    answer = requests.post(url, json=callback, headers={"Authorization": f"Bearer {minted}"}, timeout=60)
    assert answer.status_code == 200
    log = (stack.folder / "logs" / "relay.log").read_text()
    (line,) = [json.loads(text) for text in log.splitlines() if payload["delivery_id"] in text and "callback" in text]
    assert (line["message"], line["repo"]) == ("callback delivered", stack.state["sample_repo"])
