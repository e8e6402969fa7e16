"""Settings come from the environment, wrong ones are refused without being told, and docs/settings.md lists each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hud_endpoint.settings import GITHUB_ISSUER, HudSettings, RelaySettings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
SECTIONS = {part.partition("\n")[0].partition(":")[0]: ROW.findall(part) for part in DOCUMENT.split("\n## ")[1:]}
HUD: dict[str, Any] = {"internal_api_token": "t" * 16}
RELAY: dict[str, Any] = {
    "hud_api_url": "https://hud.example.org/api/oot/results",
    "hud_api_token": "t" * 16,
    "dispatch_token": "t" * 16,
    "callback_signing_key": "k" * 32,
    "allowlist": "allowlist.yaml",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*HudSettings.model_fields, *RelaySettings.model_fields}:
        monkeypatch.delenv(name.upper(), raising=False)


def default(value: object) -> str:
    """How the document writes a default."""
    if isinstance(value, tuple):
        value = ",".join(value)
    return "none" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize(("section", "model"), [("HUD", HudSettings), ("Relay", RelaySettings)])
def test_the_document_lists_every_setting_with_its_default(
    section: str, model: type[HudSettings | RelaySettings]
) -> None:
    told = {name: value for name, value, _ in SECTIONS[section]}
    assert told == {
        name.upper(): "**required**" if field.is_required() else default(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
    }


def test_the_document_lists_what_the_commands_read() -> None:
    read: dict[str, str | None] = {}
    for path in [*(ROOT / "scripts" / "oot_ops").rglob("*.py"), *(ROOT / "scripts" / "oot_replicator").rglob("*.py")]:
        for name in re.findall(r'os\.environ(?:\.get\(|\[)"(\w+)"', path.read_text(encoding="utf-8")):
            read[name] = None
    # AWS_*: boto3's own, which the document says. COMP_*: a shell's, while it asks for completions.
    ours = {name for name in read if not name.startswith(("AWS_", "COMP_"))}
    assert {name for name, *_ in SECTIONS["Commands"]} == ours


def test_every_meaning_is_a_sentence() -> None:
    for section in SECTIONS.values():
        for name, _, meaning in section:
            assert meaning.endswith("."), name


def test_the_same_name_means_the_same_default_everywhere() -> None:
    defaults: dict[str, set[str]] = {}
    for section in SECTIONS.values():
        for name, value, _ in section:
            defaults.setdefault(name, set()).add(value)
    assert all(len(values) == 1 for values in defaults.values()), defaults


class TestEnvironment:
    def test_names_are_upper_case(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTERNAL_API_TOKEN", "x" * 16)
        monkeypatch.setenv("RETENTION_DAYS", "30")
        settings = HudSettings()
        assert (settings.internal_api_token.get_secret_value(), settings.retention_days) == ("x" * 16, 30)

    @pytest.mark.parametrize(
        ("told", "issuers"),
        [
            ("https://a.example.org", ("https://a.example.org",)),
            ("https://a.example.org/, https://b.example.org,,", ("https://a.example.org", "https://b.example.org")),
            ("http://127.0.0.1:8080", ("http://127.0.0.1:8080",)),
            ("gitlab=https://git.example.org/", ("gitlab=https://git.example.org",)),
        ],
    )
    def test_issuers_are_separated_by_commas(
        self, monkeypatch: pytest.MonkeyPatch, told: str, issuers: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("OIDC_ISSUERS", told)
        assert RelaySettings(**RELAY).oidc_issuers == issuers

    def test_github_is_the_default(self) -> None:
        assert RelaySettings(**RELAY).oidc_issuers == (GITHUB_ISSUER,)


@pytest.mark.parametrize(
    ("model", "good", "name", "wrong"),
    [
        *((HudSettings, HUD, name, "hunter2") for name in ("internal_api_token", "internal_api_token_previous")),
        *(
            (RelaySettings, RELAY, name, "hunter2")
            for name in (
                *("hud_api_token", "dispatch_token", "dispatch_token_previous"),
                *("callback_signing_key", "callback_signing_key_previous"),
            )
        ),
        (HudSettings, HUD, "retention_days", 0),
        (RelaySettings, RELAY, "hud_api_url", "http://hunter2.example.org/api"),
        (RelaySettings, RELAY, "hud_api_url", "http://127.0.0.1.hunter2.org/"),
        (RelaySettings, RELAY, "hud_api_url", "ftp://hunter2"),
        (RelaySettings, RELAY, "oidc_issuers", "https://a.example.org,http://hunter2.example.org"),
        (RelaySettings, RELAY, "oidc_issuers", "gitlab=http://hunter2.example.org"),
        (RelaySettings, RELAY, "oidc_issuers", "hunter2=https://a.example.org"),
        (RelaySettings, RELAY, "oidc_issuers", "=https://hunter2.example.org"),
        (RelaySettings, RELAY, "oidc_issuers", "GitLab=https://hunter2.example.org"),
        (RelaySettings, RELAY, "github_api_url", "http://hunter2.example.org"),
        (RelaySettings, RELAY, "github_raw_url", "http://hunter2.example.org"),
        (RelaySettings, RELAY, "upstream_repo", "hunter2"),
        (RelaySettings, RELAY, "allowlist_ttl_seconds", 0),
        (RelaySettings, RELAY, "dispatch_policy", "hunter2"),
        (RelaySettings, RELAY, "strict_levels", "hunter2"),
    ],
)
def test_what_is_wrong_is_named_but_never_told(
    model: type[HudSettings | RelaySettings], good: dict[str, Any], name: str, wrong: Any
) -> None:
    model(**good)
    with pytest.raises(ValidationError) as caught:
        model(**good | {name: wrong})
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("api", "public", "shown"),
    [
        ("https://hud.example.org/api/oot/results", "", "https://hud.example.org"),
        ("https://hud.example.org:8443/api", "", "https://hud.example.org:8443"),
        ("https://internal/api", "https://hud.pytorch.org/", "https://hud.pytorch.org"),
    ],
)
def test_where_people_see_hud(api: str, public: str, shown: str) -> None:
    assert RelaySettings(**RELAY | {"hud_api_url": api, "hud_public_url": public}).public_url == shown


def test_settings_never_show_their_secrets() -> None:
    assert "t" * 16 not in repr(RelaySettings(**RELAY)) + repr(HudSettings(**HUD))
