"""Settings from one AWS Secrets Manager secret, JSON of names and values: read once, at the start, and never logged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "OOT_HUD_SECRETS_ARN"


class SecretError(Exception):
    """The secret can't be read; the message names the variable and the cause, and holds nothing of the secret."""


def secret_settings(names: Iterable[str]) -> dict[str, Any]:
    """Give what the secret holds of these settings (named in lower case); nothing where no secret is named.

    One secret may serve both halves: what is not among `names` is left alone. Raises SecretError.
    """
    arn = os.environ.get(VARIABLE, "")
    if not arn:
        return {}
    try:
        told = orjson.loads(_read(arn))
    except orjson.JSONDecodeError:
        raise SecretError(f'{VARIABLE}: the secret is not JSON; it must be an object, {{"SETTING": "value"}}') from None
    if not isinstance(told, dict):
        raise SecretError(f'{VARIABLE}: the secret is no JSON object; it must be one, {{"SETTING": "value"}}')
    known = {name.lower(): value for name, value in told.items()}
    return {name: known[name] for name in names if name in known}


def _read(arn: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    from hud_endpoint import aws

    try:
        return aws.secret_text(arn)
    except ClientError as error:
        why = str(dict(error.response).get("Error", {}).get("Code", "ClientError"))  # type: ignore[attr-defined]
    except BotoCoreError as error:
        why = type(error).__name__
    raise SecretError(
        f"{VARIABLE}: the secret can't be read ({why}); check its name and region, and that the role may "
        "secretsmanager:GetSecretValue it"
    )
