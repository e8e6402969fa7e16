"""Records as Lambda's events have them become records as boto3 has them, and dead letters lead back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_replicator.rows.records import from_event, key, sequence_number, to_event
from oot_replicator.writing.letters import DeadLetter, letter
from tests.oot_replicator.records import record

# https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html, with a binary and an identity
EVENT: dict[str, Any] = {
    "eventID": "1",
    "eventVersion": "1.0",
    "dynamodb": {
        "ApproximateCreationDateTime": 1479499740.5,
        "Keys": {"dynamoKey": {"S": "o/r/1"}},
        "NewImage": {"dynamoKey": {"S": "o/r/1"}, "blob": {"B": "AP8="}, "set": {"BS": ["YQ=="]}, "n": {"N": "1.50"}},
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        "SequenceNumber": "111",
        "SizeBytes": 26,
    },
    "awsRegion": "us-west-2",
    "eventName": "REMOVE",
    "eventSourceARN": "arn:aws:dynamodb:us-west-2:1:table/T/stream/S",
    "eventSource": "aws:dynamodb",
    "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
}


def test_an_event_of_lambda() -> None:
    found = from_event(EVENT)
    assert found["dynamodb"]["ApproximateCreationDateTime"] == datetime(2016, 11, 18, 20, 9, 0, 500_000, tzinfo=UTC)
    assert found["dynamodb"]["NewImage"]["blob"] == {"B": b"\0\xff"}
    assert found["dynamodb"]["NewImage"]["set"] == {"BS": [b"a"]}
    assert found["dynamodb"]["NewImage"]["n"] == {"N": "1.50"}
    assert found["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert (key(found), sequence_number(found)) == ("o/r/1", "111")


VALUES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.one_of(
        st.builds(lambda value: {"S": value}, st.text()),
        st.builds(lambda value: {"B": value}, st.binary()),
        st.builds(lambda value: {"BS": value}, st.lists(st.binary(), min_size=1)),
        st.builds(lambda value: {"N": str(value)}, st.integers()),
        st.sampled_from([{"BOOL": True}, {"NULL": True}, {"SS": ["a"]}, {"NS": ["1"]}]),
    ),
    lambda inner: st.one_of(
        st.builds(lambda value: {"L": value}, st.lists(inner, max_size=3)),
        st.builds(lambda value: {"M": value}, st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.sampled_from(["INSERT", "MODIFY", "REMOVE"]))
def test_there_and_back_again(raw: dict[str, Any], event: str) -> None:
    told = record(event=event, raw=raw)
    assert from_event(json.loads(json.dumps(to_event(told)))) == told
    assert DeadLetter.from_json(letter(told, "why").to_json()).replayed() == told


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"dynamodb": None},
        {"dynamodb": {"NewImage": {"x": {"B": "not base64!"}}}},
        {"dynamodb": {"NewImage": {"x": {"L": 7}, "y": "text", "z": {"M": None}, "b": {"BS": "x"}}}},
        {"dynamodb": {"Keys": {"dynamoKey": "x"}, "ApproximateCreationDateTime": "noon"}, "userIdentity": 7},
    ],
    ids=str,
)
def test_what_is_out_of_shape_passes_to_be_refused_later(told: dict[str, Any]) -> None:
    found = from_event(told)
    assert (key(found), sequence_number(found)) == ("", "")
    assert letter(found, "why").record_id == ""


def test_a_letter_holds_only_what_utf8_has() -> None:
    told = letter(record(dynamoKey="bad\ud800"), "bad \ud800 value")
    assert (told.record_id, told.reason) == ("bad\\ud800", "bad \\ud800 value")
    assert told.replayed()["dynamodb"]["NewImage"]["dynamoKey"] == {"S": "bad\ud800"}


@pytest.mark.parametrize("text", ["", "7", "[]", "{}", '{"source": 1}', '{"Records": []}'])
def test_a_message_of_somebody_else_is_no_letter(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a dead letter|Expecting value"):
        DeadLetter.from_json(text)
