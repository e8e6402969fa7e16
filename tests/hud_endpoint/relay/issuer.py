"""An OIDC issuer with real RSA keys, for tokens that GitHub would sign and for those that it never would."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from hud_endpoint.contract import AUDIENCE
from oot_local.github import job_claims
from tests.hud_endpoint.samples import ABSENT
from tests.hud_endpoint.web import Web, as_json

DISCOVERY, JWKS = "/.well-known/openid-configuration", "/.well-known/jwks"
ORGANIZATION, PIPELINE = "018b5ec5-c236-4037-ba08-d8a5d29bcdae", "018cdabc-d930-49f6-9085-634c4cb582ed"
BUILDKITE: dict[str, Any] = {
    "sub": "organization:example:pipeline:ci:ref:refs/heads/main:commit:" + "c" * 40 + ":step:",
    "organization_slug": "example",
    "organization_id": ORGANIZATION,
    "pipeline_slug": "ci",
    "pipeline_id": PIPELINE,
    "build_number": 89,
    "build_branch": "main",
    "build_tag": None,
    "build_commit": "c" * 40,
    "step_key": None,
    "job_id": "01945ecf-80f0-41e8-9b83-a2970a9305a1",
    "agent_id": "01945ecf-8bcf-40a6-9d70-a765db9a0928",
    "build_source": "schedule",
    "runner_environment": "self-hosted",
}
GITLAB: dict[str, Any] = {
    "sub": "project_path:example/sub/torch:ref_type:branch:ref:main",
    "namespace_id": "68413579",
    "namespace_path": "example/sub",
    "project_id": "46573356",
    "project_path": "example/sub/torch",
    "pipeline_id": "1519139981",
    "pipeline_source": "schedule",
    "job_id": "8222997048",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "runner_environment": "gitlab-hosted",
    "sha": "d" * 40,
    "ci_config_ref_uri": "gitlab.com/example/sub/torch//.gitlab-ci.yml@refs/heads/main",
}


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """One key a name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(name: str, **changes: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(private_key(name).public_key(), as_dict=True), "kid": name, "use": "sig", **changes}


def public_pem(name: str) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key(name).public_key().public_bytes(serialization.Encoding.PEM, form)


def segment(value: object) -> str:
    """A part of a token: JSON, or bytes as they are."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Serves its keys over real HTTP and signs claims, as one kind of issuer does."""

    def __init__(self, web: Web, *names: str, kind: str = "github") -> None:
        self.web = web
        self.kind = kind
        self.setting = f"{kind}={web.url}"
        self.url = web.url
        web.answers[DISCOVERY] = as_json({"issuer": web.url, "jwks_uri": web.url + JWKS})
        self.publish(*(public_jwk(name) for name in names))

    def publish(self, *keys: Any) -> None:
        self.web.answers[JWKS] = as_json({"keys": list(keys)})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A job's claims, as of now; ABSENT takes one out."""
        now = int(time.time())
        github = job_claims("example-org/torch-sample", run_id="240", check_run_id="987")
        whole = {"github": github, "buildkite": BUILDKITE, "gitlab": GITLAB}[self.kind] | {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now - 600,
            "exp": now + 300,
            "jti": "j",
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not ABSENT}

    def sign(
        self, claims: dict[str, Any] | None = None, *, key: str = "main", algorithm: str = "RS256", **header: Any
    ) -> str:
        """Sign with the key of that name, whose kid is its name unless the header says otherwise."""
        headers = {name: value for name, value in {"kid": key, **header}.items() if value is not ABSENT}
        head, body = segment({"typ": "JWT", "alg": algorithm, **headers}), segment(claims or self.claims())
        signer = jwt.get_algorithm_by_name(algorithm)
        signature = signer.sign(f"{head}.{body}".encode(), private_key(key))
        return f"{head}.{body}.{segment(signature)}"
