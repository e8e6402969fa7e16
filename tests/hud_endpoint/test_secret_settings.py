"""Settings from a secret: a real Secrets Manager, what it holds counts, and none of it is ever told."""

from __future__ import annotations

import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hud_endpoint import aws
from hud_endpoint.secret_settings import VARIABLE
from hud_endpoint.settings import HudSettings, RelaySettings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "hunter2-hunter2-hunter2"

pytestmark = pytest.mark.usefixtures("aws_environment")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in {*HudSettings.model_fields, *RelaySettings.model_fields}:
        monkeypatch.delenv(name.upper(), raising=False)
    aws._session.cache_clear()
    yield
    aws._session.cache_clear()


@pytest.fixture
def keep(aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a secret of this text and names it in the environment."""

    def keep(text: str) -> None:
        client = boto3.client("secretsmanager", **aws)
        monkeypatch.setenv(VARIABLE, client.create_secret(Name=uuid.uuid4().hex, SecretString=text)["ARN"])
        client.close()

    return keep


def refusal(settings: type[HudSettings | RelaySettings] = HudSettings) -> str:
    with pytest.raises(SystemExit) as caught:
        load(settings)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_one_secret_serves_both_halves(keep: Callable[[str], None]) -> None:
    keep(
        json.dumps(
            {
                "INTERNAL_API_TOKEN": SECRET,
                "hud_api_token": SECRET,
                "DISPATCH_TOKEN": SECRET,
                "CALLBACK_SIGNING_KEY": SECRET * 2,
                "HUD_API_URL": "https://hud.example.org/api/oot/results",
                "ALLOWLIST": "allowlist.yaml",
                "JOB_TIMEOUTS": {"org/name": 43200},
                "SOMEBODY_ELSES": "x",
            }
        )
    )
    assert load(HudSettings).internal_api_token.get_secret_value() == SECRET
    relay = load(RelaySettings)
    assert relay.callback_signing_key.get_secret_value() == SECRET * 2
    assert relay.job_timeouts == {"org/name": 43200}


def test_it_counts_over_the_environment(keep: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_API_TOKEN", "a-token-of-last-year")
    monkeypatch.setenv("RETENTION_DAYS", "30")
    keep(json.dumps({"INTERNAL_API_TOKEN": SECRET}))
    settings = load(HudSettings)
    assert (settings.internal_api_token.get_secret_value(), settings.retention_days) == (SECRET, 30)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SECRET, "the secret is not JSON"),
        (json.dumps([SECRET]), "no JSON object"),
        (json.dumps({"OTHER": SECRET}), "INTERNAL_API_TOKEN: Field required"),
        (json.dumps({"INTERNAL_API_TOKEN": "hunter2"}), "INTERNAL_API_TOKEN: Value should have at least 16"),
        (json.dumps({"INTERNAL_API_TOKEN": {"deep": SECRET}}), "INTERNAL_API_TOKEN: "),
    ],
)
def test_what_is_wrong_is_named_and_never_told(keep: Callable[[str], None], text: str, told: str) -> None:
    keep(text)
    assert told in refusal()


def test_a_secret_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hunter2")
    assert f"{VARIABLE}: the secret can't be read (ResourceNotFoundException)" in refusal()


def test_a_secrets_manager_that_is_away(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv(VARIABLE, "hunter2")
    assert "the secret can't be read (EndpointConnectionError)" in refusal()


def test_it_is_never_logged(keep: Callable[[str], None], caplog: pytest.LogCaptureFixture) -> None:
    keep(json.dumps({"INTERNAL_API_TOKEN": SECRET}))
    with caplog.at_level(logging.INFO):
        load(HudSettings)
    assert SECRET not in caplog.text
