"""An AWS role for this job: GitHub's OIDC token for it, credentials of an hour, confined to this upload's own folder.

The role's own policy should say no more than this repository's folder (the README has it). The session policy, which
goes with the call, narrows that to the run's: what leaks from a job can then write there and nowhere else.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Callable, NamedTuple

from oot_runner import identity
from oot_runner.messages import ReportError
from oot_runner.upload.messages import UploadError

if TYPE_CHECKING:
    from oot_runner.upload.install_boto3 import Boto3

AUDIENCE = "sts.amazonaws.com"
SECONDS = 3600
_MAX_TIME, _RETRIES = 10.0, 3


class Credentials(NamedTuple):
    """What AWS gave for the token."""

    access_key: str
    secret_key: str
    token: str


def assume(
    boto3: Boto3,
    role: str,
    environ: dict[str, str],
    *,
    session: str,
    region: str,
    policy: str,
    say: Callable[[str], None],
    mask: Callable[[str], None],
) -> Credentials:
    """Exchange this job's OIDC token for the role's credentials.

    Raises UploadError `no_id_token_permission`, `token_endpoint` or `role_refused`.
    """
    url, bearer = environ.get(identity.ENDPOINT, ""), environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not bearer:
        raise UploadError("no_id_token_permission")
    try:
        token = identity.mint(url, bearer, AUDIENCE, _MAX_TIME, _RETRIES, say)
    except ReportError as error:
        raise UploadError("token_endpoint", why=error.message.facts.get("why", error)) from None
    mask(token)
    settings = boto3.Config(
        signature_version=boto3.UNSIGNED, connect_timeout=10, read_timeout=30, retries={"mode": "standard"}
    )
    try:
        given = boto3.client("sts", region_name=region, config=settings).assume_role_with_web_identity(
            RoleArn=role, RoleSessionName=session, WebIdentityToken=token, Policy=policy, DurationSeconds=SECONDS
        )["Credentials"]
    except (boto3.Error, boto3.ClientError) as error:
        repository = environ.get("GITHUB_REPOSITORY", "")
        raise UploadError("role_refused", role=role, why=error, repository=repository) from None
    credentials = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    for secret in credentials[1:]:
        mask(secret)
    return credentials


def session_name(repository: str, run_id: str, attempt: str) -> str:
    """Name the session, by which CloudTrail tells who wrote: 64 characters that AWS allows."""
    end = re.sub(r"[^\w+=,.@-]", "-", f"-{run_id}-{attempt}", flags=re.ASCII)[-40:]
    start = re.sub(r"[^\w+=,.@-]", "-", repository.replace("/", "@"), flags=re.ASCII)
    return f"{start[: 64 - len(end)]}{end}"


def session_policy(role: str, bucket: str, prefix: str) -> str:
    """Give the policy that confines a session to writing below `prefix`; KMS keys only as S3 itself uses them."""
    partition = role.split(":")[1]
    statements = [
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:{partition}:s3:::{bucket}/{prefix}/*",
        },
        {
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],  # multipart uploads to a bucket with a key of its own
            "Resource": "*",
            "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
