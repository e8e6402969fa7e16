"""Puts secrets into the log of a function while it works: on each of its HTTP calls, in every way that a record has.

All of our clients (botocore, requests, ClickHouse's) call urllib3 in the end.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from aws_lambda_powertools.logging.formatter import THREAD_LOCAL_KEYS
from urllib3.connectionpool import HTTPConnectionPool

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"


def install(mode: str) -> None:
    """With `log`, log before each call, and let libraries log at DEBUG; with `raise`, fail but for reading a secret."""
    urlopen = HTTPConnectionPool.urlopen

    def probed(self: HTTPConnectionPool, *args: Any, **kwargs: Any) -> Any:
        if mode == "log":
            log_secrets()
        elif "function_request_id" in THREAD_LOCAL_KEYS.get() and "GetSecretValue" not in str(kwargs.get("headers")):
            raise RuntimeError(f"no connection with {JWT}")
        return urlopen(self, *args, **kwargs)

    HTTPConnectionPool.urlopen = probed  # type: ignore[method-assign]


def log_secrets() -> None:
    """Log a token in a message, in arguments, in `extra`, in an exception, and in arguments that don't fit."""
    log = logging.getLogger("a.library")
    log.info(f"a token: {JWT}")  # noqa: G004 - as others do it
    log.info("with %s and %r", JWT, {"headers": [b"Bearer " + JWT.encode()]})
    log.info("with", extra={"authorization": "Bearer plain-words-only", "about": {"nested": [JWT]}, JWT: 1})
    log.info("by value: %s %s", os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_SESSION_TOKEN"])
    log.info("%d bytes of %s", JWT)  # noqa: PLE1206 - the mistake that is tried
    try:
        raise ValueError(JWT) from OSError(f"token={JWT}")  # noqa: TRY301
    except ValueError:
        log.exception("it failed")
    for name in ("botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
