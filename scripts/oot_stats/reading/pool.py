"""The processes that read archives, one for each core: fed in order, bounded, and replaced when one dies.

An archive that kills its process, or keeps it too long, is one rejected artifact: the job's others are read again
without it. What a process has written for jobs that are complete stays; the rest is cut off.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from oot_stats.reading.process import OUT_OF_MEMORY
from oot_stats.reasons import RejectedError
from oot_stats.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from oot_stats.limits import Limits
    from oot_stats.sources.artifacts import Artifact

    Fetch = Callable[[Artifact], IO[bytes]]
    _Task = list[tuple[Artifact, IO[bytes] | RejectedError]]

_ROOT = Path(__file__).resolve().parents[2]  # the folder of our packages
_FETCHERS = 4
_ANSWER = 1024 * 1024
_LOOK_SECONDS = 0.2  # how often a thread that waits looks whether all is over


class Segment(NamedTuple):
    """Where the rows of a job are in one table's file of one process."""

    file: IO[bytes]
    start: int
    end: int
    rows: int


class Outcome(NamedTuple):
    """How the artifacts of one job went, by their place in the task; and its rows, by table."""

    task: int
    answers: list[dict[str, Any]]
    segments: dict[str, Segment]


class Whose(NamedTuple):
    """What every row tells, and whether all rows are wanted."""

    workflow_id: str
    workflow_run_attempt: int
    wants_all: bool


class _DiedError(Exception):
    """The process ended, or had to be ended."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class ReadingProcess:
    """One process and its files."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files = {name: tempfile.TemporaryFile() for name in TABLES}  # noqa: SIM115 - closed by `close`
        self._written = dict.fromkeys(TABLES, 0)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self.peak_bytes = 0

    def read(self, index: int, task: Sequence[tuple[Artifact, IO[bytes] | RejectedError]], whose: Whose) -> Outcome:
        """Read a job's artifacts; those that could not be fetched are told with the others."""
        answers: list[dict[str, Any]] = [{} for _ in task]
        alive = []
        for at, (_, file) in enumerate(task):
            if isinstance(file, RejectedError):
                answers[at] = _rejected(file.code, file.detail)
            else:
                alive.append(at)
        while alive:
            at = alive[0]
            try:
                for at in alive:
                    answers[at] = self._ask(task[at][0], task[at][1], whose, last=at == alive[-1])
                return Outcome(index, answers, self._commit(answers[alive[-1]]["rows"]))
            except _DiedError as death:
                answers[at] = _rejected(death.code, death.detail)
                alive.remove(at)
                self._roll_back()
        return Outcome(index, answers, {})

    def close(self) -> None:
        """End the process and forget its files."""
        self._end()
        for file in self._files.values():
            file.close()

    def kill(self) -> None:
        """End the process at once, also while another thread waits for its answer."""
        if self._process is not None:
            self._process.kill()

    def _ask(self, artifact: Artifact, file: object, whose: Whose, *, last: bool) -> dict[str, Any]:
        request = {
            **whose._asdict(),
            "artifact": artifact.name,
            "job_id": artifact.job_id,
            "limits": self._limits._asdict(),
            "last": last,
        }
        channel = self._channel or self._start()
        channel.settimeout(self._limits.seconds)
        answer = b""
        try:
            assert hasattr(file, "fileno")  # noqa: S101 - a fetched artifact is an open file
            socket.send_fds(channel, [json.dumps(request).encode() + b"\n"], [file.fileno()])
            while not answer.endswith(b"\n"):
                more = channel.recv(_ANSWER)
                if not more:
                    raise self._death()
                answer += more
        except TimeoutError:
            raise _DiedError("too_slow", f"Reading it took more than {self._limits.seconds:,} seconds.") from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None
        told: dict[str, Any] = json.loads(answer)
        self.peak_bytes = max(self.peak_bytes, told.pop("peak_bytes"))
        return told

    def _death(self) -> _DiedError:
        assert self._process is not None  # noqa: S101 - it is the one that died
        code = self._process.wait()
        if code == OUT_OF_MEMORY:
            limit = self._limits.memory
            return _DiedError("out_of_memory", f"Reading it took more memory than the {limit:,} bytes allowed.")
        return _DiedError("crashed", f"The process that read it ended with {code}.")

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        numbers = [theirs.fileno(), *(file.fileno() for file in self._files.values())]
        # No variable of ours but these: what reads strangers' archives holds no token and knows no bucket.
        environment = {"PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "PATH": os.defpath}
        if "TMPDIR" in os.environ:
            environment["TMPDIR"] = os.environ["TMPDIR"]
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "oot_stats.reading.process",
                    str(numbers[0]),
                    str(self._limits.memory),
                    *map(str, numbers[1:]),
                ],
                env=environment,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=numbers,
            )
        self._channel = ours
        return ours

    def _commit(self, rows: dict[str, int]) -> dict[str, Segment]:
        segments = {}
        for name, file in self._files.items():
            start, end = self._written[name], os.fstat(file.fileno()).st_size
            if rows[name]:
                segments[name] = Segment(file, start, end, rows[name])
            self._written[name] = end
        return segments

    def _roll_back(self) -> None:
        self._end()
        for name, file in self._files.items():
            file.truncate(self._written[name])

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None


class ReadingPool:
    """As many processes as cores, each with a thread that feeds it; a few more threads fetch ahead."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._processes = [ReadingProcess(limits) for _ in range(workers)]
        self._fetched: queue.Queue[tuple[int, _Task] | None] = queue.Queue(maxsize=workers + 1)
        self._outcomes: queue.Queue[Outcome | BaseException | None] = queue.Queue()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    @property
    def peak_bytes(self) -> int:
        """The most memory that one of the processes has held."""
        return max(process.peak_bytes for process in self._processes)

    def read(self, tasks: Sequence[Sequence[Artifact]], fetch: Fetch, whose: Whose) -> Iterator[Outcome]:
        """Give the outcome of each task as it comes, in no order. `fetch` is called by several threads at once."""
        todo = _Shared(enumerate(tasks))
        fetchers = [threading.Thread(target=self._run, args=(self._fetch, todo, fetch)) for _ in range(_FETCHERS)]
        feeders = [threading.Thread(target=self._run, args=(self._feed, one, whose)) for one in self._processes]
        waiting = len(fetchers) + len(feeders)
        for thread in (*fetchers, *feeders):
            thread.start()
        try:
            fetching = len(fetchers)
            while waiting:
                outcome = self._outcomes.get()
                if isinstance(outcome, Outcome):
                    yield outcome
                elif outcome is not None:
                    raise outcome
                else:
                    waiting -= 1
                    fetching -= fetching > 0  # no feeder ends before all fetchers have
                    if not fetching and waiting == len(feeders):
                        for _ in feeders:
                            self._put(None)
        finally:
            self._stop.set()
            if waiting:
                for process in self._processes:
                    process.kill()
            for thread in (*fetchers, *feeders):
                thread.join()
            while not self._fetched.empty():
                _close(self._fetched.get())

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - the thread's edge: told to the one who waits
            self._outcomes.put(error)
        self._outcomes.put(None)

    def _fetch(self, todo: _Shared, fetch: Fetch) -> None:
        while not self._stop.is_set() and (item := todo.take()):
            index, artifacts = item
            files: _Task = []
            for artifact in artifacts:
                try:
                    files.append((artifact, fetch(artifact)))
                except RejectedError as reason:
                    files.append((artifact, reason))
            self._put((index, files))

    def _feed(self, process: ReadingProcess, whose: Whose) -> None:
        while not self._stop.is_set():
            try:
                item = self._fetched.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                return
            try:
                self._outcomes.put(process.read(*item, whose))
            finally:
                _close(item)

    def _put(self, item: tuple[int, _Task] | None) -> None:
        while not self._stop.is_set():
            try:
                self._fetched.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return
        _close(item)


class _Shared:
    """Tasks that several threads take."""

    def __init__(self, tasks: Iterable[tuple[int, Sequence[Artifact]]]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def take(self) -> tuple[int, Sequence[Artifact]] | None:
        with self._lock:
            return next(self._tasks, None)


def _close(item: tuple[int, _Task] | None) -> None:
    for _, file in item[1] if item else ():
        if not isinstance(file, RejectedError):
            file.close()


def _rejected(code: str, detail: str) -> dict[str, Any]:
    return {"fate": "rejected", "reason": code, "detail": detail}
