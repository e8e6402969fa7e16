"""What is written of upload-artifacts is what it does: action.yml, README and MESSAGES.md follow the code's tables.

`python -m tests.oot_runner.test_upload_documents` writes the generated parts anew.
"""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.metadata import metadata
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from oot_runner.upload import end, install_boto3, messages, role
from oot_runner.upload.inputs import INPUTS, KINDS
from tests.oot_runner.documents import messages_page, readme, words

ROOT = Path(__file__).parents[2]
ACTION_DIR = ROOT / "actions" / "upload-artifacts"
ACTION: dict[str, Any] = yaml.safe_load((ACTION_DIR / "action.yml").read_text(encoding="utf-8"))
README = (ACTION_DIR / "README.md").read_text(encoding="utf-8")
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in ACTION["runs"]["steps"]}
OTHER_CONTEXTS = {"OOT_MATRIX": "${{ toJSON(matrix) }}", "OOT_CHECK_RUN_ID": "${{ job.check_run_id }}"}


def policy(name: str) -> dict[str, Any]:
    found = re.search(rf"(?s)<!-- {name} -->\n```json\n(.*?)```", README)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_the_readme_s_tables_are_the_code_s() -> None:
    assert readme(README, INPUTS, ACTION["outputs"]) == README


def test_the_page_of_messages_is_the_code_s() -> None:
    assert (ACTION_DIR / "MESSAGES.md").read_text(encoding="utf-8") == messages_page(messages.TEMPLATES)


def test_every_message_links_to_its_own_page() -> None:
    assert messages.PAGE.endswith("/actions/upload-artifacts/MESSAGES.md")
    assert messages.tell("broke_off").link == f"{messages.PAGE}#broke_off"
    assert f"{messages.PAGE}#broke_off" in messages.tell("broke_off").text()


def test_every_message_is_told_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "scripts" / "oot_runner" / "upload").glob("*.py"))
    uses = code.replace((ROOT / "scripts" / "oot_runner" / "upload" / "messages.py").read_text(), "")
    for name in messages.TEMPLATES:
        assert f'"{name}"' in uses, name


@pytest.mark.parametrize("code", messages.TEMPLATES)
def test_every_template_can_be_filled_in(code: str) -> None:
    template = messages.TEMPLATES[code]
    names = {name for text in (template.cause, template.remedy) for _, name, _, _ in Formatter().parse(text) if name}
    message = messages.tell(code, **{name: 7 if name in {"size", "limit"} else "{hostile}" for name in names})
    assert message.level in {"error", "warning", "notice"}
    assert "{hostile}" in message.text() or not names - {"size", "limit"}
    yaml.safe_load(template.yaml)


def test_the_inputs_of_action_yml_are_the_code_s() -> None:
    declared = {name: (words(item["description"]), item["default"]) for name, item in ACTION["inputs"].items()}
    assert declared == {item.name: (item.help, item.default) for item in INPUTS}
    assert [name for name, item in ACTION["inputs"].items() if item["required"]] == ["path"]


@pytest.mark.parametrize("step", ["posix", "windows"])
def test_every_input_reaches_the_script_through_the_environment_alone(step: str) -> None:
    inputs = {item.env: f"${{{{ inputs.{item.name} }}}}" for item in INPUTS}
    assert STEPS[step]["env"] == {**inputs, **OTHER_CONTEXTS}


def test_nothing_is_interpolated_into_a_script() -> None:
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")


def test_one_step_for_windows_and_one_for_all_others() -> None:
    assert {name: (step["if"], step.get("shell")) for name, step in STEPS.items() if "run" in step} == {
        "posix": ("always() && runner.os != 'Windows'", "sh"),
        "windows": ("always() && runner.os == 'Windows'", "powershell"),
        "posix-end": ("always() && steps.posix.outputs.python", "sh"),
        "windows-end": ("always() && steps.windows.outputs.python", "powershell"),
    }


def test_the_outputs_of_action_yml_are_the_code_s() -> None:
    told = {name: output["value"] for name, output in ACTION["outputs"].items()}
    ends = {name: f"steps.posix-end.outputs.{name} || steps.windows-end.outputs.{name}" for name in end.OUTPUTS}
    ends["outcome"] += " || 'failed'"  # where there was no Python to tell
    assert told == {name: f"${{{{ {value} }}}}" for name, value in ends.items()}


def test_the_official_action_is_pinned_and_may_fail() -> None:
    for name in ("github", "manifest"):
        assert re.fullmatch(r"actions/upload-artifact@[0-9a-f]{40}", STEPS[name]["uses"])
        assert STEPS[name]["continue-on-error"] is True


def test_the_readme_s_workflows_use_inputs_that_exist() -> None:
    uses = []
    for block in re.findall(r"(?s)```yaml\n(.*?)```", README):
        steps = [step for job in yaml.safe_load(block)["jobs"].values() for step in job["steps"]]
        uses += [step for step in steps if "/actions/upload-artifacts@" in step.get("uses", "")]
    assert len(uses) == 3
    for step in uses:
        assert set(step["with"]) <= set(ACTION["inputs"])


def test_every_kind_is_in_the_documents() -> None:
    for kind in KINDS:
        assert f"`{kind}`" in README


def test_the_role_s_policies_are_what_the_action_needs() -> None:
    session = json.loads(role.session_policy("arn:aws:iam::1:role/x", "my-ci-results", "OWNER/REPO/1/1/artifact"))
    (allowed,) = policy("permissions")["Statement"]
    asked = session["Statement"][0]
    assert allowed["Action"] == asked["Action"]
    assert asked["Resource"].startswith(allowed["Resource"].removesuffix("*"))
    (trusted,) = policy("trust")["Statement"]
    assert trusted["Action"] == "sts:AssumeRoleWithWebIdentity"
    conditions = trusted["Condition"]["StringEquals"]
    assert conditions["token.actions.githubusercontent.com:aud"] == role.AUDIENCE
    assert "token.actions.githubusercontent.com:repository_id" in conditions


def test_the_lock_for_s3_agrees_with_the_project_s() -> None:
    spec = importlib.util.spec_from_file_location("lock_s3", ROOT / ".ci" / "lock-s3.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.LOCK.read_text() == module.text()
    assert module.closure("boto3") == {
        *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
    }


def test_the_lock_for_s3_needs_the_python_that_the_code_says() -> None:
    names = re.findall(r"(?m)^([a-z0-9-]+)==", install_boto3.LOCK.read_text())
    needs = [SpecifierSet(metadata(name)["Requires-Python"]) for name in names]
    major, minor = install_boto3.LOCK_NEEDS
    assert all(f"{major}.{minor}" in each for each in needs)
    assert not all(f"{major}.{minor - 1}" in each for each in needs)


def main() -> None:
    (ACTION_DIR / "README.md").write_text(readme(README, INPUTS, ACTION["outputs"]), encoding="utf-8")
    (ACTION_DIR / "MESSAGES.md").write_text(messages_page(messages.TEMPLATES), encoding="utf-8")


if __name__ == "__main__":
    main()
