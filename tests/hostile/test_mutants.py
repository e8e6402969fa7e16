"""The table has teeth: each decision of trust, taken back alone, lets one of its situations end otherwise.

A mutant brings a finding of the review back, or undoes what mends it, in a relay and a HUD of this process.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint import contract, record
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import Grant, is_self_reported, may_report
from hud_endpoint.lenient import read_leniently
from hud_endpoint.relay import checks, github_runs, handler, lifecycle
from hud_endpoint.relay.job_store import JobStore
from hud_endpoint.relay.lifecycle import Claim, Job, Step
from hud_endpoint.relay.oidc import Identity
from hud_endpoint.relay.repo_pins import check_ids
from hud_endpoint.results import api, store
from hud_endpoint.results.store import Outcome, ResultStore
from tests.hostile.situations import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_endpoint.relay.allowlist import Listed
    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.github_runs import GitHubRun
    from tests.hostile.conftest import Benches

TABLE = table()


@dataclass(frozen=True)
class Mutant:
    """A decision taken back; `killer` is part of the names of situations that are tried first."""

    name: str
    killer: str
    patch: Callable[[pytest.MonkeyPatch], None]


MUTANTS: list[Mutant] = []


def mutant(killer: str) -> Callable[[Callable[[pytest.MonkeyPatch], None]], None]:
    """Register a patch as a mutant of its name."""

    def register(patch: Callable[[pytest.MonkeyPatch], None]) -> None:
        MUTANTS.append(Mutant(patch.__name__.replace("_", " "), killer, patch))

    return register


def on_check_event(patch: pytest.MonkeyPatch, change: Callable[..., tuple[Any, ...] | None]) -> None:
    """Let `change` see, and replace, what `check_event` is called with; None skips it."""

    def changed(*arguments: Any) -> None:
        if (others := change(*arguments)) is not None:
            checks.check_event(*others)

    patch.setattr(handler, "check_event", changed)


# Finding 1: "nightly" is a way around the dispatch.


@mutant("ended as nightly")
def a_nightly_needs_no_look_at_the_dispatches(patch: pytest.MonkeyPatch) -> None:
    said, read = threading.local(), JobStore.read

    def read_body(model: type[Any], data: object) -> tuple[Any, ...]:
        callback, *others = read_leniently(model, data)
        said.nightly = is_self_reported(callback.event_type)
        return callback, *others

    def read_without(self: JobStore, *arguments: Any) -> Any:
        known = read(self, *arguments)
        return replace(known, dispatch=None) if said.nightly else known

    patch.setattr(handler, "read_leniently", read_body)
    patch.setattr(JobStore, "read", read_without)


@mutant("while HUD is away")
def the_relay_compares_no_identities(patch: pytest.MonkeyPatch) -> None:
    def advance(job: Job, claim: Claim, now: float) -> tuple[Job, Step]:
        return lifecycle.advance(replace(job, identity=None), claim, now)

    patch.setattr(handler, "advance", advance)


@mutant("of another event")
def hud_compares_no_identities(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "same_job", lambda _fields, _stored: True)
    patch.setattr(store, "JOB_FIELDS", ("delivery_id",))


@mutant("against the record's")
def the_body_counts_over_the_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handler, "with_record", lambda callback, _dispatch: callback)


@mutant("a nightly with a pull request")
def a_nightly_may_name_a_pull_request_at_hud(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(record, "is_self_reported", lambda _event: False)


@mutant("of no dispatch")
def results_need_no_dispatch(patch: pytest.MonkeyPatch) -> None:
    check = handler.ResultHandler._check_dispatch

    def lenient(self: handler.ResultHandler, *arguments: Any, **named: Any) -> None:
        try:
            check(self, *arguments, **named)
        except RefusedError as error:
            if error.code != "no_dispatch":
                raise

    patch.setattr(handler.ResultHandler, "_check_dispatch", lenient)


# Finding 2: a stranger's pull request writes a nightly.


@mutant("nightly of no dispatch, by a repository_dispatch")
def any_run_may_report_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checks, "may_report", lambda _grant, **_: True)


@mutant("nightly of no dispatch, by a repository_dispatch")
def a_dispatched_run_may_report_a_nightly(patch: pytest.MonkeyPatch) -> None:
    def lenient(grant: Grant | None, **named: bool) -> bool:
        return grant is Grant.DISPATCHED or may_report(grant, **named)

    patch.setattr(checks, "may_report", lenient)


@mutant("nightly of no dispatch, by a push")
def every_repo_has_the_opt_in_for_pushes(patch: pytest.MonkeyPatch) -> None:
    def change(identity: Identity, listed: Listed, *others: Any) -> tuple[Any, ...]:
        return identity, replace(listed, nightly_on=("push",)), *others

    on_check_event(patch, change)


@mutant("nightly of no dispatch, by a workflow_run")
def github_is_not_asked_which_event_started_a_run(patch: pytest.MonkeyPatch) -> None:
    on_check_event(patch, lambda *arguments: None if arguments[-1] else arguments)


@mutant("that had the name before")
def a_run_may_be_another_repo_s_of_this_name(patch: pytest.MonkeyPatch) -> None:
    def change(identity: Identity, listed: Listed, callback: Any, dispatch: Any, run: GitHubRun | None) -> Any:
        same = replace(run, repository_id=identity.repository_id) if run else None
        return identity, listed, callback, dispatch, same

    on_check_event(patch, change)


@mutant("the run '0")
def a_run_has_as_many_ids_as_it_can_be_spelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(github_runs, "_RUN_ID", re.compile(".*"))


@mutant("each callback token, by workflow_run")
def what_was_left_behind_needs_no_callback_token(patch: pytest.MonkeyPatch) -> None:
    check = handler.ResultHandler._check_dispatch

    def lenient(self: handler.ResultHandler, *arguments: Any, deferred: bool) -> None:
        check(self, *arguments, deferred=False)

    patch.setattr(handler.ResultHandler, "_check_dispatch", lenient)


@mutant("each callback token")
def any_callback_token_will_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handler, "check_callback_token", lambda *_: None)


@mutant("a workflow_run's own")
def a_workflow_run_s_own_result_needs_no_callback_token(patch: pytest.MonkeyPatch) -> None:
    def change(identity: Identity, listed: Listed, callback: Any, dispatch: Recorded | None, run: Any) -> Any:
        return identity, listed, callback.model_copy(update={"callback_token": "x"}), dispatch, run

    on_check_event(patch, change)


# Finding 3: a different result is a "duplicate".


@mutant("success, post with several")
def another_completion_is_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    complete = lifecycle._complete

    def forgetful(job: Job, claim: Claim, now: float) -> tuple[Job, Step]:
        return (job, Step.DUPLICATE) if job.completed_at is not None else complete(job, claim, now)

    patch.setattr(lifecycle, "_complete", forgetful)


@mutant("while HUD is away")
def the_relay_forgets_what_it_accepted(patch: pytest.MonkeyPatch) -> None:
    complete = lifecycle._complete
    patch.setattr(lifecycle, "_complete", lambda job, *others: complete(replace(job, completion=""), *others))


@mutant("at HUD, then the relay's")
def what_hud_said_is_not_learned(patch: pytest.MonkeyPatch) -> None:
    complete = lifecycle._complete

    def unteachable(job: Job, claim: Claim, now: float) -> tuple[Job, Step]:
        after, step = complete(job, claim, now)
        return (job if step is Step.ASK_HUD else after), step

    patch.setattr(lifecycle, "_complete", unteachable)


@mutant("success, post at HUD")
def hud_takes_any_completion_for_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "same_completion", lambda _fields, _stored: True)


@mutant("success, post at HUD")
def hud_lets_the_last_completion_stand(patch: pytest.MonkeyPatch) -> None:
    always = "attribute_not_exists(#status) OR #status <> :in_progress OR #origin <> :sweeper"
    patch.setitem(store._LOWER_RANK, record.Rank.COMPLETED, always)


@mutant("success, post with several")
def nobody_is_shown_that_there_were_two_results(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ResultStore, "note_conflict", lambda _self, _conflict: Outcome.NOTED)


@mutant("a note of another repo's")
def a_note_may_be_about_any_repo(patch: pytest.MonkeyPatch) -> None:
    class Note(contract._Wire):
        trusted: contract.Trusted
        conflict: contract.RefusedCompletion

    patch.setattr(api, "ConflictNote", Note)


# Finding 4: a repo is its name.


@mutant("the ids")
def ids_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handler, "check_ids", lambda *_: None)


@mutant("the ids")
def ids_are_not_pinned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handler, "needs_pin", lambda *_: False)


@mutant("the ids")
def the_owner_s_id_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    def lenient(identity: Identity, listed: Listed, pin: Any) -> None:
        owner = pin.repository_owner_id if pin else identity.repository_owner_id
        check_ids(replace(identity, repository_owner_id=owner), listed, pin)

    patch.setattr(handler, "check_ids", lenient)


@mutant("of a repo with an id")
def the_allowlist_s_id_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    def lenient(identity: Identity, listed: Listed, pin: Any) -> None:
        check_ids(identity, replace(listed, repository_id=""), pin)

    patch.setattr(handler, "check_ids", lenient)


# Findings 6 to 8: jobs without a claim, names that join to one key, tokens that brought a duplicate.


@mutant("where a token names no job")
def a_token_that_names_no_job_speaks_for_any(patch: pytest.MonkeyPatch) -> None:
    def check_run(identity: Identity, callback: Any) -> None:
        job = identity.check_run_id or callback.workflow.job_id
        checks.check_run(replace(identity, check_run_id=job), callback)

    patch.setattr(handler, "check_run", check_run)


@mutant("the first one's name")
def a_token_speaks_for_any_run(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handler, "check_run", lambda *_: None)


@mutant("two deliveries with one key")
def names_are_no_part_of_an_identity(patch: pytest.MonkeyPatch) -> None:
    names = ("delivery_id", "workflow_name", "job_name")
    patch.setattr(record, "JOB_FIELDS", tuple(name for name in record.JOB_FIELDS if name not in names))


@mutant("a token that brought")
def a_token_that_brought_nothing_new_is_not_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobStore, "bind", lambda _self, _token, _now: None)


@mutant("one token for two jobs")
def a_token_speaks_for_any_job(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Identity, "binding", lambda self, key: f"{self.token_id}{hash(key)}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_seen(breakable_benches: Benches, monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    first = sorted(TABLE, key=lambda situation: mutant.killer not in situation.name)
    mutant.patch(monkeypatch)
    seen = next((situation for situation in first if breakable_benches[situation.policy].play(situation)), None)
    monkeypatch.undo()
    assert seen is not None, "no situation ends otherwise"
    assert mutant.killer in seen.name
    assert breakable_benches[seen.policy].play(seen) == []
