"""One HTTP request, delivered as surely as its time allows: retries, Retry-After, a bound on the whole.

A token travels in the request, so https only (loopback excepted), redirects are never followed, and nothing of the
server's answer decides where anything goes. Each attempt runs in a daemon thread: a socket timeout bounds one read, and
neither a name lookup nor a server that sends a byte a second.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
import time
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from typing import Callable, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from oot_runner.messages import ReportError

ANSWER_BYTES = 64 * 1024
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")
_BACKOFF_SECONDS = 0.5  # doubled with each attempt, and spread, so that a matrix does not come back as one


class Request(NamedTuple):
    """One request; the same bytes each time it is sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Answer(NamedTuple):
    """What the server said, the first 64 KiB of it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outcome(NamedTuple):
    """The last answer, or None and the reason; `attempts` counts them all.

    `after_error` says that an attempt which may have reached the server ended without an answer or with a 5xx.
    """

    answer: Answer | None
    why: str
    attempts: int
    seconds: float
    after_error: bool
    untrusted_certificate: bool = False


def check_url(url: str, name: str = "callback-url") -> SplitResult:
    """Split a URL that a token may travel to.

    Raises ReportError `bad_url` for the input or variable `name`.
    """
    why = ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ReportError("bad_url", name=name, url=url, why=error) from None
    if re.search(r"[\x00-\x20\x7f\\]", url) or not url.isascii():
        why = "it has a space or another character that no URL has"
    elif parts.scheme not in ("http", "https") or not host:
        why = "it is not an http(s) address"
    elif parts.username is not None or parts.password is not None:
        why = "it has a user name or password in it"
    elif parts.scheme == "http" and not _LOOPBACK.fullmatch(host):
        why = "it is not https, and the token must not travel in the clear"
    if why:
        raise ReportError("bad_url", name=name, url=url, why=why)
    return parts


def send(
    request: Request,
    max_time: float,
    retries: int,
    *,
    say: Callable[[str], None],
    told: str = "The relay",
    name: str = "callback-url",
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Send until there is an answer that is final, within `max_time` x (`retries` + 1) seconds.

    Final is every answer but 408, 429 and 5xx. Raises ReportError for a URL that no token may travel to.
    """
    parts = check_url(request.url, name)
    started = time.monotonic()
    deadline = started + max_time * (retries + 1)
    answer, why, after_error, attempt = None, "", False, 0
    while True:
        attempt += 1
        result = _attempt(parts, request, min(max_time, deadline - time.monotonic()))
        answer = result if isinstance(result, Answer) else None
        why = f"it answered {answer.status}" if answer else _reason(result)
        untrusted = type(result).__name__ == "SSLCertVerificationError"  # ssl is imported for https alone
        if answer:
            temporary = answer.status in (408, 429) or answer.status >= 500
        else:
            temporary = not isinstance(result, ValueError)  # as settings and certificates that are wrong
        wait = _wait(answer, attempt)
        left = deadline - time.monotonic()
        if not temporary or attempt > retries or wait >= left:
            if temporary and attempt <= retries:
                why += f"; the next attempt is due in {wait:.1f} s, later than max-time and retries allow"
            return Outcome(answer, why, attempt, time.monotonic() - started, after_error, untrusted)
        after_error = after_error or answer is None or answer.status != 429
        say(f"{told} gave no final answer ({why}); attempt {attempt + 1} of {retries + 1} in {wait:.1f} s.")
        sleep(wait)


def _attempt(parts: SplitResult, request: Request, seconds: float) -> Answer | BaseException:
    result: list[Answer | BaseException] = []
    connections: list[HTTPConnection] = []

    def work() -> None:
        try:
            # The socket's own timeout is the later one: it ends a thread that nobody waits for any more.
            result.append(_exchange(parts, request, seconds + 1, connections))
        except Exception as error:  # noqa: BLE001 - the thread's outermost edge: the caller judges it
            result.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if result:
        return result[0]
    for connection in connections:
        if connection.sock is not None:
            connection.sock.close()
    return TimeoutError(f"no whole answer within {seconds:.1f} s")


def _exchange(parts: SplitResult, request: Request, seconds: float, opened: list[HTTPConnection]) -> Answer:
    connection = _connect(parts, seconds)
    opened.append(connection)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        # A server may refuse before it has read the whole body: its answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(request.method, target, request.body, {**request.headers, "Connection": "close"})
        with connection.getresponse() as response:
            body = response.read(ANSWER_BYTES)
            if response.length and len(body) < ANSWER_BYTES:
                raise IncompleteRead(body, response.length)
            return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, body)
    finally:
        connection.close()


def _connect(parts: SplitResult, seconds: float) -> HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return HTTPConnection(host, port, timeout=seconds)
    import ssl

    authorities = os.environ.get("SSL_CERT_FILE")
    if authorities and not os.path.isfile(authorities):  # noqa: PTH113 - pathlib is not needed here otherwise
        raise ValueError(f"SSL_CERT_FILE names {authorities}, and there is no such file")
    context = ssl.create_default_context()  # verifies; reads SSL_CERT_FILE and SSL_CERT_DIR
    proxy = _proxy(host)
    if proxy is None:
        return HTTPSConnection(host, port, timeout=seconds, context=context)
    connection = HTTPSConnection(proxy.hostname or "", proxy.port or 8080, timeout=seconds, context=context)
    headers = {}
    if proxy.username is not None:
        from base64 import b64encode

        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    connection.set_tunnel(host, port or 443, headers)
    return connection


def _proxy(host: str) -> SplitResult | None:
    if not any(name.lower() in ("https_proxy", "all_proxy") and value for name, value in os.environ.items()):
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    known = getproxies_environment()
    url = known.get("https") or known.get("all")
    if not url or proxy_bypass(host):
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http":
        raise ValueError(f"a proxy of the kind {proxy.scheme}:// is not supported; HTTPS_PROXY takes http://host:port")
    return proxy


def _wait(answer: Answer | None, attempt: int) -> float:
    asked = answer.headers.get("retry-after", "") if answer else ""
    if asked.strip().isdecimal():
        return float(asked.strip()[:9]) + random.random() * _BACKOFF_SECONDS  # noqa: S311 - spreads load, guards nothing
    if asked:
        from email.utils import parsedate_to_datetime

        with contextlib.suppress(ValueError, TypeError):
            at = parsedate_to_datetime(asked).timestamp()
            return max(at - time.time(), 0) + random.random() * _BACKOFF_SECONDS  # noqa: S311
    return _BACKOFF_SECONDS * float(2 ** (attempt - 1)) * (0.5 + random.random())  # noqa: S311


def _reason(error: Answer | BaseException) -> str:
    text = str(error) or type(error).__name__
    return re.sub(r"\s+", " ", text)[:300]
