"""Who may report: the forms of the allowlist that are read, and the sentence and line for every one that is not."""

from __future__ import annotations

import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.allowlist import MAX_BYTES, AllowlistError, Listed, parse_allowlist
from hud_endpoint.relay.issuers import Pipeline

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
        Listed("org/newcomer", "L1"),
        Listed("org/npu-repo", "L3", "npu", ("oncall1", "oncall2")),
        Listed("org/npu-second", "L3", "npu"),
        Listed("Org/XPU.repo_2", "L3", "xpu", ("solo",)),
        Listed("org/newer", "L3", "xpu", ("a", "b"), ("pull_request", "nightly")),
        Listed("org/merged", "L4", "", ("oncall1", "oncall2")),
        Listed("org/newest", "L4", "", ("one",), ("nightly",)),
    ],
    ids=lambda entry: entry.repo,
)
def test_crcrs_forms(entry: Listed) -> None:
    assert parse_allowlist(CRCR).entry(entry.repo) == entry


PRODUCTION = """\
L1:
  - riseproject-dev/pytorch-ci
  - NVIDIA-dev/pytorch-oot-internal
L2:
  - Ascend/pytorch
  - vllm-project/vllm
L3:
  # Canonical test repos for CRCR.
  crcr-test:
    pytorch/crcr-test: [atalman, can-gaa-hou]
"""


def test_the_list_that_is_in_production() -> None:
    allowlist = parse_allowlist(PRODUCTION)
    assert allowlist.entry("pytorch/crcr-test") == Listed(
        "pytorch/crcr-test", "L3", "crcr-test", ("atalman", "can-gaa-hou")
    )
    assert allowlist.summary() == "5 repos (L1 2, L2 2, L3 1, L4 0), 0 pipelines elsewhere"


@pytest.mark.parametrize(
    ("text", "level", "device"),
    [
        ("L2: [org/repo]", "L2", ""),
        ("L2:\n  - org/repo\n  - org/other", "L2", ""),
        ("L2: [{org/repo: null}]", "L2", ""),
        ("L2: [{org/repo: }, {org/other: a}]", "L2", ""),
        ("L3: {npu: [org/repo]}", "L3", "npu"),
        ("L3: {npu: , xpu: [org/repo]}", "L3", "xpu"),
        ("L3: {310: {org/repo: 5x, org/other: }}", "L3", "310"),
        ('"L4": ["org/repo"]', "L4", ""),
        ("# comment\nL1: []\nL2: {}\nL4: [org/repo] # why", "L4", ""),
        ("\ufeffL2: [org/repo]", "L2", ""),
        ("L2: [org/repo]\r\n", "L2", ""),
        ("L2: &everybody [org/repo]\nL4: []", "L2", ""),
    ],
)
def test_rfc_0050s_lists_and_what_lies_between(text: str, level: str, device: str) -> None:
    entry = parse_allowlist(text.encode()).entry("org/repo")
    assert (entry.level, entry.device) == (level, device)


@pytest.mark.parametrize(
    ("about", "oncalls", "events"),
    [
        ("{events: [nightly]}", (), ("nightly",)),
        ("{events: [nightly, pull_request]}", (), ("nightly", "pull_request")),
        ("{oncalls: a}", ("a",), ()),
        ("{oncalls: , events: }", (), None),  # an empty opt-in would silence a repo for good
        ("{events: nightly}", (), None),
        ("{events: 'pull_request, nightly'}", (), None),
        ("{events: [push]}", (), None),  # which pull_request covers: alone it would drop a backend's results
        ("{events: [pull_requests]}", (), None),
        ("{events: [Nightly]}", (), None),
        ("{events: [nightly, nightly]}", (), None),
        ("{events: [[nightly]]}", (), None),
        ("{events: [nightly, 5]}", (), None),
        ("['@a', \"@b\"]", ("@a", "@b"), ()),
        ("5", ("5",), ()),
        ("", (), ()),
    ],
)
def test_what_an_entry_says(about: str, oncalls: tuple[str, ...], events: tuple[str, ...] | None) -> None:
    text = f"L4:\n  - org/repo: {about}"
    if events is None:
        with pytest.raises(AllowlistError, match=r"line 2: .*events: expected a list of pull_request or nightly"):
            parse_allowlist(text)
        return
    assert parse_allowlist(text).entry("org/repo") == Listed("org/repo", "L4", "", oncalls, events)


def test_an_entry_may_name_the_repos_id_and_whose_pushes_report_nightlies() -> None:
    entry = parse_allowlist("L2: [{org/repo: {id: 65600975, nightly_on: [push]}}]").entry("org/repo")
    assert entry == Listed("org/repo", "L2", repository_id="65600975", nightly_on=("push",))


@pytest.mark.parametrize(
    "about", ["id: ", "id: x", "id: -5", "id: 1.5", "id: [5]", "id: ''", "nightly_on: push", "nightly_on: [schedule]"]
)
def test_but_no_other_id_or_event(about: str) -> None:
    with pytest.raises(AllowlistError, match=r"line 1: org/repo: (id is the repo's number|nightly_on: exp)"):
        parse_allowlist(f"L2: [{{org/repo: {{{about}}}}}]")


@pytest.mark.parametrize(
    ("events", "domain"),
    [
        ((), ("pull_request", "push", "nightly")),
        (("pull_request",), ("pull_request", "push")),
        (("nightly",), ("nightly", "periodic")),
    ],
)
def test_events_are_domains(events: tuple[str, ...], domain: tuple[str, ...]) -> None:
    entry = Listed("org/repo", "L2", events=events)
    assert all(entry.takes_part_in(event) for event in domain)
    assert entry.takes_part_in("nightly") is ("nightly" in domain)
    assert entry.takes_part_in("push") is ("push" in domain)


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


LISTED = "L2: [org/repo]\n"
BUILDKITE = "018b5ec5-c236-4037-ba08-d8a5d29bcdae/018cdabc-d930-49f6-9085-634c4cb582ed"
PIPELINES = f"""
L2: [org/repo, org/other]
providers:
  buildkite:
    repo_map:
      {BUILDKITE.upper()}:
        repo: org/repo
        required_claims:
          build_branch: [main, nightly]
          build_tag: v1
  gitlab:
    repo_map:
      "46573356": Org/Other
      46573357: {{repo: org/repo}}
  https://git.example.org:
    repo_map: {{"5": org/repo}}
"""


@pytest.mark.parametrize(
    ("issuer", "pipeline", "speaks_for"),
    [
        (
            "https://agent.buildkite.com",
            BUILDKITE,
            Pipeline("org/repo", {"build_branch": ("main", "nightly"), "build_tag": ("v1",)}),
        ),
        ("https://gitlab.com", "46573356", Pipeline("Org/Other")),
        ("https://gitlab.com", "46573357", Pipeline("org/repo")),
        ("https://git.example.org", "5", Pipeline("org/repo")),
        ("https://gitlab.com", "5", None),
        ("https://git.example.org", "46573356", None),
        ("https://evil.example.org", BUILDKITE, None),
    ],
)
def test_pipelines_elsewhere(issuer: str, pipeline: str, speaks_for: Pipeline | None) -> None:
    assert parse_allowlist(PIPELINES).pipeline(issuer, pipeline) == speaks_for


WRONG: list[tuple[str, int, str]] = [
    ("", 1, "expected a mapping with the keys L1, L2, L3, L4"),
    ("\n\n- org/repo", 3, "expected a mapping with the keys"),
    ("org/repo", 1, "expected a mapping with the keys"),
    (LISTED + "L5: [org/x]", 2, "L5 is no level"),
    (LISTED + "l2: [org/x]", 2, "l2 is no level"),
    (LISTED + "L2: [org/x]", 2, "L2 is there twice"),  # YAML's readers would let the last one win
    (LISTED + "5: [org/x]", 2, "5 is no level"),
    (LISTED + "[L3]: [org/x]", 2, "a key must be text"),
    (LISTED + "L4: [org/x", 2, "not YAML: "),
    (LISTED + "---\nL2: [org/x]", 2, "not YAML: "),
    (LISTED + "L4: *nobody", 2, "not YAML: "),
    (LISTED + "L3:\n  npu:\n    org/x: [@oncall]", 4, "cannot start any token: quote names"),
    (LISTED + "\tL3: []", 2, "not YAML: "),
    (LISTED + "L4: \x07", 1, "not YAML: "),
    ("[" * 100_000, 1, "not YAML: "),
    (LISTED + "#" * MAX_BYTES, 1, "more than 1,048,576 bytes"),
    ("L1: []\nL2:", 1, "no repo is listed"),
    ("{}", 1, "no repo is listed"),
    (LISTED + "L4: !!python/object/apply:os.system [true]", 2, "`true` is not written owner/name"),
    (LISTED + "L4: [!!python/name:os.system org/x]", 2, "this is not written owner/name"),
    (LISTED + "L4: org/x", 2, "L4: expected a list of repos"),
    (LISTED + "L3: org/x", 2, "L3: expected a list of repos, or repos by device"),
    (LISTED + "L4: yes", 2, "L4: expected a list of repos"),
    ("L2:\n  - org/repo\n  - repo", 3, "`repo` is not written owner/name"),
    ("L2: [https://github.com/org/repo]", 1, "is not written owner/name"),
    ("L2: ['org/repo ']", 1, "`org/repo ` is not written owner/name"),
    ("L2:\n- 5", 2, "`5` is not written owner/name"),
    ("L2: [null]", 1, "this is not written owner/name"),
    ("L2: [[org/repo]]", 1, "this is not written owner/name"),
    ("L2: [оrg/repo]", 1, "is not written owner/name"),  # noqa: RUF001 - a look-alike
    (LISTED + "L3: {npu: org/x}", 2, "L3.npu: expected the device's repos"),
    (LISTED + "L2b:\n  x: y", 3, "L2b is no level"),
    ("L4:\n  org/repo: [oncall]", 2, "L4 is a list: write `- org/repo`; only L3"),
    ("L4:\n  npu:\n    org/repo: [oncall]", 3, "L4 is a list: write `- npu`; only L3"),
    ("L2: [{org/repo: {oncalls: {a: b}}}]", 1, "the oncalls of org/repo are neither"),
    ("L2: [{org/repo: [[a]]}]", 1, "the oncalls of org/repo are neither"),
    ("L2: [{org/repo: 'a,,b'}]", 1, "the oncalls of org/repo are neither"),
    ("L2: [{org/repo: [a, null]}]", 1, "the oncalls of org/repo are neither"),
    ("L4:\n- org/repo:\n    events: []", 3, "org/repo: events: expected a list of"),
    ("L4:\n- org/repo:\n    events: {a: b}", 3, "org/repo: events: expected a list of"),
    ("L4:\n- org/repo:\n    event: [a]", 3, "org/repo: event is unknown; an entry has oncalls, events, id, nightly_on"),
    ("L2: [org/repo, org/repo]", 1, "org/repo is listed twice, first in line 1"),
    ("L1: [org/repo]\n\nL4: [ORG/Repo]", 3, "ORG/Repo is listed twice, first in line 1"),
    ("L3:\n  npu:\n  - org/repo\n  xpu:\n  - org/repo", 5, "org/repo is listed twice, first in line 3"),
    ("L3: {npu: {org/repo: a, org/repo: b}}", 1, "npu: org/repo is there twice"),
    (LISTED + "providers: [buildkite]", 2, "providers: expected a mapping"),
    (LISTED + "providers:\n  github: {repo_map: {a: org/repo}}", 3, "github: expected buildkite or gitlab, or the URL"),
    (LISTED + "providers:\n  http://git.example.org: {}", 3, "expected buildkite or gitlab"),
    (LISTED + "providers:\n  gitlab:\n    issuer: https://evil.example.org", 4, "issuer is unknown; a provider has"),
    (LISTED + "providers:\n  gitlab:\n    repo_map: [org/repo]", 4, "gitlab.repo_map: expected a mapping"),
    (LISTED + "providers: {gitlab: {repo_map: {5: repo}}}", 2, "`repo` is not written owner/name"),
    (LISTED + "providers: {gitlab: {repo_map: {5: }}}", 2, "this is not written owner/name"),
    (LISTED + "providers: {gitlab: {repo_map: {5: [org/repo]}}}", 2, "this is not written owner/name"),
    (LISTED + "providers: {gitlab: {repo_map: {5: org/other}}}", 2, "org/other is at no level: list it above"),
    (LISTED + "providers: {gitlab: {repo_map: {a/b: org/repo}}}", 2, "a/b is not written project_id"),
    (
        LISTED + "providers: {buildkite: {repo_map: {vllm: org/repo}}}",
        2,
        "vllm is not written organization_id/pipeline_id",
    ),
    (LISTED + "providers: {gitlab: {repo_map: {5: {repo: org/repo, claims: {}}}}}", 2, "5: claims is unknown"),
    (LISTED + "providers: {gitlab: {repo_map: {5: {repo: org/repo, required_claims: [a]}}}}", 2, "expected a mapping"),
    (
        LISTED + "providers: {gitlab: {repo_map: {5: {repo: org/repo, required_claims: {ref: []}}}}}",
        2,
        "5: ref has no value",
    ),
    (LISTED + "providers: {buildkite: {repo_map: {a/b: org/repo, A/B: org/repo}}}", 2, "a/b is there twice"),
]


@pytest.mark.parametrize(("text", "line", "told"), WRONG, ids=[told[:40] for _, _, told in WRONG])
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(AllowlistError) as caught:
        parse_allowlist(text)
    assert any(problem.line == line and told in problem.message for problem in caught.value.problems), str(caught.value)
    assert f"line {caught.value.problems[0].line}: " in str(caught.value)
    assert all("\n" not in problem.message for problem in caught.value.problems)


def test_every_problem_is_told_in_the_order_of_the_file() -> None:
    with pytest.raises(AllowlistError) as caught:
        parse_allowlist("L4: [a]\nL2: [b]\nL1: [c]\nL5: [d]\nL3: {x: [e], y: [f, g/g, g/g]}")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 4, 5, 5, 5]
    assert str(caught.value).endswith("; and 2 more")


@pytest.mark.parametrize(("data", "line"), [(b"\xff\xfe", 1), (b"L2: [org/repo]\n# \xe9t\xe9\n", 2)])
def test_text_is_utf_8(data: bytes, line: int) -> None:
    with pytest.raises(AllowlistError) as caught:
        parse_allowlist(data)
    assert caught.value.problems == ((line, "not UTF-8"),)


def test_aliases_do_not_multiply() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    with pytest.raises(AllowlistError, match="is no level"):
        parse_allowlist(bomb + "L2: *h")
