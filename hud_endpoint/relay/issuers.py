"""Whose tokens are read, and how: one row a kind of issuer. Adding an issuer is adding a row.

A row says which claims a token must carry, which of them make up an identity, and which events may report. `sub` is in
none of them: its format is the customer's to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
class Kind:
    """One row: how tokens of one kind of issuer become an identity.

    `home` is the issuer's own URL, `rules` are the claims that are checked, `events` the accepted values of the claim
    `event`; the other texts name the claim that an identity's field comes from. Either `repo` is the claim with the
    repo, or the immutable ids in `pipeline` are looked up in the allowlist.
    """

    home: str
    rules: Mapping[str, Check]
    event: str
    events: frozenset[str]
    run_id: str
    check_run_id: str
    repository_id: str
    repo: str = ""
    pipeline: tuple[str, ...] = ()
    run_attempt: str = ""
    workflow_ref: str = ""
    ref: str = "ref"
    sha: str = "sha"
    # One job there reports for the others of its run, with one token: vLLM's client does, 360 callbacks a night.
    speaks_for_run: bool = False
    # The event whose runs may report for other runs of their repo: those had no token, and left their results behind.
    deferring_event: str = ""


KINDS: Mapping[str, Kind] = {
    # https://docs.github.com/actions/reference/security/oidc
    "github": Kind(
        home="https://token.actions.githubusercontent.com",
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
        # pull_request_target runs a fork's pull request with the base repo's identity: it must not speak for the repo.
        events=frozenset({"repository_dispatch", "schedule", "workflow_dispatch", "push", "workflow_run"}),
        repo="repository",
        repository_id="repository_id",
        run_id="run_id",
        run_attempt="run_attempt",
        check_run_id="check_run_id",
        workflow_ref="workflow_ref",
        # Its workflow is always the default branch's own, whoever's run it follows.
        deferring_event="workflow_run",
    ),
    # https://buildkite.com/docs/agent/cli/reference/oidc. Slugs are free again after a rename: ids are not.
    "buildkite": Kind(
        home="https://agent.buildkite.com",
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
        # webhook is what a fork's pull request arrives by as well; a pipeline's required_claims may let it in.
        events=frozenset({"api", "schedule", "trigger_job", "ui"}),
        pipeline=("organization_id", "pipeline_id"),
        repository_id="pipeline_id",
        run_id="build_number",
        check_run_id="job_id",
        ref="build_branch",
        sha="build_commit",
        speaks_for_run=True,
    ),
    # https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload. A project's path may be taken over by
    # others, and is no repo on GitHub: anybody could own gitlab.com/vllm-project/vllm.
    "gitlab": Kind(
        home="https://gitlab.com",
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
        # A parent_pipeline may itself be a merge request's.
        events=frozenset({"api", "pipeline", "push", "schedule", "trigger", "web"}),
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
    """An issuer that this relay accepts: its URL, as `iss` has it, and its row."""

    url: str
    kind: Kind


def find_issuer(told: str) -> Issuer:
    """Give the issuer of a URL, or of `kind=URL`; other URLs than the rows' own are GitHub Enterprise Servers.

    Raises ValueError for a kind that has no row.
    """
    name, explicit, url = told.rpartition("=")
    if explicit and name not in KINDS:
        raise ValueError(f"an issuer is a URL, or kind=URL with one of the kinds {', '.join(KINDS)}")
    homes = {kind.home: kind for kind in KINDS.values()}
    return Issuer(url, KINDS[name] if explicit else homes.get(url, KINDS["github"]))


def pipeline_id(kind: Kind, claims: Mapping[str, Any]) -> str:
    """Give what the allowlist calls a pipeline: its immutable ids, joined by slashes."""
    return "/".join(str(claims[name]) for name in kind.pipeline)
