"""The documents as tests see them: their fenced blocks, each with the page and what stands before it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("actions/*/README.md")])
# Whatever starts one of our own programs, on a shell's line or between backticks.
_STARTS = re.compile(
    r"(?:^|\$\()(?:[A-Z_]+=\S+ )*(?:\.venv/bin/|docker run .* oot-hud )?(?=oot-hud [a-z-])|(?=python3? (?:-m|scripts/))"
)


class Block(NamedTuple):
    """A fenced block; `mark` is the comment right above it, "" where there is none."""

    page: Path
    language: str
    mark: str
    text: str


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """Give the blocks of a language, of one page or of all."""
    form = re.compile(rf"(?:^<!-- ([^\n]*) -->\n)?^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        Block(one, language, match[1] or "", match[2])
        for one in ([page] if page else PAGES)
        for match in form.finditer(one.read_text())
    ]


def marked(page: str, mark: str) -> str:
    """Give the text of the one fenced block, or table, below a comment."""
    text = (ROOT / page).read_text()
    _, found, below = text.partition(f"\n<!-- {mark} -->\n")
    assert found, mark
    fenced = re.match(r"```\w+\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
    return fenced[1] if fenced else below.partition("\n\n")[0]


def lines(page: Path) -> list[str]:
    """Give every command of a page: the lines of its sh blocks, joined where they go on; what is between backticks."""
    found = []
    for block in blocks("sh", page):
        text = re.sub(r"\\\n\s*", " ", block.text)
        found += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found += [" ".join(told.split()) for told in re.findall(r"`([^`]+)`", outside)]
    return found


def commands(first: str) -> list[tuple[str, list[str]]]:
    """Give page and words of each command that starts with this program, without settings, comments and pipes."""
    told = []
    for page in PAGES:
        for line in lines(page):
            words = _words(line)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words[:1] == [first] and len(words) > 1:
                told.append((str(page.relative_to(ROOT)), words))
    return told


def programs() -> list[tuple[str, list[str]]]:
    """Return page and words of each call of our own programs: `oot-hud`, a module's name or a script's path first."""
    calls = []
    for page in PAGES:
        for line in lines(page):
            if start := _STARTS.search(line):
                words = _words(line[start.end() :])
                calls.append((str(page.relative_to(ROOT)), words if words[0] == "oot-hud" else _of_python(words)))
    return calls


def _of_python(words: list[str]) -> list[str]:
    return words[2:] if words[1] == "-m" else words[1:]


def _words(line: str) -> list[str]:
    line = re.split(r" [|>] | >> | < | && |\)$|\) ", line)[0]
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # text between backticks that is no command
        return []
