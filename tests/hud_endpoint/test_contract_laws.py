"""Laws of the wire models: what is read can be written and read again, for any content that they accept."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hud_endpoint import contract
from hud_endpoint.contract import (
    NAME_BYTES,
    Callback,
    FailedTest,
    RelayPayload,
    capped,
    cut,
    cut_name,
    dynamo_key,
    parse,
)
from hud_endpoint.shortcut import Shortcut, without_shortcuts
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
    once = capped(TypeAdapter(FailedTest).validate_python(told))
    assert capped(once) is once


# Each kind of value around the edges of its shortcut.
_LONG = st.builds(
    lambda first, rest, times: first + rest * times,
    st.sampled_from("a \x1c"),
    st.sampled_from("aé日🧪"),
    st.integers(124, 132) | st.integers(508, 514),
)
_BLANK = st.text(st.sampled_from(" \t\x1c\x85\u2003\u3000"), max_size=3)
_SHORTCUTS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "Id": (contract.Id, _LONG | _BLANK),
    "Name": (contract.Name, _LONG | _BLANK),
    "Label": (contract.Label, _LONG | _BLANK),
    "Text": (contract.Text, _LONG | _BLANK),
    "Url": (
        contract.Url,
        st.builds(
            "{}://{}{}".format,
            st.sampled_from(["http", "https", "HTTPS", "ftp", " http"]),
            st.text(st.sampled_from("ax1.-@:[]é\\ \n"), max_size=5)
            | st.sampled_from(["x:80", "x:99999", "x:", "x:8a"]),
            st.just("") | st.text(st.sampled_from("a/?#%[\\ \n\x7fé\u202e"), max_size=4).map("/".__add__),
        )
        | st.integers(2040, 2060).map(lambda size: "https://x/".ljust(size, "a")),
    ),
    "Duration": (contract.Duration, st.floats() | st.integers(-1, 10**9 + 1) | st.booleans()),
}


def _without(annotated: Any) -> Any:
    """The same annotation without its shortcut."""
    rest = [part for part in annotated.__metadata__ if not isinstance(part, Shortcut)]
    assert len(rest) < len(annotated.__metadata__)
    return Annotated[annotated.__origin__, *rest] if rest else annotated.__origin__


@pytest.mark.parametrize("kind", _SHORTCUTS)
@given(data=st.data())
def test_a_shortcut_changes_nothing(kind: str, data: st.DataObject) -> None:
    annotated, values = _SHORTCUTS[kind]
    value: Any = data.draw(values | st.text(min_size=1, max_size=3) | st.integers(-1, 1) | st.just([]))
    assert _outcome(TypeAdapter(annotated), value) == _outcome(TypeAdapter(_without(annotated)), value)


def _outcome(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        found = adapter.validate_python(value)
    except ValidationError as error:
        return [(one["loc"], one["msg"]) for one in without_shortcuts(error.errors())]
    return type(found), found
