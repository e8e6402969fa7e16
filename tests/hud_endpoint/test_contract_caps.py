"""The caps of the wire: what is cut and how, what a key may be, and what a dispatch must say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hud_endpoint.contract import (
    KEY_BYTES,
    MESSAGE_BYTES,
    STACKTRACE_BYTES,
    Callback,
    Dispatch,
    capped,
    dynamo_key,
    parse,
)
from hud_endpoint.errors import RefusedError
from hud_endpoint.wire_types import NAME_BYTES, cut, cut_name
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, SHA, changed


def read(changes: dict[str, Any]) -> Callback:
    return Callback.model_validate(changed(COMPLETED_CALLBACK, changes))


class TestCaps:
    @pytest.mark.parametrize(
        ("text", "limit", "kept"),
        [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("é", 1, ""),
            ("aé", 2, "a"),
            ("日本", 5, "日"),
            ("🧪x", 4, "🧪"),
            ("", 0, ""),
        ],
    )
    def test_text_is_cut_between_characters(self, text: str, limit: int, kept: str) -> None:
        assert cut(text, limit) == kept

    @pytest.mark.parametrize("character", ["a", "é", "日", "🧪"])
    def test_names_are_cut_to_512_bytes(self, character: str) -> None:
        name = cut_name(character * 600 if character == "a" else character * 300)
        assert NAME_BYTES - 3 <= len(name.encode()) <= NAME_BYTES
        assert cut_name(name) == name

    def test_a_name_of_512_bytes_stays(self) -> None:
        assert cut_name("x" * NAME_BYTES) == "x" * NAME_BYTES

    def test_two_long_names_never_become_one(self) -> None:
        common = "x" * 600
        assert cut_name(common + "1") != cut_name(common + "2")
        assert cut_name(common) != cut_name(common + "x")

    def test_failed_tests_are_cut(self) -> None:
        long = {"name": "n" * 600, "message": "é" * 600, "stacktrace": "🧪" * 2000, "file": "f" * 600}
        (read_as,) = read({"workflow.failed_tests": [long]}).workflow.failed_tests
        test = capped(read_as)
        assert len(test["name"]) == len(test["file"]) == NAME_BYTES
        assert (test["message"], test["stacktrace"]) == ("é" * (MESSAGE_BYTES // 2), "🧪" * (STACKTRACE_BYTES // 4))
        assert read_as["message"] == long["message"]  # what was read stays as it was

    def test_what_is_within_its_caps_is_not_copied(self) -> None:
        full = {"name": "t", "message": "m" * MESSAGE_BYTES, "stacktrace": "s" * STACKTRACE_BYTES}
        (test,) = read({"workflow.failed_tests": [full]}).workflow.failed_tests
        assert capped(test) is test
        assert capped({**test, "message": test["message"] + "m"}) == test


class TestKey:
    def test_is_productions_raw_join(self) -> None:
        assert dynamo_key("org/repo", read({"delivery_id": "d"})) == "org/repo/d/npu-ci/test-float32/987"

    def test_falls_back_to_run_and_attempt(self) -> None:
        callback = read({"workflow.check_run_id": None, "workflow.run_id": 240, "workflow.run_attempt": 2})
        assert dynamo_key("o/r", callback).endswith("/240-2")

    def test_may_have_2048_bytes(self) -> None:
        names = {"delivery_id": "d" * 512, "workflow.name": "é" * 256, "workflow.job_name": "j" * 512}
        callback = read({**names, "workflow.check_run_id": "1" * 505})
        assert len(dynamo_key("o/r", callback).encode()) == KEY_BYTES
        with pytest.raises(RefusedError, match="2049 bytes and may have 2048: shorten") as caught:
            dynamo_key("o/rr", callback)
        assert (caught.value.code, caught.value.status) == ("key_too_long", 400)
        assert len(caught.value.message) < 200


class TestDispatch:
    GOOD: dict[str, Any] = {"repo": "org/repo", "delivery_id": "d", "sha": SHA}  # noqa: RUF012 - never changed

    def test_defaults(self) -> None:
        dispatch = parse(Dispatch, json.dumps(self.GOOD).encode())
        assert (dispatch.pr_number, dispatch.event_type, dispatch.upstream_repo) == (
            0,
            "pull_request",
            "pytorch/pytorch",
        )

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("sha", ["", SHA[:-1], SHA + "\n", "z" * 40, None, ABSENT]),
            ("pr_number", [-1, "1", True, 1.5, 2**53 + 1, None]),
            ("repo", ["repo", "a/b/c", "https://github.com/a/b", ABSENT]),
            ("delivery_id", ["", ABSENT]),
        ],
    )
    def test_refused(self, name: str, wrong: list[Any]) -> None:
        for value in wrong:
            with pytest.raises(RefusedError, match=name) as caught:
                parse(Dispatch, json.dumps(changed(self.GOOD, {name: value})).encode())
            assert caught.value.code == "invalid_callback"
