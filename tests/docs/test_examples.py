"""The documents' examples: workflows pass the linters, bodies pass the models, tables say what the code says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from clickhouse_connect.driver.exceptions import DatabaseError

from hud_endpoint import contract, wire_types
from hud_endpoint.contract import Callback, ConflictNote, Dispatch, RelayPayload, dynamo_key, parse
from hud_endpoint.lenient import CONCLUSIONS
from hud_endpoint.record import IDENTITY_FIELDS, OPENING_FIELDS, RESULT_FIELDS, RUNNING_FIELDS
from oot_local.node import find_node
from tests.docs.pages import PAGES, ROOT, blocks, lines, marked

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

WIRE = "docs/wire-contract.md"
# The inputs of pytorch/test-infra's .github/actions/cross-repo-ci-relay-callback/action.yml
CRCRS_INPUTS = {
    *("status", "conclusion", "delivery-id", "event-type", "test-results", "failed-tests-detail", "triage-verdict"),
    *("callback-url", "artifact-url", "max-time", "job-name"),
}
WORKFLOWS = [
    pytest.param(block.text, id=f"{block.page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks("yaml", page))
    if re.search(r"^on:", block.text, re.MULTILINE) and re.search(r"^jobs:", block.text, re.MULTILINE)
]


def action(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "actions" / name / "action.yml").read_text())
    return parsed


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with our actions beside its workflows."""
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / "actions").symlink_to(ROOT / "actions")
    return tmp_path


@pytest.mark.parametrize("text", WORKFLOWS)
def test_a_workflow_passes_the_linter(text: str, repository: Path) -> None:
    (repository / ".github/workflows/ci.yml").write_text(text.replace("[self-hosted, npu]", "self-hosted"))
    command = [find_node(), ROOT / ".ci/lint-workflows.mjs", repository]
    linted = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert linted.returncode == 0, linted.stdout


def test_the_workflow_to_copy_is_safe(repository: Path) -> None:
    workflow = repository / ".github/workflows/oot-ci.yml"
    text = marked("docs/onboarding.md", "workflow: oot-ci.yml")
    # A tag may be pinned or not, as its user likes; everything else that zizmor knows of is held.
    (repository / "zizmor.yml").write_text("rules: {unpinned-uses: {config: {policies: {'*': ref-pin}}}}\n")
    workflow.write_text(text)
    zizmor = Path(sys.executable).parent / "zizmor"
    command: list[str | Path] = [
        zizmor,
        "--offline",
        "--no-progress",
        "--quiet",
        "--config",
        repository / "zizmor.yml",
        workflow,
    ]
    audited = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert audited.returncode == 0, audited.stdout


@pytest.mark.parametrize("text", [block.text for page in PAGES for block in blocks("yaml", page)], ids=str)
def test_steps_use_inputs_that_exist(text: str) -> None:
    for step in steps(yaml.safe_load(text)):
        if found := re.match(r"pytorch/oot-hud/actions/([\w-]+)@v1$", step.get("uses", "")):
            assert set(step.get("with", {})) <= set(action(found[1])["inputs"]), step
            assert "status" in step.get("with", {}) or found[1] != "report-result"


def steps(told: Any) -> list[dict[str, Any]]:
    """Give everything with `uses` in it, however deep."""
    if isinstance(told, list):
        return [step for one in told for step in steps(one)]
    if isinstance(told, dict):
        return [told] if isinstance(told.get("uses"), str) else [step for one in told.values() for step in steps(one)]
    return []


def test_the_table_of_crcrs_inputs_is_whole() -> None:
    table = marked("docs/migrating.md", "inputs of cross-repo-ci-relay-callback")
    rows = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert set(rows) == CRCRS_INPUTS
    assert set(action("report-result")["inputs"]) >= CRCRS_INPUTS


@pytest.mark.parametrize("model", [Dispatch, Callback, RelayPayload, ConflictNote], ids=lambda model: model.__name__)
def test_a_body_is_one_of_its_hop(model: Any) -> None:
    told = json.loads(marked(WIRE, model.__name__))
    dumped = parse(model, json.dumps(told).encode()).model_dump(mode="json", exclude_unset=True, by_alias=True)
    assert paths(dumped) == paths(told)  # nothing in the example is ignored
    schemas = {"Callback": "callback", "Dispatch": "dispatch", "RelayPayload": "relay_payload"}
    schema = (schemas | {"ConflictNote": "conflict_note"})[model.__name__]
    assert set(told) <= set(json.loads((ROOT / f"docs/schema/{schema}.json").read_text())["properties"])


def paths(told: Any, at: str = "") -> set[str]:
    if isinstance(told, list):
        return {path for one in told for path in paths(one, f"{at}[]")}
    if isinstance(told, dict):
        return {path for name, one in told.items() for path in paths(one, f"{at}.{name}")}
    return {at}


def test_every_field_of_a_callback_is_shown() -> None:
    shown = json.loads(marked(WIRE, "Callback"))
    assert set(shown) == set(Callback.model_fields)
    assert set(shown["workflow"]) == set(contract.Workflow.model_fields)
    assert set(shown["workflow"]["test_results"]) == set(contract.TestResults.model_fields)
    assert set(shown["workflow"]["failed_tests"][0]) == set(contract.FailedTest.__annotations__)
    assert set(json.loads(marked(WIRE, "RelayPayload"))["trusted"]) == set(contract.Trusted.model_fields)
    assert set(json.loads(marked(WIRE, "Dispatch"))) == set(Dispatch.model_fields)


def test_the_key_is_that_of_the_example() -> None:
    callback = parse(Callback, marked(WIRE, "Callback").encode())
    repo = "example-org/torch-sample"
    assert marked(WIRE, f"dynamoKey of Callback for {repo}").strip() == dynamo_key(repo, callback)


def test_the_caps_are_those_of_the_contract() -> None:
    rows = re.findall(r"^\| .* \| ([\d,]+) \| .* \| `(\w+)` \|$", marked(WIRE, "caps"), re.MULTILINE)
    assert {name: int(cap.replace(",", "")) for cap, name in rows} == {
        name: value
        for name, value in (vars(contract) | vars(wire_types)).items()
        if isinstance(value, int) and re.match(r"MAX_\w+$|\w+_(BYTES|ENTRIES)$", name)
    }


def test_the_owners_of_fields_are_those_of_the_record() -> None:
    rows = re.findall(r"^\| [^|]+ \| (`.*) \|$", marked(WIRE, "fields"), re.MULTILINE)
    told = [tuple(re.findall(r"`(\w+)`", row)) for row in rows]
    assert told == [OPENING_FIELDS, IDENTITY_FIELDS, RESULT_FIELDS, RUNNING_FIELDS]


@pytest.mark.parametrize(
    "statement",
    sorted(
        {
            line
            for page in PAGES
            for line in lines(page)
            if re.match(r"(SELECT|ALTER|BACKUP|GRANT|CREATE) [A-Z`]*", line)
        }
        | {
            statement.removesuffix(";")
            for page in PAGES
            for block in blocks("sql", page)
            for statement in re.split(r"(?<=;)\n", block.text.strip())
        }
    ),
)
def test_clickhouse_understands_a_statement(statement: str, clickhouse: Client) -> None:
    """Selections are run, for their tables and columns; of the others it is the grammar."""
    clickhouse.raw_query(statement if statement.startswith("SELECT") else f"EXPLAIN AST {statement}")


def test_clickhouse_would_say_so(clickhouse: Client) -> None:
    with pytest.raises(DatabaseError, match="code: 62"):
        clickhouse.raw_query("EXPLAIN AST ALTER USER oot_hud_reader ADD PASSWORD")


def test_the_words_for_a_conclusion_are_the_code_s() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", marked(WIRE, "words"), re.MULTILINE))
    table = {meant: re.findall(r"`(\w+)`", words) for meant, words in rows.items()}
    other = {word: meant for word, meant in CONCLUSIONS.items() if word != meant}
    assert {word: meant for meant, words in table.items() for word in words} == other
