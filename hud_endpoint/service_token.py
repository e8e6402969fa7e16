"""Service tokens: compared in constant time, two accepted at once while one is rotated."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from pydantic import SecretStr


def require_service_token(given: str | None, *accepted: SecretStr | None, header: str) -> None:
    """Raise RefusedError `invalid_service_token` unless `given` is one of the accepted tokens."""
    candidate = (given or "").encode()
    matches = [hmac.compare_digest(candidate, token.get_secret_value().encode()) for token in accepted if token]
    if not any(matches):
        raise RefusedError(
            "invalid_service_token", f"The {header} header does not hold a valid service token: check its rotation."
        )
