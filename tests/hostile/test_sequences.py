"""Whatever is posted in whatever order, the relay and HUD answer and store what the model says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile.bench import Play
from tests.hostile.situations import FOLLOWER, FORGED, OTHER_SHA, POSTER, RUN, Policy, case, dispatch, post, token
from tests.hostile.steps import Away, Back, Direct, Post, Step, Token

if TYPE_CHECKING:
    from tests.hostile.conftest import Benches

EXAMPLES = 60
Body = dict[str, Any]
FOLLOWED: list[Body] = [
    {"run": run, "check_run": "500", "callback_token": "{d}"} for run in (RUN, "9002", "9004", "9005", "9999")
]
OWN: list[Body] = [*({} for _ in range(6)), {"check_run": None}, {"check_run": "501"}, {"run": POSTER}]
TOKENS: list[tuple[Token, list[Body]]] = [  # and what a body beside it may say of its run and job
    *((token(), OWN) for _ in range(16)),
    *((token(name="{d}"), OWN[:1]) for _ in range(3)),
    (token("schedule", run="9002"), [{"event": "nightly"}, {"event": "nightly"}, {}]),
    (token("push"), [{"event": "nightly"}, {}]),
    *((FOLLOWER, [*FOLLOWED, {**FOLLOWED[1], "event": "nightly"}, {"callback_token": "{d}"}]) for _ in range(6)),
    (token(ids=("1", "2")), [{}]),
    (token(issuer="ghes", job=None), [{"check_run": None}, {"check_run": f"{RUN}-1"}, {"check_run": "500"}]),
]
ENDINGS: list[Body] = [
    {"status": "in_progress", "conclusion": "", "passed": 0},
    {"conclusion": "failure"},
    {"conclusion": "success", "passed": 2},
]
CHANGES: list[Body] = [
    *({"event": event} for event in ("push", "nightly", "nightly", "periodic")),
    *({"delivery": "{e}"}, {"pr": 2}, {"sha": OTHER_SHA}, {"passed": 3}),
    *({"callback_token": delivery} for delivery in ("", "{d}", "{e}", FORGED)),
]
NAMES: list[Body] = [{}, {}, {"workflow": "ci/test", "job_name": "x"}, {"workflow": "ci", "job_name": "test/x"}]


@st.composite
def posts(draw: st.DrawFn) -> Post:
    """Draw a callback: a job's own, about which something may be wrong."""
    by, bodies = draw(st.sampled_from(TOKENS))
    changes = draw(st.lists(st.sampled_from(CHANGES), max_size=1))
    body = draw(st.sampled_from(bodies))
    for change in (draw(st.sampled_from(NAMES)), draw(st.sampled_from(ENDINGS)), *changes):
        body = body | change
    return post(by, **body)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Step, ...]:
    """Draw what happens: dispatches first, as the upstream does, or at any time; HUD may be away in between."""
    asked = draw(st.sampled_from(((dispatch(),), (dispatch(), dispatch(delivery="{e}", event="push")), ())))
    others: tuple[st.SearchStrategy[Step], ...] = (
        st.just(Away()),
        st.just(Back()),
        st.builds(Direct, posts()),
        st.just(dispatch(delivery="{e}", pr=2)),
    )
    steps: st.SearchStrategy[Step] = st.integers(0, 19).flatmap(lambda number: (*others, posts())[min(number, 4)])
    return (*asked, *draw(st.lists(steps, min_size=5, max_size=12)))


def test_any_sequence_ends_as_the_model_says(benches: Benches) -> None:
    seen: Counter[str] = Counter()

    @given(sequences(), st.sampled_from(get_args(Policy)))
    @settings(max_examples=EXAMPLES)
    def check(steps: tuple[Step, ...], policy: Policy) -> None:
        bench = benches[policy]
        play, model = Play(bench), bench.model()
        differences = bench.play(case("drawn", *steps, policy=policy), play, model)
        assert not differences, "\n".join(differences)
        seen.update(word for _, word in play.answers)

    check()
    words = {"delivered", "duplicate", "queued", "conflicting_completion", "conflicting_identity", "event_mismatch"}
    words |= {
        "invalid_callback_token",
        "no_dispatch",
        "replayed_token",
        "repo_id_changed",
        "run_mismatch",
        "run_not_found",
    }
    assert words <= set(seen), seen
