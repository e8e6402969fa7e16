"""The audit record: one line for each decision about somebody who proved who they are, never for unauthenticated noise.

Lines go to the logger `oot_hud.audit`, which a log store keeps append-only. They hold no token: `claims` is a digest of
what the token proved, so that two records of one identity can be told to be so.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_endpoint.relay.oidc import Identity
    from hud_endpoint.relay.repo_pins import RepoPin

log = logging.getLogger("oot_hud.audit")


def record_release(pin: RepoPin, by: str, why: str) -> None:
    """Record that an operator released the pin of a repo's ids."""
    log.info("pin released", extra={**asdict(pin), "by": by, "why": why})


def record(identity: Identity, outcome: str, *, code: str = "", key: str = "") -> None:
    """Keep one decision: who, about which job (where that far), and what was decided."""
    proven = {name: value for name, value in asdict(identity).items() if name != "token_id"}
    claims = hashlib.sha256(json.dumps(proven, sort_keys=True, default=str).encode()).hexdigest()
    log.info(
        "%s",
        outcome,
        extra={
            "repo": identity.repo,
            "repository_id": identity.repository_id,
            "run_id": identity.run_id,
            "run_attempt": identity.run_attempt,
            "token_id": identity.token_id,  # a hash: it names the token and opens nothing
            "claims": claims,
            "code": code,
            "key": key,
        },
    )
