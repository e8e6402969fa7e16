"""The step summary: what it shows, that it fits, and that nothing hostile in it is more than text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import summary
from oot_runner.junit_counting import SlowTest
from oot_runner.messages import tell
from oot_runner.payload import Results
from oot_runner.workflow_commands import SUMMARY_BYTES, plain

HOSTILE = st.text(st.sampled_from("`~|<>&@[]()!#*_\\ \nax:/\x1b"), max_size=40)
NOWHERE = summary.Links("", "")
COUNTS = {
    "total": 8452,
    "passed": 8430,
    "failed": 2,
    "errors": 1,
    "skipped": 20,
    "flaky": 3,
    "duration_seconds": 3725.0,
}


def found(tests: list[dict[str, Any]], counts: dict[str, float] | None = None) -> Results:
    return Results("failure", COUNTS if counts is None else counts, tests, [])


def outside_of_code(markdown: str) -> str:
    """What GitHub reads as markup: all but fences, code spans and <code> elements, found as CommonMark finds them."""
    text = re.sub(r"(?ms)^(> )?(`{3,})\w*$.*?^(> )?\2$", "", markdown)
    text = re.sub(r"(?s)<code>[^<]*</code>", "", text)
    return re.sub(r"(?s)(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


def test_a_whole_summary() -> None:
    test = {
        "name": "test_add",
        "classname": "TestOps",
        "file": "tests/test_ops.py",
        "status": "failure",
        "message": "1 != 2",
        "stacktrace": "tests/test_ops.py:12: AssertionError",
    }
    links = summary.Links("https://hud.example/oot", "https://s3.example/a b)")
    slow = [SlowTest("test_slow", "TestOps", "", 65.0)]
    assert (
        summary.render(
            "test (npu, 3.11)", "delivered", found([test, {"name": "setup", "status": "error"}]), slow, [], links
        )
        == """\
### ❌ `test (npu, 3.11)`

| Tests | ✅ Passed | ❌ Failed | 💥 Errors | ⏭️ Skipped | 🔁 Flaky | ⏱️ Time |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 8,452 | 8,430 | 2 | 1 | 20 | 3 | 1 h 2 min |

📡 Reported to HUD · [See it on HUD](https://hud.example/oot) · [Logs and reports](https://s3.example/a%20b%29)

#### Failed tests: 2

<details><summary>❌ <code>TestOps::test_add</code> · <code>tests/test_ops.py</code></summary>

```text
1 != 2

tests/test_ops.py:12: AssertionError
```

</details>

<details><summary>💥 <code>setup</code></summary>

The report does not say why.

</details>

<details><summary>🐢 Slowest tests</summary>

1. 1 min 5 s `TestOps::test_slow`

</details>

"""
    )


def test_a_message_is_an_alert_with_the_yaml_that_mends_it() -> None:
    text = summary.render("test", "failed", None, [], [tell("no_id_token_permission")], NOWHERE)
    assert "> [!CAUTION]\n> **The job has no permission" in text
    assert "> ```yaml\n> permissions:\n>   id-token: write\n>   contents: read\n> ```" in text
    assert "⛔ **Not reported to HUD**" in text


@given(HOSTILE, HOSTILE)
def test_hostile_text_is_only_ever_text(name: str, detail: str) -> None:
    marked = f"INJECTED{name}INJECTED"
    test = {
        "name": marked,
        "classname": name,
        "file": marked,
        "status": "error",
        "message": detail,
        "stacktrace": marked,
    }
    message = tell("refused", status=400, detail=marked)
    slow = [SlowTest(marked, name, "", 1.0)]
    text = summary.render(marked, "failed", found([test]), slow, [message], NOWHERE)
    rest = outside_of_code(text)
    assert "INJECTED" not in rest
    assert rest == outside_of_code(
        summary.render(
            "x",
            "failed",
            found([{**test, "name": "x", "classname": "", "file": "x", "message": "x", "stacktrace": "x"}]),
            [SlowTest("x", "", "", 1.0)],
            [tell("refused", status=400, detail="x")],
            NOWHERE,
        )
    )


@given(HOSTILE)
def test_a_code_span_shows_exactly_the_text(text: str) -> None:
    span = summary.code(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    inner = span[len(ticks[0]) : -len(ticks[0])]
    assert span.endswith(ticks[0])
    assert not re.search(f"(?<!`){ticks[0]}(?!`)", inner)
    assert inner.strip() == " ".join(plain(text).split())


@given(HOSTILE)
def test_a_fence_is_longer_than_any_in_it(text: str) -> None:
    fence, *lines = summary.fenced(text).split("\n")
    fence = fence.replace("text", "")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert not any(fence in line for line in lines[:-1])


@pytest.mark.parametrize("size", [0, 100, 4096, 40_000])
def test_it_fits_and_says_what_it_leaves_out(size: int) -> None:
    test = {"name": "n" * 512, "status": "failure", "message": "m" * min(size, 1024), "stacktrace": "s" * size}
    counts = {"failed": 5000.0}
    text = summary.render("test", "delivered", found([test] * 1000, counts), [], [], NOWHERE)
    assert len(text.encode()) <= SUMMARY_BYTES // 2
    shown = text.count("<details>")
    assert shown == min(100, shown)
    assert f"*{5000 - shown:,} more failed tests are not shown here.*" in text
    assert shown > 10


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.004, "0.00 s"),
        (1.5, "1.50 s"),
        (59.96, "60.0 s"),
        (60, "1 min 0 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 0 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert summary.duration(seconds) == shown
