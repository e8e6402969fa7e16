"""Requests against a real server: what is final, what is repeated, how long the whole may take, where a token goes."""

from __future__ import annotations

import datetime as dt
import select
import socket
import ssl
import time
from email.utils import format_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oot_runner import delivery
from oot_runner.messages import ReportError
from tests.oot_runner.web_server import (
    Request,
    WebServer,
    answer,
    dribble,
    drop,
    refuse_unread,
    stall,
    truncate,
)

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from tests.oot_runner.web_server import Behaviour

BODY = b'{"any": "body"}'
OK = answer(200, {"ok": True})


def send(server: WebServer, *, body: bytes = BODY, **given: Any) -> delivery.Outcome:
    request = delivery.Request("POST", f"{server.url}/github/callback", {"Authorization": "Bearer t"}, body)
    options: dict[str, Any] = {"max_time": 5, "retries": 3, "say": lambda _: None, "sleep": lambda _: None, **given}
    return delivery.send(request, **options)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "failure",
    [drop, truncate, answer(408), answer(429), answer(500), answer(502), answer(503, b"<html>")],
    ids=["drop", "truncate", "408", "429", "500", "502", "503"],
)
def test_passing_trouble_is_retried_with_the_same_bytes(server: WebServer, failure: Behaviour) -> None:
    server.relay = [failure, failure, OK]
    outcome = send(server)
    assert outcome.answer is not None
    assert (outcome.answer.status, outcome.attempts) == (200, 3)
    assert [request.body for request in server.callbacks] == [BODY] * 3


@pytest.mark.parametrize("status", [200, 202, 301, 307, 400, 401, 403, 404, 405, 409, 413])
def test_other_answers_are_final(server: WebServer, status: int) -> None:
    server.relay = [answer(status, {"detail": "so"}, {"Location": f"{server.url}/elsewhere"})]
    outcome = send(server)
    assert outcome.answer is not None
    assert (outcome.answer.status, outcome.answer.body, outcome.attempts) == (status, b'{"detail": "so"}', 1)
    assert len(server.requests) == 1, "a redirect was followed"


@pytest.mark.parametrize(
    ("failures", "after_error"),
    [([answer(429)], False), ([drop], True), ([answer(500)], True), ([answer(429), answer(502)], True), ([], False)],
)
def test_it_is_known_whether_an_earlier_attempt_may_have_arrived(
    server: WebServer, failures: list[Behaviour], *, after_error: bool
) -> None:
    server.relay = [*failures, answer(400, {"detail": "invalid transition"})]
    assert send(server).after_error is after_error


def test_retries_end(server: WebServer) -> None:
    server.relay = [answer(500)]
    outcome = send(server, retries=2)
    assert outcome.answer is not None
    assert (outcome.answer.status, outcome.attempts, len(server.requests)) == (500, 3, 3)


@pytest.mark.parametrize("failure", [stall, dribble])
def test_an_attempt_lasts_max_time_however_the_server_stalls(server: WebServer, failure: Behaviour) -> None:
    server.relay = [failure, OK]
    started = time.monotonic()
    outcome = send(server, max_time=0.4)
    assert outcome.answer is not None
    assert outcome.attempts == 2
    assert 0.4 <= time.monotonic() - started < 2


def test_the_whole_is_bounded(server: WebServer) -> None:
    server.relay = [stall]
    started = time.monotonic()
    outcome = send(server, max_time=0.3, retries=1, sleep=time.sleep)
    assert outcome.answer is None
    assert "no whole answer within" in outcome.why
    assert time.monotonic() - started < 1.5


def test_retry_after_is_kept_in_seconds_and_as_a_date(server: WebServer) -> None:
    soon = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=4)
    dated = {"Retry-After": format_datetime(soon, usegmt=True)}
    server.relay = [answer(429, None, {"Retry-After": "2"}), answer(503, None, dated), OK]
    waits: list[float] = []
    send(server, sleep=waits.append)
    assert 2 <= waits[0] < 3
    assert 2 <= waits[1] < 5


def test_a_wait_beyond_the_bound_is_not_waited(server: WebServer) -> None:
    server.relay = [answer(429, None, {"Retry-After": "3600"})]
    waits: list[float] = []
    outcome = send(server, sleep=waits.append)
    assert (waits, outcome.attempts) == ([], 1)
    assert "due in 3600." in outcome.why


def test_waits_grow_and_are_spread(server: WebServer) -> None:
    server.relay = [answer(500)]
    runs: list[list[float]] = []
    for _ in range(5):
        runs.append([])
        send(server, sleep=runs[-1].append)
    assert all(0.25 <= first <= 0.75 and 0.5 <= second <= 1.5 and 1 <= third <= 3 for first, second, third in runs)
    assert len({run[0] for run in runs}) == 5, "a matrix would come back as one"


def test_a_refusal_before_the_body_is_read_is_heard(server: WebServer) -> None:
    server.relay = [refuse_unread(413, {"detail": "too large"})]
    outcome = send(server, body=b" " * 20_000_000, retries=0)
    assert outcome.answer is not None
    assert outcome.answer.status == 413


def test_a_closed_port_is_an_outcome() -> None:
    with WebServer() as server:
        url = server.url
    request = delivery.Request("GET", url, {})
    outcome = delivery.send(request, 1, 1, say=lambda _: None, sleep=lambda _: None)
    assert outcome.answer is None
    assert "refused" in outcome.why
    assert outcome.attempts == 2


def test_ipv6() -> None:
    try:
        with WebServer(host="::1") as server:
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    with WebServer(host="::1") as server:
        server.relay = [OK]
        outcome = send(server)
    assert outcome.answer is not None
    assert outcome.answer.status == 200


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://relay.example/github/callback", "not https"),
        ("http://127.0.0.1.evil.example/", "not https"),
        ("http://localhost@evil.example/", "user name"),
        ("https://user:word@relay.example/", "user name"),
        ("ftp://relay.example/", "not an http(s) address"),
        ("file:///etc/passwd", "not an http(s) address"),
        ("relay.example/github/callback", "not an http(s) address"),
        ("https://", "not an http(s) address"),
        ("https://relay.example/\r\nX-Injected: 1", "no URL has"),
        ("https://relay.example\\@evil.example/", "no URL has"),
        ("https://relay.exämple/", "no URL has"),
        ("https://relay.example:port/", "port"),
        ("https://[::1/", "IPv6"),
    ],
)
def test_where_no_token_may_travel(url: str, why: str) -> None:
    with pytest.raises(ReportError) as refused:
        delivery.check_url(url)
    assert refused.value.message.code == "bad_url"
    assert why.lower() in refused.value.message.text().lower()


@pytest.mark.parametrize(
    "url", ["https://relay.example", "http://localhost:1/x", "http://127.8.9.1", "http://[::1]:80"]
)
def test_where_a_token_may_travel(url: str) -> None:
    assert delivery.check_url(url).hostname


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = dt.datetime.now(dt.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with WebServer(tls=context) as server:
        server.relay = [OK]
        yield server


def test_an_unknown_certificate_ends_it_at_once(tls_server: WebServer) -> None:
    outcome = send(tls_server)
    assert outcome.answer is None
    assert (outcome.untrusted_certificate, outcome.attempts) == (True, 1)
    assert not tls_server.requests


def test_ssl_cert_file_makes_a_company_ca_known(
    tls_server: WebServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outcome = send(tls_server)
    assert outcome.answer is not None
    assert outcome.answer.status == 200


def test_an_ssl_cert_file_that_is_not_there_is_named(tls_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/ca.pem")
    outcome = send(tls_server)
    assert outcome.answer is None
    assert ("/no/such/ca.pem" in outcome.why, outcome.attempts) == (True, 1)


def test_a_proxy_gets_a_tunnel_and_never_the_token(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.relay = [answer(407, {})]
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("://", "://us%40er:word@"))
    request = delivery.Request("POST", "https://relay.example/github/callback", {"Authorization": "Bearer t"}, BODY)
    outcome = delivery.send(request, 5, 0, say=lambda _: None)
    (seen,) = server.requests
    assert (seen.method, seen.path) == ("CONNECT", "relay.example:443")
    assert seen.headers["proxy-authorization"] == "Basic dXNAZXI6d29yZA=="
    assert "authorization" not in seen.headers
    assert "407" in outcome.why


def tunnel(handler: BaseHTTPRequestHandler, request: Request) -> None:
    """Connects the client with whom it asks for, as a proxy does."""
    host, _, port = request.path.partition(":")
    with socket.create_connection((host, int(port))) as upstream:
        handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends = {handler.connection: upstream, upstream: handler.connection}
        while True:
            ready, _, _ = select.select(list(ends), [], [], 5)
            data = [(end, end.recv(65536)) for end in ready]
            for end, received in data:
                ends[end].sendall(received)
            if not data or any(not received for _, received in data):
                return


def test_through_a_proxy(
    server: WebServer, tls_server: WebServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.relay = [tunnel]
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outcome = send(tls_server, retries=0)
    assert outcome.answer is not None, outcome.why
    assert outcome.answer.status == 200
    assert [request.method for request in server.requests] == ["CONNECT"]
    assert [request.body for request in tls_server.requests] == [BODY]
    assert tls_server.requests[0].headers["authorization"] == "Bearer t"


def test_no_proxy_is_kept(tls_server: WebServer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outcome = send(tls_server, retries=0)
    assert outcome.answer is not None


def test_a_kind_of_proxy_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    outcome = delivery.send(delivery.Request("GET", "https://relay.example/", {}), 5, 0, say=lambda _: None)
    assert outcome.answer is None
    assert "socks5://" in outcome.why
