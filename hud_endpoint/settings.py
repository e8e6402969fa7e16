"""Settings of both server halves, from environment variables of the same names in upper case; see docs/settings.md."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from hud_endpoint.contract import AUDIENCE, RELAY_TABLE, RESULTS_TABLE
from hud_endpoint.logs import hide
from hud_endpoint.metrics import Exporter  # noqa: TC001 - pydantic reads it at run time
from hud_endpoint.secret_settings import SecretError, secret_settings
from hud_endpoint.wire_types import Repo  # noqa: TC001 - pydantic reads it at run time

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
ISSUER_KINDS = ("github", "buildkite", "gitlab")
LONGEST_JOB_SECONDS = 7 * 24 * 3600  # the relay remembers jobs for 14 days
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _https_or_loopback(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url.rstrip("/")
    raise ValueError("must be an https:// URL (http:// only on loopback): a token or a key travels over it")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _issuer(setting: str) -> str:
    kind, separator, url = setting.rpartition("=")
    if separator and kind not in ISSUER_KINDS:
        raise ValueError(f"an issuer is a URL, or kind=URL with one of the kinds {', '.join(ISSUER_KINDS)}")
    return f"{kind}{separator}{_https_or_loopback(url)}"


SafeUrl = Annotated[str, AfterValidator(_https_or_loopback)]
IssuerUrl = Annotated[str, AfterValidator(_issuer)]  # or kind=URL


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


S = TypeVar("S", bound=_Settings)


def _whole(told: object) -> object:
    return int(told) if isinstance(told, str) and told.isdecimal() else told


class ResultsSettings(_Settings):
    """What the results endpoint needs."""

    internal_api_token: SecretStr = Field(min_length=16, description="Service token that the relay sends")
    internal_api_token_previous: SecretStr | None = Field(
        default=None, min_length=16, description="Accepted as well, while the token is being rotated"
    )
    results_table: str = Field(default=RESULTS_TABLE, description="DynamoDB table of the job records")
    retention_days: int = Field(default=100, ge=1, description="Days after which DynamoDB may expire a record")


class PagesSettings(_Settings):
    """What the pages need: no service token is among it."""

    results_table: str = Field(default=RESULTS_TABLE, description="DynamoDB table of the job records")
    clickhouse_url: str = Field(default="http://127.0.0.1:8123", description="http(s)://[user[:password]@]host[:port]")
    banner: str = Field(default="", description="A line on top of every page, for an announcement")
    hud_public_url: str = Field(default="", description="Where people see HUD; default: feeds hold paths")
    readiness_days: Annotated[Literal[7, 14, 30], BeforeValidator(_whole)] = Field(
        default=14, description="Days that level readiness is judged over: 7, 14 or 30, which the rollup knows"
    )
    readiness_timeout_rate: float = Field(default=0.01, ge=0, le=1, description="Timed out of judged jobs, below")
    readiness_end_to_end_seconds: int = Field(default=3 * 3600, ge=1, description="Median from dispatch to end, below")
    readiness_pass_rate: float = Field(default=0.9, ge=0, le=1, description="Successes of judged jobs, above")


class HudSettings(ResultsSettings, PagesSettings):
    """What the results endpoint and the pages need where they are one process."""


class RelaySettings(_Settings):
    """What the relay's Result Handler needs."""

    hud_api_url: SafeUrl = Field(description="HUD's results endpoint, https://hud.example.org/api/oot/results")
    hud_api_token: SecretStr = Field(min_length=16, description="Service token for HUD")
    hud_public_url: str = Field(default="", description="Where people see HUD; default: the origin of HUD_API_URL")
    dispatch_token: SecretStr = Field(min_length=16, description="Service token of the upstream's webhook")
    dispatch_token_previous: SecretStr | None = Field(
        default=None, min_length=16, description="Accepted as well while the token is rotated"
    )
    callback_signing_key: SecretStr = Field(min_length=32, description="Signs callback tokens (HS256)")
    callback_signing_key_previous: SecretStr | None = Field(
        default=None, min_length=32, description="Believed as well while the key is rotated"
    )
    allowlist: str = Field(description="The allowlist, YAML: a path, s3://bucket/key or a file's page on GitHub")
    allowlist_ttl_seconds: int = Field(default=300, ge=1, description="Age at which the allowlist is read again")
    github_raw_url: SafeUrl = Field(
        default="https://raw.githubusercontent.com", description="Where GitHub serves the raw content of files"
    )
    oidc_issuers: Annotated[tuple[IssuerUrl, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(GITHUB_ISSUER,), description="Issuers whose tokens are accepted, separated by commas"
    )
    oidc_audience: str = Field(default=AUDIENCE, description="Audience that tokens must carry")
    upstream_repo: Repo = Field(default="pytorch/pytorch", description="Repo whose commits nightlies test")
    github_api_url: SafeUrl = Field(default="https://api.github.com", description="GitHub's REST API")
    github_token: SecretStr | None = Field(default=None, description="For more than 60 calls of it an hour")
    relay_table: str = Field(
        default=RELAY_TABLE, description="DynamoDB table of the relay: dispatches, jobs, tokens, outbox"
    )
    rate_limit_per_minute: int = Field(
        default=100, ge=1, le=60_000, description="New callbacks a minute that each repo may bring in"
    )
    forwarded_allow_ips: str = Field(default="", description="Proxies whose X-Forwarded-For says who calls: uvicorn's")
    job_timeout_seconds: int = Field(
        default=6 * 3600, ge=60, le=LONGEST_JOB_SECONDS, description="Silence after which a job counts as timed out"
    )
    job_timeouts: dict[str, Annotated[int, Field(ge=60, le=LONGEST_JOB_SECONDS)]] = Field(
        default_factory=dict, description='Other timeouts by repo, as JSON: {"org/name": 43200}'
    )
    outbox_bucket: str = Field(
        default="", description="S3 bucket for waiting bodies above 300 KB; empty: these are refused"
    )
    dispatch_policy: Literal["required", "optional"] = Field(
        default="required", description="Whether PR and push callbacks need a dispatch record"
    )
    strict_levels: bool = Field(default=False, description="Answer 403 instead of `ignored` below L2")
    metrics: Exporter = Field(
        default="none", description="Where numbers go: a port of their own, or CloudWatch's log lines"
    )
    metrics_port: int = Field(default=9464, ge=0, le=65535, description="Port of `/metrics`, never the public one")
    metrics_address: str = Field(default="127.0.0.1", description="Address that `/metrics` listens on")

    def job_timeout(self, repo: str) -> int:
        """Seconds of silence after which a job of this repo counts as timed out."""
        known = {name.lower(): seconds for name, seconds in self.job_timeouts.items()}
        return known.get(repo.lower(), self.job_timeout_seconds)

    @property
    def public_url(self) -> str:
        parts = urlsplit(self.hud_api_url)
        return self.hud_public_url.rstrip("/") or f"{parts.scheme}://{parts.netloc}"


def load(settings: type[S]) -> S:
    """Read settings from the environment, and over it from the secret that OOT_HUD_SECRETS_ARN names.

    What is wrong ends the process with a sentence that names each variable.
    """
    try:
        loaded = settings(**secret_settings(settings.model_fields))
    except (SettingsError, SecretError) as error:  # JSON that isn't; a secret that can't be read
        raise SystemExit(f"Settings are missing or wrong (docs/settings.md explains each). {error}.") from None
    except ValidationError as error:
        problems = "; ".join(
            f"{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise SystemExit(f"Settings are missing or wrong (docs/settings.md explains each). {problems}.") from None
    for _, value in loaded:
        if isinstance(value, SecretStr):
            hide(value.get_secret_value())  # from the logs
    return loaded
