"""Every refusal the server can answer with: one stable code each, and the HTTP status that goes with it.

`docs/errors.md` explains each code; a test keeps the two in step.
"""

from __future__ import annotations

CODES: dict[str, int] = {
    # what the body says
    "invalid_json": 400,
    "invalid_callback": 400,
    "key_too_long": 400,
    "run_mismatch": 400,
    "no_dispatch": 400,
    "dispatch_conflict": 409,
    "body_too_large": 413,
    "body_too_slow": 408,
    "invalid_encoding": 400,
    "unsupported_encoding": 415,
    "conflicting_completion": 409,
    "conflicting_identity": 409,
    # who says it
    "missing_token": 401,
    "invalid_token": 401,
    "expired_token": 401,
    "unknown_issuer": 401,
    "wrong_audience": 401,
    "event_not_accepted": 401,
    "invalid_callback_token": 401,
    "replayed_token": 401,
    "invalid_service_token": 401,
    "repo_not_allowed": 403,
    "repo_id_changed": 403,
    "event_mismatch": 403,
    "run_not_found": 403,
    "pipeline_not_allowed": 403,
    # how it is asked
    "rate_limited": 429,
    "too_many_refusals": 429,
    "not_found": 404,
    "method_not_allowed": 405,
    "invalid_parameter": 400,
    # what is ours to mend
    "internal_error": 500,
    "store_unavailable": 503,
    "not_ready": 503,
    "issuer_unavailable": 503,
    "github_unavailable": 503,
    "dashboard_unavailable": 503,
}


class RefusedError(Exception):
    """A request that is answered with an error: what was wrong, where, and what to do about it.

    `code` is one of CODES and never changes its meaning; `message` is for people and may. `retry_after` is in seconds.
    """

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.code = code
        self.message = message
        self.status = CODES[code]
