"""What the relay and HUD must answer and store: a small model, written from the documents, importing nothing of ours.

The sources are docs/wire-contract.md ("Which events a run may report", "The law of the merge"), docs/errors.md and the
invariants of docs/threat-model.md. It knows no HTTP, no tables and no tokens: posts are values, time does not pass.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from tests.hostile.steps import Away, Back, Direct, Dispatch, Note, Post, Release

if TYPE_CHECKING:
    from tests.hostile.steps import Listed, Step, Token

NIGHTLY = {"nightly", "periodic"}
DISPATCHED, OWN, OWN_IF_LISTED, FOLLOWS = "what was dispatched", "nightlies", "nightlies if listed", "what it follows"
GITHUB = {
    "repository_dispatch": DISPATCHED,
    "schedule": OWN,
    "workflow_dispatch": OWN,
    "push": OWN_IF_LISTED,
    "workflow_run": FOLLOWS,
}
EVENTS = {
    "github": GITHUB,
    "ghes": GITHUB,  # an older GitHub Enterprise Server: its tokens do not say which job they are of
    "buildkite": {"api": DISPATCHED, "trigger_job": DISPATCHED, "schedule": OWN, "ui": OWN},
    "gitlab": dict.fromkeys(("api", "trigger", "pipeline"), DISPATCHED)
    | {"schedule": OWN, "web": OWN, "push": OWN_IF_LISTED},
}
STATUS = dict.fromkeys(("", "delivered", "duplicate", "ignored", "noted"), 200) | {"queued": 202}
STATUS |= dict.fromkeys(("run_mismatch", "no_dispatch", "invalid_callback"), 400)
STATUS |= dict.fromkeys(("event_not_accepted", "invalid_callback_token", "replayed_token"), 401)
STATUS |= dict.fromkeys(("repo_not_allowed", "repo_id_changed", "event_mismatch", "run_not_found"), 403)
STATUS |= {"pipeline_not_allowed": 403, "dispatch_conflict": 409}
STATUS |= {"conflicting_completion": 409, "conflicting_identity": 409}
NOTES = 10  # other results of one job that are shown


class Identity(NamedTuple):
    """Which job a step is about."""

    event: str
    pr: int
    sha: str
    delivery: str
    workflow: str
    job_name: str
    job: str


End = tuple[str, int, str | None, int]  # what a completion says: conclusion, tests, run and attempt


@dataclass
class Row:
    """A record of HUD; `end` is None while the job runs, `others` are results that were refused."""

    identity: Identity
    verified: bool
    origin: str
    run: str | None
    attempt: int
    started: bool = False
    end: End | None = None
    others: list[End] = field(default_factory=list)


@dataclass
class Job:
    """What the relay has accepted of a job; `known` is False where HUD alone knows how it ended."""

    identity: Identity | None = None
    started: bool = False
    end: End | None = None
    known: bool = True
    others: list[End] = field(default_factory=list)


class Write(NamedTuple):
    """One accepted step on its way to HUD, or the note of a refused completion."""

    key: str
    row: Row
    note: bool = False


class Refused(Exception):  # noqa: N818 - an answer
    """The code of a refusal."""


class Model:
    """The relay and HUD; `runs` are GitHub's: run -> event, repo and the repo's id."""

    def __init__(
        self,
        policy: str,
        repos: dict[str, Listed],
        runs: dict[str, tuple[str, str, str]],
        pins: dict[tuple[str, str], tuple[str, str]],
    ) -> None:
        self.policy, self.repos, self.runs, self.pins = policy, repos, runs, dict(pins)
        self.dispatches: dict[tuple[str, str], Dispatch] = {}
        self.jobs: dict[str, Job] = {}
        self.rows: dict[str, Row] = {}
        self.bound: dict[str, str] = {}  # what a token has been used for
        self.away, self.waiting = False, list[Write]()

    def act(self, step: Step) -> tuple[int, str]:
        """Let one step happen; returns the status and the outcome, or the code."""
        try:
            word = self._act(step)
        except Refused as refusal:
            word = str(refusal)
        return STATUS[word], word

    def _act(self, step: Step) -> str:
        match step:
            case Post():
                return self._accept(step)
            case Direct(post):
                return self._store(_write(post, None, deferred=False))
            case Note(repo, post):
                if repo != post.token.repo:
                    raise Refused("invalid_callback")
                return self._store(_write(post, None, deferred=False)._replace(note=True))
            case Dispatch(repo, delivery):
                if self.dispatches.setdefault((repo, delivery), step) != step:
                    raise Refused("dispatch_conflict")
            case Release(repo):
                self.pins = {pin: ids for pin, ids in self.pins.items() if pin[1] != repo}
            case Away():
                self.away = True
            case Back():
                self.away, waiting, self.waiting = False, self.waiting, []
                for write in waiting:
                    with suppress(Refused):
                        self._deliver(write)
        return ""

    def _accept(self, post: Post) -> str:
        token, listed = post.token, self.repos.get(post.token.repo)
        sources = listed.sources if listed else ()
        if sources and token.event not in sources:
            raise Refused("pipeline_not_allowed")
        if token.event not in EVENTS[token.issuer] and not sources:
            raise Refused("event_not_accepted")
        if listed is None:
            raise Refused("repo_not_allowed")
        if listed.level == "L1":
            return "ignored"
        grant = EVENTS[token.issuer].get(token.event, OWN_IF_LISTED)
        deferred = grant == FOLLOWS and post.run not in (None, token.run)
        if not deferred:
            _check_run(post)
        self._check_ids(token, listed)
        record = self._check_dispatch(post, deferred=deferred)
        self._check_event(post, grant, record, deferred=deferred, listed=listed)
        nightly = post.event in NIGHTLY
        if listed.domains and ("nightly" if nightly else "pull_request") not in listed.domains:
            return "ignored"
        return self._step(token, _write(post, record, deferred=deferred))

    def _check_ids(self, token: Token, listed: Listed) -> None:
        if token.issuer in ("buildkite", "gitlab"):
            return
        pinned = self.pins.get((token.issuer, token.repo), token.ids)
        if listed.repository_id not in ("", token.ids[0]) or (not listed.repository_id and pinned != token.ids):
            raise Refused("repo_id_changed")

    def _check_dispatch(self, post: Post, *, deferred: bool) -> Dispatch | None:
        record = self.dispatches.get((post.token.repo, post.delivery))
        if record is None and post.event not in NIGHTLY and self.policy == "required":
            raise Refused("no_dispatch")
        if record and (post.callback_token or deferred) and post.callback_token != post.delivery:
            raise Refused("invalid_callback_token")
        return record

    def _check_event(self, post: Post, grant: str, record: Dispatch | None, *, deferred: bool, listed: Listed) -> None:
        event, named = post.token.event, post.token.event in listed.sources
        if deferred:
            event, repo, repository_id = self.runs.get(str(post.run), ("", "", ""))
            if repo != post.token.repo:
                raise Refused("run_not_found")
            if repository_id != post.token.ids[0]:
                raise Refused("run_mismatch")
            grant = GITHUB.get(event, "nothing")
        if post.event in NIGHTLY:
            named = named or event in listed.nightly_on
            fine = record is None and (grant == OWN or (named and grant in (OWN_IF_LISTED, DISPATCHED)))
        else:  # for a run that follows another, and reports itself, the signed token of its dispatch stands
            fine = grant == DISPATCHED or bool(grant == FOLLOWS and not deferred and record and post.callback_token)
        if not fine:
            raise Refused("event_mismatch")

    def _step(self, token: Token, write: Write) -> str:
        binding = f"{token.name} {write.key}" if token.issuer == "buildkite" else token.name  # one for a whole build
        if self.bound.setdefault(binding, write.key) != write.key:
            raise Refused("replayed_token")
        job, row = self.jobs.setdefault(write.key, Job()), write.row
        if job.identity not in (None, row.identity):
            raise Refused("conflicting_identity")
        if row.end is None and job.started:
            return "duplicate"
        if row.end and job.end and job.known:
            if row.end == job.end:
                return "duplicate"
            if row.end not in job.others and len(job.others) < NOTES:
                job.others.append(row.end)
                self.waiting.append(write._replace(note=True))
            raise Refused("conflicting_completion")
        if token.issuer not in ("buildkite", "gitlab") and not self.repos[token.repo].repository_id:
            self.pins.setdefault((token.issuer, token.repo), token.ids)
        job.identity, job.started, job.known = row.identity, job.started or row.end is None, True
        job.end = row.end or job.end
        if self.away:
            self.waiting.append(write)
            return "queued"
        return self._deliver(write)

    def _deliver(self, write: Write) -> str:
        job = self.jobs[write.key]
        try:
            return self._store(write)
        except Refused as refusal:
            if str(refusal) == "conflicting_completion":
                job.known = False  # HUD holds another end, and judges each that follows
            elif write.row.end is None:  # HUD holds another job: this one was never accepted
                job.started, job.identity = False, None
            else:
                job.end, job.identity = None, None
            raise

    def _store(self, write: Write) -> str:
        """Merge a step into HUD's record."""
        row, stored = write.row, self.rows.get(write.key)
        if write.note:
            if stored and row.end and row.end not in stored.others and len(stored.others) < NOTES:
                stored.others.append(row.end)
            return "noted"
        if stored is None:
            self.rows[write.key] = replace(row, others=[])
            return "delivered"
        if stored.identity != row.identity:
            raise Refused("conflicting_identity")
        if row.end is None:
            late, stored.started = not stored.started, True
            return "delivered" if late else "duplicate"
        if stored.end is None:
            self.rows[write.key] = replace(row, started=stored.started, others=stored.others)
            return "delivered"
        if stored.end != row.end:
            raise Refused("conflicting_completion")
        return "duplicate"


def _attempt(post: Post, *, deferred: bool) -> int:
    return post.attempt or (None if deferred else post.token.attempt) or 1


def _check_run(post: Post) -> None:
    """A body speaks for the run, attempt and job of its token."""
    token, attempt = post.token, _attempt(post, deferred=False)
    own = {token.job, f"{token.run}-{attempt}"} if token.job else {f"{token.run}-{attempt}"}
    job = post.check_run or f"{post.run}-{attempt}"
    if post.run not in (None, token.run) or (token.attempt or attempt) != attempt or job not in own:
        raise Refused("run_mismatch")


def _write(post: Post, record: Dispatch | None, *, deferred: bool) -> Write:
    attempt = _attempt(post, deferred=deferred)
    job = post.check_run or f"{post.run}-{attempt}"
    event, pr, sha = (post.event, 0 if post.event in NIGHTLY else post.pr, post.sha)
    if record:
        event, pr, sha = record.event, record.pr, record.sha
    identity = Identity(event, pr, sha, post.delivery, post.workflow, post.job_name, job)
    end = (post.conclusion, post.passed, post.run, attempt) if post.status == "completed" else None
    origin = "deferred" if deferred else "job"
    row = Row(identity, record is not None, origin, post.run, attempt, started=end is None, end=end)
    return Write("/".join((post.token.repo, post.delivery, post.workflow, post.job_name, job)), row)
