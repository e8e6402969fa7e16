"""Who may report: the forms of the allowlist that are read, and the sentence for every form that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.allowlist import AllowlistError, Entry, load_allowlist, parse_allowlist

if TYPE_CHECKING:
    from pathlib import Path

CRCR = """
L1: [org/newcomer]
L2:
L3:
  npu:
    org/npu-repo: [oncall1, oncall2]
    org/npu-second: []
  xpu:
    Org/XPU.repo_2: solo
    org/newer: {oncalls: [a, b], events: [pull_request, nightly]}
L4:
  - org/merged: oncall1, oncall2
  - org/newest: {events: [nightly], oncalls: one}
"""


@pytest.mark.parametrize(
    "entry",
    [
        Entry("org/newcomer", "L1"),
        Entry("org/npu-repo", "L3", "npu", ("oncall1", "oncall2")),
        Entry("org/npu-second", "L3", "npu"),
        Entry("Org/XPU.repo_2", "L3", "xpu", ("solo",)),
        Entry("org/newer", "L3", "xpu", ("a", "b")),
        Entry("org/merged", "L4", "", ("oncall1", "oncall2")),
        Entry("org/newest", "L4", "", ("one",)),
    ],
    ids=lambda entry: entry.repo,
)
def test_crcrs_forms(entry: Entry) -> None:
    assert parse_allowlist(CRCR).entry(entry.repo) == entry


@pytest.mark.parametrize(
    ("text", "level", "device"),
    [
        ("L2: [org/repo]", "L2", ""),
        ("L2:\n  - org/repo\n  - org/other", "L2", ""),
        ("L2: [{org/repo: null}]", "L2", ""),
        ("L3: {npu: [org/repo]}", "L3", "npu"),
        ("L3: {310: {org/repo: 5x, org/other: }}", "L3", "310"),
        ('"L4": ["org/repo"]', "L4", ""),
        ("# comment\nL1: []\nL2: {}\nL4: [org/repo] # why", "L4", ""),
    ],
)
def test_rfc_0050s_lists_and_what_lies_between(text: str, level: str, device: str) -> None:
    entry = parse_allowlist(text).entry("org/repo")
    assert (entry.level, entry.device) == (level, device)


@pytest.mark.parametrize("asked", ["org/repo", "ORG/REPO", "Org/Repo"])
@pytest.mark.parametrize("listed", ["org/repo", "Org/REPO"])
def test_github_compares_names_without_case(asked: str, listed: str) -> None:
    assert parse_allowlist(f"L2: [{listed}]").entry(asked).repo == listed


@pytest.mark.parametrize(
    "asked", ["org/other", "org/rep", "org/repo/", "org", "", "org/repo\n", "\u017forg/repo", "xorg/repo"]
)
def test_everybody_else_is_unknown(asked: str) -> None:
    with pytest.raises(RefusedError, match="not on the allowlist: ask") as caught:
        parse_allowlist("L2: [org/repo]").entry(asked)
    assert (caught.value.code, caught.value.status) == ("repo_not_allowed", 403)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a mapping with the keys L1, L2, L3, L4"),
        ("- org/repo", "expected a mapping with the keys"),
        ("L5: [org/repo]", "expected a mapping with the keys"),
        ("l2: [org/repo]", "expected a mapping with the keys"),
        ("L2: [org/repo", "not YAML: "),
        ("L2: !!python/object/apply:os.system [true]", "not YAML: "),
        ("L2: org/repo", "L2: expected a list of repos, or repos by device"),
        ("L2: [repo]", "L2: 'repo' is not written owner/name"),
        ("L2: [https://github.com/org/repo]", "is not written owner/name"),
        ("L2: ['org/repo ']", "L2: 'org/repo ' is not written owner/name"),
        ("L2: [5]", "L2: 5 is not written owner/name"),
        ("L2: [null]", "L2: None is not written owner/name"),
        ("L2: [[org/repo]]", "L2: ['org/repo'] is not written owner/name"),
        ("L3: {npu: org/repo}", "L3.npu: expected the device's repos"),
        ("L2: {org/repo: [oncall]}", "L2: 'oncall' is not written owner/name"),
        ("L2: [{org/repo: 5}]", "L2: the oncalls of org/repo are neither a list nor text"),
        ("L2: [{org/repo: {oncalls: {a: b}}}]", "L2: the oncalls of org/repo are neither"),
        ("L2: [org/repo, org/repo]", "L2: org/repo is listed twice"),
        ("L1: [org/repo]\nL4: [ORG/Repo]", "L4: ORG/Repo is listed twice"),
        ("L3: {npu: [org/repo], xpu: [org/repo]}", "L3: org/repo is listed twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AllowlistError) as caught:
        parse_allowlist(text)
    assert told in str(caught.value)
    file = tmp_path / "allowlist.yaml"
    file.write_text(text)
    with pytest.raises(AllowlistError) as caught:
        load_allowlist(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "allowlist.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AllowlistError) as caught:
        load_allowlist(str(file))
    assert str(caught.value).startswith(f"{file}: ")
