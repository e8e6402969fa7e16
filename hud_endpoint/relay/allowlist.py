"""Who may report: the allowlist, in CRCR's YAML (L1..L4, L3 by device, oncalls) and RFC-0050's plain lists.

L1: [org/repo]
L3:
  npu:
    org/npu-repo: [oncall1, oncall2]
L4:
  - org/repo: oncall1, oncall2
  - org/other: {events: [pull_request, nightly], oncalls: [oncall1], id: 1234, nightly_on: [push]}
providers:                        # pipelines elsewhere, by their immutable ids, as in CRCR's ci_providers.yml
  buildkite:
    repo_map:
      <organization_id>/<pipeline_id>: {repo: org/repo, required_claims: {build_branch: [main]}}
  gitlab:                         # or an own instance's URL
    repo_map:
      "<project_id>": org/other

`events` are production's two domains: pull_request covers push as well, nightly covers periodic; without `events` a
repo takes part in both. `id` is the repo's immutable id on GitHub, which its tokens must then carry.
`nightly_on: [push]` lets its push runs report nightlies.

`oot-hud allowlist check FILE` says what is wrong with one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from hud_endpoint.errors import RefusedError
from hud_endpoint.events import is_self_reported
from hud_endpoint.relay.issuers import PROFILES, Pipeline
from hud_endpoint.wire_types import Level, Repo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

LEVELS: tuple[Level, ...] = get_args(Level)
PROVIDERS = "providers"
EVENT_DOMAINS = ("pull_request", "nightly")
ENTRY_KEYS = ("oncalls", "events", "id", "nightly_on")
MAX_BYTES = 1024 * 1024
_REPO: TypeAdapter[str] = TypeAdapter(Repo)
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp")}


class Problem(NamedTuple):
    """What is wrong, and in which line."""

    line: int
    message: str


class AllowlistError(Exception):
    """The allowlist can't be used; the message says where it is wrong. `problems` are all there are, by line."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Listed:
    """A repo that may report; `repo` is written as the allowlist has it.

    `events` are domains (none: all of them), `repository_id` is "" where the list names none, and `nightly_on` are the
    events beside the usual ones whose runs may report nightlies.
    """

    repo: str
    level: Level
    device: str = ""
    oncalls: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    repository_id: str = ""
    nightly_on: tuple[str, ...] = ()

    def takes_part_in(self, event_type: str) -> bool:
        """Say whether the repo takes part in the domain of an event: nightly and periodic are one, the rest another."""
        return not self.events or ("nightly" if is_self_reported(event_type) else "pull_request") in self.events


class Allowlist:
    """Repos by name, which GitHub compares without case, and pipelines by their issuer's URL and ids."""

    def __init__(self, entries: Mapping[str, Listed], pipelines: Mapping[tuple[str, str], Pipeline]) -> None:
        self._entries = entries
        self._pipelines = pipelines

    def entry(self, repo: str) -> Listed:
        """Return the repo's entry. Raises RefusedError `repo_not_allowed` for an unknown repo."""
        entry = self._entries.get(repo.lower())
        if entry is None:
            raise RefusedError(
                "repo_not_allowed", f"{repo} is not on the allowlist: ask PyTorch's dev infra to add it (RFC-0050)."
            )
        return entry

    def entries(self) -> Collection[Listed]:
        """Return every repo's entry."""
        return self._entries.values()

    def pipeline(self, issuer: str, pipeline: str) -> Pipeline | None:
        """Say for whom a pipeline of an issuer speaks."""
        return self._pipelines.get((issuer, pipeline.lower()))

    def pipelines_of(self, repo: str) -> list[tuple[str, str]]:
        """Return the pipelines elsewhere that speak for a repo: the issuer's URL, and their ids there."""
        return [place for place, pipeline in self._pipelines.items() if pipeline.repo.lower() == repo.lower()]

    def summary(self) -> str:
        """Count the repos of each level, in one line."""
        levels = Counter(entry.level for entry in self._entries.values())
        counts = [f"{level} {levels[level]}" for level in LEVELS]
        return f"{len(self._entries)} repos ({', '.join(counts)}), {len(self._pipelines)} pipelines elsewhere"


def parse_allowlist(data: str | bytes) -> Allowlist:
    """Read the YAML. Raises AllowlistError with every problem and its line."""
    reader = _Reader()
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        if len(data) > MAX_BYTES:
            reader.problems.append(Problem(1, f"more than {MAX_BYTES:,} bytes"))
        else:
            reader.read(yaml.compose(text, Loader=yaml.SafeLoader))  # nodes, which know their lines; nothing is built
    except UnicodeDecodeError as error:
        reader.problems.append(Problem(error.object.count(b"\n", 0, error.start) + 1, "not UTF-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = ": quote names that begin with it" if "'@'" in str(error.problem) else ""  # oncalls, as CRCR shows them
        message = f"not YAML: {error.problem or error.context}{hint}"
        reader.problems.append(Problem(mark.line + 1 if mark else 1, message))
    except (yaml.YAMLError, RecursionError) as error:
        reader.problems.append(Problem(1, f"not YAML: {str(error).partition(chr(10))[0] or 'nested too deeply'}"))
    if reader.problems:
        problems = tuple(sorted(set(reader.problems)))
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise AllowlistError("; ".join(f"line {line}: {message}" for line, message in problems[:5]) + more, problems)
    return Allowlist(reader.entries, reader.pipelines)


@dataclass
class _Reader:
    """Collects what is there and what is wrong with it."""

    entries: dict[str, Listed] = field(default_factory=dict)
    pipelines: dict[tuple[str, str], Pipeline] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _lines: dict[str, int] = field(default_factory=dict)

    def read(self, root: yaml.Node | None) -> None:
        if not isinstance(root, yaml.MappingNode):
            self._wrong(root, f"expected a mapping with the keys {', '.join(LEVELS)}")
            return
        sections = dict(self._pairs(root, "the file"))
        for key, node in sections.items():
            if key not in (*LEVELS, PROVIDERS):
                self._wrong(node, f"{key} is no level: the keys are {', '.join(LEVELS)} and {PROVIDERS}")
        for level in LEVELS:
            self._level(level, sections.get(level))
        if not self.entries and not self.problems:
            self._wrong(root, "no repo is listed: nobody could report")
        self._providers(sections.get(PROVIDERS))

    def _level(self, level: Level, node: yaml.Node | None) -> None:
        if isinstance(node, yaml.SequenceNode):
            self._repos(level, "", node)
        elif isinstance(node, yaml.MappingNode):
            for device, repos in self._pairs(node, level):
                if level != "L3":  # CRCR's relay refuses the whole file for it
                    self._wrong(repos, f"{level} is a list: write `- {device}`; only L3 has repos by device")
                elif _is_nothing(repos):
                    continue
                elif isinstance(repos, yaml.MappingNode | yaml.SequenceNode):
                    self._repos(level, device, repos)
                else:
                    self._wrong(repos, f"{level}.{device}: expected the device's repos, a list or `repo: oncalls`")
        elif not _is_nothing(node):
            self._wrong(node, f"{level}: expected a list of repos" + (", or repos by device" if level == "L3" else ""))

    def _repos(self, level: Level, device: str, node: yaml.CollectionNode) -> None:
        if isinstance(node, yaml.MappingNode):
            for repo, about in self._pairs(node, device):
                self._repo(level, device, repo, about, about)
            return
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                for repo, about in self._pairs(item, level):
                    self._repo(level, device, repo, item, about)
            else:
                self._repo(level, device, _text(item), item, None)

    def _repo(self, level: Level, device: str, repo: str | None, at: yaml.Node, about: yaml.Node | None) -> None:
        name = self._name(repo, at)
        if name is None:
            return
        if name.lower() in self._lines:
            self._wrong(at, f"{name} is listed twice, first in line {self._lines[name.lower()]}")
            return
        self._lines[name.lower()] = _line(at)
        fields = {"oncalls": about}
        if isinstance(about, yaml.MappingNode):
            fields = dict(self._pairs(about, name))
            for key in fields.keys() - set(ENTRY_KEYS):
                self._wrong(fields[key], f"{name}: {key} is unknown; an entry has {', '.join(ENTRY_KEYS)}")
        self.entries[name.lower()] = Listed(
            name,
            level,
            device,
            oncalls=self._names(fields.get("oncalls"), f"the oncalls of {name}"),
            events=self._choices(fields.get("events"), f"{name}: events", EVENT_DOMAINS),
            repository_id=self._repository_id(fields.get("id"), name),
            nightly_on=self._choices(fields.get("nightly_on"), f"{name}: nightly_on", ("push",)),
        )

    def _choices(self, node: yaml.Node | None, what: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        """Read a list in which each choice may stand once; anything else would change silently what a repo reports."""
        if node is None:
            return ()
        names = [_text(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else []
        if not names or not set(names) <= set(choices) or len(set(names)) != len(names):
            self._wrong(node, f"{what}: expected a list of {' or '.join(choices)}, each once; or leave it out")
            return ()
        return tuple(str(name) for name in names)

    def _repository_id(self, node: yaml.Node | None, name: str) -> str:
        text = _text(node)
        if node is not None and not (text and text.isascii() and text.isdecimal() and len(text) <= 20):
            self._wrong(node, f"{name}: id is the repo's number on GitHub (`gh api repos/{name} --jq .id`)")
            return ""
        return text or ""

    def _providers(self, node: yaml.Node | None) -> None:
        for provider, section in self._mapping(node, PROVIDERS):
            profile = PROFILES.get(provider)
            if not provider.startswith("https://") and (profile is None or not profile.pipeline):
                names = [name for name, row in PROFILES.items() if row.pipeline]
                self._wrong(section, f"{provider}: expected {' or '.join(names)}, or the URL of an own instance")
                continue
            for key, repo_map in self._mapping(section, provider):
                if key != "repo_map":  # trust anchors belong into OIDC_ISSUERS, which this file can't change
                    self._wrong(repo_map, f"{provider}: {key} is unknown; a provider has a repo_map")
                    continue
                for pipeline, about in self._mapping(repo_map, f"{provider}.repo_map"):
                    if profile and len(pipeline.split("/")) != len(profile.pipeline):
                        self._wrong(about, f"{pipeline} is not written {'/'.join(profile.pipeline)}")
                    self._pipeline(profile.default_url if profile else provider, pipeline.lower(), about)

    def _pipeline(self, issuer: str, pipeline: str, node: yaml.Node) -> None:
        fields = dict(self._pairs(node, pipeline)) if isinstance(node, yaml.MappingNode) else {"repo": node}
        for key in fields.keys() - {"repo", "required_claims"}:
            self._wrong(fields[key], f"{pipeline}: {key} is unknown; a pipeline has a repo and required_claims")
        name = self._name(_text(fields.get("repo")), fields.get("repo") or node)
        if name and name.lower() not in self.entries:
            self._wrong(node, f"{name} is at no level: list it above as well")
        claims = {
            claim: self._names(values, f"the values of {claim}")
            for claim, values in self._mapping(fields.get("required_claims"), f"the required_claims of {pipeline}")
        }
        for claim, values in claims.items():
            if not values:
                self._wrong(fields["required_claims"], f"{pipeline}: {claim} has no value that would be accepted")
        if (issuer, pipeline) in self.pipelines:
            self._wrong(node, f"{pipeline} is there twice")
        self.pipelines[issuer, pipeline] = Pipeline(name or "", claims)

    def _name(self, repo: str | None, at: yaml.Node) -> str | None:
        try:
            return _REPO.validate_python(repo)
        except ValidationError:
            name = f"`{repo}`" if repo is not None else "this"
            self._wrong(at, f"{name} is not written owner/name")
            return None

    def _names(self, node: yaml.Node | None, what: str) -> tuple[str, ...]:
        if node is None or _is_nothing(node):
            return ()
        items = [_text(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else [_text(node)]
        if isinstance(node, yaml.ScalarNode):
            items = [part.strip() for part in node.value.split(",")]
        if not all(items):
            self._wrong(node, f"{what} are neither a list of names nor text separated by commas")
        return tuple(item.strip() for item in items if item)

    def _mapping(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            yield from self._pairs(node, what)
        elif not _is_nothing(node):
            self._wrong(node, f"{what}: expected a mapping")

    def _pairs(self, node: yaml.MappingNode, what: str) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, value in node.value:
            name = _text(key)
            if name is None:
                self._wrong(key, f"{what}: a key must be text")
            elif name in seen:  # YAML's own readers let the last one win, without a word
                self._wrong(key, f"{what}: {name} is there twice")
            else:
                seen.add(name)
                yield name, value

    def _wrong(self, node: yaml.Node | None, message: str) -> None:
        self.problems.append(Problem(_line(node), message))


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node is not None and node.start_mark else 1


def _is_nothing(node: yaml.Node | None) -> bool:
    return node is None or node.tag == "tag:yaml.org,2002:null" or not node.value


def _text(node: yaml.Node | None) -> str | None:
    """A scalar as it is written; None for null, for collections and for whatever an explicit tag would make of it."""
    plain = isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN
    return str(node.value) if node is not None and plain and not _is_nothing(node) else None
