"""`POST /api/oot/results`: where the relay, and nobody else, delivers results (RFC-0054 hop 2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hud_endpoint.contract import HUD_BODY_BYTES, ConflictNote, RelayPayload, load_json, validate
from hud_endpoint.errors import RefusedError
from hud_endpoint.http import as_json, read_body
from hud_endpoint.lenient import answer_of, read_leniently
from hud_endpoint.logs import bind
from hud_endpoint.openapi.document import Operation
from hud_endpoint.record import to_write
from hud_endpoint.results.store import RETRY_AFTER_SECONDS
from hud_endpoint.service_token import require_service_token
from hud_endpoint.threads import BusyError, Threads

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from hud_endpoint.results.store import ResultStore
    from hud_endpoint.settings import ResultsSettings

TOKEN_HEADER = "x-hud-internal-bot"  # noqa: S105 - a header's name, not a secret
THREADS = 40
WAITING = 80  # bodies of 2 MB at most, while the store is slow


def results_operation(settings: ResultsSettings, store: ResultStore) -> Operation:
    """Build the operation around the store; `/api/crcr/results` is CRCR's name for the same."""
    threads = Threads(THREADS, WAITING, "results")

    def store_result(body: bytes) -> dict[str, Any]:
        data = load_json(body)
        if isinstance(data, dict) and "conflict" in data:
            note = validate(ConflictNote, data)
            bind(repo=note.trusted.verified_repo)
            outcome = store.note_conflict(note.conflict)
            return {"ok": True, "status": "completed", "dynamoKey": note.conflict.dynamo_key, "outcome": outcome}
        payload, _, dropped = read_leniently(RelayPayload, data, ("untrusted", "callback_payload"))
        write = to_write(payload, now=datetime.now(UTC), retention_days=settings.retention_days)
        bind(repo=payload.trusted.verified_repo, delivery_id=payload.untrusted.callback_payload.delivery_id)
        outcome = store.apply(write)
        answer = {"ok": True, "status": write.status, "dynamoKey": write.key, "outcome": outcome}
        return answer | answer_of(dropped)

    async def receive_result(request: Request) -> Response:
        """Store one result that the relay vouches for.

        Any order, duplication or retry of a job's callbacks ends in the same record.
        """
        require_service_token(
            request.headers.get(TOKEN_HEADER),
            settings.internal_api_token,
            settings.internal_api_token_previous,
            header=TOKEN_HEADER,
        )
        body = await read_body(request, HUD_BODY_BYTES)
        # In a thread from here on: two megabytes of test details would hold up every other request.
        try:
            answer = await threads.run(store_result, body)
        except BusyError:
            message = "More results are waiting for the store than there is room for: send it again."
            raise RefusedError("store_unavailable", message, retry_after=RETRY_AFTER_SECONDS) from None
        return as_json(answer)

    return Operation(
        "POST",
        "/api/oot/results",
        receive_result,
        "results",
        {
            200: "`{ok, status, dynamoKey, outcome}`; outcome is stored, or duplicate for what is known already; noted "
            "for a `conflict` in place of `untrusted`: a second result that the relay refused.",
            409: "Another completion of the job is already final, or the record is another job's.",
            503: "The store can't take it now; send it again after `Retry-After` seconds.",
        },
        body=RelayPayload,
        token=TOKEN_HEADER,
        aliases=("/api/crcr/results",),
    )
