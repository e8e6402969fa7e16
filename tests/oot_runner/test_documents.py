"""What is written of the action is what it does: action.yml, README and MESSAGES.md follow the tables in the code.

`python -m tests.oot_runner.test_documents` writes the generated parts anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml

from oot_runner import messages, reporting
from oot_runner.inputs import INPUTS
from oot_runner.settings import YES
from tests.oot_runner.documents import messages_page, readme, words

ACTION_DIR = Path(__file__).parents[2] / "actions" / "report-result"
ACTION: dict[str, Any] = yaml.safe_load((ACTION_DIR / "action.yml").read_text(encoding="utf-8"))
README = (ACTION_DIR / "README.md").read_text(encoding="utf-8")
ACTION_INPUTS = [item for item in INPUTS if not item.cli_only]
STEPS: list[dict[str, Any]] = [step for step in ACTION["runs"]["steps"] if "id" in step]
LARGE = {"OOT_FAILED_TESTS", "OOT_FAILED_TESTS_DETAIL", "OOT_NEEDS", "OOT_CLIENT_PAYLOAD"}


def test_the_readme_s_tables_are_the_code_s() -> None:
    assert readme(README, ACTION_INPUTS, ACTION["outputs"]) == README


def test_the_page_of_messages_is_the_code_s() -> None:
    assert (ACTION_DIR / "MESSAGES.md").read_text(encoding="utf-8") == messages_page(messages.TEMPLATES)


def test_every_message_links_to_its_section() -> None:
    assert messages.PAGE.endswith("/actions/report-result/MESSAGES.md")
    assert messages.tell("redirected", host="a", target="b").link == f"{messages.PAGE}#redirected"


def test_the_inputs_of_action_yml_are_the_code_s() -> None:
    declared = {name: (words(item["description"]), item["default"]) for name, item in ACTION["inputs"].items()}
    assert declared == {item.name: (item.help, item.default) for item in ACTION_INPUTS}
    assert [name for name, item in ACTION["inputs"].items() if item["required"]] == ["status"]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["id"])
def test_every_input_reaches_the_script_through_the_environment_alone(step: dict[str, Any]) -> None:
    contexts = {
        "OOT_MATRIX": "${{ toJSON(matrix) }}",
        "OOT_JOB_STATUS": "${{ job.status }}",
        "OOT_CHECK_RUN_ID": "${{ job.check_run_id }}",
        "OOT_JOB_WORKFLOW_REF": "${{ job.workflow_ref }}",
    }
    inputs = {item.env: f"${{{{ inputs.{item.name} }}}}" for item in ACTION_INPUTS}
    if step["id"].endswith("-small"):
        reduced = {"OOT_NEEDS", "OOT_CLIENT_PAYLOAD"}
        inputs = {name: value for name, value in inputs.items() if name not in LARGE}
        assert reduced < LARGE
        assert all("inputs." in step["env"][name] for name in reduced)
        inputs |= {name: step["env"][name] for name in reduced}
        contexts["OOT_INPUTS_LEFT_OUT"] = "true"
    assert step["env"] == {**inputs, **contexts}
    assert "${{" not in step["run"]


def test_one_step_for_windows_and_one_for_all_others_and_each_again_without_what_is_large() -> None:
    first = "steps.{0}.outcome == 'failure' && !steps.{0}.outputs.outcome"
    assert [(step["id"], step["if"], step["shell"], step["continue-on-error"]) for step in STEPS] == [
        ("posix", "always() && runner.os != 'Windows'", "sh", True),
        ("windows", "always() && runner.os == 'Windows'", "powershell", True),
        ("posix-small", f"always() && {first.format('posix')}", "sh", True),
        ("windows-small", f"always() && {first.format('windows')}", "powershell", True),
    ]
    assert STEPS[0]["run"] == STEPS[2]["run"]
    assert STEPS[1]["run"] == STEPS[3]["run"]


def test_no_step_but_the_last_can_fail_the_job() -> None:
    *others, sh, powershell = ACTION["runs"]["steps"]
    assert all(step["continue-on-error"] for step in others)
    for step, shell, system in ((sh, "sh", "!="), (powershell, "powershell", "==")):
        assert (step["run"], step["shell"]) == ("exit 1", shell)
        assert step["if"].startswith(f"always() && runner.os {system} 'Windows' && (")
        reported = [
            f"(steps.{each['id']}.outcome == 'failure' && steps.{each['id']}.outputs.outcome)" for each in STEPS
        ]
        assert " || ".join(reported) in step["if"]


def test_each_place_knows_the_same_words_for_yes() -> None:
    [deferred] = [step for step in ACTION["runs"]["steps"] if "uses" in step]
    assert json.loads(re.findall(r"fromJSON\('(.*?)'\)", deferred["continue-on-error"])[0]) == list(YES)
    [shell_words] = re.findall(r"case \$OOT_FAIL_ON_ERROR in (.*?)\) exit 1", STEPS[0]["run"])
    assert [re.sub(r"\[(.).\]", r"\1", word).lower() for word in shell_words.split(" | ")] == list(YES)
    assert f"-in {', '.join(repr(word) for word in YES)})" in STEPS[1]["run"]


def test_the_outputs_of_action_yml_are_the_code_s() -> None:
    values = {name: output["value"] for name, output in ACTION["outputs"].items()}
    ids = [step["id"] for step in STEPS]
    assert values == {
        name: f"${{{{ {' || '.join(f'steps.{step}.outputs.{name}' for step in ids)} }}}}" for name in reporting.OUTPUTS
    }


def test_the_readme_s_workflows_use_inputs_that_exist() -> None:
    uses = []
    for block in re.findall(r"(?s)```yaml\n(.*?)```", README):
        parsed = yaml.safe_load(block)
        jobs = [{"steps": parsed}] if isinstance(parsed, list) else parsed.get("jobs", {}).values()
        steps = [step for job in jobs for step in job.get("steps", ())]
        uses += [step for step in steps if "/actions/report-result@" in step.get("uses", "")]
    assert len(uses) == 7
    for step in uses:
        assert set(step["with"]) <= set(ACTION["inputs"])


@pytest.mark.parametrize("code", messages.TEMPLATES)
def test_every_template_can_be_filled_in(code: str) -> None:
    template = messages.TEMPLATES[code]
    names = {name for text in (template.cause, template.remedy) for _, name, _, _ in Formatter().parse(text) if name}
    numbers = {"size", "limit", "tests"}
    message = messages.tell(code, **{name: 7 if name in numbers else "{hostile}" for name in names})
    assert message.level in {"error", "warning", "notice"}
    assert "{hostile}" in message.text() or not names - numbers
    yaml.safe_load(template.yaml)


def main() -> None:
    (ACTION_DIR / "README.md").write_text(readme(README, ACTION_INPUTS, ACTION["outputs"]), encoding="utf-8")
    (ACTION_DIR / "MESSAGES.md").write_text(messages_page(messages.TEMPLATES), encoding="utf-8")


if __name__ == "__main__":
    main()
