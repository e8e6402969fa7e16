"""The real thing for hostile situations: a relay behind its own issuers, HUD and its table, and what they hold.

It takes the same values as the model and turns them into signed tokens and callbacks over HTTP.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import requests

from hud_endpoint import app as apps
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.relay.forward import Unavailable
from hud_endpoint.relay.repo_pins import pin_key
from hud_endpoint.settings import RelaySettings
from oot_local.github import job_claims
from oot_local.github_actions import github_id
from tests.hostile.model import Model, Row
from tests.hostile.situations import FORGED, OTHER, PLAIN, PUSHES, REPOS, RUNS, Policy, Situation, case, nightly_of
from tests.hostile.steps import Away, Back, Direct, Dispatch, Note, Post, Release, Step, Token
from tests.hud_endpoint.relay.desk import new_table
from tests.hud_endpoint.relay.issuer import ORGANIZATION, Issuer
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.serving import served
from tests.hud_endpoint.web import Web

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

SECRET = "the-service-token-of-these-tests"
UNREACHABLE = Unavailable("no answer", ours=False)
# The allowlist knows pipelines by their issuer's public address; here it has a local one.
ELSEWHERE = {"buildkite": "https://agent.buildkite.com", "gitlab": "https://gitlab.com"}
KINDS = {"github": "github", "ghes": "github", **{name: name for name in ELSEWHERE}}
PINNED = (PLAIN, PUSHES, OTHER)
CLAIM_OF_SOURCE = {"buildkite": "build_source", "gitlab": "pipeline_source"}


def own_ids(repo: str) -> tuple[str, str]:
    """Return the ids that the local GitHub gives a repo and its owner."""
    return github_id(repo), github_id(repo.partition("/")[0])


def pipeline_id(issuer: str, repo: str) -> str:
    """Return the id of the pipeline that speaks for a repo."""
    number = list(REPOS).index(repo)
    return f"00000000-0000-0000-0000-{number:012}" if issuer == "buildkite" else str(1000 + number)


def allowlist() -> str:
    """Return the allowlist of REPOS, in YAML."""
    lines = []
    for level in ("L1", "L2"):
        lines.append(f"{level}:")
        for repo, listed in REPOS.items():
            if listed.level == level:
                about = {"id": listed.repository_id, "nightly_on": list(listed.nightly_on)}
                about |= {"events": list(listed.domains)}
                told = ", ".join(f"{name}: {value}" for name, value in about.items() if value)
                lines.append(f"  - {repo}: {{{told}}}" if told else f"  - {repo}")
    lines.append("providers:")
    for issuer, claim in CLAIM_OF_SOURCE.items():
        lines.append(f"  {issuer}:\n    repo_map:")
        for repo, listed in REPOS.items():
            name = "/".join([ORGANIZATION] * (issuer == "buildkite") + [pipeline_id(issuer, repo)])
            required = f", required_claims: {{{claim}: [{', '.join(listed.sources)}]}}" if listed.sources else ""
            lines.append(f'      "{name}": {{repo: {repo}{required}}}')
    return "\n".join(lines)


class Hud:
    """Where HUD is, its token, and its table."""

    def __init__(self, url: str, token: str, table: str = RESULTS_TABLE) -> None:
        self.url, self.token, self.table = f"{url}/api/oot/results", token, table


class Bench:
    """A relay with a policy, and the HUD that it posts to."""

    keys: ClassVar[set[str]] = set()  # of all records that were to come of any situation

    def __init__(
        self,
        stack: Stack,
        dynamodb: DynamoDBClient,
        folder: Path,
        closing: ExitStack,
        *,
        policy: Policy,
        hud: Hud,
    ) -> None:
        self.stack, self.dynamodb, self.policy, self.hud = stack, dynamodb, policy, hud
        self.http = closing.enter_context(requests.Session())
        self.issuers = {}
        for name, kind in KINDS.items():
            web = Web()
            closing.callback(web.close)
            self.issuers[name] = Issuer(web, "main", kind=kind)
        (folder / "allowlist.yaml").write_text(allowlist())
        self.table = new_table(dynamodb)
        self.parts = apps.relay_parts(
            RelaySettings(
                hud_api_url=hud.url,
                hud_api_token=hud.token,
                dispatch_token=SECRET,
                callback_signing_key="k" * 64,
                allowlist=str(folder / "allowlist.yaml"),
                oidc_issuers=tuple(issuer.setting for issuer in self.issuers.values()),
                github_api_url=stack.state["github_api_url"],
                relay_table=self.table,
                dispatch_policy=policy,
                rate_limit_per_minute=60_000,
            )
        )
        self.away, self._passed = False, 0.0
        self._play_hud_and_clock()
        with mock.patch.object(apps, "relay_parts", return_value=self.parts):
            app = apps.relay(self.parts.settings)
        self.url = closing.enter_context(served(app))
        for run, (event, repo) in RUNS.items():
            told = {"repo": repo, "id": int(run), "event": event}
            self.http.post(f"{stack.state['github_api_url']}/_local/runs", json=told, timeout=10).raise_for_status()
        for repo in PINNED:
            assert not self.play(case("a first nightly", nightly_of(repo)))

    def _play_hud_and_clock(self) -> None:
        handler, outbox = self.parts.handler, self.parts.outbox
        send, pipelines = handler._send, handler._verifier._pipelines
        public = {issuer.url: ELSEWHERE.get(name, issuer.url) for name, issuer in self.issuers.items()}
        handler._verifier._pipelines = lambda issuer, name: pipelines(public[issuer], name)
        handler._send = lambda payload: UNREACHABLE if self.away else send(payload)
        outbox._clock = lambda: time.time() + self._passed

    def release(self, repo: str) -> None:
        """Release a repo's pins."""
        for issuer in ("github", "ghes"):
            key = {"pk": {"S": pin_key(self.issuers[issuer].url, repo)}}
            self.dynamodb.delete_item(TableName=self.table, Key=key)

    def back(self) -> None:
        """Let HUD be there, and empty the outbox, notes of what is still to come included."""
        self.away = False
        for self._passed in (3600.0, 7200.0):
            while self.parts.outbox.drain(self.parts.handler._send, self.parts.handler.undo_step):
                pass
        self._passed = 0.0

    def model(self) -> Model:
        """Return the model of this relay, which has heard of the repos with one owner before."""
        runs = {run: (event, repo, own_ids(repo)[0]) for run, (event, repo) in RUNS.items()}
        return Model(self.policy, REPOS, runs, {("github", repo): own_ids(repo) for repo in PINNED})

    def play(self, situation: Situation, play: Play | None = None, model: Model | None = None) -> list[str]:
        """Let a situation happen here and in the model; returns where they differ."""
        model, play = model or self.model(), play or Play(self)
        differences = []
        for number, step in enumerate(map(play.own, situation.steps)):
            answer, expected = play.act(step), model.act(step)
            play.answers.append(answer)
            if answer != expected:
                differences.append(f"step {number}, {step}: {answer}, expected {expected}")
        if play.waits:
            play.act(Back())
            model.act(Back())
        direct = any(isinstance(step, Direct) for step in situation.steps)
        differences += play.compare(model.rows, hud_was_told_directly=direct)
        if self.hud.table == RESULTS_TABLE:
            self.keys.update(model.rows)
        for repo in {step.token.repo for step in situation.steps if isinstance(step, Post)} - set(PINNED):
            self.release(repo)
        return differences


class Play:
    """One situation: its own deliveries, pull requests and tokens, and what was answered to its posts."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.names = {"d": str(uuid.uuid4()), "e": str(uuid.uuid4())}
        self.pr = uuid.uuid4().int % 10**9 * 10
        self.callback_tokens = {FORGED: FORGED}
        self.tokens: dict[str, str] = {}
        self.taken: list[tuple[str, Post]] = []  # completions that were answered with success, by key
        self.answers: list[tuple[int, str]] = []
        self.waits = False  # something may be in the outbox

    def own(self, step: Step) -> Step:
        """Fill in what is this situation's own."""
        if isinstance(step, Direct | Note):
            return step._replace(post=self._own_post(step.post))
        if isinstance(step, Post):
            return self._own_post(step)
        if isinstance(step, Dispatch):
            pr = self.pr + step.pr if step.pr else 0
            return step._replace(delivery=step.delivery.format(**self.names), pr=pr)
        return step

    def _own_post(self, post: Post) -> Post:
        name = post.token.name.format(**self.names) or str(uuid.uuid4())
        ids = own_ids(post.token.repo) if post.token.ids == ("", "") else post.token.ids
        texts = {part: getattr(post, part).format(**self.names) for part in ("delivery", "callback_token")}
        return post._replace(token=post.token._replace(name=name, ids=ids), pr=self.pr + post.pr, **texts)

    def act(self, step: Step) -> tuple[int, str]:
        """Let one step happen; returns the status and the outcome, or the code."""
        bench = self.bench
        match step:
            case Post():
                return self._post(step)
            case Direct(post):
                trusted = {"verified_repo": post.token.repo, "dispatch_verified": False}
                return self._to_hud({"trusted": trusted, "untrusted": {"callback_payload": self._body(post)}})
            case Note(repo, post):
                key = "/".join((post.token.repo, post.delivery, post.workflow, post.job_name, str(post.check_run)))
                conflict = {"dynamoKey": key, "conclusion": post.conclusion, "digest": "0" * 64}
                return self._to_hud({"trusted": {"verified_repo": repo}, "conflict": conflict})
            case Dispatch():
                return self._dispatch(step)
            case Release(repo):
                bench.release(repo)
            case Away():
                bench.away = self.waits = True
            case Back():
                bench.back()
        return 200, ""

    def _post(self, post: Post) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {self._token(post.token)}"}
        url = f"{self.bench.url}/github/callback"
        answer = self.bench.http.post(url, json=self._body(post), headers=headers, timeout=20)
        body = answer.json()
        self.waits |= answer.status_code in (202, 409)
        if answer.status_code < 300 and post.status == "completed" and body["outcome"] != "ignored":
            self.taken.append((body["dynamoKey"], post))
        return answer.status_code, body.get("outcome") or body["code"]

    def _to_hud(self, payload: dict[str, Any]) -> tuple[int, str]:
        hud = self.bench.hud
        answer = self.bench.http.post(hud.url, json=payload, headers={"x-hud-internal-bot": hud.token}, timeout=20)
        body = answer.json()
        return answer.status_code, body.get("code") or body["outcome"].replace("stored", "delivered")

    def _dispatch(self, dispatch: Dispatch) -> tuple[int, str]:
        body: dict[str, Any] = {"repo": dispatch.repo, "delivery_id": dispatch.delivery, "event_type": dispatch.event}
        body |= {"pr_number": dispatch.pr, "sha": dispatch.sha}
        headers = {"x-relay-dispatch-token": SECRET}
        answer = self.bench.http.post(f"{self.bench.url}/internal/dispatch", json=body, headers=headers, timeout=20)
        recorded = answer.json()
        if "callback_token" in recorded:
            self.callback_tokens.setdefault(dispatch.delivery, recorded["callback_token"])
        return answer.status_code, recorded.get("code", "")

    def _body(self, post: Post) -> dict[str, Any]:
        completed = post.status == "completed"
        workflow = {
            "schema_version": "1",
            "status": post.status,
            "conclusion": post.conclusion if completed else None,
            "name": post.workflow,
            "job_name": post.job_name,
            "run_id": post.run,
            "check_run_id": post.check_run,
            "run_attempt": post.attempt,
            "started_at": None if completed else "2026-05-04T03:02:01Z",
            "completed_at": "2026-05-04T03:32:01Z" if completed else None,
            "test_results": {"passed": post.passed, "failed": 0} if completed else None,
        }
        upstream = {"pull_request": {"number": post.pr, "head": {"sha": post.sha}}, "head_sha": post.sha}
        body = {"event_type": post.event, "delivery_id": post.delivery, "payload": upstream, "workflow": workflow}
        if post.callback_token:
            body["callback_token"] = self.callback_tokens.get(post.callback_token, "of a dispatch that was not sent")
        return body

    def _token(self, token: Token) -> str:
        if token.name not in self.tokens:
            issuer = self.bench.issuers[token.issuer]
            self.tokens[token.name] = issuer.sign(issuer.claims(jti=token.name, **_claims(token)))
        return self.tokens[token.name]

    def compare(self, rows: dict[str, Row], *, hud_was_told_directly: bool) -> list[str]:
        """Return where HUD's records differ from the model's, and each result that was accepted and is not shown."""
        differences = []
        for key, row in rows.items():
            item, expected = self.item(key), shown(row)
            if item != expected:
                differences.append(f"{key}: {item}, expected {expected}")
        for key, post in [] if hud_was_told_directly else self.taken:
            conclusion = self.item(key).get("conclusion")
            if conclusion != post.conclusion:
                differences.append(f"{key}: {post.conclusion} was accepted, and {conclusion} is shown")
        return differences

    def item(self, key: str) -> dict[str, Any]:
        """Return what HUD's table holds under a key, as `shown` has it."""
        table, name = self.bench.hud.table, {"dynamoKey": {"S": key}}
        return flat(self.bench.dynamodb.get_item(TableName=table, Key=name, ConsistentRead=True).get("Item", {}))


FIELDS = {
    *(
        "status",
        "conclusion",
        "event_type",
        "pr_number",
        "pytorch_head_sha",
        "delivery_id",
        "workflow_name",
        "job_name",
    ),
    *("check_run_id", "dispatch_verified", "origin", "passed_tests", "run_id", "run_attempt"),
}


def flat(item: dict[str, Any]) -> dict[str, Any]:
    """Return of an item what the model knows as well."""
    plain = {name: next(iter(value.values())) for name, value in item.items() if name in FIELDS}
    plain |= {name: int(plain[name]) for name in ("pr_number", "passed_tests", "run_attempt") if name in plain}
    if item:
        notes = sorted(note.partition(" ")[0] for note in item.get("conflicts", {"SS": []})["SS"])
        plain |= {"started": "started_at" in item, "others": notes}
    return plain


def shown(row: Row) -> dict[str, Any]:
    """Return a record of the model as `flat` has an item."""
    event, pr, sha, delivery, workflow, job_name, job = row.identity
    told: dict[str, Any] = {"status": "in_progress", "event_type": event, "pr_number": pr, "pytorch_head_sha": sha}
    told |= {"delivery_id": delivery, "workflow_name": workflow, "job_name": job_name, "check_run_id": job}
    told |= {"dispatch_verified": row.verified, "origin": row.origin, "started": row.started}
    told |= {"run_id": row.run or "", "run_attempt": row.attempt}
    if row.end:
        told |= {"status": "completed", "conclusion": row.end[0], "passed_tests": row.end[1]}
    return {**told, "others": sorted(end[0] for end in row.others)}


def _claims(token: Token) -> dict[str, Any]:
    job: Any = ABSENT if token.job is None else token.job
    if token.issuer == "buildkite":
        pipeline = {"pipeline_id": pipeline_id(token.issuer, token.repo), "organization_id": ORGANIZATION}
        return {**pipeline, "build_number": int(token.run), "job_id": job, "build_source": token.event}
    if token.issuer == "gitlab":
        project = {"project_id": pipeline_id(token.issuer, token.repo), "pipeline_source": token.event}
        return {**project, "pipeline_id": token.run, "job_id": job}
    ids = {"repository_id": token.ids[0], "repository_owner_id": token.ids[1]}
    claims = job_claims(token.repo, run_id=token.run, event_name=token.event, **ids)
    return {**claims, "run_attempt": str(token.attempt), "check_run_id": job}
