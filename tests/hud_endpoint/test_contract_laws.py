"""Laws of the wire models: what is read can be written and read again, for any content that they accept."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hud_endpoint.contract import Callback, LenientFailedTest, RelayPayload, capped, dynamo_key, parse
from hud_endpoint.wire_types import NAME_BYTES, cut, cut_name
from tests.hud_endpoint.strategies import CALLBACKS, FAILED_TESTS, NAMES, PAYLOADS, REPOS, TEXT


@given(CALLBACKS)
def test_a_callback_survives_the_wire(told: dict[str, Any]) -> None:
    callback = Callback.model_validate(told)
    assert parse(Callback, callback.model_dump_json().encode()) == callback


@given(PAYLOADS)
def test_a_relay_payload_survives_the_wire(told: dict[str, Any]) -> None:
    payload = RelayPayload.model_validate(told)
    assert parse(RelayPayload, payload.model_dump_json().encode()) == payload


@given(REPOS, CALLBACKS)
def test_a_key_stays_under_its_repo(repo: str, told: dict[str, Any]) -> None:
    key = dynamo_key(repo, Callback.model_validate(told))
    assert key.startswith(f"{repo}/")
    assert repo.count("/") == 1  # so no other repo's prefix can match


@given(TEXT, st.integers(0, 100))
def test_a_cut_text_is_the_longest_prefix_that_fits(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert text.startswith(kept)
    assert len(kept.encode()) <= limit
    assert kept == text or len(text[: len(kept) + 1].encode()) > limit


@given(NAMES, NAMES)
def test_names_fit_and_stay_apart(one: str, other: str) -> None:
    assert len(cut_name(one).encode()) <= NAME_BYTES
    assert (cut_name(one) == cut_name(other)) == (one == other)


@given(FAILED_TESTS)
def test_capping_twice_is_capping_once(told: dict[str, Any]) -> None:
    once = capped(TypeAdapter(LenientFailedTest).validate_python(told))
    assert capped(once) is once
