"""What a step and the local runner tell each other: the GITHUB_* files, workflow commands, environment and shells."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_local.actions.commands import Annotation, RunnerFiles, parse_command
from oot_local.actions.job import Job

if TYPE_CHECKING:
    from oot_local.actions.results import StepResult

SAMPLES = Path(__file__).parent / "sample_actions"
MakeJob: TypeAlias = Callable[..., Job]


def messages(result: StepResult) -> list[str]:
    return [annotation.message for annotation in result.annotations]


class TestRunnerFiles:
    def test_every_file_is_honoured(self, job: Job) -> None:
        result = job.run_action(SAMPLES / "writes")
        assert result.outcome == "success", result.log
        assert result.outputs == {
            "plain": "a=b<<c",
            "lines": "first\n\nthird=3",
            "after": "hello",
            "seen": "hello from the tool",
        }
        assert result.summary == "## Written\n## Read\n"
        assert result.state == {"token": "kept"}
        assert result.env == {"GREETING": "hello"}

    def test_env_and_path_reach_later_steps_of_the_job_and_outputs_do_not(self, job: Job) -> None:
        job.run_action(SAMPLES / "writes", id="writes")
        assert job.run('echo "$GREETING $(sample-tool)"').log == "hello from the tool\n"
        assert (
            job.evaluate("${{ env.GREETING }} ${{ steps.writes.outputs.plain }} ${{ steps.write }}|")
            == "hello a=b<<c |"
        )

    @pytest.mark.parametrize(
        ("file", "content", "error"),
        [
            ("OUTPUT", "no separator", "Invalid format 'no separator'"),
            ("OUTPUT", "name<<", "Invalid format 'name<<'. Delimiter must not be empty"),
            ("STATE", "=value", "Invalid format '=value'. Name must not be empty"),
            ("ENV", "name<<EOF\nvalue\nEOF ", "Invalid value. Matching delimiter not found 'EOF'"),
        ],
    )
    def test_a_malformed_file_fails_the_step_and_keeps_what_came_before(
        self, job: Job, file: str, content: str, error: str
    ) -> None:
        result = job.run(f'printf \'%s\' "$CONTENT" >> "$GITHUB_{file}"', env={"CONTENT": f"before=1\n{content}"})
        assert result.outcome == "failure"
        assert messages(result) == [f"Unable to process file command '{file.lower()}' successfully.", error]
        assert {"OUTPUT": result.outputs, "STATE": result.state, "ENV": result.env}[file] == {"before": "1"}

    def test_a_summary_that_is_too_large_is_an_error_but_no_failure(self, job: Job) -> None:
        result = job.run('head -c 1048577 /dev/zero | tr "\\0" x >> "$GITHUB_STEP_SUMMARY"')
        assert (result.outcome, result.summary) == ("success", "")
        assert messages(result) == ["$GITHUB_STEP_SUMMARY supports content up to 1024k, got 1024k"]

    def test_a_deleted_file_says_nothing(self, job: Job) -> None:
        assert job.run('rm "$GITHUB_OUTPUT" "$GITHUB_STEP_SUMMARY"').outcome == "success"


class TestMessages:
    def test_annotations(self, job: Job) -> None:
        lines = [
            f"::error file={job.workspace}/tests/test_a.py,line=3,col=7,title=A%2C b%3A c::100%25%0Asure",
            "::warning::be careful",
            "before ##[notice]still a command",
            "not ::error::a command",
        ]
        result = job.run_action(SAMPLES / "messages", {"lines": "\n".join(lines)})
        assert result.annotations == (
            Annotation("error", "100%\nsure", title="A, b: c", file="tests/test_a.py", line=3, column=7),
            Annotation("warning", "be careful"),
            Annotation("notice", "still a command"),
        )
        assert result.outcome == "success"  # an error annotation alone fails nothing
        assert result.log.endswith("\nnot ::error::a command\n")

    def test_a_masked_value_is_hidden_from_then_on_everywhere(self, job: Job) -> None:
        result = job.run(
            'echo "early s3cret"; echo "::add-mask::s3cret"; echo "late s3cret"; echo "::error title=s3cret::s3cret"\n'
            'echo "s3cret" >> "$GITHUB_STEP_SUMMARY"; echo "value=s3cret" >> "$GITHUB_OUTPUT"'
        )
        assert result.log == "early s3cret\nlate ***\n##[error]***\n"
        assert result.annotations == (Annotation("error", "***", title="***"),)
        assert (result.summary, result.masks) == ("***\n", ("s3cret",))
        assert result.outputs == {"value": "s3cret"}  # only what is shown is masked
        assert job.run("echo s3cret", name="later").log == "***\n"

    def test_tokens_and_secrets_are_masked_from_the_start(self, make_job: MakeJob) -> None:
        runner_env = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "oidc1", "ACTIONS_ID_TOKEN_REQUEST_URL": "http://localhost/"}
        job = make_job(github={"token": "ghs_1"}, secrets={"A": "line1\nline2"}, runner_env=runner_env)
        result = job.run(
            'echo "$T $ACTIONS_ID_TOKEN_REQUEST_TOKEN $ACTIONS_ID_TOKEN_REQUEST_URL"; echo line2', env={"T": "ghs_1"}
        )
        assert result.log == "*** *** http://localhost/\n***\n"

    def test_commands_stop_until_the_token(self, job: Job) -> None:
        lines = "::stop-commands::t0ken\n::error::quoted\n::add-mask::quoted\n::T0KEN::\n::error::meant"
        result = job.run_action(SAMPLES / "messages", {"lines": lines})
        assert messages(result) == ["meant"]
        assert not result.masks

    @pytest.mark.parametrize(
        ("line", "log", "outcome"),
        [
            ("::group::Title", "##[group]Title\n", "success"),
            ("::endgroup::", "##[endgroup]\n", "success"),
            ("::debug::x", "##[debug]x\n", "success"),
            ("::add-matcher::x.json", "", "success"),
            ("::unknown::x", "::unknown::x\n", "success"),
            (
                "::add-mask:: ",
                "##[warning]Can't add secret mask for empty string in ##[add-mask] command.\n",
                "success",
            ),
            ("progress\r::notice::x", "progress\n##[notice]x\n", "success"),
            (
                "::stop-commands::error",
                "##[error]Invalid stop-commands token 'error': it must be a value nobody can guess.\n",
                "failure",
            ),
            (
                "::set-output name=a::b",
                "##[error]The `set-output` command is not supported: write to the file $GITHUB_OUTPUT instead.\n",
                "failure",
            ),
        ],
    )
    def test_other_lines(self, job: Job, line: str, log: str, outcome: str) -> None:
        result = job.run_action(SAMPLES / "messages", {"lines": line})
        assert (result.log, result.outcome) == (log, outcome)


def environment_of(job: Job) -> dict[str, str]:
    script = "import json, os; json.dump(dict(os.environ), open('env.json', 'w'))"
    python = f"'{sys.executable}' {{0}}"
    result = job.run(script, shell=python)
    assert result.outcome == "success", result.log
    environment: dict[str, str] = json.loads((job.workspace / "env.json").read_bytes())
    return environment


class TestEnvironment:
    def test_the_runner_variables(self, make_job: MakeJob) -> None:
        github = {
            "repository": "owner/backend",
            "run_id": 240,
            "run_attempt": "2",
            "job": "test-npu",
            "sha": "a" * 40,
            "ref": "refs/tags/v1",
            "event_name": "repository_dispatch",
            "event": {"client_payload": {"é": 1}},
            "server_url": "http://127.0.0.1:1",
            "workflow": "npu-ci",
            "token": "ghs_1",
            "invented": "x",
        }
        job = make_job(github=github, runner={"os": "Windows"})
        environment = environment_of(job)
        expected = {
            "GITHUB_REPOSITORY": "owner/backend",
            "GITHUB_REPOSITORY_OWNER": "owner",
            "GITHUB_RUN_ID": "240",
            "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_JOB": "test-npu",
            "GITHUB_SHA": "a" * 40,
            "GITHUB_REF_NAME": "v1",
            "GITHUB_REF_TYPE": "tag",
            "GITHUB_EVENT_NAME": "repository_dispatch",
            "GITHUB_SERVER_URL": "http://127.0.0.1:1",
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_WORKFLOW": "npu-ci",
            "GITHUB_WORKSPACE": str(job.workspace),
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "RUNNER_OS": "Windows",
            "RUNNER_TEMP": str(job.temp),
        }
        assert {name: environment.get(name) for name in expected} == expected
        assert json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes()) == github["event"]
        assert environment["RUNNER_ARCH"]
        assert not {"GITHUB_TOKEN", "GITHUB_EVENT", "GITHUB_INVENTED", "GITHUB_ACTION_PATH"} & environment.keys()

    def test_the_parent_environment_stays_outside(self, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
        monkeypatch.setenv("PYTHONPATH", "/leak")
        environment = environment_of(make_job(env={"OWN": "1"}))
        assert environment["OWN"] == "1"
        own = {"PATH", "HOME", "LANG", "CI", "OWN", "PWD", "SHLVL", "_", "LC_CTYPE", "OLDPWD"}
        assert {name for name in environment if not name.startswith(("GITHUB_", "RUNNER_"))} <= own

    @pytest.mark.parametrize(
        ("setup", "step_env", "seen"),
        [
            ("true", {}, "job"),
            ('echo LEVEL=file >> "$GITHUB_ENV"', {}, "file"),
            ('echo LEVEL=file >> "$GITHUB_ENV"', {"LEVEL": "step"}, "step"),
            ('echo GITHUB_SHA=forged >> "$GITHUB_ENV"', {"GITHUB_RUN_ID": "forged"}, "job"),
        ],
    )
    def test_the_nearer_env_wins_and_the_runner_over_all(
        self, make_job: MakeJob, setup: str, step_env: dict[str, str], seen: str
    ) -> None:
        job = make_job(env={"LEVEL": "job"}, github={"sha": "b" * 40, "run_id": "240"})
        assert job.run(setup).outcome == "success"
        assert job.run("echo $LEVEL $GITHUB_SHA $GITHUB_RUN_ID", env=step_env).log == f"{seen} {'b' * 40} 240\n"

    def test_env_inside_an_action_goes_from_step_to_step(self, make_job: MakeJob) -> None:
        result = make_job(env={"OF_JOB": "job"}).run_action(SAMPLES / "levels", env={"OF_STEP": "step"})
        # What the `uses:` step says in its own env holds throughout the action.
        assert result.outputs["seen"] == "changed step changed changed"


def _alive(pid: int) -> bool:
    try:
        # A killed orphan may be a zombie until init reaps it: that is not alive.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestShells:
    @pytest.mark.parametrize(
        ("shell", "script", "log", "exit_code"),
        [
            ("bash", "false | true; echo on", "", 1),  # -o pipefail and -e
            ("bash", "shopt -q login_shell || echo [[ ok ]]", "[[ ok ]]\n", 0),
            ("sh", "false | true; echo on; false; echo off", "on\n", 1),  # -e alone
            ("python", "import sys; print('é', sys.argv[1:]); sys.exit(5)", "é []\n", 5),
            ("bash {0}", "false; echo on", "on\n", 0),
            ("env A=1 bash -e {0} tail", 'echo "$A $1"', "1 tail\n", 0),
            ("bash", "echo out; echo err >&2; echo again", "out\nerr\nagain\n", 0),
        ],
    )
    def test_a_shell_runs_as_on_github(
        self, job: Job, shell: str, script: str, log: str, exit_code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        result = job.run(script, shell=shell)
        assert result.exit_code == exit_code
        assert [line for line in result.log.splitlines() if not line.startswith("##[error]")] == log.splitlines()

    @pytest.mark.parametrize(
        ("shell", "message"),
        [
            ("fish", "Invalid shell option 'fish': use bash, sh, python, pwsh or a command with {0}."),
            ("no-such-shell {0}", "Unable to locate executable file: no-such-shell."),
        ],
    )
    def test_an_unknown_shell_fails_the_step(self, job: Job, shell: str, message: str) -> None:
        assert messages(job.run("true", shell=shell)) == [message]

    def test_the_script_is_a_file_in_the_temp_and_runs_where_told(self, job: Job) -> None:
        (job.workspace / "deep é").mkdir()
        result = job.run('dirname "$0"; pwd', working_directory="deep é")
        assert result.log == f"{job.temp}\n{job.workspace}/deep é\n"

    def test_a_background_process_does_not_hold_the_step(self, job: Job) -> None:
        started = time.monotonic()
        assert job.run("sleep 60 & echo done").log == "done\n"
        assert time.monotonic() - started < 10

    def test_a_step_that_takes_too_long_is_killed_with_its_children(self, make_job: MakeJob) -> None:
        job = make_job(timeout=0.3)
        started = time.monotonic()
        result = job.run("(sleep 30; touch late) & echo begun; echo $! > child; sleep 30")
        assert time.monotonic() - started < 10
        assert (result.outcome, result.exit_code) == ("failure", None)
        assert result.log == "begun\n##[error]The step has timed out after 0.3 seconds.\n"
        child = int((job.workspace / "child").read_text())
        deadline = time.monotonic() + 5
        while _alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _alive(child)


class TestProperties:
    @given(st.text(), st.text(alphabet="ab=<\n", max_size=20))
    def test_a_workflow_command_escaped_as_github_says_comes_back(self, data: str, title: str) -> None:
        def escape(text: str) -> str:
            return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

        escaped_title = escape(title).replace(":", "%3A").replace(",", "%2C")
        command = parse_command(f"::error title={escaped_title}::{escape(data)}")
        assert command is not None
        assert command.data == data
        assert command.properties.get("title", "") == title

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    def test_a_value_between_delimiters_comes_back(self, tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
        files = RunnerFiles(tmp_path_factory.mktemp("files"))
        files.paths["output"].write_text(f"name<<ghadelimiter\n{value}\nghadelimiter\n", "utf-8", newline="")
        assert list(files.pairs("output")) == [("name", value)]
