"""The token: from GitHub's endpoint, a file or a variable; and a message of its own for each way there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oot_runner import identity
from oot_runner.messages import ReportError
from tests.oot_runner.web_server import WebServer, answer, drop, jwt, truncate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oot_runner.ci import Run
    from oot_runner.settings import Settings
    from tests.oot_runner.web_server import Behaviour

FORK = {"pull_request": {"head": {"repo": {"full_name": "stranger/backend"}}}}


def obtain(environ: dict[str, str], settings: Settings, run: Run) -> str:
    return identity.obtain(environ, settings, run, lambda _: None)


def endpoint(server: WebServer) -> dict[str, str]:
    return {"ACTIONS_ID_TOKEN_REQUEST_URL": server.token_url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token"}


def code_of(error: pytest.ExceptionInfo[ReportError]) -> str:
    return error.value.message.code


def test_github_s_endpoint_is_asked_for_our_audience(
    server: WebServer, make_settings: Callable[..., Settings], run: Run
) -> None:
    token = obtain(endpoint(server), make_settings(), run)
    (request,) = server.requests
    assert identity.claims(token)["exp"] > 0
    assert request.path == "/token?api-version=2.0&audience=pytorch-cross-repo-ci-relay"
    assert request.headers["authorization"] == "Bearer request-token"
    obtain(endpoint(server), make_settings(audience="a b&c"), run)
    assert server.requests[-1].path.endswith("&audience=a%20b%26c")


@pytest.mark.parametrize("failure", [drop, truncate, answer(503)])
def test_passing_trouble_is_retried(
    server: WebServer, make_settings: Callable[..., Settings], run: Run, failure: Behaviour
) -> None:
    server.token = [failure, answer(200, {"value": jwt(sub="second")})]
    assert identity.claims(obtain(endpoint(server), make_settings(), run))["sub"] == "second"


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(403, {"message": "no"}),
        answer(200, {"value": 1}),
        answer(200, {"value": "a.b.c\r\nX: 1"}),
        answer(200, []),
        answer(200, b"<html>"),
        answer(302, None, {"Location": "http://127.0.0.1:9/"}),
        answer(503),
    ],
)
def test_an_endpoint_without_a_token(
    server: WebServer, make_settings: Callable[..., Settings], run: Run, behaviour: Behaviour
) -> None:
    server.token = [behaviour]
    with pytest.raises(ReportError) as error:
        obtain(endpoint(server), make_settings(retries="0"), run)
    assert code_of(error) == "token_endpoint"


def test_the_request_token_never_travels_in_the_clear(make_settings: Callable[..., Settings], run: Run) -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://evil.example/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    with pytest.raises(ReportError) as error:
        obtain(environ, make_settings(), run)
    assert code_of(error) == "bad_url"
    assert error.value.message.facts["name"] == "ACTIONS_ID_TOKEN_REQUEST_URL"


def test_a_token_of_another_ci(make_settings: Callable[..., Settings], run: Run, tmp_path: Path) -> None:
    token, path = jwt(), tmp_path / "tøken file"
    path.write_text(f"{token}\n", encoding="utf-8")
    elsewhere = run._replace(provider="gitlab")
    assert obtain({}, make_settings(token_file=str(path)), elsewhere) == token
    assert obtain({}, make_settings(token=token), elsewhere) == token
    with pytest.raises(ReportError) as error:
        obtain({}, make_settings(), elsewhere)
    assert code_of(error) == "no_token"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("not-a-token", "bad_token"),
        ("Bearer a.b.c", "bad_token"),
        ("a.b.c.d", "bad_token"),
        ("a.b.c\nX-Header: 1", "bad_token"),
        (jwt(exp=1_000_000_000), "expired_token"),
    ],
)
def test_a_token_that_cannot_be_used(
    make_settings: Callable[..., Settings], run: Run, tmp_path: Path, token: str, code: str
) -> None:
    path = tmp_path / "token"
    path.write_text(token, encoding="utf-8")
    with pytest.raises(ReportError) as error:
        obtain({}, make_settings(token_file=str(path)), run)
    assert code_of(error) == code


def test_a_job_without_the_permission(make_settings: Callable[..., Settings], run: Run) -> None:
    with pytest.raises(ReportError) as error:
        obtain({}, make_settings(), run)
    assert code_of(error) == "no_id_token_permission"
    assert "id-token: write" in error.value.message.text()


def test_a_reusable_workflow_whose_caller_withholds_it(make_settings: Callable[..., Settings], run: Run) -> None:
    caller = {"GITHUB_WORKFLOW_REF": "o/r/.github/workflows/ci.yml@main"}
    called = {"OOT_JOB_WORKFLOW_REF": "o/shared/.github/workflows/test.yml@v1"}
    with pytest.raises(ReportError) as error:
        obtain({**caller, **called}, make_settings(), run)
    assert code_of(error) == "reusable_workflow"
    with pytest.raises(ReportError) as error:
        obtain({**caller, "OOT_JOB_WORKFLOW_REF": caller["GITHUB_WORKFLOW_REF"]}, make_settings(), run)
    assert code_of(error) == "no_id_token_permission"


def test_a_fork_s_pull_request(run: Run) -> None:
    with pytest.raises(ReportError) as error:
        identity.refuse_fork({}, run._replace(event=FORK))
    assert code_of(error) == "fork_pull_request"
    assert "stranger/backend" in error.value.message.text()


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"pull_request": None},
        {"pull_request": {"head": {"repo": None}}},
        {"pull_request": {"head": {"repo": {"full_name": "Example/Backend"}}}},
    ],
)
def test_other_events_are_no_fork(run: Run, event: dict[str, Any]) -> None:
    identity.refuse_fork({}, run._replace(event=event))
    identity.refuse_fork({"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, run._replace(event=FORK))


@pytest.mark.parametrize("token", ["a.b.c", "a.####.c", "a.W10.c", "a..c"])
def test_claims_of_nonsense_are_none(token: str) -> None:
    assert identity.claims(token) == {}
