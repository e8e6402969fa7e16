"""What people see of an upload in S3: safe content types, and a page in which hostile names are only text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from oot_runner.upload.manifest import Place, Skipped, Stored
from oot_runner.upload.pages import FILES_LISTED, PAGE_TYPE, index, kind_of

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
PLACE = Place("o/r", "1", "1", HOSTILE, "9", None, "https://github.com")
#: What a browser runs, or reads as a page of its own.
ACTIVE = (
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "application/xml",
    "text/xml",
    "javascript",
    "text/css",
)


@pytest.mark.parametrize(
    ("path", "content_type", "is_text", "is_gzipped", "is_download"),
    [
        ("a/test.log", "text/plain; charset=utf-8", True, False, False),
        ("stdout", "text/plain; charset=utf-8", True, False, False),
        ("a.XML", "text/plain; charset=utf-8", True, False, False),
        ("a.log.gz", "text/plain; charset=utf-8", True, True, False),
        ("a.json", "application/json; charset=utf-8", True, False, False),
        ("a.json.gz", "application/json; charset=utf-8", True, True, False),
        ("a.png", "image/png", False, False, False),
        ("a.png.gz", "application/octet-stream", False, False, True),
        ("core.123", "application/octet-stream", False, False, True),
        ("a.tar.gz", "application/octet-stream", False, False, True),
        ("noname", "application/octet-stream", False, False, True),
        ("a.pdf", "application/octet-stream", False, False, True),
    ],
)
def test_content_types(path: str, content_type: str, *, is_text: bool, is_gzipped: bool, is_download: bool) -> None:
    assert kind_of(path) == (content_type, is_text, is_gzipped, is_download)


@pytest.mark.parametrize(
    "suffix",
    [
        "html",
        "htm",
        "xhtml",
        "xht",
        "mht",
        "mhtml",
        "svg",
        "svgz",
        "xml",
        "xsl",
        "xslt",
        "rdf",
        "js",
        "mjs",
        "css",
        "pdf",
    ],
)
@pytest.mark.parametrize("shape", ["x.{}", "X.{}.gz", "x.log.{}", "x.{}."])
def test_nothing_of_theirs_runs_in_a_browser(suffix: str, shape: str) -> None:
    for path in (shape.format(suffix), shape.format(suffix.upper())):
        assert not any(active in kind_of(path).content_type for active in ACTIVE), path


class _Page(HTMLParser):
    """The elements of a page, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        assert not [name for name, _ in attrs if name.startswith("on")]


def page(stored: list[Stored], skipped: list[Skipped], opened: set[str]) -> tuple[str, _Page]:
    text = index(PLACE, "logs", f"logs-{HOSTILE}", (1, "0" * 64), stored, skipped, opened).decode()
    parsed = _Page()
    parsed.feed(text)
    return text, parsed


def test_hostile_names_are_text() -> None:
    text, parsed = page([Stored(HOSTILE, 1, "0" * 64)], [Skipped(HOSTILE, HOSTILE)], {HOSTILE})
    assert not parsed.tags & {"script", "img"}
    assert parsed.tags >= {"table", "a", "h2", "li"}
    assert "default-src 'none'" in text
    assert len(parsed.links) == 3
    assert all(link.startswith(("https://github.com/o/r/actions/runs/1", "logs-%22")) for link in parsed.links)
    assert PAGE_TYPE == "text/html; charset=utf-8"


def test_a_page_is_bounded() -> None:
    stored = [Stored(f"{number}.log", 1, "0" * 64) for number in range(FILES_LISTED + 7)]
    text, parsed = page(stored, [], set())
    assert "and 7 more" in text
    assert len(parsed.links) == 2
