"""JUnit reports for property tests: mostly what producers write, with all that is odd in XML, and some damage."""

from __future__ import annotations

from hypothesis import strategies as st

TEXTS = [
    *("abc", "TestX", "a.b.C", "test.test_ops.TestFoo", ".Foo", "test.bar.", "0.1", "1", "007", "-1", "1_000", "nan"),
    *(
        "inf",
        "NaN",
        "-Infinity",
        "1e5",
        "1e999",
        "",
        "é",
        "x&amp;y",
        "x&lt;y",
        "&#65;",
        "&#10;",
        "a\\b",
        "a\nb",
        "a\tb",
    ),
    *("+1", " 1", "1 ", ".5", "5.", "1.2.3", "12345678901234567890123", "0", "0.0", "-0", "test[&quot;a&quot;]", ">x"),
    *("a/>b", "/abs/p", "1,5", "1,234.5", "٣", "\u00a01", "x=&quot; b=", "]]>", "\x7f", "😀"),
]
REFUSED = ["\x01", "\ufffe", "&nope;", "&#1;", "&", "<"]
SHAPES = [
    ("classname", "name", "time"),
    ("classname", "name", "time", "file", "line"),
    ("name",),
    ("name", "file", "line", "status", "result", "time", "timestamp", "classname"),
]
ODD_SHAPES = [("name", "name"), ("name", "job_id"), ("name", "text"), ("a:b", "name")]
PLAIN = {
    "classname": "TestA",
    "name": "test_a",
    "time": "0.125",
    "file": "test/test_a.py",
    "line": "12",
    "status": "run",
    "result": "completed",
    "timestamp": "2026-01-01T00:00:00",
}
CHILD_TEXTS = [
    *("", "text", " \n ", "a&amp;b", "&#x41;", '<![CDATA[<testcase x="1" />]]>', "]]&gt;", "a\r\nb", "é", "\u2003"),
    *('<!-- <testcase name="c" /> -->', "<b>i</b>", "tail <b/> end", '{"num_red": 3}'),
]
BETWEEN = [
    " tail ", "</testsuite><testsuite name=\"b\">", '<!-- <testcase name="hidden" /> -->', "\u2003",
    '<system-out><![CDATA[<testcase name="hidden" />]]></system-out>', '<?pi <testcase name="hidden" /> ?>',
    '<properties><property name="a" value="b"/></properties>', "<system-out>said</system-out>", "<!-- c --> t",
]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, blank: str) -> str:
    """One test case."""
    rare = draw(st.integers(0, 99))
    names = draw(st.sampled_from(SHAPES if rare else ODD_SHAPES))
    values = dict(PLAIN)
    if draw(st.integers(0, 3)) == 0:
        others = [name for name in names if name not in ("status", "result")]  # what they say is another test's
        values[draw(st.sampled_from(others))] = draw(st.sampled_from(TEXTS if rare > 1 else REFUSED))
    start = "<testcase " + " ".join(f'{name}="{values.get(name, "v").replace(chr(34), "&quot;")}"' for name in names)
    if draw(st.integers(0, 9)) < 7:
        return f"{start}{blank}/>"
    inside = "".join(draw(st.lists(children(), max_size=3)))
    return f"{start}>{inside}</testcase>"


@st.composite
def children(draw: st.DrawFn) -> str:
    """One child element of a test case, and what follows it."""
    tag = draw(st.sampled_from(["skipped", "failure", "error", "rerun", "system-out", "properties", "text", "name"]))
    attribute = draw(st.sampled_from(TEXTS)).replace('"', "&quot;")
    attributes = draw(st.sampled_from(["", f' message="{attribute}"', f' type="t" message="{attribute}"', " a='1'"]))
    text = draw(st.sampled_from(CHILD_TEXTS))
    after = draw(st.sampled_from(["", "", "\n", "tail"]))
    return draw(st.sampled_from([f"<{tag}{attributes}>{text}</{tag}>", f"<{tag}{attributes}/>"])) + after


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """A whole report, one in four of them damaged."""
    blank, between = draw(st.sampled_from([" ", ""])), draw(st.sampled_from(["", "\n", "\n  ", " "]))
    parts = ['<?xml version="1.0" encoding="utf-8"?>' * draw(st.integers(0, 1)), "<testsuites><testsuite name='s'>"]
    for _ in range(draw(st.integers(1, 12))):
        parts += [between, draw(cases(blank))]
        if draw(st.integers(0, 19)) == 0:
            parts.append(draw(st.sampled_from(BETWEEN)))
    report = bytearray("".join([*parts, "</testsuite></testsuites>"]).encode())
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(report) - 1))
        damage = draw(st.sampled_from([b"", b"<", b">", b'"', b"/", b"&", b" ", b"\xff", b"a", b"\n", b"</testsuite>"]))
        report[at : at + draw(st.integers(0, 1))] = damage
    return bytes(report)
