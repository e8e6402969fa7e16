"""The local runner reads and runs composite actions as GitHub would: inputs, conditions, outcomes, nested actions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from oot_local.actions import parser as action_parser
from oot_local.actions.commands import Annotation
from oot_local.actions.job import HandlerMissingError, Job, UsesCall, UsesError
from oot_local.actions.parser import ExpressionError, InvalidActionError, NodeModulesMissingError

if TYPE_CHECKING:
    from oot_local.actions.results import StepResult

SAMPLES = Path(__file__).parent / "sample_actions"
UNEXPECTED = (
    "Unexpected input(s) 'txet', valid inputs are ['text', 'job', 'conclusion', 'check-run-id', 'device', 'old']"
)
MakeJob: TypeAlias = Callable[..., Job]
MakeAction: TypeAlias = Callable[[str], Path]


@pytest.fixture
def steps(tmp_path: Path) -> MakeAction:
    """Makes a composite action of the given steps."""

    def make(text: str) -> Path:
        folder = tmp_path / f"action {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        body = "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
        head = "name: made\ndescription: for a test\ninputs: {text: {description: any}}\nruns:\n  using: composite\n"
        (folder / "action.yml").write_text(f"{head}  steps:\n{body}", encoding="utf-8")
        return folder

    return make


def messages(result: StepResult) -> list[str]:
    return [annotation.message for annotation in result.annotations]


class TestInputs:
    def test_defaults_are_computed_from_contexts(self, make_job: MakeJob) -> None:
        job = make_job(github={"job": "test-npu"}, job={"check_run_id": 98765432101}, matrix={"device": "npu"})
        result = job.run_action(SAMPLES / "inputs", {"text": "x"})
        assert result.outputs["defaults"] == "test-npu success 98765432101 npu"
        assert result.outputs["path"] == str(SAMPLES / "inputs")

    def test_what_is_given_replaces_a_default_even_when_empty(self, job: Job) -> None:
        given = {"text": "x", "JOB": "mine", "conclusion": "", "device": "gpu", "check-run-id": "7"}
        result = job.run_action(SAMPLES / "inputs", given)
        assert result.outputs["defaults"] == "mine  7 gpu"
        assert not result.annotations

    @pytest.mark.parametrize(
        "text",
        [
            "$(touch pwned)",
            "`touch pwned`; touch pwned & touch pwned | cat",
            "' \" \\ $HOME ! * ~ \t",
            "first\n\n  third\n::error::not ours\nEOF",
            "${{ github.repository }} and ${{ 'x' }} }}",
            "{0} {{ }} %s %0A",
            "日本語 🧪 \u2028 é",
            "-n",
        ],
    )
    def test_hostile_text_arrives_verbatim(self, job: Job, text: str) -> None:
        result = job.run_action(SAMPLES / "inputs", {"text": text})
        assert result.outcome == "success", result.log
        assert result.outputs["text"] == text
        assert not list(job.workspace.rglob("pwned"))
        assert not result.annotations

    @pytest.mark.parametrize(("text", "why"), [("x" * 200_000, "Argument list too long"), ("a\0b", "null byte")])
    def test_text_that_no_environment_holds_fails_the_step(self, job: Job, text: str, why: str) -> None:
        result = job.run_action(SAMPLES / "inputs", {"text": text})
        assert result.outcome == "failure"
        assert why in messages(result)[0]

    def test_interpolation_into_a_script_is_as_dangerous_as_on_github(self, job: Job, steps: MakeAction) -> None:
        action = steps("""
- shell: bash
  run: echo "${{ inputs.text }}"
""")
        job.run_action(action, {"text": "$(touch pwned)"})
        assert (job.workspace / "pwned").exists()

    @pytest.mark.parametrize(
        ("given", "warning"),
        [
            ({}, "Input required and not supplied: text"),
            (
                {"text": "x", "Txet": "y"},
                UNEXPECTED,
            ),
            ({"text": "x", "old": "y"}, "Input 'old' has been deprecated with message: use text"),
        ],
    )
    def test_wrong_inputs_only_warn(self, job: Job, given: dict[str, str], warning: str) -> None:
        result = job.run_action(SAMPLES / "inputs", given)
        assert result.outcome == "success"
        assert result.annotations == (Annotation("warning", warning),)
        assert f"##[warning]{warning}" in result.log


class TestOutcomes:
    @pytest.mark.parametrize(
        ("inputs", "ran", "outcome", "first"),
        [
            ({}, ["first", "implicit", "always"], "success", "success/success"),
            ({"exit-code": "3"}, ["first", "failed", "always"], "failure", "failure/failure"),
            (
                {"exit-code": "3", "continue-on-error": "true"},
                ["first", "implicit", "condition", "always"],
                "success",
                "failure/success",
            ),
        ],
    )
    def test_conditions(self, job: Job, inputs: dict[str, str], ran: list[str], outcome: str, first: str) -> None:
        result = job.run_action(SAMPLES / "outcomes", inputs)
        assert [step.id for step in result.steps if step.outcome != "skipped"] == ran
        assert (result.outcome, result.outputs["first"]) == (outcome, first)
        assert result.step("first").exit_code == int(inputs.get("exit-code", "0"))
        assert job.status == outcome

    def test_a_failure_is_annotated_and_steps_are_named(self, job: Job) -> None:
        result = job.run_action(SAMPLES / "outcomes", {"exit-code": "3"}, name="Report")
        assert result.annotations == (Annotation("error", "Process completed with exit code 3."),)
        assert (result.name, result.steps[0].name, result.steps[2].name) == ("Report", "First (3)", "Run true")
        assert job.run("  \n echo one\necho two").name == "Run echo one"

    def test_success_in_an_action_asks_for_the_action_and_cancelled_for_the_job(self, job: Job) -> None:
        assert job.run("exit 1").conclusion == "failure"
        result = job.run_action(SAMPLES / "outcomes")
        assert result.outcome == "success"
        assert result.step("implicit").log == "success\n"  # github.action_status
        assert result.step("always").log == "failure\n"  # job.status
        assert result.step("cancelled").outcome == "skipped"

        job.status = "cancelled"
        assert job.run_action(SAMPLES / "outcomes", {"exit-code": "1"}).step("cancelled").outcome == "success"
        assert job.status == "cancelled"

    def test_continue_on_error_wants_a_boolean_as_on_github(self, job: Job, steps: MakeAction) -> None:
        action = steps("""
- shell: bash
  run: exit 1
  continue-on-error: ${{ inputs.text }}
""")
        result = job.run_action(action, {"text": "true"})
        assert result.outcome == "failure"
        assert messages(result)[-1] == "Unexpected value 'true': a boolean was expected"

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            ("run: echo ${{ fromJSON(inputs.text).a }}", "Error parsing JSON when evaluating fromJson"),
            ("run: ${{ github.event }}", "A mapping was not expected"),
            ("run: echo ${{ hashFiles('**') }}", "The local runner has no hashFiles()"),
            (
                "run: 'true'\n  working-directory: nowhere",
                "The working directory '{workspace}/nowhere' does not exist.",
            ),
            ("run: 'true'\n  env: {A: \"${{ fromJSON('{') }}\"}", "Error parsing JSON when evaluating fromJson"),
            ("run: 'true'\n  if: fromJSON('{')", "Error parsing JSON when evaluating fromJson"),
        ],
    )
    def test_what_fails_at_run_time_fails_the_step(self, job: Job, steps: MakeAction, step: str, message: str) -> None:
        result = job.run_action(
            steps(f"- shell: bash\n  {step}\n- shell: bash\n  run: echo not reached"), {"text": "{"}
        )
        assert messages(result) == [message.format(workspace=job.workspace)]
        assert [each.outcome for each in result.steps] == ["failure", "skipped"]

    @pytest.mark.parametrize(
        ("where", "line", "column"),
        [
            ("inputs: {a: {default: &}}\nruns: {using: composite, steps: []}", 3, 24),
            ("outputs: {a: {value: &}}\nruns: {using: composite, steps: []}", 3, 23),
            ("runs:\n  using: composite\n  steps:\n    - shell: bash\n      run: &", 7, 13),
            ("runs:\n  using: composite\n  steps:\n    - shell: bash\n      if: &\n      run: x", 7, 12),
        ],
    )
    def test_an_expression_that_fails_says_where(
        self, job: Job, tmp_path: Path, where: str, line: int, column: int
    ) -> None:
        content = where.replace("&", "\"${{ fromJSON('{') }}\"")
        (tmp_path / "action.yml").write_text(f"name: x\ndescription: y\n{content}\n")
        result = job.run_action(tmp_path)
        (annotation,) = result.annotations
        assert result.outcome == "failure"
        assert (annotation.file, annotation.line, annotation.column) == (str(tmp_path / "action.yml"), line, column)


class TestUses:
    def test_a_handler_and_a_local_action(self, make_job: MakeJob) -> None:
        calls: list[UsesCall] = []

        def upload(call: UsesCall) -> dict[str, str]:
            calls.append(call)
            call.echo("::notice::uploaded")
            return {"artifact-url": "https://example.test/artifact"}

        job = make_job(github={"run_id": 240}, env={"LEVEL": "job"}, uses_handlers={"actions/Upload-Artifact": upload})
        (job.workspace / "local actions").mkdir()
        (job.workspace / "local actions" / "inputs").symlink_to(SAMPLES / "inputs")
        result = job.run_action(SAMPLES / "nested", {"path": "reports/*.xml"}, env={"LEVEL": "step"})
        assert result.outputs == {
            "url": "https://example.test/artifact",
            "inner": "success reports/*.xml",
            "inner-path": str(job.workspace / "local actions" / "inputs"),
        }
        (call,) = calls
        assert call.inputs == {"name": "logs-240", "path": "reports/*.xml"}
        assert (call.env["LEVEL"], call.job) == ("step", job)
        assert messages(result) == ["uploaded"]
        assert [step.id for step in result.step("inner").steps] == ["show"]

    def test_a_handler_that_fails_fails_the_step(self, make_job: MakeJob) -> None:
        def refuse(call: UsesCall) -> dict[str, str]:
            raise UsesError(f"No files were found with the provided path: {call.inputs['path']}")

        result = make_job(uses_handlers={"actions/upload-artifact": refuse}).run_action(
            SAMPLES / "nested", {"path": "x"}
        )
        assert messages(result) == ["No files were found with the provided path: x"]
        assert [step.outcome for step in result.steps] == ["failure", "skipped"]

    def test_without_a_handler_it_says_what_to_give(self, job: Job) -> None:
        with pytest.raises(HandlerMissingError, match=r"uses_handlers=\{'Actions/upload-artifact': \.\.\.\}"):
            job.run_action(SAMPLES / "nested", {"path": "x"})

    def test_an_action_of_the_same_repository(self, job: Job, tmp_path: Path) -> None:
        repository = tmp_path / "repository"
        (repository / ".github").mkdir(parents=True)
        shutil.copytree(SAMPLES / "messages", repository / "actions" / "messages")
        (repository / "actions" / "deep" / "er").mkdir(parents=True)
        steps = "steps: [{uses: $/actions/messages, with: {lines: '::notice::here'}}]"
        content = f"name: x\ndescription: y\nruns: {{using: composite, {steps}}}"
        (repository / "actions" / "deep" / "er" / "action.yml").write_text(content)
        assert messages(job.run_action(repository / "actions" / "deep" / "er")) == ["here"]

    def test_an_action_that_uses_itself_ends(self, job: Job, steps: MakeAction) -> None:
        action = steps("- uses: ./itself")
        (job.workspace / "itself").symlink_to(action)
        result = job.run_action(action)
        assert result.outcome == "failure"
        assert messages(result) == ["Composite action depth exceeded max depth 10"]


class TestParser:
    @pytest.mark.parametrize(
        ("step", "line", "message"),
        [
            ('run: echo "${{ secrets.TOKEN }}"', 8, "Unrecognized named-value: 'secrets'"),
            ("run: 'true'\n  if: needs.build.result == 'success'", 9, "Unrecognized named-value: 'needs'"),
            ("run: 'true'\n  if: vars.X ==", 9, "Unrecognized named-value: 'vars'"),
            ("run: ${{ always() }}", 8, "Unrecognized function: 'always'"),
            ("run: ${{ github.", 8, "The expression is not closed."),
            ("run: 'true'\n  timeout-minutes: 3", 9, "Unexpected value 'timeout-minutes'"),
            (
                "run: 'true'\n  id: twice\n- run: 'true'\n  shell: bash\n  id: twice",
                12,
                "The identifier 'twice' may not",
            ),
            ("run: 'true'\n  env: {'${{ insert }}': '${{ matrix }}'}", 9, "The local runner does not know"),
        ],
    )
    def test_what_github_refuses_is_an_error_with_its_place(
        self, job: Job, steps: MakeAction, step: str, line: int, message: str
    ) -> None:
        action = steps(f"- shell: bash\n  {step}")
        with pytest.raises(InvalidActionError) as caught:
            job.run_action(action)
        (finding,) = caught.value.findings
        assert finding.message.startswith(message)
        assert finding.line == line
        assert str(caught.value).startswith(f"{action / 'action.yml'}:{line}:{finding.column}: {message}")

    def test_an_unknown_context_and_no_action_at_all(self, job: Job) -> None:
        with pytest.raises(InvalidActionError, match=r"unknown_context/action\.yml:10:15: .*'secrets'"):
            job.run_action(SAMPLES / "unknown_context")
        with pytest.raises(InvalidActionError, match=r"sample_actions:1:1: No action\.yml or action\.yaml here"):
            job.run_action(SAMPLES)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("name: [", "Flow sequence in block collection"),
            ("name: x\ndescription: y", "Required property is missing: runs"),
            (
                "name: x\ndescription: ${{ github.job }}\nruns: {using: composite, steps: []}",
                "Unrecognized named-value",
            ),
            (
                "name: x\ndescription: y\nruns: {using: node24, main: a.js}",
                "The local runner runs composite actions only",
            ),
            (
                "name: x\ndescription: y\nruns: {using: composite, steps: [{run: 'true'}]}",
                "Required property is missing: shell",
            ),
            (
                "name: x\ndescription: y\nruns: {using: composite, steps: []}\ninputs: {a: {default: '${{ env.B }}'}}",
                "Unrecognized named-value: 'env'",
            ),
        ],
    )
    def test_a_wrong_file(self, job: Job, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "action.yaml").write_text(content)
        with pytest.raises(InvalidActionError, match=message):
            job.run_action(tmp_path)

    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("plain", "plain"),
            ("${{ job.status }}!", "success!"),
            ("${{ '${{ github.job }}' }}", "${{ github.job }}"),
            ("a ${{ 1 + 1 }}", None),
            ("${{ matrix.py == 3.11 && 'old' || 'new' }}", "old"),
            ("${{ secrets.S }}${{ inputs.device }}${{ runner.os }}", "s3cretnpuLinux"),
            ("${{ toJSON(matrix.list) }}", '[\n  1,\n  "é"\n]'),
            ("${{ 1.50 }} ${{ true }} ${{ null }}|", "1.5 true |"),
            ("${{ strategy.job-total }} ${{ vars.V }} ${{ needs.build.result }}", "1 v failure"),
            ("${{ nothing.here }}", None),
        ],
    )
    def test_evaluate(self, make_job: MakeJob, template: str, text: str | None) -> None:
        job = make_job(
            matrix={"py": 3.11, "list": [1, "é"]},
            secrets={"S": "s3cret"},
            inputs={"device": "npu"},
            needs={"build": {"result": "failure", "outputs": {}}},
            vars={"V": "v"},
            runner={"os": "Linux"},
        )
        if text is None:
            with pytest.raises(ExpressionError):
                job.evaluate(template)
        else:
            assert job.evaluate(template) == text

    def test_a_run_step_of_the_job_needs_no_node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(action_parser, "ROOT", tmp_path)
        with Job(tmp_path, tmp_path / "t") as job:
            assert job.run("echo ${{ verbatim }}", shell="cat {0}").log == "echo ${{ verbatim }}\n"  # noqa: S604 - a shell of a step

    def test_without_node_modules_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(action_parser, "ROOT", tmp_path)
        with Job(tmp_path, tmp_path / "t") as job, pytest.raises(NodeModulesMissingError, match="make setup"):
            job.run_action(SAMPLES / "inputs")

    def test_a_closed_job_leaves_no_process(self, tmp_path: Path) -> None:
        with Job(tmp_path, tmp_path / "t") as job:
            assert job.evaluate("${{ 'x' }}") == "x"
            process = job._parser._process
            assert process is not None
        assert process.poll() == 0
        assert [path.name for path in tmp_path.iterdir()] == ["t"]
