"""The contexts that the runner gives a job (`github`, `runner`, `strategy`), and the environment of its steps.

Source: GitHub's "Contexts reference" and "Variables reference".
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Of a job that is no leg of a matrix.
STRATEGY = {"fail-fast": True, "job-index": 0, "job-total": 1, "max-parallel": 1}

# A push to the default branch of a repository that doesn't exist: what a caller doesn't say.
_GITHUB: dict[str, Any] = {
    "action": "",
    "actor": "octocat",
    "actor_id": "1",
    "api_url": "https://api.github.com",
    "base_ref": "",
    "event": {},
    "event_name": "push",
    "graphql_url": "https://api.github.com/graphql",
    "head_ref": "",
    "job": "test",
    "ref": "refs/heads/main",
    "ref_protected": False,
    "repository": "example/backend",
    "repository_id": "1",
    "repository_owner_id": "1",
    "retention_days": "90",
    "run_attempt": "1",
    "run_id": "1",
    "run_number": "1",
    "server_url": "https://github.com",
    "sha": "0" * 40,
    "token": "",
    "workflow": "ci",
}
# The properties of `github` that a step finds as GITHUB_*: the list of the runner (its GitHubContext), and no more.
_VARIABLES = (
    "action", "action_path", "action_ref", "action_repository", "actor", "actor_id", "api_url", "base_ref", "env",
    "event_name", "event_path", "graphql_url", "head_ref", "job", "output", "path", "ref", "ref_name", "ref_protected",
    "ref_type", "repository", "repository_id", "repository_owner", "repository_owner_id", "retention_days",
    "run_attempt", "run_id", "run_number", "server_url", "sha", "state", "step_summary", "triggering_actor",
    "workflow", "workflow_ref", "workflow_sha", "workspace",
)  # fmt: skip


def github_context(given: Mapping[str, Any], *, workspace: Path, event_path: Path) -> dict[str, Any]:
    """Gives a whole `github` context: what is given, what follows from it, and defaults; ids are strings, as there."""
    context = {**_GITHUB, **{name: str(value) if type(value) is int else value for name, value in given.items()}}
    _, kind, name = (*context["ref"].split("/", 2), "", "")[:3]
    follows = {
        "ref_name": name,
        "ref_type": "tag" if kind == "tags" else "branch",
        "repository_owner": context["repository"].partition("/")[0],
        "triggering_actor": context["actor"],
        "workflow_ref": f"{context['repository']}/.github/workflows/{context['workflow']}.yml@{context['ref']}",
        "workflow_sha": context["sha"],
    }
    return {**follows, **context, "workspace": str(workspace), "event_path": str(event_path)}


def runner_context(given: Mapping[str, str], *, workspace: Path, temp: Path) -> dict[str, str]:
    """Gives the `runner` context of this machine, with what is given in its place."""
    return {
        "name": "local",
        "os": {"Darwin": "macOS"}.get(platform.system(), platform.system()),
        "arch": {"x86_64": "X64", "aarch64": "ARM64", "arm64": "ARM64"}.get(platform.machine(), platform.machine()),
        "environment": "self-hosted",
        "tool_cache": str(temp / "_tool_cache"),
        **given,
        "temp": str(temp),
        "workspace": str(workspace.parent),
    }


def machine_environment() -> dict[str, str]:
    """Gives what steps inherit of this process's environment: little, so that nothing works by accident."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", ""), "LANG": "C.UTF-8"}


def step_environment(
    env: Mapping[str, str], *, paths: Sequence[str], github: Mapping[str, Any], runner: Mapping[str, str]
) -> dict[str, str]:
    """Gives a step's environment: `env` with the variables of the runner over it, and `paths` before PATH."""
    environment = {**machine_environment(), "CI": "true", **env}
    environment["PATH"] = os.pathsep.join([*paths, environment["PATH"]])
    for name in _VARIABLES:
        if name in github:
            value = github[name]
            environment[f"GITHUB_{name.upper()}"] = str(value).lower() if isinstance(value, bool) else value
    environment |= {f"RUNNER_{name.upper()}": value for name, value in runner.items()}
    return {**environment, "GITHUB_ACTIONS": "true"}
