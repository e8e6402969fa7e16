"""What an answer of the relay means: an outcome for the workflow, and a message for people where there is one to tell.

Ours answers 200 `{ok, status, outcome, dynamoKey, hud_url}`, 202, or `{detail, code}`; CRCR's answers 200
`{ok, status}` with in_progress, completed or ignored, or `{detail}` without a code.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from oot_runner.messages import Message, tell
from oot_runner.workflow_commands import plain

if TYPE_CHECKING:
    from oot_runner.delivery import Outcome

DETAIL_CHARACTERS = 1000
_KINDS = {
    400: "refused",
    401: "unauthorized",
    403: "not_allowed",
    409: "refused",
    413: "body_too_large",
    422: "refused",
    429: "rate_limited",
}


_CODES = {
    "expired_token": "expired_token",
    "conflicting_completion": "conflicting_result",
    "conflicting_identity": "conflicting_result",
    "event_mismatch": "event_mismatch",
    "repo_id_changed": "refused",
    "run_not_found": "refused",
}


class Verdict(NamedTuple):
    """The step's outputs that come from the relay, and what is to be told."""

    outcome: str
    http_status: str = ""
    dynamo_key: str = ""
    hud_url: str = ""
    message: Message | None = None
    dropped: Message | None = None  # what the relay could not read, and left out


def judge(delivered: Outcome, host: str, audience: str, repository: str, size: int) -> Verdict:
    """Give the verdict on what came of sending `size` bytes to `host`."""
    answer = delivered.answer
    if answer is None:
        kind = "untrusted_certificate" if delivered.untrusted_certificate else "unreachable"
        facts = {"host": host, "attempts": delivered.attempts, "seconds": round(delivered.seconds, 1)}
        return Verdict("failed", message=tell(kind, why=delivered.why, **facts))
    words = _words(answer.body)
    status, code = answer.status, words.get("code")
    told = next((words[key] for key in ("detail", "error", "message") if isinstance(words.get(key), str)), None)
    detail = " ".join(plain(told or answer.body[:4096].decode("utf-8", "replace")).split())[:DETAIL_CHARACTERS]
    detail = detail or "(an empty answer)"
    facts = {"host": host, "status": status, "detail": detail, "attempts": delivered.attempts}
    if 200 <= status < 300:
        return _accepted(status, words, facts)
    if 300 <= status < 400:
        message = tell("redirected", host=host, target=answer.headers.get("location", "nowhere"))
        return Verdict("failed", str(status), message=message)
    if status == 400 and delivered.after_error and words and not code:
        return Verdict("unknown", str(status), message=tell("unknown_outcome", **facts))
    kind = _KINDS.get(status, "server_error" if status >= 500 else "not_a_relay")
    if code in _CODES:
        kind = _CODES[code]
    elif not words and kind in ("refused", "unauthorized", "not_allowed"):
        kind = "not_a_relay"
    facts["wait"] = answer.headers.get("retry-after", "none")
    message = tell(kind, audience=audience, repository=repository, size=size, why=detail, **facts)
    return Verdict("failed", str(status), message=message)


def _accepted(status: int, words: dict[str, Any], facts: dict[str, Any]) -> Verdict:
    said = words.get("outcome") or words.get("status")
    known = {"delivered": "delivered", "in_progress": "delivered", "completed": "delivered"}
    known.update({"duplicate": "duplicate", "ignored": "ignored", "queued": "queued"})
    outcome = "queued" if status == 202 else known.get(str(said), "unknown")
    note = words.get("message")
    message: Message | None = None
    if outcome == "unknown":
        message = tell("not_a_relay", **facts)
    elif outcome == "ignored":
        message = tell("ignored", detail=note or "nothing more")
    elif isinstance(note, str) and note:
        message = tell("upstream_checks" if "L3" in note or "L4" in note else "relay_note", detail=note)
    url = str(words.get("hud_url") or "")
    return Verdict(
        outcome,
        str(status),
        dynamo_key=str(words.get("dynamoKey") or ""),
        hud_url=url if url.startswith(("https://", "http://")) else "",
        message=message,
        dropped=_dropped(words.get("dropped")),
    )


def _dropped(fields: object) -> Message | None:
    """Return what the relay says of fields that it left out, `[{"field", "why"}]`."""
    named = [each for each in fields if isinstance(each, dict)] if isinstance(fields, list) else []
    if not named:
        return None
    texts = [" ".join(plain(f"{each.get('field')}: {each.get('why')}").split())[:300] for each in named[:5]]
    more = f"; and {len(named) - 5} more" if len(named) > 5 else ""
    return tell("fields_dropped", fields="; ".join(texts) + more)


def _words(body: bytes) -> dict[str, Any]:
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return words if isinstance(words, dict) else {}
