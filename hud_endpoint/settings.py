"""Settings of both server halves, from environment variables of the same names in upper case; see docs/settings.md."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hud_endpoint.contract import AUDIENCE, RESULTS_TABLE

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _https_or_loopback(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url.rstrip("/")
    raise ValueError("must be an https:// URL (http:// only on loopback): a token or a key travels over it")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


SafeUrl = Annotated[str, AfterValidator(_https_or_loopback)]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


S = TypeVar("S", bound=_Settings)


class HudSettings(_Settings):
    """What the results endpoint and the pages need."""

    internal_api_token: SecretStr = Field(min_length=16, description="Service token that the relay sends")
    internal_api_token_previous: SecretStr | None = Field(
        default=None, min_length=16, description="Accepted as well, while the token is being rotated"
    )
    results_table: str = Field(default=RESULTS_TABLE, description="DynamoDB table of the job records")
    clickhouse_url: str = Field(default="http://127.0.0.1:8123", description="http(s)://[user[:password]@]host[:port]")
    banner: str = Field(default="", description="A line on top of every page, for an announcement")
    retention_days: int = Field(default=100, ge=1, description="Days after which DynamoDB may expire a record")


class RelaySettings(_Settings):
    """What the relay's Result Handler needs."""

    hud_api_url: SafeUrl = Field(description="HUD's results endpoint, https://hud.example.org/api/oot/results")
    hud_api_token: SecretStr = Field(min_length=16, description="Service token for HUD")
    hud_public_url: str = Field(default="", description="Where people see HUD; default: the origin of HUD_API_URL")
    dispatch_token: SecretStr = Field(min_length=16, description="Service token of the upstream's webhook")
    callback_signing_key: SecretStr = Field(min_length=32, description="Signs callback tokens (HS256)")
    allowlist: str = Field(description="Path of the allowlist, YAML")
    oidc_issuers: Annotated[tuple[SafeUrl, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(GITHUB_ISSUER,), description="Issuers of GitHub's kind, separated by commas"
    )
    oidc_audience: str = Field(default=AUDIENCE, description="Audience that tokens must carry")
    relay_table: str = Field(default="torchci-oot-relay", description="DynamoDB table of the dispatch records")
    dispatch_policy: Literal["required", "optional"] = Field(
        default="required", description="Whether PR and push callbacks need a dispatch record"
    )
    strict_levels: bool = Field(default=False, description="Answer 403 instead of `ignored` below L2")

    @property
    def public_url(self) -> str:
        parts = urlsplit(self.hud_api_url)
        return self.hud_public_url.rstrip("/") or f"{parts.scheme}://{parts.netloc}"


def load(settings: type[S]) -> S:
    """Read settings from the environment; what is wrong ends the process with a sentence that names each variable."""
    try:
        return settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise SystemExit(f"Settings are missing or wrong (docs/settings.md explains each). {problems}.") from None
