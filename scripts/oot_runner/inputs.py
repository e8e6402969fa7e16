"""The table of inputs: what each is called, what it is when left out, and what it means.

The action's `with:` arrives as OOT_* variables; on other CIs the same variables, or flags, do. action.yml, the README's
table and `--help` say what the table here says, and a test holds them to it.
"""

from __future__ import annotations

from typing import NamedTuple

AUDIENCE = "pytorch-cross-repo-ci-relay"
CALLBACK_URL = "https://gwuj7w5coh4y4l66urspge6mnm0pwaxq.lambda-url.us-east-1.on.aws/github/callback/"


class Input(NamedTuple):
    """One input: its name in `with:`, its default there, whether only the command line has it, and what it means."""

    name: str
    default: str
    help: str
    cli_only: bool = False

    @property
    def env(self) -> str:
        """The variable that carries it."""
        return "OOT_" + self.name.upper().replace("-", "_")


INPUTS = (
    Input("status", "", "`in_progress` in the job's first step, `completed` in its last."),
    Input(
        "conclusion",
        "",
        "How the job ended: `success`, `failure`, `cancelled`, `timed_out`, `skipped`, `neutral`, `action_required` or "
        "`stale`. Default: the worst result in `needs` where that is given, else the job's own status so far.",
    ),
    Input(
        "test-reports",
        "",
        "JUnit XML files: globs, one a line, `**` for any folder, `!` in front to exclude. Counts and failed tests are "
        "taken from them.",
    ),
    Input(
        "require-tests",
        "false",
        "`true` reports a job that succeeded without a single test as a failure; else that is a warning.",
    ),
    Input(
        "test-results",
        "",
        'Counts as JSON, such as `{"passed": 10, "failed": 1, "skipped": 2}`; each overrides the count from the '
        "reports.",
    ),
    Input(
        "failed-tests",
        "",
        "Failed tests as a JSON array of `{name, classname, file, status, message, stacktrace, duration_seconds}`, or "
        "the path of a file with one (above 100 KB only a file will do); replaces those from the reports.",
    ),
    Input("failed-tests-detail", "", "The same by the name that CRCR's action gives it (`duration` is in seconds)."),
    Input(
        "triage-verdict",
        "",
        "A JSON object that says why the job failed, passed on as it is for CRCR's relay.",
    ),
    Input(
        "artifact-url",
        "",
        "Where logs and reports are: http(s). Default: what `actions/upload-artifacts` set in this job.",
    ),
    Input(
        "environment",
        "",
        "What the tests ran on, as a JSON object or `key=value` lines, such as `device=npu`.",
    ),
    Input(
        "job-name",
        "",
        "The job's name on HUD. Default: the job id, and in a matrix its values, such as `test (npu, 3.11)`, so that "
        "no two legs share one; `workflow` with `scope: workflow`.",
    ),
    Input(
        "scope",
        "job",
        "`job`: this job reports itself. `workflow`: callbacks from different jobs of a run meet in one record; the "
        "last one then needs `needs` or `conclusion`.",
    ),
    Input(
        "needs",
        "",
        "The `needs` context as JSON, or `needs.*.result`, of a last job that waits for the others: the worst result "
        "is the conclusion.",
    ),
    Input(
        "mode",
        "post",
        "`post`: the report is sent. `defer`: it is left as an artifact, for jobs without `id-token: write` or without "
        "a way out; a workflow with `report-deferred.yml` posts it when the run is over.",
    ),
    Input("delivery-id", "", "For nightlies: the upstream commit that was tested. Otherwise the dispatch brings it."),
    Input("event-type", "", "For nightlies: `nightly` or `periodic`, together with `delivery-id`."),
    Input(
        "client-payload",
        "",
        "The dispatch's JSON, or the path of a file with it. Default: the `client_payload` of the event that started "
        "the run; a run that another one started passes it on.",
    ),
    Input("callback-url", CALLBACK_URL, "The relay that takes the report."),
    Input(
        "audience",
        AUDIENCE,
        "What the OIDC token is made for, as your relay asks for it (`OIDC_AUDIENCE`); the default is production's.",
    ),
    Input("max-time", "10", "Seconds for one request; all of them together take `max-time` x (`retries` + 1) at most."),
    Input("retries", "3", "How often a request is repeated after a broken connection, 408, 429 or 5xx."),
    Input("fail-on-error", "false", "`true` lets a report that could not be delivered fail the job."),
    Input("dry-run", "false", "`true` prints what would be sent, and sends nothing."),
    Input("summary", "true", "`false` writes no step summary."),
    Input("annotations", "10", "How many failed tests become error annotations at their file and line; 0 for none."),
    Input("token-file", "", "A file that holds the OIDC token (or set OOT_TOKEN).", cli_only=True),
    Input("workflow-name", "", "The pipeline's name.", cli_only=True),
    Input("run-id", "", "The run's id.", cli_only=True),
    Input("run-attempt", "", "1, and one more at each re-run.", cli_only=True),
    Input("run-url", "", "The run's page.", cli_only=True),
    Input("check-run-id", "", "This execution of the job; default: run id and attempt.", cli_only=True),
)
