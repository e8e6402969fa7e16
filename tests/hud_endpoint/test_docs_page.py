"""`/docs`: the OpenAPI document as a page that needs nobody else: no scripts, no foreign hosts, every field in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import Callback, RelayPayload
from hud_endpoint.openapi.page import rows

if TYPE_CHECKING:
    from oot_local.stack import Stack

HALVES = ["relay_url", "hud_url"]


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.references += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids += [value or "" for name, value in attrs if name == "id"]


@pytest.mark.parametrize("half", HALVES)
class TestPage:
    def test_names_every_operation_and_leads_to_it(self, stack: Stack, half: str) -> None:
        base = stack.state[half]
        text = requests.get(f"{base}/docs", timeout=60).text
        document = requests.get(f"{base}/openapi.json", timeout=60).json()
        page = Page(text)
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                assert f"{method.upper()} {path}" in text
                assert f"#{operation['operationId']}" in page.references
                assert operation["operationId"] in page.ids
        assert len(page.ids) == len(set(page.ids))

    def test_needs_nobody_else(self, stack: Stack, half: str) -> None:
        base = stack.state[half]
        answer = requests.get(f"{base}/docs", timeout=60)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert not re.search(r"script|http:|https:|\*|unsafe", policy)
        page = Page(answer.text)
        assert not {"script", "iframe", "img", "object"} & set(page.tags)
        assert all(reference.startswith(("/", "#")) for reference in page.references)
        for reference in page.references:
            if reference.startswith("/"):
                assert requests.get(f"{base}{reference}", timeout=60).status_code == 200
        assert "prefers-color-scheme: dark" in requests.get(f"{base}/docs.css", timeout=60).text

    def test_only_get_is_taken(self, stack: Stack, half: str) -> None:
        for path in ("/docs", "/openapi.json", "/docs.css", "/healthz", "/readyz"):
            answer = requests.post(f"{stack.state[half]}{path}", timeout=60)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("model", [Callback, RelayPayload])
def test_each_field_of_a_body_has_a_row(model: type[Callback | RelayPayload]) -> None:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    document: dict[str, Any] = {"components": {"schemas": schema.get("$defs", {})}}
    found = {row.path: row for row in rows(schema, document)}
    prefix = "untrusted.callback_payload." if model is RelayPayload else ""
    assert found[f"{prefix}workflow.status"].kind == '"in_progress" | "completed"'
    assert found[f"{prefix}workflow.status"].required
    assert found[f"{prefix}workflow.test_results.passed"].note == "at least 0; at most 1,000,000,000,000"
    assert found[f"{prefix}workflow.failed_tests"].kind == "list of object"
    assert found[f"{prefix}workflow.failed_tests[].name"].note == "default (no name)"
    assert not found[f"{prefix}payload.pull_request.head.sha"].required
    assert found[f"{prefix}workflow.started_at"].kind.startswith("string (date-time)")
