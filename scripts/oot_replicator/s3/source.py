"""How ClickHouse reaches an object of S3: the `s3()` to write into a query, with the credentials it is to use."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oot_replicator.s3.tables import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    Keys = tuple[str, ...]  # access key id, secret access key, and the session's token where there is one


@dataclass(frozen=True)
class S3Source:
    """An S3 and a way to be let in; `kind` is server, public, environment, role or collection, `name` its argument."""

    endpoint: str
    kind: str = "server"
    name: str = ""
    keys: Callable[[], Keys] = field(default=lambda: (), repr=False)

    def sql(self, path: str, form: str, structure: str = "", compression: str = "") -> str:
        """Give the s3() that reads `<bucket>/<key or glob>` in a format of ClickHouse's."""
        url = quoted(f"{self.endpoint}/{path}")
        told = [quoted(part) for part in (form, structure, compression) if part]
        if self.kind == "collection":
            names = ("format", "structure", "compression_method")
            return f"s3({', '.join([self.name, f'url={url}', *map('='.join, zip(names, told, strict=False))])})"
        if self.kind == "role":
            return f"s3({', '.join([url, *told])}, extra_credentials(role_arn = {quoted(self.name)}))"
        access = {"public": ["NOSIGN"], "environment": [quoted(key) for key in self.keys()]}.get(self.kind, [])
        return f"s3({', '.join([url, *access, *told])})"

    def hidden(self, text: str) -> str:
        """Give the text without the keys, should a server have repeated them."""
        for key in self.keys():
            text = text.replace(key, "[HIDDEN]") if len(key) > 7 else text
        return text


def source_from_environment() -> S3Source:
    """Read AWS_ENDPOINT_URL, AWS_REGION and S3_CREDENTIALS. Raises ValueError for what S3_CREDENTIALS can't be."""
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    told = os.environ.get("S3_CREDENTIALS") or ("environment" if own else "server")
    kind, _, name = told.partition(":")
    needs_name = kind in ("role", "collection")
    if kind not in ("server", "public", "environment", "role", "collection") or needs_name != bool(name):
        raise ValueError(
            "S3_CREDENTIALS is `server` (ClickHouse's own identity), `role:<ARN>`, `collection:<name>`, `public` "
            "or `environment` (this process's AWS keys, handed to ClickHouse)"
        )
    if kind == "collection" and not name.isidentifier():
        raise ValueError("S3_CREDENTIALS: the name of a named collection has letters, digits and _ only")
    endpoint = own.rstrip("/") if own else f"https://s3.{region}.amazonaws.com"
    return S3Source(endpoint, kind, name, _keys_of_environment() if kind == "environment" else lambda: ())


def _keys_of_environment() -> Callable[[], Keys]:
    import boto3

    found = boto3.Session().get_credentials()
    if found is None:
        raise ValueError("S3_CREDENTIALS=environment, and there are no AWS credentials in the environment")

    def keys() -> Keys:
        frozen = found.get_frozen_credentials()  # refreshed when they are about to expire
        return tuple(key for key in (frozen.access_key, frozen.secret_key, frozen.token) if key)

    return keys
