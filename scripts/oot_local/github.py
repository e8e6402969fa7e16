"""A local stand-in for GitHub: an OIDC issuer with real RS256 keys, and the commands that play upstream and runner.

Its REST API of runs, jobs and artifacts is in `github_actions`.

    oot-hud github mint --repo org/name [--claim run_id=240 ...]      # prints a token
    oot-hud github dispatch --repo org/name --pr 1 --sha SHA          # prints the client_payload

Tokens carry GitHub's own claim set: https://docs.github.com/actions/reference/security/oidc. The token endpoint
behaves like the one behind ACTIONS_ID_TOKEN_REQUEST_URL.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import requests
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from jwt.algorithms import RSAAlgorithm

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.wire_types import is_sha
from oot_local import github_actions, state

LIFETIME_SECONDS = 300
_UPSTREAM = "pytorch/pytorch"


def job_claims(repo: str, **overrides: str) -> dict[str, Any]:
    """Give the claims that a job of `repo`, started by repository_dispatch, would carry."""
    owner, _, name = repo.partition("/")
    owner_id, repo_id = github_actions.github_id(owner), github_actions.github_id(repo)
    workflow = f"{repo}/.github/workflows/ci.yml@refs/heads/main"
    sha = "f" * 40
    return {
        "sub": f"repo:{owner}@{owner_id}/{name}@{repo_id}:ref:refs/heads/main",
        "ref": "refs/heads/main",
        "sha": sha,
        "repository": repo,
        "repository_id": repo_id,
        "repository_owner": owner,
        "repository_owner_id": owner_id,
        "repository_visibility": "public",
        "run_id": str(secrets.randbelow(10**10) + 10**9),
        "run_number": "1",
        "run_attempt": "1",
        "check_run_id": str(secrets.randbelow(10**10) + 10**10),
        "actor": "pytorch-bot[bot]",
        "actor_id": "54816060",
        "workflow": "ci",
        "workflow_ref": workflow,
        "workflow_sha": sha,
        "job_workflow_ref": workflow,
        "job_workflow_sha": sha,
        "event_name": "repository_dispatch",
        "ref_type": "branch",
        "ref_protected": "true",
        "head_ref": "",
        "base_ref": "",
        "runner_environment": "github-hosted",
        **overrides,
    }


def make_app(issuer: str) -> FastAPI:
    """Build the issuer. `/_local/...` is ours; every other path is what GitHub has."""
    app = FastAPI(title="local GitHub", docs_url=None, redoc_url=None)
    github_actions.install(app, issuer)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kid = uuid.uuid4().hex
    jobs: dict[str, dict[str, Any]] = {}
    commits: dict[str, set[str]] = {_UPSTREAM: set()}  # by repo

    def sign(claims: dict[str, Any], audience: str | None) -> str:
        now = int(time.time())
        envelope = {
            "jti": str(uuid.uuid4()),
            "iss": issuer,
            "aud": audience or f"https://github.com/{claims['repository_owner']}",
            "iat": now,
            "nbf": now - 600,
            "exp": now + LIFETIME_SECONDS,
        }
        return jwt.encode(envelope | claims, key, algorithm="RS256", headers={"kid": kid})

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/.well-known/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public", "pairwise"],
        }

    @app.get("/.well-known/jwks")
    async def jwks() -> dict[str, Any]:
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": kid, "use": "sig", "alg": "RS256"}]}

    @app.post("/_local/jobs")
    async def start_job(request: Request) -> dict[str, Any]:
        """Start a job with `{"repo", "claims"}`; gives its claims and what a runner puts into the job's environment."""
        body = await request.json()
        claims = job_claims(body["repo"], **body.get("claims", {}))
        token = secrets.token_urlsafe(32)
        jobs[token] = claims
        return {"claims": claims, "request_url": f"{issuer}/_token?api-version=2.0", "request_token": token}

    @app.get("/_token")
    async def id_token(request: Request, audience: str | None = None) -> dict[str, Any]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in jobs:
            raise HTTPException(401, "this request token belongs to no running job")
        return {"count": 1, "value": sign(jobs[token], audience)}

    @app.post("/_local/commits")
    async def push(request: Request) -> dict[str, bool]:
        """Give a repo a commit: `{"repo", "sha"}`."""
        body = await request.json()
        commits.setdefault(body["repo"].lower(), set()).add(body["sha"].lower())
        return {"ok": True}

    @app.get("/repos/{owner}/{name}/commits/{sha}")
    async def commit(owner: str, name: str, sha: str) -> JSONResponse:
        """https://docs.github.com/rest/commits/commits#get-a-commit, without branch names."""
        repo, sha = f"{owner}/{name}", sha.lower()
        if repo.lower() not in commits:
            return JSONResponse({"message": "Not Found", "status": "404"}, status_code=404)
        if not is_sha(sha) or sha not in commits[repo.lower()]:
            return JSONResponse({"message": f"No commit found for SHA: {sha}", "status": "422"}, status_code=422)
        return JSONResponse({"sha": sha, "url": f"{issuer}/repos/{repo}/commits/{sha}", "files": []})

    @app.post("/_local/mint")
    async def mint(request: Request) -> dict[str, str]:
        """Sign whatever claims are asked for: `{"repo", "claims", "audience"}`."""
        body = await request.json()
        return {"token": sign(job_claims(body["repo"], **body.get("claims", {})), body.get("audience", AUDIENCE))}

    return app


def register_dispatch(
    stack: dict[str, Any],
    repo: str,
    pr_number: int,
    sha: str,
    *,
    event_type: str = "pull_request",
    delivery_id: str = "",
) -> dict[str, Any]:
    """Register a dispatch with the relay as the upstream's webhook does, and give the downstream's `client_payload`.

    Raises LocalError when the relay refuses or does not answer.
    """
    delivery_id = delivery_id or str(uuid.uuid4())
    if stack.get("github_api_url"):  # else it is the real one, which has what it has
        _push(stack["github_api_url"], sha)
    body = {"repo": repo, "delivery_id": delivery_id, "event_type": event_type, "pr_number": pr_number, "sha": sha}
    try:
        response = requests.post(
            f"{stack['relay_url']}/internal/dispatch",
            json=body,
            headers={"x-relay-dispatch-token": stack["internal_api_token"]},
            timeout=10,
        )
        answer = response.json()
    except (requests.RequestException, ValueError) as error:
        raise state.LocalError(f"The relay at {stack['relay_url']} did not answer: {error}") from None
    if response.status_code != 200:
        raise state.LocalError(f"The relay refused the dispatch ({answer.get('code')}): {answer.get('detail')}")
    payload: dict[str, Any] = {"repository": {"full_name": _UPSTREAM}, "head_sha": sha}
    if pr_number:
        payload["pull_request"] = {"number": pr_number, "head": {"sha": sha}}
    return {
        "event_type": event_type,
        "delivery_id": delivery_id,
        "payload": payload,
        "callback_token": answer["callback_token"],
    }


def _push(api_url: str, sha: str) -> None:
    with suppress(requests.RequestException):  # the dispatch itself does not need GitHub; who does says so
        requests.post(f"{api_url}/_local/commits", json={"repo": _UPSTREAM, "sha": sha}, timeout=10)


def _mint(options: argparse.Namespace) -> None:
    stack = state.read(options.dir)
    wrong = [claim for claim in options.claim if "=" not in claim]
    if wrong:
        raise state.LocalError(f"--claim takes name=value, not {wrong[0]!r}.")
    claims = dict(claim.split("=", 1) for claim in options.claim)
    try:
        response = requests.post(
            f"{stack['github_url']}/_local/mint",
            json={"repo": options.repo, "claims": claims, "audience": options.audience},
            timeout=10,
        )
        response.raise_for_status()
    except requests.RequestException as error:
        raise state.LocalError(f"The local GitHub at {stack['github_url']} did not answer: {error}") from None
    print(response.json()["token"])


def _dispatch(options: argparse.Namespace) -> None:
    payload = register_dispatch(
        state.read(options.dir),
        options.repo,
        options.pr,
        options.sha,
        event_type=options.event_type,
        delivery_id=options.delivery_id,
    )
    print(json.dumps(payload, indent=2))


def _serve(options: argparse.Namespace) -> None:
    issuer = f"http://127.0.0.1:{options.port}"
    uvicorn.run(make_app(issuer), host="127.0.0.1", port=options.port, log_level="warning")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    local = argparse.ArgumentParser(add_help=False)
    local.add_argument("--dir", type=Path, default=state.DEFAULT_DIR, help="the stack's state folder (default: .local)")

    mint = commands.add_parser("mint", parents=[local], help="print a token of the running issuer")
    mint.add_argument("--repo", required=True, metavar="ORG/NAME")
    mint.add_argument("--claim", action="append", default=[], metavar="NAME=VALUE", help="set a claim; may be repeated")
    mint.add_argument("--audience", default=AUDIENCE, help=f"default: {quote(AUDIENCE)}")
    mint.set_defaults(run=_mint)

    dispatch = commands.add_parser("dispatch", parents=[local], help="register a dispatch, print its client_payload")
    dispatch.add_argument("--repo", required=True, metavar="ORG/NAME", help="the downstream repo")
    dispatch.add_argument("--pr", type=int, default=0, help="the upstream pull request; leave out for a push")
    dispatch.add_argument("--sha", required=True, help="the upstream commit, 40 hex digits")
    dispatch.add_argument("--event-type", default="pull_request")
    dispatch.add_argument("--delivery-id", default="", help="default: a new one")
    dispatch.set_defaults(run=_dispatch)

    serve = commands.add_parser("serve", help="run the issuer (the local stack does this)")
    serve.add_argument("--port", type=int, required=True)
    serve.set_defaults(run=_serve)


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        options.run(options)
    except state.LocalError as error:
        print(f"github: {error}", file=sys.stderr)
        return 1
    return 0
