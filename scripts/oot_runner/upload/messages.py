"""What actions/upload-artifacts tells when something is wrong: for each failure class the cause and what mends it.

A code never changes its meaning. actions/upload-artifacts/MESSAGES.md lists them all, and a test keeps it in step.
"""

from __future__ import annotations

from oot_runner.messages import Message, Template

PAGE = "https://github.com/pytorch/oot-hud/blob/main/actions/upload-artifacts/MESSAGES.md"

_TO_S3 = """\
permissions:
  id-token: write
  contents: read
steps:
  - uses: pytorch/oot-hud/actions/upload-artifacts@v1
    with:
      path: reports
      s3-bucket: my-ci-results
      s3-region: eu-central-1
      role-to-assume: arn:aws:iam::123456789012:role/oot-ci-results"""


class UploadMessage(Message):
    """A message of this action, on its own page."""

    __slots__ = ()

    @property
    def link(self) -> str:
        """Its section on the page of messages."""
        return f"{PAGE}#{self.code}"


class UploadError(Exception):
    """The upload cannot be made; carries the message for it."""

    def __init__(self, code: str, **facts: object) -> None:
        self.message = tell(code, **facts)
        super().__init__(self.message.text())


def tell(code: str, **facts: object) -> UploadMessage:
    """Give the message for `code`, with its facts; each is cut to what one reads."""
    known = {key: fact if isinstance(fact, (int, float)) else str(fact)[:2000] for key, fact in facts.items()}
    return UploadMessage(code, *TEMPLATES[code], facts=known)


TEMPLATES: dict[str, Template] = {
    # what the workflow says
    "bad_input": Template(
        "error",
        "An input of upload-artifacts is wrong",
        "The input {name} cannot be used: {why}.",
        "Correct it in the step's `with:`.",
    ),
    "no_files": Template(
        "warning",
        "There is nothing to upload",
        "Nothing matches {patterns}. Searched: {searched}.",
        "Check that the files were written and that the paths are relative to the workspace; hidden files need "
        "`include-hidden: true`. Where it is normal, set `if-no-files-found: ignore`.",
    ),
    "no_files_error": Template(
        "error",
        "There is nothing to upload",
        "Nothing matches {patterns}. Searched: {searched}. The step fails, as `if-no-files-found: error` asks.",
        "Check that the files were written and that the paths are relative to the workspace; hidden files need "
        "`include-hidden: true`.",
    ),
    "too_large": Template(
        "error",
        "The files are larger than max-size",
        "Together they have {size:,} bytes, and `max-size` is {limit:,}; the largest: {largest}. Nothing was sent.",
        "Exclude what nobody reads (a line with `!` in front in `path`), or raise `max-size`.",
    ),
    # what the files say
    "skipped": Template(
        "warning",
        "Some files were left out",
        "Not uploaded: {count} ({reasons}).",
        "Links that leave the workspace are never followed: name their targets in `path` if they are to be uploaded.",
    ),
    "looks_secret": Template(
        "warning",
        "Some files look like secrets",
        "By their names or contents, these may hold credentials: {files}.",
        "Exclude them (a line with `!` in front in `path`), and revoke what was secret: whoever can read the upload "
        "has it. `actions/checkout` leaves none with `persist-credentials: false`.",
    ),
    "renamed": Template(
        "notice",
        "Some files have another name in the archive",
        "GitHub or Windows could not store these names as they are: {files}.",
        "Nothing is lost: the manifest tells the old names.",
    ),
    "changed": Template(
        "warning",
        "Some files changed while they were read",
        "Shorter than before, or unreadable half-way: {files}.",
        "Upload after whatever writes them has ended; the manifest tells what was stored.",
    ),
    # the way to S3
    "went_to_github": Template(
        "warning",
        "S3 was not to be had, and GitHub's artifacts took the files",
        "{why}",
        "The link needs a GitHub login; for a public one correct this, or set `destination: github` to say that it is "
        "meant.",
    ),
    "old_python": Template(
        "error",
        "S3 needs a newer Python",
        "boto3 is not installed, the one that this action would install needs Python {needed}, and this is {version}.",
        "Put a step with actions/setup-python before this one, install boto3 yourself, or let the files go to GitHub "
        "(`destination: github`).",
    ),
    "no_boto3": Template(
        "error",
        "boto3 could not be installed",
        "S3 needs it, it is not there, and installing it into a venv of its own failed: {why}.",
        "Let the runner reach PyPI (or set PIP_INDEX_URL to a mirror of yours), install python3-venv, or install boto3 "
        "into the image.",
    ),
    "no_id_token_permission": Template(
        "error",
        "The job has no permission to ask for an OIDC token",
        "`role-to-assume` is set, and GitHub offered this job no token endpoint. Pull requests from forks never get "
        "one.",
        "Give the job the permission; in a reusable workflow the caller has to give it too.",
        _TO_S3,
    ),
    "token_endpoint": Template(
        "error",
        "GitHub gave no OIDC token",
        "The token endpoint did not answer as it should: {why}.",
        "This is usually over in minutes: re-run the job. If it stays, see https://www.githubstatus.com.",
    ),
    "role_refused": Template(
        "error",
        "AWS did not let this job have the role",
        "{role} was refused: {why}.",
        "Compare the role's trust policy with the one in this action's README: the audience is sts.amazonaws.com and "
        "the repository is {repository}.",
    ),
    "no_credentials": Template(
        "error",
        "There are no credentials for S3",
        "Neither `role-to-assume` nor the environment gives any: {why}.",
        "Set `role-to-assume`, or put a step with aws-actions/configure-aws-credentials before this one.",
        _TO_S3,
    ),
    "no_bucket": Template(
        "error",
        "There is no such bucket",
        "S3 knows no bucket {bucket} at {endpoint}.",
        "Check `s3-bucket` and `s3-region` (and `s3-endpoint-url`, if it is set).",
    ),
    "s3_refused": Template(
        "error",
        "S3 refused the upload",
        "It answered {answer} to {bucket}/{key}: {why}.",
        "The role or user needs s3:PutObject and s3:AbortMultipartUpload there; the README has the policy.",
    ),
    "s3_failed": Template(
        "error",
        "S3 did not take the upload",
        "{bucket}/{key} did not get through, retries included: {why}.",
        "Check `s3-region` and `s3-endpoint-url`, and whether this runner may reach them; then re-run the job.",
    ),
    "objects_missing": Template(
        "warning",
        "Not every file can be opened by itself",
        "The archive with all of them is stored. Not stored one by one: {count}. {why}",
        "Download the archive for the others.",
    ),
    "not_public": Template(
        "notice",
        "The link is not public",
        "{url} answers {status} to someone without credentials, as HUD's readers are.",
        "Make the prefix readable, or put a CDN in front and set `public-base-url` to it; the README shows both.",
    ),
    # the way to GitHub
    "ghes": Template(
        "error",
        "GitHub Enterprise Server has no place for these artifacts",
        "actions/upload-artifact works from v4 on with github.com and ghe.com alone, and this is {server}.",
        "Set `destination: s3` and `s3-bucket`.",
        _TO_S3,
    ),
    "github_failed": Template(
        "error",
        "GitHub did not take the artifact",
        "actions/upload-artifact ended as {outcome}; the log of this step tells why.",
        "If the name is taken, set `name`; if the storage quota is hit, lower `retention-days`; else re-run the job.",
    ),
    "manifest_failed": Template(
        "warning",
        "The manifest was not stored",
        "The files are, but the manifest that belongs beside them is not: {why}.",
        "Readers can't tell whether something was lost on the way; re-run the job if that matters.",
    ),
    "no_room": Template(
        "error",
        "The runner could not make the artifact ready",
        "The files' copies, {size:,} bytes, could not be written to RUNNER_TEMP: {why}.",
        "Free some space on the runner, or upload less at once.",
    ),
    # this action itself
    "broke_off": Template(
        "error",
        "The upload was broken off",
        "The step ended before it could say how the upload went: it was cancelled, or its process was killed.",
        "Look at the log above; if memory ran out, upload less at once.",
    ),
    "crashed": Template(
        "error",
        "upload-artifacts itself failed",
        "This is a mistake of the action: {why}.",
        "Please report it at https://github.com/pytorch/oot-hud/issues with the lines above.",
    ),
}
