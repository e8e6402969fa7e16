"""Inputs: what each may hold, what is said of what it may not, and which conclusion wins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from oot_runner import settings
from oot_runner.messages import ReportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, TypeAlias

    MakeSettings: TypeAlias = Callable[..., settings.Settings]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"status": ""}, "status"),
        ({"status": "queued"}, "status"),
        ({"conclusion": "fine"}, "conclusion"),
        ({"scope": "run"}, "scope"),
        ({"test_results": "{"}, "test-results"),
        ({"test_results": "[1]"}, "test-results"),
        ({"test_results": '{"passed": -1}'}, "test-results"),
        ({"test_results": '{"passed": 1.5}'}, "test-results"),
        ({"test_results": '{"passed": true}'}, "test-results"),
        ({"test_results": '{"passed": NaN}'}, "test-results"),
        ({"test_results": '{"passed": 1e999}'}, "test-results"),
        ({"test_results": '{"passed": 10000000000000}'}, "test-results"),
        ({"test_results": "[" * 100_000}, "test-results"),
        ({"failed_tests": '{"name": "a"}'}, "failed-tests"),
        ({"failed_tests": '["a"]'}, "failed-tests"),
        ({"failed_tests": "no/such/file.json"}, "failed-tests"),
        ({"failed_tests": "nul\0byte"}, "failed-tests"),
        ({"failed_tests_detail": "[1]"}, "failed-tests-detail"),
        ({"environment": "device"}, "environment"),
        ({"environment": "=npu"}, "environment"),
        ({"environment": '{"a": NaN}'}, "environment"),
        ({"needs": "[]"}, "needs"),
        ({"needs": "{}"}, "needs"),
        ({"needs": '{"build": {"result": "great"}}'}, "needs"),
        ({"needs": '{"build": {"result": ["success"]}}'}, "needs"),
        ({"delivery_id": "abc"}, "event-type"),
        ({"event_type": "nightly"}, "delivery-id"),
        ({"event_type": "weekly", "delivery_id": "abc"}, "event-type"),
        ({"event_type": "nightly", "delivery_id": "abc", "status": "in_progress"}, "status"),
        ({"max_time": "0"}, "max-time"),
        ({"max_time": "ten"}, "max-time"),
        ({"max_time": "nan"}, "max-time"),
        ({"retries": "-1"}, "retries"),
        ({"retries": "1000"}, "retries"),
        ({"annotations": "all"}, "annotations"),
        ({"dry_run": "maybe"}, "dry-run"),
        ({"fail_on_error": "ja"}, "fail-on-error"),
    ],
)
def test_a_wrong_input_is_named(make_settings: MakeSettings, given: dict[str, str], name: str) -> None:
    with pytest.raises(ReportError) as wrong:
        make_settings(**given)
    assert wrong.value.message.code == "bad_input"
    assert wrong.value.message.facts["name"] == name


def test_defaults(make_settings: MakeSettings) -> None:
    made = make_settings(conclusion="  ", callback_url="")
    assert made.callback_url == "https://gwuj7w5coh4y4l66urspge6mnm0pwaxq.lambda-url.us-east-1.on.aws/github/callback/"
    assert (made.conclusion, made.max_time, made.retries, made.scope) == (None, 10, 3, "job")
    assert (made.dry_run, made.summary, made.annotations) == (False, True, 10)


@pytest.mark.parametrize(
    ("told", "conclusion"),
    [
        *((each, each) for each in settings.CONCLUSIONS),
        ("failed", "failure"),
        ("canceled", "cancelled"),
        ("Success", "success"),
    ],
)
def test_conclusions_of_any_ci(make_settings: MakeSettings, told: str, conclusion: str) -> None:
    assert make_settings(conclusion=told).conclusion == conclusion


def test_one_with_may_serve_both_steps(make_settings: MakeSettings) -> None:
    of_the_end = {
        "conclusion": "?",
        "needs": "?",
        "test_reports": "*.xml",
        "test_results": "?",
        "failed_tests": "no/file",
    }
    settings = make_settings(status="in_progress", **of_the_end)
    assert (settings.conclusion, settings.needs, settings.test_reports, settings.failed_tests) == (None, None, (), None)


@pytest.mark.parametrize(
    ("results", "worst"),
    [
        (["success"], "success"),
        (["success", "failure", "cancelled"], "failure"),
        (["cancelled", "success", "skipped"], "cancelled"),
        (["skipped", "success"], "success"),
        (["skipped", "skipped"], "skipped"),
    ],
)
def test_the_worst_of_needs_wins(make_settings: MakeSettings, results: list[str], worst: str) -> None:
    needs = {f"job-{index}": {"result": result, "outputs": {}} for index, result in enumerate(results)}
    assert make_settings(needs=json.dumps(needs), scope="workflow").needs == worst


@pytest.mark.parametrize("needs", ["", "null"])
def test_a_whole_run_needs_more_than_the_last_job_s_status(make_settings: MakeSettings, needs: str) -> None:
    with pytest.raises(ReportError) as wrong:
        make_settings(scope="workflow", needs=needs)
    assert wrong.value.message.code == "scope_needs_conclusion"
    assert make_settings(scope="workflow", conclusion="success").conclusion == "success"
    assert make_settings(scope="workflow", status="in_progress").needs is None


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ('{"passed": 8430, "failed": 2, "skipped": 20}', {"passed": 8430, "failed": 2, "skipped": 20}),
        ('{"passed": "10", "failed": null, "total": 10.0}', {"passed": 10, "total": 10}),
        ('{"passed": 1, "xfailed": 3, "duration_seconds": 1.5}', {"passed": 1, "duration_seconds": 1.5}),
        ("{}", {}),
    ],
)
def test_counts(make_settings: MakeSettings, text: str, counts: dict[str, float]) -> None:
    assert make_settings(test_results=text).test_results == counts


def test_failed_tests_come_as_json_or_from_a_file(make_settings: MakeSettings, tmp_path: Path) -> None:
    tests: list[dict[str, Any]] = [{"name": "test_ünï", "message": "no"}]
    path = tmp_path / "fäiled tests.json"
    path.write_text(json.dumps(tests, ensure_ascii=False), encoding="utf-8-sig")
    assert make_settings(failed_tests=str(path)).failed_tests == tests
    assert make_settings(failed_tests=json.dumps(tests)).failed_tests == tests
    assert make_settings(failed_tests_detail=json.dumps(tests)).failed_tests == tests
    assert make_settings(failed_tests="[]", failed_tests_detail=json.dumps(tests)).failed_tests == []
    assert make_settings().failed_tests is None


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("device=npu\n\n sdk = 8.0 \nflags=a=b", {"device": "npu", "sdk": "8.0", "flags": "a=b"}),
        (
            '{"device": "npu", "cards": 8, "ecc": true, "note": null}',
            {"device": "npu", "cards": 8, "ecc": True, "note": None},
        ),
        ('{"nested": {"a": [1]}}', {"nested": '{"a": [1]}'}),
        ("", {}),
    ],
)
def test_environment(make_settings: MakeSettings, text: str, environment: dict[str, object]) -> None:
    assert make_settings(environment=text).environment == environment


@pytest.mark.parametrize("text", ["", "not json", "[1]", '"text"', '{"confidence": NaN}'])
def test_a_broken_verdict_is_no_verdict(make_settings: MakeSettings, text: str) -> None:
    assert make_settings(triage_verdict=text).triage_verdict is None


def test_the_artifact_url_of_our_upload_step_is_used_where_none_is_given() -> None:
    environ = {"OOT_STATUS": "completed", "OOT_HUD_ARTIFACT_URL": "https://s3.example/a"}
    assert settings.read(environ).artifact_url == "https://s3.example/a"
    assert settings.read({**environ, "OOT_ARTIFACT_URL": "https://b.example"}).artifact_url == "https://b.example"


def test_globs_are_lines(make_settings: MakeSettings) -> None:
    assert make_settings(test_reports="a b/*.xml\n\n  !c/*.xml\n").test_reports == ("a b/*.xml", "!c/*.xml")
