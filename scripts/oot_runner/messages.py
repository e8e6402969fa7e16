"""What people are told when something is wrong: for each failure class the cause, the YAML that mends it, and a link.

A code never changes its meaning. actions/report-result/MESSAGES.md lists them all, and a test keeps it in step.
"""

from __future__ import annotations

from typing import NamedTuple

PAGE = "https://github.com/pytorch/oot-hud/blob/main/actions/report-result/MESSAGES.md"

_PERMISSIONS = """\
permissions:
  id-token: write
  contents: read"""


class Template(NamedTuple):
    """The words for one failure class; `{facts}` go into cause and remedy."""

    level: str
    title: str
    cause: str
    remedy: str
    yaml: str = ""


class Message(NamedTuple):
    """One thing to tell: `level` is error, warning or notice; `yaml` is what to write into the workflow, if anything.

    The words are ours, Markdown in the step summary; the facts come from elsewhere and are only ever shown as they are.
    """

    code: str
    level: str
    title: str
    cause: str
    remedy: str
    yaml: str
    facts: dict[str, str | int | float]

    @property
    def link(self) -> str:
        """Its section on the page of messages."""
        return f"{PAGE}#{self.code}"

    def text(self) -> str:
        """Give the whole as plain text, for an annotation."""
        words = " ".join(part for part in (self.cause, self.remedy) if part).format_map(self.facts)
        return f"{words}\n\n{self.yaml}\n\n{self.link}" if self.yaml else f"{words}\n{self.link}"


class ReportError(Exception):
    """The report cannot be made or delivered; carries the Message for it."""

    def __init__(self, code: str, **facts: object) -> None:
        self.message = tell(code, **facts)
        super().__init__(self.message.text())


def tell(code: str, **facts: object) -> Message:
    """Give the message for `code`, with its facts; each is cut to what one reads."""
    known = {key: fact if isinstance(fact, (int, float)) else str(fact)[:2000] for key, fact in facts.items()}
    return Message(code, *TEMPLATES[code], facts=known)


TEMPLATES: dict[str, Template] = {
    # what the workflow says
    "bad_input": Template(
        "error",
        "An input of report-result is wrong",
        "The input {name} cannot be used: {why}.",
        "Correct it in the step's `with:`.",
    ),
    "scope_needs_conclusion": Template(
        "error",
        "The conclusion of the whole run is not known",
        "With `scope: workflow` the status of this last job says nothing of the others: it would be a false green.",
        "Let the job wait for the others and pass their results, or set `conclusion`.",
        "needs: [build, test]\nif: always()\nsteps:\n  - uses: pytorch/oot-hud/actions/report-result@v1\n    with:\n"
        "      status: completed\n      scope: workflow\n      needs: ${{ toJSON(needs) }}",
    ),
    "no_upstream": Template(
        "error",
        "Nothing says which upstream change this run tests",
        "The event {event} carries no `client_payload` with a `delivery_id`, and `delivery-id` is not set.",
        "Results belong to a dispatch from the relay (`on: repository_dispatch`) or to a nightly that names its "
        "upstream commit. Skip the step for other events, or name the commit.",
        "- uses: pytorch/oot-hud/actions/report-result@v1\n  if: always() && github.event_name == "
        "'repository_dispatch'\n  with: { status: completed }\n# or, in a nightly:\n  with:\n    status: completed\n"
        "    event-type: nightly\n    delivery-id: ${{ steps.pytorch.outputs.sha }}",
    ),
    "no_run": Template(
        "error",
        "The run has no name or id",
        "Outside GitHub Actions, Buildkite and GitLab nothing says {what}.",
        "Set {flags}.",
    ),
    "too_large": Template(
        "error",
        "The report is too large",
        "Even without its failed tests the report has {size:,} bytes, and the relay takes {limit:,}.",
        "Pass a smaller `client_payload` on: of its `payload` only the pull request's number and SHA are needed.",
    ),
    "defer_needs_job": Template(
        "error",
        "Nothing says which job this is",
        "With `mode: defer` GitHub is asked later how the job ended, and this runner does not tell the job's "
        "`check_run_id`.",
        "Update the runner; or report the whole run in one record, with `scope: workflow`.",
    ),
    "deferred_start": Template(
        "notice",
        "The start is not reported",
        "With `mode: defer` the report is posted when the run is over: then GitHub says when the job started.",
        "Nothing needs to be done; this step may be left out.",
    ),
    # who we are
    "no_id_token_permission": Template(
        "error",
        "The job has no permission to ask for an OIDC token",
        "GitHub offered this job no token endpoint, so the relay could not know who reports.",
        "Give the job (or the workflow) the permission; no secret is needed.",
        _PERMISSIONS,
    ),
    "reusable_workflow": Template(
        "error",
        "The calling workflow withholds the permission for an OIDC token",
        "This job belongs to a reusable workflow ({called}), and it gets no more permissions than its caller "
        "({caller}) has.",
        "Give the permission in the caller, at the job that has `uses:`.",
        "jobs:\n  test:\n    permissions:\n      id-token: write\n      contents: read\n    uses: "
        "./.github/workflows/test.yml",
    ),
    "fork_pull_request": Template(
        "error",
        "Pull requests from forks get no OIDC token",
        "This run belongs to a pull request from the fork {fork}, and GitHub gives such runs no `id-token: write`.",
        "Report from the run that the relay dispatches, and skip the step here.",
        "- uses: pytorch/oot-hud/actions/report-result@v1\n  if: always() && github.event_name != 'pull_request'",
    ),
    "no_token": Template(
        "error",
        "There is no OIDC token",
        "Outside GitHub Actions the token comes from your CI: neither --token-file nor OOT_TOKEN is set.",
        "Ask your CI for one with the audience {audience}; `report_result.py --help` shows how on Buildkite and "
        "GitLab.",
    ),
    "bad_token": Template(
        "error",
        "The OIDC token cannot be used",
        "What {source} holds is not a token: {why}.",
        "It must be the JWT itself, three parts with dots between, without quotes or `Bearer`.",
    ),
    "expired_token": Template(
        "error",
        "The OIDC token has expired",
        "{why}",
        "Ask for the token right before the report, and check the machine's clock: tokens live for minutes.",
    ),
    "token_endpoint": Template(
        "error",
        "GitHub gave no OIDC token",
        "The token endpoint did not answer as it should: {why}.",
        "This is usually over in minutes: re-run the job. If it stays, see https://www.githubstatus.com.",
    ),
    # the way there
    "bad_url": Template(
        "error",
        "The token may not travel to this address",
        "{name} is {url}: {why}.",
        "Use an https:// address; plain http is for loopback only, since the token travels with it.",
    ),
    "unreachable": Template(
        "error",
        "The relay could not be reached",
        "{host} gave no answer in {seconds} s (attempts: {attempts}): {why}.",
        "Check that this runner may reach the host (on self-hosted runners: HTTPS_PROXY, firewall, DNS), then re-run "
        "the job; a repeated report does no harm.",
    ),
    "untrusted_certificate": Template(
        "error",
        "The relay's certificate is not trusted",
        "The TLS certificate of {host} was refused: {why}.",
        "If your network inspects TLS, point SSL_CERT_FILE at its CA file; in a slim container install the package "
        "ca-certificates.",
        "env:\n  SSL_CERT_FILE: /etc/ssl/certs/company-ca.pem",
    ),
    "redirected": Template(
        "error",
        "The relay answered with a redirect",
        "{host} redirects to {target}. The token goes nowhere but to `callback-url`, so it was not followed.",
        "If you trust the new address, set it as `callback-url`.",
    ),
    # what the relay says
    "refused": Template(
        "error",
        "The relay refused the report",
        "It answered {status}: {detail}",
        "Correct what it names; sending the same again gives the same answer.",
    ),
    "conflicting_result": Template(
        "error",
        "Another result of this job counts, not this one",
        "The relay answered {status}: {detail}",
        "The first result stays on HUD, which says that there were two. Two matrix legs with one name are the usual "
        "reason; a report that runs twice in a job is another.",
        "with:\n  job-name: test (${{ matrix.device }}, ${{ matrix.dtype }}) # a name of its own for each leg",
    ),
    "event_mismatch": Template(
        "error",
        "A run of this event can't report this",
        "The relay answered {status}: {detail}",
        "Report dispatched results from the `repository_dispatch` run that they belong to, and nightlies from "
        "`schedule` or `workflow_dispatch`.",
    ),
    "unauthorized": Template(
        "error",
        "The relay does not accept the token",
        "It answered {status}: {detail}",
        "Compare `callback-url` and `audience` ({audience}) with what your relay documents; events it accepts are "
        "repository_dispatch, schedule, workflow_dispatch, push and workflow_run.",
    ),
    "not_allowed": Template(
        "error",
        "This repository is not on the relay's allowlist",
        "It answered {status} for {repository}: {detail}",
        "Ask for the repository to be added to the allowlist in pytorch/test-infra, at level L2 or above.",
    ),
    "body_too_large": Template(
        "error",
        "The relay found the report too large",
        "It answered {status} to {size:,} bytes: {detail}",
        "Send fewer details: set `failed-tests: '[]'`, and let `artifact-url` lead to the reports.",
    ),
    "rate_limited": Template(
        "error",
        "The relay asks for fewer calls",
        "It answered 429 (attempts: {attempts}; Retry-After: {wait}): {detail}",
        "Where refused calls are the reason, mend what the sentence names. Else raise `retries` and `max-time`, or "
        "report fewer jobs at a time (`scope: workflow` makes one record of a run).",
    ),
    "server_error": Template(
        "error",
        "The relay is in trouble",
        "It answered {status} (attempts: {attempts}): {detail}",
        "Re-run the job later; a repeated report does no harm.",
    ),
    "not_a_relay": Template(
        "error",
        "Something other than a relay answered",
        "{host} answered {status}, and not in a relay's words: {detail}",
        "Check `callback-url`, and whether a proxy or a login page stands in between.",
    ),
    "unknown_outcome": Template(
        "warning",
        "The report may have arrived",
        "A first attempt ended in an error, and the repeated one was refused ({detail}). Relays that record before "
        "they answer refuse a report that they already have.",
        "Look at HUD; if the result is not there, re-run the job.",
    ),
    "ignored": Template(
        "warning",
        "The relay does not show this repository's results",
        "It took the report and ignored it. It says: {detail}",
        "At level L1 a repository is dispatched to and not shown. To be on HUD, ask for L2 in the allowlist of "
        "pytorch/test-infra.",
    ),
    "upstream_checks": Template(
        "warning",
        "The upstream check run is not made by this relay",
        "The result is on HUD. The relay says: {detail}",
        "Repositories at L3 and L4 keep CRCR's callback step beside this one, since that makes the check on the pull "
        "request.",
    ),
    "fields_dropped": Template(
        "warning",
        "The relay could not read some fields",
        "The result is on HUD without them: {fields}.",
        "Correct what they name; everything else was taken.",
    ),
    "relay_note": Template("notice", "The relay says", "{detail}", ""),
    # what the reports say
    "no_reports": Template(
        "warning",
        "No test reports were found",
        "Nothing matches {patterns}. Searched: {searched}.",
        "Check that the tests ran and wrote JUnit XML (pytest: --junitxml=reports/junit.xml), and that the paths are "
        "relative to the workspace.",
    ),
    "odd_pattern": Template(
        "warning",
        "A pattern for test reports names nothing",
        "{patterns}.",
        "`test-reports` takes one glob a line; ** stands for any folder.",
    ),
    "no_tests": Template(
        "warning",
        "The test reports hold no test",
        "The job succeeded; files read: {files}, tests in them: 0.",
        "Check what the test run selected (a filter, `pytest -k`, a build without tests). With `require-tests: true` "
        "such a job is reported as a failure.",
    ),
    "tests_required": Template(
        "error",
        "No test ran",
        "The job succeeded without a test, and `require-tests` is set: it is reported as a failure.",
        "Check what the test run selected, and that `test-reports` names its reports.",
    ),
    "unknown_status": Template(
        "warning",
        "Some tests ended in a way that is not known",
        "Their status in the reports: {words}. They are counted as skipped.",
        "Let the reports tell it with <failure>, <error> or <skipped>, or a word such as passed, failed or skipped.",
    ),
    "stated_beyond_cases": Template(
        "notice",
        "Some reports state more than they hold",
        "{remarks}. The stated numbers count.",
        "Nothing is to be done if the test runner is known to do so (pytest's subtests, reports of failures alone); "
        "else look in its log for what was not written.",
    ),
    "rejected_reports": Template(
        "warning",
        "Some test reports could not be read",
        "Rejected: {rejected} of {files}. {reasons}",
        "All others count. A file cut short usually means that its test process died.",
    ),
    "green_with_failures": Template(
        "warning",
        "The job succeeded although tests failed",
        "The conclusion is `success`, and the number of failed tests is {failed}. It is reported as it is.",
        "If the failures are expected, mark them so (pytest: xfail); else let the test step fail the job, without "
        "`continue-on-error` or `|| true`.",
    ),
    "details_shed": Template(
        "warning",
        "Some details of the failed tests were left out",
        "The relay takes {tests:,} failed tests and {limit:,} bytes. Left out: {shed}. The counts are complete.",
        "The reports themselves hold everything: keep them with actions/upload-artifacts.",
    ),
    "left_out": Template(
        "warning",
        "A value was left out of the report",
        "The report goes without {what}: {why}.",
        "Correct it; everything else was reported.",
    ),
    "inputs_too_large": Template(
        "warning",
        "Some inputs were too large to be passed on",
        "The system starts no program with a variable above 128 KiB (32 KiB on Windows), so that the report goes "
        "without `failed-tests`, `failed-tests-detail` and the parts of `needs` and `client-payload` that it can do "
        "without.",
        "Give `failed-tests` the path of a file, and jobs that others need small outputs.",
    ),
    "reports_unreadable": Template(
        "warning",
        "The test reports could not be read",
        "The result was reported without counts: {why}.",
        "Check the files that `test-reports` names, and who may read them. If it is a mistake of this action, please "
        "report it, with the traceback in the log.",
    ),
    "crashed": Template(
        "error",
        "report-result itself failed",
        "This is a mistake of the action: {why}.",
        "Please report it at https://github.com/pytorch/oot-hud/issues with the lines above.",
    ),
}
