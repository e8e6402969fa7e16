"""The template as AWS would transform it, and its stack, created for real on a local AWS of its own."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from oot_local.processes import reserve_port
from tests.deploy.lambda_function import LambdaFunction
from tests.integration.own_servers import running
from tests.integration.waiting import SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy/template.yaml").read_text()
STATS_BUCKET = "oot-stats"
PUBLIC_URL = "https://hud.example.org"
UNKNOWN_LOCALLY = frozenset({"AWS::WAFv2::WebACLAssociation"})  # by the local AWS; test_template looks at them
SECRET = "a-token-of-these-tests-of-enough-length"


class NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


class Created(NamedTuple):
    """The stack: physical ids by logical id, and its outputs."""

    resources: dict[str, str]
    outputs: dict[str, str]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml_parse(TEXT)
    return parsed


@pytest.fixture(scope="session")
def cloudformation() -> dict[str, Any]:
    """What AWS's own SAM transform makes of it."""
    parsed = yaml_parse(TEXT)
    parsed["Globals"]["Function"]["CodeUri"] = "s3://code/oot-hud-lambda.zip"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        made: dict[str, Any] = transform(parsed, {"StatsBucketName": STATS_BUCKET}, NoManagedPolicies())
    return made


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A local AWS of its own, with every service that the template uses."""
    port = reserve_port(0, "aws")
    env = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "PERSIST_STATE": "0", "IOT_MTLS_ENABLED": "0"}
    command = [str(Path(sys.executable).parent / "ministack")]
    with (
        (tmp_path_factory.mktemp("aws") / "aws.log").open("wb") as log,
        running(command, env={**os.environ, **env}, stdout=log, stderr=log) as process,
    ):
        wait_for(lambda: _listens(port), "the local AWS", alive=lambda: process.poll() is None)
        yield {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def created(local_aws: dict[str, Any], cloudformation: dict[str, Any], stack: Stack) -> Created:
    """The stack with its parameters; ClickHouse and GitHub are those of the local stack."""
    s3 = boto3.client("s3", **local_aws)
    s3.create_bucket(Bucket="code")
    # An empty zip, and no schedule or mapping may call it: the tests call the handlers themselves.
    s3.put_object(Bucket="code", Key="oot-hud-lambda.zip", Body=b"PK\x05\x06" + b"\0" * 18)
    s3.put_object(Bucket="code", Key="allowlist.yml", Body=b"L2: [example-org/torch-sample]\n")
    clickhouse = stack.state["clickhouse_url"]
    secrets = {
        "Relay": {"HUD_API_TOKEN": SECRET, "DISPATCH_TOKEN": SECRET, "CALLBACK_SIGNING_KEY": SECRET},
        "Hud": {"INTERNAL_API_TOKEN": SECRET},
        "Pages": {"CLICKHOUSE_URL": clickhouse},
        "Replicator": {"CLICKHOUSE_URL": clickhouse},
    }
    manager = boto3.client("secretsmanager", **local_aws)
    parameters = {
        f"{name}SecretArn": manager.create_secret(Name=name, SecretString=json.dumps(secret))["ARN"]
        for name, secret in secrets.items()
    }
    parameters |= {
        "Allowlist": "s3://code/allowlist.yml",
        "OidcIssuers": stack.state["github_url"],
        "DispatchPolicy": "optional",
        "HudPublicUrl": PUBLIC_URL,
        "StatsBucketName": STATS_BUCKET,
    }
    client = boto3.client("cloudformation", **local_aws)
    resources = {name: one for name, one in cloudformation["Resources"].items() if one["Type"] not in UNKNOWN_LOCALLY}
    client.create_stack(
        StackName="oot-hud",
        TemplateBody=json.dumps({**cloudformation, "Resources": resources}),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    deadline = time.monotonic() + SECONDS
    while "IN_PROGRESS" in (told := client.describe_stacks(StackName="oot-hud")["Stacks"][0])["StackStatus"]:
        assert time.monotonic() < deadline
    assert told["StackStatus"] == "CREATE_COMPLETE", told
    made = client.describe_stack_resources(StackName="oot-hud")["StackResources"]
    return Created(
        {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in made},
        {one["OutputKey"]: one["OutputValue"] for one in told["Outputs"]},
    )


def function_of(cloudformation: dict[str, Any], api: str, method: str, path: str) -> str | None:
    """Return the logical id of the function that API Gateway calls: the most specific resource counts."""
    resources = cloudformation["Resources"][api]["Properties"]["Body"]["paths"]
    for resource in sorted(resources, key=len, reverse=True):
        stem, greedy, _ = resource.partition("{proxy+}")
        if path == resource or (greedy and path.startswith(stem) and path != stem.rstrip("/")):
            methods = resources[resource]
            method_found = methods.get(method.lower()) or methods.get("x-amazon-apigateway-any-method")
            if method_found is None:
                return None
            uri = method_found["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            return str(uri.partition("functions/${")[2].partition(".Arn}")[0])
    return None


def allowed(cloudformation: dict[str, Any], name: str) -> list[str]:
    """Give the actions that a function's role allows."""
    resources = cloudformation["Resources"]
    role = resources[f"{name}Role"]["Properties"]
    policies = [one["PolicyDocument"] for one in role.get("Policies", [])]
    policies += [
        resources[one["Ref"]]["Properties"]["PolicyDocument"]
        for one in role["ManagedPolicyArns"]
        if isinstance(one, dict) and "Ref" in one
    ]
    statements = [one["Fn::If"][1] if "Fn::If" in one else one for policy in policies for one in policy["Statement"]]
    actions = [one["Action"] if isinstance(one["Action"], list) else [one["Action"]] for one in statements]
    return sorted(action for some in actions for action in some)


@pytest.fixture(scope="module")
def functions(
    local_aws: dict[str, Any], created: Created, cloudformation: dict[str, Any]
) -> Iterator[Callable[..., LambdaFunction]]:
    """Starts a function of the stack, by its logical id, with what Lambda would give it."""
    pytest.importorskip("awslambdaric", reason="AWS's runtime client is for Linux alone")
    known = {one["FunctionName"]: one for one in boto3.client("lambda", **local_aws).list_functions()["Functions"]}
    started: list[LambdaFunction] = []

    def start(name: str, **changes: str) -> LambdaFunction:
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL": local_aws["endpoint_url"],
            "ALLOWED_ACTIONS": json.dumps(allowed(cloudformation, name)),
            **changes,
        }
        about = known[created.resources[name]]
        settings = {**about["Environment"]["Variables"], **environment}
        started.append(LambdaFunction(about["Handler"], settings))
        return started[-1]

    yield start
    for function in started:
        function.end()
