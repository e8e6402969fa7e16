"""The process that opens what strangers made: archives in, rows out, over one socket; it has no credentials.

    started by `pool`, with an empty environment, limits on memory and open files, and these descriptors:
    the socket, and a file for each table. A request is one JSON line with an archive's descriptor beside it:
    {"artifact", "job_id", "workflow_id", "workflow_run_attempt", "wants_all", "limits", "last"}

The answer tells what became of each file. With `last`, the job is complete: its rows are in the tables' files.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import sys
from pathlib import PurePosixPath
from typing import IO, Any

import orjson

from oot_runner import attempts
from oot_stats.limits import Limits
from oot_stats.reading.archive import Archive, Entry
from oot_stats.reading.case_rows import Identity
from oot_stats.reading.groups import Groups
from oot_stats.reading.report import Report, read_report
from oot_stats.reading.tables import Member, Rows
from oot_stats.reasons import RejectedError
from oot_stats.tables import TABLES

MANIFEST = "oot-hud-manifest.json"
_LARGEST_MANIFEST = 4 * 1024 * 1024
_MOST_FILES_TOLD = 200
_LONGEST_PATH = 300
_LARGEST_REQUEST = 64 * 1024
_OPEN_FILES = 64
_SLOWEST = 10
OUT_OF_MEMORY = 77


class Job:
    """The artifacts of one job: they share their groups."""

    def __init__(self, tables: dict[str, IO[bytes]]) -> None:
        self._tables = tables
        self._rows = dict.fromkeys(tables, 0)
        self._groups: Groups | None = None
        self._identity: Identity | None = None

    def read(self, file: IO[bytes], request: dict[str, Any]) -> dict[str, Any]:
        """Read one artifact; gives its fate and its files'."""
        limits = Limits(**request["limits"])
        stem = request["artifact"].removesuffix(".zip")
        # pytorch's script unpacks to a folder of this name, and a report that lies in no other is invoked by it.
        identity = Identity(
            request["workflow_id"], request["workflow_run_attempt"], request["job_id"], f"unzipped-{stem}"
        )
        self._identity = identity
        if self._groups is None:
            self._groups = Groups()
        told = Told()
        try:
            archive = Archive(file, limits)
            entries = list(archive.entries())
            last = attempts.earlier(entry.path for entry in entries if isinstance(entry, Entry))
            earlier = {path for paths in last.values() for path in paths}
            for entry in entries:
                if not isinstance(entry, Entry):
                    told.reject(entry.path, entry.reason)
                    continue
                told.sizes[entry.path] = entry.size
                if entry.path == MANIFEST:
                    told.read_manifest(archive, entry)
                elif not entry.path.lower().endswith(".xml"):
                    told.others += 1
                elif entry.path in earlier:
                    told.skip(entry.path, RejectedError("earlier_attempt", "Another file is of a later attempt."))
                else:
                    self._read_report(archive, entry, identity, told, wants_all=request["wants_all"])
        except RejectedError as reason:
            told.reason = reason
        told.check_manifest()
        return told.to_json()

    def _read_report(self, archive: Archive, entry: Entry, identity: Identity, told: Told, *, wants_all: bool) -> None:
        folder = PurePosixPath(entry.path).parent.name
        whose = identity._replace(invoking_file=folder) if folder else identity
        rows = Rows(wants_all=wants_all)
        try:
            report = read_report(archive.read(entry), whose, rows)
            assert self._groups is not None  # noqa: S101 - made before the first report
            self._groups.merge(report.groups)
        except RejectedError as reason:
            if reason.code == "archive_too_large":  # so is every file after it
                told.reject(entry.path, reason)
                raise
            if reason.code == "no_test_cases":
                told.skip(entry.path, reason)
            else:
                told.reject(entry.path, reason)
            return
        for name, member in rows.members.items():
            self._rows[name] += member.append_to(self._tables[name])
        told.add(entry.path, report)

    def finish(self) -> dict[str, Any]:
        """Write the job's summary rows, and end its part of each table; gives the rows of each, and what took long."""
        slowest = []
        if self._groups is not None and self._identity is not None:
            lines = self._groups.rows(self._identity)
            if lines:
                member = Member()
                member.write(b"".join(lines))
                self._rows["test_run_summary"] += member.append_to(self._tables["test_run_summary"])
            slowest = self._groups.slowest(_SLOWEST)
        self._groups = None
        rows, self._rows = self._rows, dict.fromkeys(self._tables, 0)
        return {"rows": rows, "slowest": slowest}


class Told:
    """What became of an artifact's files, within bounds."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.counts = {"parsed": 0, "rejected": 0, "skipped": 0}
        self.reasons: dict[str, int] = {}
        self.cases = self.failed = self.cut = self.others = 0
        self.reason: RejectedError | None = None
        self.sizes: dict[str, int] = {}
        self._listed: list[dict[str, Any]] | None = None
        self._lost: list[str] = []

    def add(self, path: str, report: Report) -> None:
        self.counts["parsed"] += 1
        self.cases += report.cases
        self.failed += report.failed
        self.cut += report.cut
        notes = []
        if report.cut:
            notes.append(f"The text of {report.cut:,} test cases was cut.")
        if report.reruns_of_disabled:
            notes.append("It is a rerun of disabled tests.")
        notes += report.remarks
        if notes:
            self._tell(path, "parsed", "", " ".join(notes), report.cases)

    def reject(self, path: str, reason: RejectedError) -> None:
        self.counts["rejected"] += 1
        self.reasons[reason.code] = self.reasons.get(reason.code, 0) + 1
        self._tell(path, "rejected", reason.code, reason.detail)

    def skip(self, path: str, reason: RejectedError) -> None:
        self.counts["skipped"] += 1
        self._tell(path, "skipped", reason.code, reason.detail)

    def _tell(self, path: str, fate: str, code: str, detail: str, cases: int = 0) -> None:
        if len(self.files) < _MOST_FILES_TOLD:
            told = {"path": path[:_LONGEST_PATH], "fate": fate, "reason": code, "detail": detail, "cases": cases}
            self.files.append(told)

    def read_manifest(self, archive: Archive, entry: Entry) -> None:
        """Take what the job says it put into the archive; what it says is never needed, only compared."""
        if entry.size > _LARGEST_MANIFEST:
            return
        try:
            listed = orjson.loads(b"".join(archive.read(entry))).get("files")
        except (RejectedError, orjson.JSONDecodeError, AttributeError):
            return
        if isinstance(listed, list):
            self._listed = [one for one in listed if isinstance(one, dict)]

    def check_manifest(self) -> None:
        """Note what the job listed and the archive has not, or not as it was."""
        for one in self._listed or []:
            path, size = one.get("path"), one.get("size")
            if not isinstance(path, str) or path == MANIFEST:
                continue
            if path not in self.sizes:
                self._lost.append(f"{path[:_LONGEST_PATH]} is listed, but not there")
            elif isinstance(size, int) and size != self.sizes[path]:
                self._lost.append(f"{path[:_LONGEST_PATH]} was {size:,} bytes and has {self.sizes[path]:,}")

    def to_json(self) -> dict[str, Any]:
        fate, code, detail = self._fate()
        return {
            "fate": fate,
            "reason": code,
            "detail": detail,
            "cases": self.cases,
            "failed_cases": self.failed,
            "cut_cases": self.cut,
            "counts": {**self.counts, "others": self.others},
            "reasons": self.reasons,
            "files": self.files,
            "lost": self._lost[:_MOST_FILES_TOLD],
            "lost_count": len(self._lost),
        }

    def _fate(self) -> tuple[str, str, str]:
        if self.reason is not None and not self.counts["parsed"]:
            return "rejected", self.reason.code, self.reason.detail
        if self.counts["parsed"]:
            return "parsed", self.reason.code if self.reason else "", self.reason.detail if self.reason else ""
        if self.counts["rejected"]:
            return "rejected", "no_file_stored", "None of its reports could be stored; the files say why."
        return "skipped", "no_reports", "No file in it is a JUnit report."


def main() -> int:
    """Serve requests until the socket closes."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    memory = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files: dict[str, IO[bytes]] = {
        name: os.fdopen(int(number), "ab") for name, number in zip(TABLES, sys.argv[3:], strict=True)
    }
    gc.disable()  # nothing here lives in cycles for long
    job = Job(files)
    while request := _request(channel):
        told, descriptor = request
        try:
            with os.fdopen(descriptor, "rb") as archive:
                answer = job.read(archive, told)
            if told["last"]:
                answer |= job.finish()
        except MemoryError:
            return OUT_OF_MEMORY
        answer["peak_bytes"] = _peak()
        channel.sendall(json.dumps(answer).encode() + b"\n")
        gc.collect()
    return 0


def _request(channel: socket.socket) -> tuple[dict[str, Any], int] | None:
    data, descriptors, _, _ = socket.recv_fds(channel, _LARGEST_REQUEST, 1)
    if not data:
        return None
    while not data.endswith(b"\n"):
        data += channel.recv(_LARGEST_REQUEST)
    return json.loads(data), descriptors[0]


def _peak() -> int:
    """Give the most memory that this process has held, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - not a path of ours
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    raise SystemExit(main())
