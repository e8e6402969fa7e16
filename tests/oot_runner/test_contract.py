"""The runner's own copies of the contract's numbers and words are the contract's: it imports nothing of the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint import contract, wire_types
from hud_endpoint.errors import CODES
from oot_runner import inputs, payload, settings, text
from tests.oot_runner.test_verdict import verdict


def test_the_caps_are_the_contract_s() -> None:
    assert payload.BODY_BYTES == contract.RELAY_BODY_BYTES
    for name in (
        "NAME_BYTES",
        "URL_BYTES",
        "MESSAGE_BYTES",
        "STACKTRACE_BYTES",
        "ENVIRONMENT_BYTES",
        "MAX_FAILED_TESTS",
    ):
        told = vars(wire_types) | vars(contract)
        assert (vars(text) | vars(payload))[name] == told[name], name


@given(st.text(min_size=0, max_size=600))
def test_names_are_cut_as_the_contract_cuts_them(name: str) -> None:
    assert text.cut_name(name) == wire_types.cut_name(name)


def test_the_constants_are_the_contract_s() -> None:
    assert inputs.AUDIENCE == contract.AUDIENCE
    assert set(settings.CONCLUSIONS) == set(wire_types.Conclusion.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_ours_is_told_in_its_own_words(code: str) -> None:
    result = verdict(CODES[code], {"detail": "Do this and that.", "code": code})
    assert result.message is not None
    assert result.outcome == "failed"
    assert "Do this and that." in result.message.text()
