"""What people get to see of an upload in S3: each file's content type, and the page with links to all of them.

The bucket may share its origin with other pages, and the files come from tests. So nothing of theirs is ever served as
something that a browser runs: HTML and SVG, and XML too (it may hold XHTML with scripts), are plain text. The page is
ours alone, every name in it escaped, with a policy that lets it run nothing.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from oot_runner.workflow_commands import plain

if TYPE_CHECKING:
    from oot_runner.upload.manifest import Place, Skipped, Stored

PAGE_TYPE = "text/html; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
FILES_LISTED = 5000
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
_TEXT = re.compile(
    r"(?i)\.(txt|log|out|err|xml|html?|xhtml|svg|csv|tsv|md|rst|ya?ml|toml|ini|cfg|conf|diff|patch|py|pyi|c|cc|cpp|cxx"
    r"|h|hpp|cu|cuh|hip|m|mm|rs|go|js|mjs|ts|css|sh|bash|ps1|bat|cmake|mk|gdb|trace|stack|tap|info|in|gcov|lcov|jsonl)$"
    r"|(^|/)(log|logs|output|stdout|stderr|Makefile|Dockerfile|README|LICENSE)$"
)
_OTHERS = {
    ".json": "application/json; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}


class Kind(NamedTuple):
    """How one file is served; what has no type that is safe to show is offered as a download."""

    content_type: str
    is_text: bool
    is_gzipped: bool = False
    is_download: bool = False


def kind_of(path: str) -> Kind:
    """Tell how a file is served, by its name; `.gz` of a text is that text with a Content-Encoding."""
    is_gzipped = path.lower().endswith(".gz")
    name = path[:-3] if is_gzipped else path
    if _TEXT.search(name):
        return Kind(TEXT_TYPE, is_text=True, is_gzipped=is_gzipped)
    suffix = re.search(r"\.[a-z0-9]+$", name.lower())
    other = _OTHERS.get(suffix[0] if suffix else "")
    if other and (not is_gzipped or other.startswith("application/json")):
        return Kind(other, is_text=other.startswith("application/json"), is_gzipped=is_gzipped)
    return Kind("application/octet-stream", is_text=False, is_download=True)


def index(
    place: Place,
    kind: str,
    name: str,
    archive: tuple[int, str],
    stored: list[Stored],
    skipped: list[Skipped],
    opened: set[str],
) -> bytes:
    """Give the page that lies beside the archive; `archive` is its size and SHA-256, `opened` has links of its own."""
    rows = [_row(name, file, linked=file.path in opened) for file in stored[:FILES_LISTED]]
    if len(stored) > FILES_LISTED:
        rows.append(f"<tr><td>and {len(stored) - FILES_LISTED:,} more<td>")
    left_out = "".join(f"<li><code>{_text(each.path)}</code>: {_text(each.reason)}" for each in skipped[:FILES_LISTED])
    title = f"{_text(kind)} of {_text(place.job_name)}"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
code, a {{ overflow-wrap: anywhere }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #8884; padding: .2rem .4rem; text-align: left }}
td + td, th + th {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }}
</style>
<h1>{title}</h1>
<p>{_text(place.repository)}, <a href="{_text(place.run_url)}">run {_text(place.run_id)}, attempt \
{_text(place.run_attempt)}</a>
<p><a href="{quote(name)}.zip">{_text(name)}.zip</a>, {archive[0]:,} bytes, SHA-256 <code>{archive[1]}</code>
<table>
<thead><tr><th>File<th>Bytes</thead>
<tbody>
{chr(10).join(rows)}
</tbody>
</table>
{f"<h2>Left out: {len(skipped):,}</h2><ul>{left_out}</ul>" if skipped else ""}
</html>
""".encode()


def _row(name: str, file: Stored, *, linked: bool) -> str:
    shown = f"<code>{_text(file.path)}</code>"
    if linked:
        shown = f'<a href="{quote(name)}/{quote(file.path)}">{shown}</a>'
    return f"<tr><td>{shown}<td>{file.size:,}"


def _text(text: str) -> str:
    return html.escape(plain(text))
