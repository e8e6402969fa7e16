"""Where the allowlist comes from: a file, an S3 object or a file on GitHub; and the copy of it that is in force.

The copy is renewed in the background when it is older than its time to live. A source that fails, or holds something
that is no allowlist, changes nothing: the last good copy stays, and every try says so in the log.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import requests
from urllib3.exceptions import HTTPError

from hud_endpoint.relay.allowlist import MAX_BYTES, AllowlistError, parse_allowlist

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3.client import S3Client

    from hud_endpoint.relay.allowlist import Allowlist, Listed
    from hud_endpoint.relay.issuers import Pipeline

log = logging.getLogger(__name__)

_TIMEOUT = (3.05, 5.0)
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.ASCII)
_BLOB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)/blob/([^?#]+/[^?#]+)", re.ASCII)
_FORMS = "a path, s3://bucket/key or https://github.com/<owner>/<repo>/blob/<ref>/<path>"


class AllowlistSource:
    """The allowlist as its source had it last; ask it as you would ask the allowlist.

    Raises AllowlistError when it is made and the source can't be used.
    """

    def __init__(self, name: str, read: Callable[[], bytes], ttl_seconds: float) -> None:
        self._name = name
        self._read = read
        self._ttl = ttl_seconds
        self._renewing = threading.Lock()
        self._allowlist = self._load()
        self._tried_at = time.monotonic()
        self._read_at = datetime.now(UTC)

    def entry(self, repo: str) -> Listed:
        """Return the repo's entry. Raises RefusedError `repo_not_allowed` for an unknown repo."""
        return self._current().entry(repo)

    def pipeline(self, issuer: str, pipeline: str) -> Pipeline | None:
        """Say for whom a pipeline of an issuer speaks."""
        return self._current().pipeline(issuer, pipeline)

    def renew(self) -> None:
        """Read the source again, unless somebody is at it; what fails is logged and leaves the copy in force."""
        if not self._renewing.acquire(blocking=False):
            return
        try:
            self._tried_at = time.monotonic()
            self._allowlist = self._load()
            self._read_at = datetime.now(UTC)
        except AllowlistError as error:
            log.error(  # noqa: TRY400 - the sentence is the cause
                "the allowlist can't be renewed, the copy of %s stays in force: %s",
                self._read_at.isoformat(timespec="seconds"),
                error,
            )
        finally:
            self._renewing.release()

    def _current(self) -> Allowlist:
        if time.monotonic() - self._tried_at > self._ttl and not self._renewing.locked():
            self._tried_at = time.monotonic()
            threading.Thread(target=copy_context().run, args=(self.renew,), name="allowlist", daemon=True).start()
        return self._allowlist

    def _load(self) -> Allowlist:
        try:
            return parse_allowlist(self._read())
        except AllowlistError as error:
            raise AllowlistError(f"{self._name}: {error}", error.problems) from None


def find_source(
    name: str, *, session: requests.Session, raw_url: str, s3: Callable[[], S3Client]
) -> Callable[[], bytes]:
    """Return the function that reads the source of this name; it raises AllowlistError where it can't.

    `raw_url` is where GitHub serves the raw content of files, `s3` makes the client that is needed for S3 only. Raises
    AllowlistError for a name that is none of the forms.
    """
    blob, s3_object = _BLOB.fullmatch(name), _S3.fullmatch(name)
    if blob:
        owner, repo, rest = blob.groups()
        if ".." in unquote(rest).split("/"):
            raise AllowlistError(f"{name}: expected {_FORMS}")
        url = f"{raw_url}/{owner}/{repo}/{quote(unquote(rest))}"
        return lambda: _get(session, url)
    if s3_object:
        client = s3()
        bucket, key = s3_object.groups()
        return lambda: _get_object(client, bucket, key)
    if "://" in name:
        raise AllowlistError(f"{name}: expected {_FORMS}")
    return lambda: _read(Path(name))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AllowlistError(f"it can't be read ({error.strerror})") from None


def _get(session: requests.Session, url: str) -> bytes:
    try:
        with session.get(url, timeout=_TIMEOUT, allow_redirects=False, stream=True) as response:
            if response.status_code != 200:
                raise AllowlistError(f"{url} answered HTTP {response.status_code}")
            data: bytes = response.raw.read(MAX_BYTES + 1, decode_content=True)
            return data
    except (requests.RequestException, HTTPError) as error:
        raise AllowlistError(f"{url} did not answer ({type(error).__name__})") from None


def _get_object(client: S3Client, bucket: str, key: str) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            return body.read(MAX_BYTES + 1)
    except (ClientError, BotoCoreError, HTTPError) as error:
        raise AllowlistError(f"S3 did not give it: {error}") from None
