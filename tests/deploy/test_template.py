"""deploy/template.yaml: what AWS would make of it, created for real on the local AWS, and what that can't check."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hud_endpoint.metrics import METRICS, NAMESPACES
from hud_endpoint.settings import HudSettings, RelaySettings
from oot_ops.create_tables import dynamodb_tables
from oot_ops.doctor.backend import ALLOWLIST
from oot_ops.doctor.operator import examine
from tests.deploy.conftest import TEXT

if TYPE_CHECKING:
    from oot_local.stack import Stack
    from tests.deploy.conftest import Created

ROOT = Path(__file__).resolve().parents[2]
Resources = dict[str, dict[str, Any]]


def of_type(template: dict[str, Any], kind: str) -> Resources:
    found = {name: one for name, one in template["Resources"].items() if one["Type"] == kind}
    assert found, kind
    return found


def test_cfn_lint_has_no_findings() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run([linter, ROOT / "deploy/template.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_uses_no_yaml_that_cloudformation_lacks() -> None:
    assert not re.search(r"(?m)(^|[\s\[{,:])[&*][A-Za-z]\w*(\s|$)", TEXT.replace("s3:ObjectCreated:*", ""))


@pytest.mark.parametrize(("name", "number"), [("ResultsTable", 0), ("RelayTable", 1)])
def test_tables_are_those_that_create_tables_makes(template: dict[str, Any], name: str, number: int) -> None:
    made, table = template["Resources"][name], dynamodb_tables()[number]
    told = made["Properties"]
    for field in ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode"):
        assert told[field] == table[field], field
    stream = table.get("StreamSpecification", {}).get("StreamViewType")
    assert told.get("StreamSpecification", {}).get("StreamViewType") == stream
    # The local AWS ignores these two; AWS does not.
    assert told["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert told["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert told["SSESpecification"] == {"SSEEnabled": True}
    assert made["DeletionPolicy"] == made["UpdateReplacePolicy"] == "Retain"


def test_the_stream_is_read_with_partial_failures_and_nothing_is_given_up_silently(
    cloudformation: dict[str, Any],
) -> None:
    mappings = of_type(cloudformation, "AWS::Lambda::EventSourceMapping")
    stream = mappings["StreamReplicatorFunctionStream"]["Properties"]
    assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["StartingPosition"] == "TRIM_HORIZON"
    assert stream["MaximumRetryAttempts"] == -1
    assert 0 < stream["MaximumRecordAgeInSeconds"] < 86_400  # the stream forgets after a day
    assert "Destination" in stream["DestinationConfig"]["OnFailure"]
    queue = mappings["StatsReplicatorFunctionQueue"]["Properties"]
    assert queue["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    waits = cloudformation["Resources"]["StatsQueue"]["Properties"]
    function = cloudformation["Resources"]["StatsReplicatorFunction"]["Properties"]
    assert waits["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert "deadLetterTargetArn" in waits["RedrivePolicy"]


def test_every_handler_is_there(cloudformation: dict[str, Any]) -> None:
    handlers = {one["Properties"]["Handler"] for one in of_type(cloudformation, "AWS::Lambda::Function").values()}
    assert len(handlers) == 7
    for handler in handlers:
        module, _, name = handler.rpartition(".")
        found = importlib.import_module(module)
        assert name in vars(found) or name in getattr(found, "_BUILDERS", {}), handler


def test_every_variable_is_a_setting_that_is_documented(cloudformation: dict[str, Any]) -> None:
    known = {name.upper() for name in (*HudSettings.model_fields, *RelaySettings.model_fields)}
    documented = set(re.findall(r"^\| `([A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    for name, function in of_type(cloudformation, "AWS::Lambda::Function").items():
        variables = set(function["Properties"]["Environment"]["Variables"])
        assert variables <= documented, name
        if name in ("RelayFunction", "OutboxFunction", "HudFunction"):
            assert variables - {"OOT_HUD_SECRETS_ARN"} <= known, name


def test_each_function_may_do_what_it_needs_and_nothing_everywhere(cloudformation: dict[str, Any]) -> None:
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in of_type(cloudformation, "AWS::IAM::Role").items()
        for policy in role["Properties"].get("Policies", [])
    ]
    documents += [
        (name, one["Properties"]["PolicyDocument"])
        for name, one in of_type(cloudformation, "AWS::IAM::ManagedPolicy").items()
    ]
    secrets = {}
    for name, document in documents:
        for statement in document["Statement"]:
            if "Fn::If" in statement:
                statement = statement["Fn::If"][1]  # noqa: PLW2901 - what it is where the condition holds
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action], name
            assert statement["Resource"] not in ("*", ["*"]), name
            if "secretsmanager:GetSecretValue" in actions:
                secrets[name] = statement["Resource"]["Ref"]
    assert secrets == {
        "RelayPolicy": "RelaySecretArn",
        "HudFunctionRole": "HudSecretArn",
        "StreamReplicatorFunctionRole": "ReplicatorSecretArn",
        "VerifyFunctionRole": "ReplicatorSecretArn",
        "StatsReplicatorFunctionRole": "ReplicatorSecretArn",
    }


def test_buckets_are_private_and_encrypted(cloudformation: dict[str, Any]) -> None:
    for name, bucket in of_type(cloudformation, "AWS::S3::Bucket").items():
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values()), name
        assert bucket["Properties"]["BucketEncryption"], name


def test_no_secret_is_a_parameter(template: dict[str, Any]) -> None:
    assert not [name for name in template["Parameters"] if re.search(r"Token|Password|Key$", name)]


def test_every_alarm_tells_somebody_and_has_its_section_in_the_runbook(cloudformation: dict[str, Any]) -> None:
    headings = re.findall(r"^###? (\w+)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE)
    for name, alarm in of_type(cloudformation, "AWS::CloudWatch::Alarm").items():
        told = alarm["Properties"]
        assert told["AlarmDescription"].endswith(f"docs/operating.md#{name.lower()}"), name
        assert name in headings, name
        assert (
            told["AlarmActions"]
            == told["OKActions"]
            == [{"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}]
        )


def test_an_alarm_on_a_number_of_ours_names_one_that_is_recorded(cloudformation: dict[str, Any]) -> None:
    alarms = [alarm["Properties"] for alarm in of_type(cloudformation, "AWS::CloudWatch::Alarm").values()]
    own = [alarm for alarm in alarms if not alarm["Namespace"].startswith("AWS/")]
    assert len(own) >= 5
    recorded = {
        (NAMESPACES[part], name, metric.labels) for part, metrics in METRICS.items() for name, metric in metrics.items()
    }
    for alarm in own:
        labels = tuple(dimension["Name"] for dimension in alarm.get("Dimensions", []))
        assert (alarm["Namespace"], alarm["MetricName"], labels) in recorded


@pytest.mark.parametrize(
    "name",
    [
        *("OutboxAgeAlarm", "OutboxDeadLettersAlarm", "SweeperHeartbeatAlarm", "ReplicationLagAlarm"),
        *("ReplicationFailuresAlarm", "ReplicationDeadLettersAlarm", "StatsDeadLettersAlarm", "VerifyAlarm"),
        *("RelayErrorsAlarm", "HudErrorsAlarm"),
    ],
)
def test_what_must_not_go_unseen_has_an_alarm(template: dict[str, Any], name: str) -> None:
    assert template["Resources"][name]["Type"] == "AWS::CloudWatch::Alarm"


def test_the_stack_is_created_for_real(
    local_aws: dict[str, Any], created: Created, cloudformation: dict[str, Any]
) -> None:
    assert set(created.resources) >= set(cloudformation["Resources"])
    table = boto3.client("dynamodb", **local_aws).describe_table(TableName=created.outputs["ResultsTableName"])["Table"]
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"running_repo", "running_pr"}
    functions = boto3.client("lambda", **local_aws).list_functions()["Functions"]
    assert len(functions) == 7
    relay = next(one for one in functions if one["Handler"].endswith("relay_handler"))
    assert relay["Environment"]["Variables"]["RELAY_TABLE"] == created.outputs["RelayTableName"]


def test_doctor_finds_nothing_lacking_in_it(
    local_aws: dict[str, Any], created: Created, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"endpoint_url": "ENDPOINT_URL", "region_name": "DEFAULT_REGION", "aws_access_key_id": "ACCESS_KEY_ID"}
    for name, variable in {**names, "aws_secret_access_key": "SECRET_ACCESS_KEY"}.items():
        monkeypatch.setenv(f"AWS_{variable}", local_aws[name])
    monkeypatch.setenv("RESULTS_TABLE", created.outputs["ResultsTableName"])
    monkeypatch.setenv("RELAY_TABLE", created.outputs["RelayTableName"])
    monkeypatch.setenv("CLICKHOUSE_URL", stack.state["clickhouse_url"])
    checks = {check.name: check for check in examine(dict(os.environ))}
    assert {name for name, check in checks.items() if check.state == "fail"} <= {"sweeper"}  # which nobody starts here
    assert "IteratorAge" in checks["replication"].seen


def test_the_allowlist_is_the_one_that_the_relay_of_today_reads(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Allowlist"]["Default"] == ALLOWLIST
    assert ALLOWLIST in (ROOT / "docs/onboarding.md").read_text()


def test_the_runbook_names_outputs_that_exist(template: dict[str, Any]) -> None:
    text = (ROOT / "docs/operating.md").read_text()
    told = set(re.findall(r"`(\w+(?:Name|Url))`", text))
    assert {"ResultsTableName", "RelayTableName", "OutboxBucketName"} <= told <= set(template["Outputs"])
