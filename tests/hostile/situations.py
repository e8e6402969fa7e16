"""The table of hostile situations: who is there, what GitHub knows, and what is posted in which order.

`{d}` and `{e}` stand for two deliveries, and pull requests are counted from 1: each run of a situation gets its own.
The expected answers and records are not here: the model computes them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tests.hostile.steps import Away, Back, Direct, Dispatch, Listed, Note, Post, Release, Step, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Make = Callable[..., Post]

Policy = Literal["required", "optional"]
Body = dict[str, Any]
PLAIN, PUSHES, OTHER, KNOWN = "hostile/plain", "hostile/pushes", "hostile/other", "hostile/known"
NEWCOMER, NIGHTLIES, NOBODY, UNPINNED = "hostile/newcomer", "hostile/nightlies", "hostile/nobody", "hostile/unpinned-{}"
PIPELINE, SOURCES = "hostile/pipeline", "hostile/sources"
FORGED = "forged"
SHA, OTHER_SHA = "a" * 40, "b" * 40
NAMED = ("api", "schedule", "webhook", "push", "merge_request_event")  # sources that SOURCES' pipelines must have

REPOS: dict[str, Listed] = {
    PLAIN: Listed(),
    OTHER: Listed(),
    PUSHES: Listed(nightly_on=("push",)),
    KNOWN: Listed(repository_id="4242"),
    NEWCOMER: Listed("L1"),
    NIGHTLIES: Listed(domains=("nightly",)),
    PIPELINE: Listed(),
    SOURCES: Listed(sources=NAMED),
    **{UNPINNED.format(number): Listed() for number in range(8)},
}
# The run that the victim's jobs belong to, those that a workflow_run may follow, and that workflow_run's own.
RUN, POSTER = "9000", "9900"
EVENTS = ("repository_dispatch", "schedule", "workflow_dispatch", "push", "pull_request", "workflow_run")
RUNS: dict[str, tuple[str, str]] = {RUN: ("repository_dispatch", PLAIN)}
RUNS |= {str(9001 + number): (event, PLAIN) for number, event in enumerate(EVENTS)}
RUNS |= {"9101": ("push", PUSHES), "9102": ("repository_dispatch", PUSHES)}
RUNS |= {"9201": ("repository_dispatch", OTHER), "9202": ("schedule", OTHER)}
RUNS |= {"9301": ("schedule", UNPINNED.format(7))}
CLAIMED = ("pull_request", "push", "nightly", "periodic")


class Situation(NamedTuple):
    """What happens, in this order; `shown` asks for the row and the page as well."""

    name: str
    steps: tuple[Step, ...]
    policy: Policy
    shown: bool


def case(name: str, *steps: Step, policy: Policy = "required", shown: bool = False) -> Situation:
    """Return a situation."""
    return Situation(name, steps, policy, shown)


def token(event: str = "repository_dispatch", **changes: Any) -> Token:
    """Return a token of the victim's job, unless told otherwise; ids "" are the repo's own, name "" is a new one."""
    fine = Token(event, "github", PLAIN, RUN, "500", 1, ("", ""), "")
    return fine._replace(**changes)


def elsewhere(issuer: str, event: str, **changes: Any) -> Token:
    """Return a token of a pipeline elsewhere."""
    job = "01945ecf-80f0-41e8-9b83-a2970a9305a1" if issuer == "buildkite" else "8222997048"
    fine = Token(event, issuer, PIPELINE, "89", job, None, ("", ""), "")
    return fine._replace(**changes)


def post(by: Token | None = None, **changes: Any) -> Post:
    """Return the failure of the job that the token is of."""
    by = by or token()
    body = {"run": by.run, "check_run": by.job, "attempt": None} | changes
    fine = Post(by, "pull_request", "{d}", 1, SHA, "completed", "failure", 1, "ci", "test", None, None, None, "")
    return fine._replace(**body)


def start(by: Token | None = None, **changes: Any) -> Post:
    """Return the start of the job."""
    return post(by, status="in_progress", conclusion="", passed=0, **changes)


def success(by: Token | None = None, **changes: Any) -> Post:
    """Return a success of the job."""
    return post(by, conclusion="success", passed=2, **changes)


def nightly_of(repo: str) -> Post:
    """Return a nightly that a repo's own clock started."""
    return post(token("schedule", repo=repo), event="nightly")


def dispatch(repo: str = PLAIN, delivery: str = "{d}", event: str = "pull_request", **changes: Any) -> Dispatch:
    """Return the record of a dispatch."""
    return Dispatch(repo, delivery, event, 0 if event == "push" else 1, SHA)._replace(**changes)


ENDS = ((post, success), (success, post))
FOLLOWER = token("workflow_run", run=POSTER, job="990")


def kinds() -> Iterator[tuple[str, Token, dict[str, Any]]]:
    """Return each kind of token that GitHub signs, and what a body beside it says of its run and job."""
    for event in (*EVENTS, "pull_request_target"):
        yield f"a {event} token", token(event), {}
    yield "a push token of a repo with the opt-in", token("push", repo=PUSHES), {}
    for run, (event, repo) in RUNS.items():
        if repo in (PLAIN, PUSHES):
            body = {"run": run, "check_run": "500", "callback_token": "{d}"}
            yield f"a workflow_run token for run {run} of {event}", FOLLOWER._replace(repo=repo), body
    yield "a workflow_run token for a run that is not there", FOLLOWER, {"run": "9999", "check_run": "500"}


def pipelines() -> Iterator[tuple[str, Token, dict[str, Any]]]:
    """Return each kind of token that Buildkite and GitLab sign."""
    sources = {
        "buildkite": ("api", "trigger_job", "schedule", "ui", "webhook"),
        "gitlab": ("api", "trigger", "pipeline", "schedule", "web", "push", "merge_request_event", "parent_pipeline"),
    }
    for issuer, events in sources.items():
        for event, repo in itertools.product(events, (PIPELINE, SOURCES)):
            yield f"a {event} token of {issuer} for {repo}", elsewhere(issuer, event, repo=repo), {}


def claims() -> Iterator[Situation]:
    """Each kind of token x each event that a body may claim x whether the delivery was dispatched x the policy."""
    for kind, by, body in (*kinds(), *pipelines()):
        for event in ("pull_request", "nightly"):
            own = post(by, event=event, **body)
            yield case(f"{event} of a dispatch, by {kind}", dispatch(by.repo), own)
            yield case(f"{event} of no dispatch, by {kind}", own)
        own = post(by, event="push", **body)
        yield case(f"push of no dispatch, by {kind}, optional", own, policy="optional")


def pairs() -> Iterator[Situation]:
    """A dispatched job that runs; somebody ends it as something else, with and without its callback token; it fails."""
    victims = [(kind, by, body) for kind, by, body in kinds() if by.repo == PLAIN]
    for (kind, by, body), event in itertools.product(victims, ("pull_request", "nightly")):
        for callback_token in ("{d}", "") if by.event == "workflow_run" else ("",):
            attack = success(by, event=event, **{**body, "callback_token": callback_token})
            name = f"a job ended as {event} by {kind} {'with' if callback_token else 'without'} the dispatch's token"
            yield case(name, dispatch(), start(), attack, post(), shown=body.get("run") == "9002")


def orders() -> Iterator[Situation]:
    """One job, its steps in each order, by one token or several."""
    for steps, name in itertools.product(itertools.permutations((start, post, success)), ("{d}", "")):
        by = token(name=name)
        words = f"{_words(steps)} with {'one token' if name else 'several'}"
        yield case(words, dispatch(), *(step(by) for step in steps), shown=not name)
        yield case(f"{words}, and again", dispatch(), *(step(by) for step in steps * 2))


def attempts() -> Iterator[Situation]:
    """Runs again, and matrix legs that share a name."""
    second, whole = token(job="501", attempt=2), {"check_run": None}
    yield case("a second attempt is a job of its own", dispatch(), post(), success(second), shown=True)
    yield case("a second attempt in the first one's name", dispatch(), post(), success(second, check_run="500"))
    yield case("an attempt that is not the token's", dispatch(), post(attempt=2))
    yield case("a second attempt of a whole run", dispatch(), post(**whole), success(second, **whole))
    one, other = token(job="501"), token(job="502")
    for first, then in ENDS:
        words = _words((first, then))
        yield case(f"two legs with one name, {words}", dispatch(), first(one, **whole), then(other, **whole))
        yield case(f"two legs with jobs of their own, {words}", dispatch(), first(one), then(other))
    many = [post(passed=number) for number in range(14)]
    yield case("more results for one job than are shown", dispatch(), success(), *many, *many, success())


def collisions() -> Iterator[Situation]:
    """Deliveries, workflows and jobs whose names join to one key."""
    left: Body = {"delivery": "{d}/ci", "workflow": "build", "job_name": "linux"}
    right: Body = {"delivery": "{d}", "workflow": "ci", "job_name": "build/linux"}
    asked, also = dispatch(), dispatch(delivery="{d}/ci")
    nightly: Body = {"run": "9002", "check_run": "500", "event": "nightly"}
    for (first, then), (one, other) in itertools.product(ENDS, ((left, right), (right, left))):
        words = f"{_words((first, then))}, from {one['job_name']}"
        yield case(f"two deliveries with one key, {words}", asked, also, first(**one), then(**other))
        steps = (start(**one), first(**other), then(**one))
        yield case(f"two deliveries with one key, one of which runs, {words}", asked, also, *steps)
        taken = first(FOLLOWER, **nightly, **one)
        yield case(
            f"a nightly with the key of a dispatch, {words}", dispatch(delivery=other["delivery"]), taken, then(**other)
        )


def tokens() -> Iterator[Situation]:
    """What one token may be used for, and what the callback token of a dispatch opens."""
    one, second = token(name="{d}"), dispatch(delivery="{e}", pr=2)
    for first in (post, start):
        yield case(f"one token for two jobs, {first.__name__}", dispatch(), first(one), success(one, job_name="b"))
    brought = {
        "duplicate": post(one),
        "conflict": success(one),
        "other identity": post(one, workflow="ci/a", job_name="b"),
    }
    for word, step in brought.items():
        steps = (post(), post(workflow="ci", job_name="a/b"), step, success(one, job_name="c"))
        yield case(f"a token that brought a {word} for another job", dispatch(), *steps)
    refused = (post(one, delivery="{e}"), post(one, run="1"), post(one, event="nightly"), post(one))
    yield case("a token whose use was refused", dispatch(), *refused, success(one, job_name="b"))
    asked = (dispatch(), second, dispatch(OTHER), dispatch(OTHER, "{e}/o"))
    said: Body = {"run": RUN, "check_run": "500"}
    deliveries = ("{d}", "{e}", "{e}/o")
    for by, delivery in itertools.product((token(), FOLLOWER), deliveries):
        guesses = (FORGED, *reversed(deliveries), "")
        posts = (post(by, delivery=delivery, callback_token=guess, **said) for guess in guesses)
        yield case(f"delivery {delivery} with each callback token, by {by.event}", *asked, *posts)
    follower = FOLLOWER._replace(repo=OTHER)
    yield case("the result of another repo's run", dispatch(OTHER), post(follower, callback_token="{d}", **said))


def deferred() -> Iterator[Situation]:
    """What was left behind and what the job says itself, in each order; and runs in disguise."""
    left: Body = {"run": RUN, "check_run": "500", "callback_token": "{d}"}
    nightly: Body = {"run": "9002", "check_run": "500", "event": "nightly"}
    scheduled = token("schedule", run="9002")
    for first, then in itertools.product((post, success), repeat=2):
        words, same = f"{first.__name__}, direct {then.__name__}", first is then
        yield case(f"deferred {words}", dispatch(), first(FOLLOWER, **left), then())
        yield case(f"{words} and deferred", dispatch(), first(), then(FOLLOWER, **left), shown=same)
        yield case(
            f"a nightly deferred {words}", first(FOLLOWER, **nightly), then(scheduled, event="nightly"), shown=same
        )
    disguises = ("0{}", "+{}", "{}.0", "{} ")
    for number, disguise in itertools.product((RUN, POSTER), disguises):
        said = {**left, "run": disguise.format(number)}
        yield case(f"the run {said['run']!r}", dispatch(), post(FOLLOWER, **said), post(token("schedule"), **said))
    for event, callback_token in itertools.product(("pull_request", "nightly"), ("", "{d}", FORGED)):
        own = success(FOLLOWER, event=event, callback_token=callback_token)
        words = f"a workflow_run's own {event} with the callback token {callback_token or 'of none'}"
        yield case(words, dispatch(), own, post())
        yield case(f"{words}, of no dispatch", own, policy="optional")


def identities() -> Iterator[Situation]:
    """A job's later step that is about something else."""
    changes: dict[str, Body] = {
        "another pull request": {"pr": 2},
        "another commit": {"sha": OTHER_SHA},
        "another event": {"event": "push"},
        "the same": {},
    }
    for name, change in changes.items():
        for steps in ((start(), success(**change), post()), (success(), start(**change)), (post(), success(**change))):
            words = f"{', '.join(step.conclusion or 'start' for step in steps)} with {name}"
            yield case(f"{words}, not dispatched", *steps, policy="optional", shown=not change)
        yield case(
            f"a start, success and failure with {name}, dispatched", dispatch(), start(), success(**change), post()
        )
    by, body = token("schedule", run="9002"), {"event": "nightly"}
    for name, change in (("another commit", {"sha": OTHER_SHA}), ("periodic", {"event": "periodic"})):
        yield case(f"a nightly and {name}", start(by, **body), success(by, **(body | change)), post(by, **body))
    late: dict[str, Dispatch] = {"late": dispatch(), "another": dispatch(pr=2)}
    for name, record in late.items():
        yield case(f"the dispatch is {name}", start(), record, success(), post(pr=2), post(), policy="optional")
    yield case("the body's word against the record's", dispatch(), post(pr=2, sha=OTHER_SHA, event="push"))


def repos() -> Iterator[Situation]:
    """Names that stand for other repos than before, repos below L2, and domains."""
    ours, theirs, moved = ("1", "2"), ("3", "2"), ("1", "3")
    for number, (first, then) in enumerate(((ours, theirs), (ours, moved), (theirs, ours))):
        repo, body = UNPINNED.format(number), {"event": "nightly"}
        by, taken = token("schedule", repo=repo, ids=first), token("schedule", repo=repo, ids=then)
        words = f"{then} after {first}"
        again = success(taken, **body, delivery="{e}")
        yield case(f"the ids {words}", post(by, **body), success(taken, **body), again, post(by, **body))
        yield case(f"the ids {words} were refused", success(taken), post(by, **body), success(taken, **body))
        steps = (post(by, **body), Release(repo), post(taken, **body), post(by, **body))
        yield case(f"the ids {words} were released", *steps)
        server = taken._replace(issuer="ghes", job=None)
        yield case(f"the ids {words} at another server", post(by, **body), post(server, check_run=None, **body))
    for ids in (("4242", "1"), ("4242", "2"), ("4243", "1")):
        by = token("schedule", repo=KNOWN, ids=ids)
        yield case(f"the ids {ids} of a repo with an id", post(by, event="nightly"))
    follower = FOLLOWER._replace(repo=UNPINNED.format(7), ids=("1", "2"))
    said: Body = {"run": "9301", "check_run": "500", "event": "nightly"}
    yield case("a run of the repo that had the name before", post(follower, **said))
    for repo, event in itertools.product((NEWCOMER, NIGHTLIES, NOBODY), CLAIMED):
        nightly = event in ("nightly", "periodic")
        by = token("schedule" if nightly else "repository_dispatch", repo=repo)
        asked = [dispatch(repo, event=event)] * (not nightly and repo != NOBODY)
        yield case(f"{event} of {repo}", *asked, post(by, event=event))


def servers() -> Iterator[Situation]:
    """Issuers that say less: GitHub's older servers, Buildkite and GitLab."""
    old = token(issuer="ghes", job=None)
    for run, check_run in itertools.product((RUN, None, "9001"), (None, "500", f"{RUN}-1", f"{RUN}-2", "9001-1")):
        if run or check_run:
            words = f"run {run} and job {check_run} where a token names no job"
            yield case(words, dispatch(), post(old, run=run, check_run=check_run))
    for issuer, other in (("buildkite", "018cdabc-d930-49f6-9085-634c4cb582ed"), ("gitlab", "8222997049")):
        by, asked = elsewhere(issuer, "api", name="{d}"), dispatch(PIPELINE)
        whole = {"check_run": None}
        for steps in itertools.permutations((start, post, success)):
            words = f"{_words(steps)} on {issuer}"
            yield case(words, asked, *(step(by) for step in steps), shown=steps[0] is start)
            yield case(f"{words}, whole", asked, *(step(by, **whole) for step in steps))
        yield case(f"two jobs of one token on {issuer}", asked, post(by), success(by, job_name="b"))
        yield case(f"another job's id on {issuer}", asked, post(by, check_run=other))
        yield case(f"another run on {issuer}", asked, post(by, run="90", **whole))
        yield case(f"another attempt on {issuer}", asked, post(by, **whole), success(by, attempt=2, **whole))
        nightly = success(elsewhere(issuer, "schedule"), event="nightly")
        yield case(f"a dispatched job ended as a nightly on {issuer}", asked, start(by), nightly, post(by))


def absences() -> Iterator[Situation]:
    """HUD can't be reached: the relay alone knows what was accepted, and in which order."""
    one: Body = {"workflow": "ci/test", "job_name": "x"}
    other: Body = {"workflow": "ci", "job_name": "test/x"}
    follows = success(FOLLOWER, run="9002", check_run="500", event="nightly")
    for first, then in ENDS:
        words = f"{_words((first, then))} while HUD is away"
        yield case(words, dispatch(), Away(), first(), then(), first(), Back(), shown=True)
        yield case(f"{words}, and after", dispatch(), start(), Away(), first(), Back(), then(), first())
        steps = (Away(), start(**one), first(**other), then(**one), Back())
        yield case(f"{words}, of two jobs with one key", dispatch(), *steps)
        yield case(f"{words}, of two pull requests", Away(), start(), first(pr=2), then(), Back(), policy="optional")
        yield case(f"{words}, and a nightly", dispatch(), Away(), start(), follows, first(), Back(), then())


def directly() -> Iterator[Situation]:
    """HUD keeps the same promises to a relay that does not."""
    nightly: Body = {"event": "nightly"}
    changes: dict[str, Body] = {"event": nightly, "pull request": {"pr": 2}, "commit": {"sha": OTHER_SHA}}
    for first, then in ENDS:
        words = f"{_words((first, then))} at HUD"
        yield case(words, Direct(start()), Direct(first()), Direct(then()), Direct(first()))
        for name, change in changes.items():
            yield case(f"{words}, of another {name}", Direct(start()), Direct(first(**change)), Direct(then()))
        yield case(f"{words}, then the relay's", dispatch(), start(), Direct(first()), then(), first(), then())
        news = (Direct(start()), first(pr=2), start(pr=2), then(), start(), first())
        yield case(f"{words}, of a job that the relay has not heard of", *news, policy="optional")
        steps = (Away(), first(), Direct(then()), Back(), first(), then())
        yield case(f"{words}, while the relay's waits", dispatch(), *steps)
    yield case("a nightly with a pull request at HUD", Direct(post(**nightly)), Direct(start(**nightly)))
    other: Body = {"workflow": "ci", "job_name": "test/x"}
    one = start(workflow="ci/test", job_name="x")
    yield case("two jobs with one key at HUD", Direct(one), Direct(success(**other)), Direct(start(**other)))
    yield case("a note of another repo's", dispatch(), post(), Note(OTHER, success()), Note(PLAIN, success()))


def table() -> list[Situation]:
    """Return every situation, the shorter tables first; names are unique."""
    parts = (
        orders,
        attempts,
        collisions,
        tokens,
        deferred,
        identities,
        repos,
        servers,
        absences,
        directly,
        pairs,
        claims,
    )
    situations = [situation for part in parts for situation in part()]
    names = [situation.name for situation in situations]
    assert len(set(names)) == len(names), {name for name in names if names.count(name) > 1}
    return situations


def _words(steps: Iterable[Make]) -> str:
    return ", ".join(step.__name__ for step in steps)
