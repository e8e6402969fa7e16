"""Dispatch records on a real DynamoDB, and the callback tokens that are signed for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from hud_endpoint.contract import Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.dispatch import KEEP_SECONDS, Dispatches, check_callback_token, sign_callback_token
from tests.hud_endpoint.relay.desk import find_dispatch
from tests.hud_endpoint.relay.issuer import segment
from tests.hud_endpoint.samples import SHA, new_repo

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

TABLE = "torchci-oot-relay"
KEY = "k" * 64
NOW = time.time()


def dispatch(**changes: Any) -> Dispatch:
    about: dict[str, Any] = {"repo": "org/repo", "delivery_id": "d1", "pr_number": 7, "sha": SHA}
    return Dispatch(**about | changes)


@pytest.fixture
def dispatches(dynamodb: DynamoDBClient) -> Dispatches:
    return Dispatches(dynamodb, TABLE)


class TestRecords:
    def test_a_dispatch_is_found_by_repo_without_case_and_delivery(self, dispatches: Dispatches) -> None:
        sent = dispatch(repo=new_repo("Spec"))
        dispatches.record(sent, NOW)
        for repo in (sent.repo, sent.repo.lower(), sent.repo.upper()):
            found = find_dispatch(dispatches._client, TABLE, repo, "d1")
            assert found is not None
            assert (found.dispatch, found.at) == (sent, NOW)

    @pytest.mark.parametrize("delivery_id", ["d2", "D1", "d1 ", "d1#", "#d1"])
    def test_another_delivery_is_not_found(self, dispatches: Dispatches, delivery_id: str) -> None:
        sent = dispatch(repo=new_repo())
        dispatches.record(sent, NOW)
        assert find_dispatch(dispatches._client, TABLE, sent.repo, delivery_id) is None
        assert find_dispatch(dispatches._client, TABLE, new_repo(), "d1") is None

    def test_sent_again_it_stays_as_it_was(self, dispatches: Dispatches) -> None:
        sent = dispatch(repo=new_repo())
        dispatches.record(sent, NOW)
        dispatches.record(sent, NOW + 60)
        found = find_dispatch(dispatches._client, TABLE, sent.repo, "d1")
        assert found is not None
        assert found.at == NOW  # the queue began with the first

    @pytest.mark.parametrize(
        "changes",
        [{"pr_number": 8}, {"sha": "f" * 40}, {"event_type": "push"}, {"upstream_repo": "other/pytorch"}],
        ids=str,
    )
    def test_another_content_under_the_same_delivery_is_refused(
        self, dispatches: Dispatches, changes: dict[str, Any]
    ) -> None:
        sent = dispatch(repo=new_repo())
        dispatches.record(sent, NOW)
        with pytest.raises(RefusedError) as caught:
            dispatches.record(dispatch(repo=sent.repo, **changes), NOW)
        assert (caught.value.code, caught.value.status) == ("dispatch_conflict", 409)
        found = find_dispatch(dispatches._client, TABLE, sent.repo, "d1")
        assert found is not None
        assert found.dispatch == sent

    def test_records_expire_after_two_weeks(self, dispatches: Dispatches, dynamodb: DynamoDBClient) -> None:
        sent = dispatch(repo=new_repo())
        dispatches.record(sent, NOW)
        key = {"pk": {"S": f"dispatch#{sent.repo}#d1"}}
        item = dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
        assert item["expires_at"] == {"N": str(int(NOW) + 14 * 24 * 3600)}

    def test_a_table_that_is_away_is_said_so(self, dynamodb: DynamoDBClient) -> None:
        away = Dispatches(dynamodb, "no-such-table")
        with pytest.raises(RefusedError) as recording:
            away.record(dispatch(), NOW)
        assert recording.value.code == "store_unavailable"


def claims(**changes: Any) -> dict[str, Any]:
    signed = jwt.decode(sign_callback_token(dispatch(), KEY, NOW), options={"verify_signature": False})
    return signed | changes


FORGED = {
    "empty": "",
    "not a token": "x",
    "not base64": "a.b.c",
    "not ASCII": "é.é.é",
    "alg none": f"{segment({'alg': 'none'})}.{segment(claims())}.",
    "another key": jwt.encode(claims(), "another" * 10, algorithm="HS256"),
    "another algorithm": jwt.encode(claims(), KEY, algorithm="HS512"),
    "the audience of OIDC": jwt.encode(claims(aud="pytorch-cross-repo-ci-relay"), KEY, algorithm="HS256"),
    "no audience": jwt.encode(claims(aud=None), KEY, algorithm="HS256"),
    "expired": jwt.encode(claims(exp=int(NOW) - 1), KEY, algorithm="HS256"),
    "two weeks old": sign_callback_token(dispatch(), KEY, NOW - KEEP_SECONDS - 60),
    "cut": sign_callback_token(dispatch(), KEY, NOW)[:-4],
    "payload nested deeply": jwt.api_jws.encode(b"[" * 2900, KEY, algorithm="HS256"),
    "header nested deeply": f"{segment(b'[' * 2900)}.e30.x",
}


class TestCallbackTokens:
    def test_the_token_of_this_dispatch_is_good(self) -> None:
        check_callback_token(sign_callback_token(dispatch(), KEY, NOW), dispatch(), KEY)
        check_callback_token(sign_callback_token(dispatch(repo="ORG/Repo"), KEY, NOW), dispatch(), KEY)

    @pytest.mark.parametrize(
        "changes", [{"repo": "org/other"}, {"delivery_id": "d2"}, {"pr_number": 8}, {"sha": "f" * 40}], ids=str
    )
    def test_the_token_of_another_dispatch_is_not(self, changes: dict[str, Any]) -> None:
        with pytest.raises(RefusedError, match="belongs to another dispatch") as caught:
            check_callback_token(sign_callback_token(dispatch(**changes), KEY, NOW), dispatch(), KEY)
        assert (caught.value.code, caught.value.status) == ("invalid_callback_token", 401)

    def test_the_previous_key_is_believed_while_it_is_named(self) -> None:
        token, new_key = sign_callback_token(dispatch(), KEY, NOW), "n" * 32
        with pytest.raises(RefusedError, match="InvalidSignatureError"):
            check_callback_token(token, dispatch(), new_key)
        check_callback_token(token, dispatch(), new_key, KEY)
        check_callback_token(sign_callback_token(dispatch(), new_key, NOW), dispatch(), new_key, KEY)
        with pytest.raises(RefusedError, match="InvalidSignatureError"):
            check_callback_token(sign_callback_token(dispatch(), "x" * 32, NOW), dispatch(), new_key, KEY)

    @pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
    def test_forged_and_expired_ones_are_not(self, token: str) -> None:
        with pytest.raises(RefusedError, match="echo it unchanged") as caught:
            check_callback_token(token, dispatch(), KEY)
        assert caught.value.code == "invalid_callback_token"
