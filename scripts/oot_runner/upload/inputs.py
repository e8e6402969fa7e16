"""The inputs of actions/upload-artifacts: their table, and what the user asked for, checked, as one frozen Settings."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from oot_runner.delivery import check_url
from oot_runner.inputs import Input
from oot_runner.messages import ReportError
from oot_runner.settings import YES
from oot_runner.upload.messages import UploadError

KINDS = ("test-reports", "logs", "test-jsons", "debug")
DESTINATIONS = ("auto", "github", "s3")
_NO = ("false", "0", "no", "off")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS.update({"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40})
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KIND = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
PREFIX_BYTES = 512  # an S3 key has at most 1,024 bytes, and the archive's name and its members come after it

INPUTS = (
    Input(
        "path",
        "",
        "What to upload: files, folders and globs, one a line, relative to the workspace; `**` for any folder, `!` in "
        "front to exclude.",
    ),
    Input(
        "kind",
        "test-reports",
        "What it is: `test-reports` (JUnit XML, which the collector of test stats reads), `logs`, `test-jsons`, "
        "`debug`, or a word of your own.",
    ),
    Input(
        "name",
        "",
        "The artifact's name. Default: `<kind>-runattempt<attempt>-<job and matrix>_<job id>`, which no other job or "
        "attempt has, and by which collectors tell them apart.",
    ),
    Input(
        "destination",
        "auto",
        "`s3`, `github`, or `auto`: S3 where `s3-bucket` is set and takes the upload, else GitHub's artifacts.",
    ),
    Input("s3-bucket", "", "The bucket's name."),
    Input(
        "s3-prefix",
        "",
        "The folder in the bucket. Default: `<owner>/<repo>/<run id>/<run attempt>/artifact`, as PyTorch's own CI has "
        "it.",
    ),
    Input("s3-region", "", "The bucket's region. Default: `AWS_REGION`, else `us-east-1`."),
    Input("s3-endpoint-url", "", "The address of a service other than AWS that speaks S3."),
    Input(
        "role-to-assume",
        "",
        "The ARN of an AWS role to upload with, by this job's OIDC token (`id-token: write`). Default: the "
        "credentials that the environment has.",
    ),
    Input(
        "public-base-url",
        "",
        "Where people read the bucket, such as a CDN: links are this and the key. Default: S3's own address.",
    ),
    Input(
        "retention-days",
        "",
        "Days until GitHub deletes the artifact. Default: the repository's. In S3 the bucket's lifecycle rules decide.",
    ),
    Input("compression-level", "6", "0 (none, fast) to 9 (small, slow)."),
    Input(
        "if-no-files-found",
        "warn",
        "When nothing matches: `warn`, `error` (fails the step), or `ignore`.",
    ),
    Input(
        "include-hidden",
        "false",
        "`true` uploads files and folders whose names begin with a dot too, not only those that `path` spells out.",
    ),
    Input("max-size", "2 GiB", "The files' size together above which nothing is sent, such as `500 MB`."),
    Input("fail-on-error", "false", "`true` lets an upload that failed fail the job."),
)


class Settings(NamedTuple):
    """What the user asked for, checked; fields are the table's, in the types that the rest works with."""

    path: tuple[str, ...]
    kind: str
    name: str
    destination: str
    s3_bucket: str
    s3_prefix: str
    s3_region: str
    s3_endpoint_url: str
    role_to_assume: str
    public_base_url: str
    retention_days: str
    compression_level: int
    if_no_files_found: str
    include_hidden: bool
    max_size: int


def read(environ: dict[str, str]) -> Settings:
    """Check every input.

    Raises UploadError naming the input, what was wrong with it and what would be right.
    """
    text = {item.name: environ.get(item.env, "").strip() or item.default for item in INPUTS}
    patterns = tuple(line.strip() for line in text["path"].splitlines() if line.strip())
    if not any(not pattern.startswith("!") for pattern in patterns):
        raise _wrong("path", "it names nothing" if not patterns else "every line of it excludes")
    if not _KIND.fullmatch(text["kind"]) or "runattempt" in text["kind"]:
        raise _wrong("kind", f"{text['kind']!r} is not a word of small letters, digits and hyphens")
    if text["s3-bucket"] and not _BUCKET.fullmatch(text["s3-bucket"]):
        raise _wrong("s3-bucket", f"{text['s3-bucket']!r} is no bucket's name (a name alone, without s3://)")
    destination = _choice(text, "destination", DESTINATIONS)
    if destination == "s3" and not text["s3-bucket"]:
        raise _wrong("s3-bucket", "it is empty, and `destination: s3` needs it")
    if text["role-to-assume"] and not _ROLE.fullmatch(text["role-to-assume"]):
        raise _wrong("role-to-assume", "it is not an ARN such as arn:aws:iam::123456789012:role/name")
    if text["retention-days"]:
        _number(text, "retention-days", 1, 400)
    _flag(text, "fail-on-error")  # only checked: it is obeyed even where this raises
    return Settings(
        path=patterns,
        kind=text["kind"],
        name=text["name"],
        destination=destination,
        s3_bucket=text["s3-bucket"],
        s3_prefix=_prefix(text["s3-prefix"]),
        s3_region=text["s3-region"] or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", ""),
        s3_endpoint_url=_endpoint(text["s3-endpoint-url"]),
        role_to_assume=text["role-to-assume"],
        public_base_url=_public(text["public-base-url"]),
        retention_days=text["retention-days"],
        compression_level=_number(text, "compression-level", 0, 9),
        if_no_files_found=_choice(text, "if-no-files-found", ("warn", "error", "ignore")),
        include_hidden=_flag(text, "include-hidden"),
        max_size=_size(text["max-size"]),
    )


def fails(environ: dict[str, str]) -> bool:
    """Tell whether `fail-on-error` is asked for, whatever else may be wrong."""
    return environ.get("OOT_FAIL_ON_ERROR", "").strip().lower() in YES


def _wrong(name: str, why: str) -> UploadError:
    return UploadError("bad_input", name=name, why=why)


def _choice(text: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    if text[name] not in choices:
        raise _wrong(name, f"it is {text[name]!r}; one of {', '.join(choices)} is needed")
    return text[name]


def _flag(text: dict[str, str], name: str) -> bool:
    value = text[name].lower()
    if value not in YES + _NO:
        raise _wrong(name, f"{text[name]!r} is neither true nor false")
    return value in YES


def _number(text: dict[str, str], name: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text[name]) or not low <= int(text[name]) <= high:
        raise _wrong(name, f"{text[name]!r} is not a whole number from {low} to {high}")
    return int(text[name])


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([a-z]*)", text.lower())
    if not found or found[2] not in _UNITS:
        raise _wrong("max-size", f"{text!r} is not a size such as 500 MB or 2 GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def _prefix(text: str) -> str:
    prefix = text.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise _wrong("s3-prefix", "it has an empty part, `.` or `..` in it")
    if not prefix.isprintable() or set(prefix) & set('\\*?"'):
        # A star or question mark would be a wildcard in the session policy that confines the upload to this prefix.
        raise _wrong("s3-prefix", 'it has a control character or one of \\ * ? " in it')
    if len(os.fsencode(prefix)) > PREFIX_BYTES:
        raise _wrong("s3-prefix", f"it has more than {PREFIX_BYTES} bytes")
    return prefix


def _endpoint(url: str) -> str:
    if not url:
        return ""
    try:
        check_url(url, "s3-endpoint-url")
    except ReportError as error:
        raise _wrong("s3-endpoint-url", f"{url!r}: {error.message.facts['why']}") from None
    return url


def _public(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        good = good and not parts.query and not parts.fragment and url.isprintable() and not set(url) & set(' \\"<>')
    except ValueError:
        good = False
    if url and not good:
        raise _wrong("public-base-url", f"{url!r} is not an http(s) address without query and fragment")
    return url.rstrip("/")
