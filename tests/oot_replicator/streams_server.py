"""DynamoDB Streams over HTTP, in memory, for what no local emulator has: many shards, splits, trims, expired iterators.

It speaks the real protocol (AWS JSON 1.0), so boto3's own client reads from it.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from oot_replicator.rows.records import to_event

if TYPE_CHECKING:
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient

_TABLE_ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/jobs"


@dataclass
class _Shard:
    parent: str
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False
    trimmed: int = 0  # records that are forgotten


class _RefusalError(Exception):
    pass


class StreamsServer:
    """One stream. Shards are open until they are split; `refuse` makes the next calls of an operation fail."""

    def __init__(self, page: int = 1000) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.arn = ""
        self._page = page
        self._shards: dict[str, _Shard] = {}
        self._refusals: dict[str, list[str]] = {}
        self._number = 10**20
        self._generation = 0
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.reset()

    def client(self) -> DynamoDBStreamsClient:
        """boto3's client of this server."""
        return boto3.client(
            "dynamodbstreams",
            endpoint_url=f"http://127.0.0.1:{self._server.server_address[1]}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),  # short names of shards
        )

    def reset(self) -> None:
        """Be a new stream."""
        with self._lock:
            self.arn = f"{_TABLE_ARN}/stream/{uuid.uuid4().hex}"
            self._shards.clear()
            self._refusals.clear()
            self.calls.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def open(self, shard_id: str, parent: str = "") -> None:
        with self._lock:
            self._shards[shard_id] = _Shard(parent)

    def add(self, shard_id: str, *records: dict[str, Any]) -> None:
        with self._lock:
            for record in records:
                self._number += 1
                event = to_event(record)
                event["dynamodb"]["SequenceNumber"] = str(self._number)
                self._shards[shard_id].records.append(event)

    def split(self, shard_id: str, *children: str) -> None:
        """Close the shard; its children go on."""
        with self._lock:
            self._shards[shard_id].closed = True
            for child in children:
                self.open(child, parent=shard_id)

    def trim(self, shard_id: str, count: int) -> None:
        """Forget the shard's first records."""
        with self._lock:
            self._shards[shard_id].trimmed = count

    def vanish(self, shard_id: str) -> None:
        with self._lock:
            del self._shards[shard_id]

    def expire_iterators(self) -> None:
        with self._lock:
            self._generation += 1

    def refuse(self, operation: str, *codes: str) -> None:
        with self._lock:
            self._refusals.setdefault(operation, []).extend(codes)

    def _handler(server: StreamsServer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = server._answer(operation, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _answer(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.calls.append((operation, body))
            try:
                return 200, self._serve(operation, body)
            except _RefusalError as refusal:
                return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{refusal}", "message": "refused"}

    def _serve(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        if codes := self._refusals.get(operation):
            raise _RefusalError(codes.pop(0))
        if body.get("StreamArn", self.arn) != self.arn:
            raise _RefusalError("ResourceNotFoundException")
        operations = {
            "DescribeStream": self._describe,
            "GetShardIterator": self._iterator,
            "GetRecords": self._records,
        }
        return operations[operation](body)

    def _describe(self, body: dict[str, Any]) -> dict[str, Any]:
        names = list(self._shards)
        start = names.index(body["ExclusiveStartShardId"]) + 1 if "ExclusiveStartShardId" in body else 0
        some = names[start : start + min(body.get("Limit", 100), 3)]  # small pages, so that they are read on
        told: dict[str, Any] = {"StreamArn": self.arn, "StreamStatus": "ENABLED", "Shards": []}
        for name in some:
            shard = self._shards[name]
            told["Shards"].append({"ShardId": name} | ({"ParentShardId": shard.parent} if shard.parent else {}))
        if some and some[-1] != names[-1]:
            told["LastEvaluatedShardId"] = some[-1]
        return {"StreamDescription": told}

    def _iterator(self, body: dict[str, Any]) -> dict[str, Any]:
        shard = self._shard(body["ShardId"])
        place = shard.trimmed
        if body["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            numbers = [record["dynamodb"]["SequenceNumber"] for record in shard.records]
            place = numbers.index(body["SequenceNumber"]) + 1
            if place < shard.trimmed:
                raise _RefusalError("TrimmedDataAccessException")
        return {"ShardIterator": json.dumps([body["ShardId"], place, self._generation])}

    def _records(self, body: dict[str, Any]) -> dict[str, Any]:
        shard_id, place, generation = json.loads(body["ShardIterator"])
        if generation != self._generation:
            raise _RefusalError("ExpiredIteratorException")
        shard = self._shard(shard_id)
        if place < shard.trimmed:
            raise _RefusalError("TrimmedDataAccessException")
        records = shard.records[place : place + min(self._page, body["Limit"])]
        told: dict[str, Any] = {"Records": records}
        after = place + len(records)
        if not shard.closed or after < len(shard.records):
            told["NextShardIterator"] = json.dumps([shard_id, after, generation])
        return told

    def _shard(self, shard_id: str) -> _Shard:
        if shard_id not in self._shards:
            raise _RefusalError("ResourceNotFoundException")
        return self._shards[shard_id]
