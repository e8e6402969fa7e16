"""The OpenAPI documents are true: whatever fits them, and whatever does not, gets an answer and never a 500."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from hud_endpoint import __version__

if TYPE_CHECKING:
    from oot_local.stack import Stack

DOCUMENTED = {
    "relay_url": {
        "/github/callback": {"post"},
        "/internal/dispatch": {"post"},
        "/healthz": {"get"},
        "/readyz": {"get"},
    },
    "hud_url": {
        "/api/oot/results": {"post"},
        "/oot": {"get"},
        "/oot.json": {"get"},
        "/healthz": {"get"},
        "/readyz": {"get"},
    },
}


@pytest.mark.parametrize("half", DOCUMENTED)
def test_every_route_is_documented_with_its_errors(stack: Stack, half: str) -> None:
    document = requests.get(f"{stack.state[half]}/openapi.json", timeout=60).json()
    assert document["info"]["version"] == __version__
    found = {path: set(methods) for path, methods in document["paths"].items()}
    assert DOCUMENTED[half].items() <= found.items()
    assert half == "hud_url" or found == DOCUMENTED[half]
    assert all(methods == {"get"} for path, methods in found.items() if path not in DOCUMENTED[half])  # pages
    operations = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(operations) == len(set(operations))
    field = "detail" if half == "relay_url" else "error"
    for methods in document["paths"].values():
        for method, operation in methods.items():
            error = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert error["required"] == [field, "code"]
            assert ("requestBody" in operation) == (method == "post")


def headers(stack: Stack, half: str) -> dict[str, str]:
    token = stack.state["internal_api_token"]
    if half == "hud_url":
        return {"x-hud-internal-bot": token}
    body = {"repo": stack.state["sample_repo"], "claims": {"run_id": "240", "check_run_id": "987"}}
    minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=body, timeout=60).json()["token"]
    return {"Authorization": f"Bearer {minted}", "x-relay-dispatch-token": token}


@pytest.mark.parametrize("half", DOCUMENTED)
@pytest.mark.parametrize("caller", ["known", "stranger"])
@pytest.mark.filterwarnings("ignore")  # of schemathesis itself
def test_no_request_ends_in_a_500(stack: Stack, half: str, caller: str) -> None:
    schema = schemathesis.openapi.from_url(f"{stack.state[half]}/openapi.json")
    credentials = headers(stack, half) if caller == "known" else {}
    statuses: set[int] = set()
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]  # an invalid document raises here

        @given(case=operation.as_strategy())
        @settings(
            max_examples=40 if operation.method == "post" else 10,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def probe(case: Any) -> None:
            response = case.call(headers=credentials, timeout=60, allow_redirects=False)
            case.validate_response(response, checks=[not_a_server_error])
            statuses.add(response.status_code)

        probe()
    assert statuses <= {200, 202, 303, 304, 307, 400, 401, 403, 404, 405, 409, 413, 429}
    assert 200 in statuses
    assert statuses & {400, 401}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/github/callback", "/internal/dispatch"])
def test_other_methods_are_405_with_a_code(stack: Stack, method: str, path: str) -> None:
    answer = requests.request(method, stack.state["relay_url"] + path, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_an_unknown_path_is_404_with_a_code(stack: Stack) -> None:
    answer = requests.get(f"{stack.state['relay_url']}/{uuid.uuid4()}", timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
