"""deploy/template.yaml: what AWS would make of it, created for real on the local AWS, and what that can't check."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hud_endpoint.errors import CODES
from hud_endpoint.metrics import METRICS, NAMESPACES
from hud_endpoint.settings import HudSettings, PagesSettings, RelaySettings
from oot_ops.create_tables import dynamodb_tables
from oot_ops.doctor.backend import ALLOWLIST
from oot_ops.doctor.operator import examine
from tests.deploy.conftest import TEXT, UNKNOWN_LOCALLY, allowed, function_of

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
    assert len(handlers) == 8
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
        if name in ("RelayFunction", "OutboxFunction", "ResultsFunction", "PagesFunction"):
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
        "ResultsFunctionRole": "HudSecretArn",
        "PagesFunctionRole": "PagesSecretArn",
        "StreamReplicatorFunctionRole": "ReplicatorSecretArn",
        "VerifyFunctionRole": "ReplicatorSecretArn",
        "StatsReplicatorFunctionRole": "ReplicatorSecretArn",
    }


def test_buckets_are_private_and_encrypted(cloudformation: dict[str, Any]) -> None:
    for name, bucket in of_type(cloudformation, "AWS::S3::Bucket").items():
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values()), name
        assert bucket["Properties"]["BucketEncryption"], name


def test_buckets_are_spoken_to_over_tls_alone(cloudformation: dict[str, Any]) -> None:
    policies = of_type(cloudformation, "AWS::S3::BucketPolicy").values()
    guarded = {}
    for policy in (one["Properties"] for one in policies):
        (denied,) = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
        assert (denied["Principal"], denied["Action"]) == ("*", "s3:*")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        guarded[policy["Bucket"]["Ref"]] = denied["Resource"]
    assert guarded == {
        name: [{"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]
        for name in of_type(cloudformation, "AWS::S3::Bucket")
    }


def test_buckets_forget_uploads_that_were_never_ended(cloudformation: dict[str, Any]) -> None:
    for name, bucket in of_type(cloudformation, "AWS::S3::Bucket").items():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        (rule,) = [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
        assert 1 <= rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 7, name
        assert rule["Status"] == "Enabled", name
        assert not rule.keys() & {"Prefix", "Filter"}, name  # of the whole bucket


class TestWhatStrangersMayAsk:
    """Limits for each address in front of both APIs, and a function for the pages that could do no harm."""

    def test_every_api_has_the_limits_in_front(self, cloudformation: dict[str, Any]) -> None:
        resources = cloudformation["Resources"]
        assert not [name for name, one in resources.items() if one["Type"].startswith("AWS::ApiGatewayV2::")]
        guarded = {
            one["Properties"]["ResourceArn"]["Fn::Sub"][0]: one["Properties"]
            for one in of_type(cloudformation, "AWS::WAFv2::WebACLAssociation").values()
        }
        for api in of_type(cloudformation, "AWS::ApiGateway::RestApi"):
            (stage,) = [
                name
                for name, one in of_type(cloudformation, "AWS::ApiGateway::Stage").items()
                if one["Properties"]["RestApiId"] == {"Ref": api}
            ]
            told = guarded.pop(
                f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/restapis/${{{api}}}/stages/${{Stage}}"
            )
            assert told["ResourceArn"]["Fn::Sub"][1] == {"Stage": {"Ref": stage}}
            assert told["WebACLArn"] == {"Fn::GetAtt": ["WebAcl", "Arn"]}
        assert not guarded

    def test_one_address_is_told_to_come_again(self, cloudformation: dict[str, Any]) -> None:
        acl = cloudformation["Resources"]["WebAcl"]["Properties"]
        assert acl["Scope"] == "REGIONAL"  # what a REST API can have
        (rule,) = acl["Rules"]
        limit = rule["Statement"]["RateBasedStatement"]
        assert (limit["AggregateKeyType"], limit["Limit"]) == ("IP", {"Ref": "RequestsPerAddress"})
        answer = rule["Action"]["Block"]["CustomResponse"]
        assert answer["ResponseCode"] == 429  # WAF's own is 403, after which the action would give up
        assert answer["ResponseHeaders"] == [{"Name": "retry-after", "Value": "60"}]
        body = json.loads(acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]["Content"])
        assert CODES[body["code"]] == 429
        assert body["detail"] == body["error"]
        for visible in (rule, acl):
            assert visible["VisibilityConfig"]["SampledRequestsEnabled"] is False  # samples show headers

    @pytest.mark.parametrize(
        ("path", "counted"),
        [
            ("/v1/api/oot/results", False),
            ("/v1/api/crcr/results", False),
            ("/api/oot/results", False),  # by HudDomainName
            ("/v1/github/callback", True),
            ("/v1/oot", True),
            ("/oot", True),
            ("/v1/oot/api/oot/results", True),
            ("/v1/api/oot/results/", True),
            ("/v1/api/oot/results/../../../oot", True),
            ("/v1/api/oot/results%2f..%2f..%2foot", True),
            ("/v1/api/clickhouse/oot_summary", True),
            ("/v2/api/oot/results", True),
            ("/v1//api/oot/results", True),
        ],
    )
    def test_only_what_the_relay_delivers_is_not_counted(
        self,
        cloudformation: dict[str, Any],
        path: str,
        counted: bool,  # noqa: FBT001 - a column
    ) -> None:
        (rule,) = cloudformation["Resources"]["WebAcl"]["Properties"]["Rules"]
        scope = rule["Statement"]["RateBasedStatement"]["ScopeDownStatement"]["NotStatement"]["Statement"]
        pattern = scope["RegexMatchStatement"]
        assert pattern["FieldToMatch"] == {"UriPath": {}}
        assert pattern["TextTransformations"] == [{"Priority": 0, "Type": "NONE"}]
        assert (re.search(pattern["RegexString"], path) is None) == counted

    @pytest.mark.parametrize(
        ("api", "method", "path", "function"),
        [
            ("HudApi", "POST", "/api/oot/results", "ResultsFunction"),
            ("HudApi", "POST", "/api/oot/results/", "ResultsFunction"),
            ("HudApi", "POST", "/api/crcr/results", "ResultsFunction"),
            ("HudApi", "GET", "/api/oot/results", None),
            ("HudApi", "GET", "/api/clickhouse/oot_summary", "PagesFunction"),
            ("HudApi", "GET", "/", "PagesFunction"),
            ("HudApi", "GET", "/oot", "PagesFunction"),
            ("HudApi", "GET", "/oot/o/r.json", "PagesFunction"),
            ("HudApi", "POST", "/oot", "PagesFunction"),
            ("HudApi", "GET", "/readyz", "PagesFunction"),
            ("RelayApi", "POST", "/github/callback", "RelayFunction"),
            ("RelayApi", "POST", "/github/callback/", "RelayFunction"),
            ("RelayApi", "POST", "/internal/dispatch", "RelayFunction"),
            ("RelayApi", "GET", "/readyz", "RelayFunction"),
            ("RelayApi", "GET", "/", None),
            ("RelayApi", "GET", "/docs", None),
        ],
    )
    def test_each_path_has_its_function(
        self, cloudformation: dict[str, Any], api: str, method: str, path: str, function: str | None
    ) -> None:
        assert function_of(cloudformation, api, method, path) == function

    def test_the_pages_can_write_nothing_and_know_no_token(self, cloudformation: dict[str, Any]) -> None:
        assert allowed(cloudformation, "PagesFunction") == [
            "dynamodb:GetItem",
            "dynamodb:Query",
            "secretsmanager:GetSecretValue",
        ]
        variables = cloudformation["Resources"]["PagesFunction"]["Properties"]["Environment"]["Variables"]
        assert variables["OOT_HUD_SECRETS_ARN"] == {"Ref": "PagesSecretArn"}
        others = {
            str(function["Properties"]["Environment"]["Variables"].get("OOT_HUD_SECRETS_ARN"))
            for name, function in of_type(cloudformation, "AWS::Lambda::Function").items()
            if name != "PagesFunction"
        }
        assert str({"Ref": "PagesSecretArn"}) not in others
        assert not [name for name in PagesSettings.model_fields if "token" in name or "key" in name]

    @pytest.mark.parametrize("name", ["RelayFunction", "ResultsFunction"])
    def test_what_takes_results_in_can_have_concurrency_of_its_own(
        self, template: dict[str, Any], cloudformation: dict[str, Any], name: str
    ) -> None:
        reserved = cloudformation["Resources"][name]["Properties"]["ReservedConcurrentExecutions"]
        assert reserved == {"Fn::If": ["ReservesConcurrency", {"Ref": "IntakeConcurrency"}, {"Ref": "AWS::NoValue"}]}
        assert template["Parameters"]["IntakeConcurrency"]["Default"] == 0

    def test_nothing_is_reserved_in_a_new_account(self, cloudformation: dict[str, Any]) -> None:
        """It has ten executions in all, and AWS refuses to set any of them aside."""
        for name, function in of_type(cloudformation, "AWS::Lambda::Function").items():
            reserved = function["Properties"].get("ReservedConcurrentExecutions")
            if reserved is not None:
                assert reserved["Fn::If"][0] == "ReservesConcurrency", name
                assert reserved["Fn::If"][2] == {"Ref": "AWS::NoValue"}, name


def test_the_sweeper_holds_no_secret(cloudformation: dict[str, Any]) -> None:
    variables = cloudformation["Resources"]["SweepFunction"]["Properties"]["Environment"]["Variables"]
    assert variables.keys() == {"RELAY_TABLE", "RESULTS_TABLE", "METRICS"}
    may = allowed(cloudformation, "SweepFunction")
    assert {action.partition(":")[0] for action in may} == {"dynamodb"}
    role = cloudformation["Resources"]["SweepFunctionRole"]["Properties"]
    assert {"Ref": "RelayPolicy"} not in role["ManagedPolicyArns"]


@pytest.mark.parametrize("name", ["RelayFunction", "OutboxFunction", "PagesFunction"])
def test_links_lead_where_people_see_hud(cloudformation: dict[str, Any], name: str) -> None:
    variables = cloudformation["Resources"][name]["Properties"]["Environment"]["Variables"]
    assert variables["HUD_PUBLIC_URL"] == {
        "Fn::If": ["HasPublicUrl", {"Ref": "HudPublicUrl"}, {"Fn::Sub": "https://${HudDomainName}"}]
    }


def test_a_stack_without_an_address_for_its_pages_is_refused(template: dict[str, Any]) -> None:
    (rule,) = template["Rules"]["ThePagesHaveAnAddress"]["Assertions"]
    assert {"HudPublicUrl", "HudDomainName"} <= set(re.findall(r"Hud\w+", json.dumps(rule["Assert"])))


class TestLogs:
    def test_every_function_s_are_kept_for_a_while(self, cloudformation: dict[str, Any]) -> None:
        groups = of_type(cloudformation, "AWS::Logs::LogGroup")
        used = []
        for name, function in of_type(cloudformation, "AWS::Lambda::Function").items():
            group = function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
            used.append(group)
            assert groups[group].get("Condition") == function.get("Condition"), name
        assert len(set(used)) == len(used)
        for name, group in groups.items():
            assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name
        assert groups["RelayLogs"]["DeletionPolicy"] == "Retain"  # the audit records

    def test_every_request_leaves_a_line_without_what_authenticates_it(self, cloudformation: dict[str, Any]) -> None:
        groups = of_type(cloudformation, "AWS::Logs::LogGroup")
        for name, stage in of_type(cloudformation, "AWS::ApiGateway::Stage").items():
            setting = stage["Properties"]["AccessLogSetting"]
            assert setting["DestinationArn"]["Fn::GetAtt"][0] in groups, name
            line = json.loads(setting["Format"])  # which fails for more than one
            assert "\n" not in setting["Format"]
            assert {line["address"], line["status"]} == {"$context.identity.sourceIp", "$context.status"}
            assert not re.search(r"(?i)header|authorizer|query|\$context\.identity\.(?!sourceIp)", setting["Format"])

    def test_api_gateway_may_write_them_before_the_stages_are_made(self, cloudformation: dict[str, Any]) -> None:
        account = cloudformation["Resources"]["ApiGatewayAccount"]
        assert account["DeletionPolicy"] == "Retain"  # it is the account's, not the stack's
        for stage in of_type(cloudformation, "AWS::ApiGateway::Stage").values():
            assert '{"Ref": "ApiGatewayAccount"}' in json.dumps(stage["Properties"]["Tags"])


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
    expected = {
        name
        for name, one in cloudformation["Resources"].items()
        if one["Type"] not in UNKNOWN_LOCALLY and one.get("Condition") != "HasDomain"
    }
    assert set(created.resources) >= expected
    table = boto3.client("dynamodb", **local_aws).describe_table(TableName=created.outputs["ResultsTableName"])["Table"]
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"running_repo", "running_pr"}
    functions = boto3.client("lambda", **local_aws).list_functions()["Functions"]
    assert len(functions) == 8
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


def test_the_runbook_names_outputs_and_parameters_that_exist(template: dict[str, Any]) -> None:
    text = (ROOT / "docs/operating.md").read_text()
    told = set(re.findall(r"`(\w+(?:Name|Url))`", text))
    known = {*template["Outputs"], *template["Parameters"]}
    assert {"ResultsTableName", "RelayTableName", "OutboxBucketName", "HudPublicUrl"} <= told <= known
