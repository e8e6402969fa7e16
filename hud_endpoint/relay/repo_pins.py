"""Which repo a name stands for: its immutable ids, pinned when a result of it is first accepted.

Names are free again after a rename or a deletion; ids are not. A token with the name and other ids is refused until an
operator releases the pin (`oot-hud repo-pins`), or the allowlist names the new `id`. Repos of pipelines elsewhere have
no pin: the allowlist maps their immutable ids already.
https://docs.github.com/actions/reference/security/oidc
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.allowlist import Listed
    from hud_endpoint.relay.oidc import Identity

PREFIX = "repo#"
GITHUB_HOST = "token.actions.githubusercontent.com"  # of its issuer, that of an enterprise with a slug too


@dataclass(frozen=True)
class RepoPin:
    """The ids of a repo, by the issuer that said them; `pinned_at` is in seconds since the epoch."""

    issuer: str
    repo: str
    repository_id: str
    repository_owner_id: str
    pinned_at: float


class RepoPins:
    """The pins, in the relay's table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def every(self) -> Iterator[RepoPin]:
        """Return all pins. Scans the table. Raises what boto3 raises."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": PREFIX}},
        )
        for page in pages:
            yield from (parse_pin(item) for item in page["Items"])

    def release(self, pin: RepoPin) -> bool:
        """Remove a pin, so that the next accepted result sets it anew. Returns False where it has changed since.

        Raises what boto3 raises.
        """
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"pk": {"S": pin_key(pin.issuer, pin.repo)}},
                ConditionExpression="repository_id = :id AND repository_owner_id = :owner",
                ExpressionAttributeValues={
                    ":id": {"S": pin.repository_id},
                    ":owner": {"S": pin.repository_owner_id},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def pin_key(issuer: str, repo: str) -> str:
    """Return the key of a repo's pin; GitHub compares names without case."""
    return f"{PREFIX}{issuer}#{repo.lower()}"


def parse_pin(item: dict[str, Any]) -> RepoPin:
    """Read a pin's item."""
    issuer, _, repo = item["pk"]["S"].removeprefix(PREFIX).rpartition("#")
    return RepoPin(
        issuer=issuer,
        repo=item.get("repo", {}).get("S", repo),
        repository_id=item["repository_id"]["S"],
        repository_owner_id=item["repository_owner_id"]["S"],
        pinned_at=float(item["pinned_at"]["N"]),
    )


def pin_put(table: str, identity: Identity, now: float) -> dict[str, Any]:
    """Return the write that pins the repo of a token, for the transaction that accepts its first result.

    It fails where the repo is pinned to other ids.
    """
    return {
        "Put": {
            "TableName": table,
            "Item": {
                "pk": {"S": pin_key(identity.issuer, identity.repo)},
                "repo": {"S": identity.repo},
                "repository_id": {"S": identity.repository_id},
                "repository_owner_id": {"S": identity.repository_owner_id or ""},
                "pinned_at": {"N": repr(now)},
            },
            "ConditionExpression": (
                "attribute_not_exists(pk) OR (repository_id = :id AND repository_owner_id = :owner)"
            ),
            "ExpressionAttributeValues": {
                ":id": {"S": identity.repository_id},
                ":owner": {"S": identity.repository_owner_id or ""},
            },
        }
    }


def needs_pin(identity: Identity, listed: Listed) -> bool:
    """Say whether a repo is identified by a pin: its ids are in its token, and the allowlist names no id."""
    return identity.repository_owner_id is not None and not listed.repository_id


def stable_id(identity: Identity) -> str | None:
    """Return what tells a repo from every other, whatever they are called: GitHub's number, `host:number` elsewhere.

    None for a pipeline elsewhere, which is no repo itself: several of them may speak for one of the allowlist.
    """
    if identity.repository_owner_id is None:
        return None
    host = urlsplit(identity.issuer).hostname
    return identity.repository_id if host == GITHUB_HOST else f"{host}:{identity.repository_id}"


def check_ids(identity: Identity, listed: Listed, pin: RepoPin | None) -> None:
    """Raise RefusedError `repo_id_changed` where the token's ids are not those that the repo is known by."""
    if identity.repository_owner_id is None:
        return
    if listed.repository_id:
        if identity.repository_id != listed.repository_id:
            raise RefusedError(
                "repo_id_changed",
                f"{identity.repo} is repository {listed.repository_id} on the allowlist, and this token is of "
                f"repository {identity.repository_id}: ask PyTorch's dev infra to correct its `id` there.",
            )
        return
    ids = (identity.repository_id, identity.repository_owner_id)
    if pin is not None and ids != (pin.repository_id, pin.repository_owner_id):
        raise RefusedError(
            "repo_id_changed",
            f"{identity.repo} was repository {pin.repository_id} of owner {pin.repository_owner_id} when it first "
            f"reported, and this token is of repository {ids[0]} of owner {ids[1]}: if the repo was made anew, ask "
            "PyTorch's dev infra to release its pin.",
        )
