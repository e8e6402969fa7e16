"""Whose tokens are read, and how: a profile for each kind of issuer. Adding an issuer is adding a profile.

A profile says which claims a token must carry, which of them make up an identity, and what the runs of each event may
report. `sub` is in none of them: its format is the customer's to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hud_endpoint.events import GITHUB_EVENTS, Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[object], bool]


def _matches(pattern: str) -> Check:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value < 10**18  # not a bool, which is an int as well


def _absent_or(*checks: Check) -> Check:
    return lambda value: value is None or any(check(value) for check in checks)


_ID = _matches(r"[0-9]{1,20}")
_UUID = _matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = _matches(r"[a-z_]{1,50}")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline elsewhere that speaks for a repo, if its token carries `required_claims`: name -> accepted values."""

    repo: str
    required_claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class IssuerProfile:
    """How tokens of one kind of issuer become an identity.

    `default_url` is the issuer's own URL, `rules` are the claims that are checked, `events` says what the runs of each
    accepted value of the claim `event` may report; the other texts name the claim that an identity's field comes from.
    Either `repo` is the claim with the repo, whose ids are then pinned, or the immutable ids in `pipeline` are looked
    up in the allowlist.
    """

    default_url: str
    rules: Mapping[str, Check]
    event: str
    events: Mapping[str, Grant]
    run_id: str
    check_run_id: str
    repository_id: str
    repository_owner_id: str = ""
    repo: str = ""
    pipeline: tuple[str, ...] = ()
    run_attempt: str = ""
    workflow_ref: str = ""
    ref: str = "ref"
    sha: str = "sha"
    # One job there reports for the others of its run, with one token: vLLM's client does, 360 callbacks a night.
    reports_whole_run: bool = False


PROFILES: Mapping[str, IssuerProfile] = {
    # https://docs.github.com/actions/reference/security/oidc
    "github": IssuerProfile(
        default_url="https://token.actions.githubusercontent.com",
        rules={
            "repository": _matches(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}"),
            "repository_id": _ID,
            "repository_owner_id": _ID,
            "run_id": _ID,
            "run_attempt": _matches(r"[0-9]{1,6}"),
            "check_run_id": _absent_or(_matches(r"[0-9]+"), _is_number),  # older Enterprise Servers have none
            "event_name": _NAME,
        },
        event="event_name",
        events=GITHUB_EVENTS,
        repo="repository",
        repository_id="repository_id",
        repository_owner_id="repository_owner_id",
        run_id="run_id",
        run_attempt="run_attempt",
        check_run_id="check_run_id",
        workflow_ref="workflow_ref",
    ),
    # https://buildkite.com/docs/agent/cli/reference/oidc. Slugs are free again after a rename: ids are not.
    "buildkite": IssuerProfile(
        default_url="https://agent.buildkite.com",
        rules={
            "organization_id": _UUID,
            "pipeline_id": _UUID,
            "build_number": _is_number,
            "job_id": _UUID,
            # A colon is in no branch's name: Buildkite puts it between a stranger's name and their fork's branch.
            "build_branch": _matches(r"[^:\s]{1,255}"),
            "build_source": _NAME,
        },
        event="build_source",
        # A dispatched build is started by the API; a nightly by the schedule, or by hand. A pipeline's required_claims
        # may let other builds report nightlies: webhook, say, by which a fork's pull request arrives as well.
        events={
            "api": Grant.DISPATCHED,
            "trigger_job": Grant.DISPATCHED,
            "schedule": Grant.SELF_REPORTED,
            "ui": Grant.SELF_REPORTED,
        },
        pipeline=("organization_id", "pipeline_id"),
        repository_id="pipeline_id",
        run_id="build_number",
        check_run_id="job_id",
        ref="build_branch",
        sha="build_commit",
        reports_whole_run=True,
    ),
    # https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload. A project's path may be taken over by
    # others, and is no repo on GitHub: anybody could own gitlab.com/vllm-project/vllm.
    "gitlab": IssuerProfile(
        default_url="https://gitlab.com",
        rules={
            "project_id": _ID,
            "namespace_id": _ID,
            "pipeline_id": _ID,
            "job_id": _ID,
            "pipeline_source": _NAME,
            # refs/merge-requests/... is a stranger's merge request.
            "ref_path": _matches(r"refs/(heads|tags)/\S{1,255}"),
        },
        event="pipeline_source",
        # A parent_pipeline may itself be a merge request's, so it is not here.
        events={
            "api": Grant.DISPATCHED,
            "pipeline": Grant.DISPATCHED,
            "trigger": Grant.DISPATCHED,
            "schedule": Grant.SELF_REPORTED,
            "web": Grant.SELF_REPORTED,
            "push": Grant.SELF_REPORTED_IF_LISTED,
        },
        pipeline=("project_id",),
        repository_id="project_id",
        run_id="pipeline_id",
        check_run_id="job_id",
        workflow_ref="ci_config_ref_uri",
        ref="ref_path",
    ),
}


@dataclass(frozen=True)
class Issuer:
    """An issuer that this relay accepts: its URL, as `iss` has it, and its profile."""

    url: str
    profile: IssuerProfile


def parse_issuer(setting: str) -> Issuer:
    """Return the issuer of a URL, or of `kind=URL` (`settings.ISSUER_KINDS`).

    Other URLs than the profiles' own are GitHub Enterprise Servers.
    """
    name, explicit, url = setting.rpartition("=")
    by_url = {profile.default_url: profile for profile in PROFILES.values()}
    return Issuer(url, PROFILES[name] if explicit else by_url.get(url, PROFILES["github"]))


def pipeline_id(profile: IssuerProfile, claims: Mapping[str, Any]) -> str:
    """Return what the allowlist calls a pipeline: its immutable ids, joined by slashes."""
    return "/".join(str(claims[name]) for name in profile.pipeline)
