"""Atom feeds (RFC 4287) of new failures: tests that began to fail on a backend."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hud_endpoint.links import backend_path, failed_test_path
from hud_endpoint.views.data.rows import utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any

_ATOM = "http://www.w3.org/2005/Atom"
_AUTHORITY = "tag:pytorch.org,2026:oot"  # a tag URI (RFC 4151): ids never change, wherever the pages are served
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_feed(rows: Sequence[Mapping[str, Any]], *, asked: str, backend: str, base: str, now: datetime) -> bytes:
    """Return the feed of rows of oot_new_failures, newest first; both names are "" for all backends.

    `asked` is the name in the feed's own address, which outlives a rename, and `backend` what that leads to now.

    `base` is the pages' origin without a slash at the end, or "": the links are then paths, which readers resolve
    against the address that they fetched. It is never taken from the request, whose Host header anybody may set.
    """
    page = backend_path(asked) if asked else "/oot"
    feed = ET.Element("feed", xmlns=_ATOM)
    title = f"New test failures on {backend}" if backend else "New test failures on out-of-tree backends"
    _text(feed, "id", f"{_AUTHORITY}/new-failures/{_digest(asked)}")
    _text(feed, "title", title)
    newest = utc(rows[0]["began_at"]) if rows else now.replace(hour=0, minute=0, second=0, microsecond=0)
    _text(feed, "updated", newest.isoformat())
    ET.SubElement(feed, "link", rel="self", type="application/atom+xml", href=f"{base}{page}.atom")
    ET.SubElement(feed, "link", rel="alternate", type="text/html", href=base + page)
    _text(ET.SubElement(feed, "author"), "name", "PyTorch out-of-tree CI")
    for row in rows:
        _entry(feed, row, base)
    written: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _entry(feed: ET.Element, row: Mapping[str, Any], base: str) -> None:
    entry = ET.SubElement(feed, "entry")
    began = utc(row["began_at"]).isoformat()
    place = f"#{row['pr_number']}" if row["pr_number"] else f"{row['event_type']} {row['sha'][:12]}"
    # The first failure is part of the id: a test that is mended and breaks again is news again. A rename is none.
    identity = _digest(*(row[name] for name in ("reported_as", "classname", "name", "file", "key")))
    _text(entry, "id", f"{_AUTHORITY}/new-failure/{identity}")
    _text(entry, "title", f"{row['repo']}: {row['name']}")
    _text(entry, "updated", began)
    _text(entry, "published", began)
    link = base + failed_test_path(row["name"], row["classname"], row["file"])
    ET.SubElement(entry, "link", rel="alternate", type="text/html", href=link)
    where = " ".join(part for part in (row["classname"], row["file"]) if part)
    _text(
        entry,
        "summary",
        f"{row['name']}{f' ({where})' if where else ''} began to fail on {row['repo']} in "
        f"{row['workflow']} / {row['job']}, on {row['upstream_repo']} {place}.",
    )


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = _NO_XML.sub("\ufffd", text)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]
