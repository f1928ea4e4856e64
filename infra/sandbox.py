"""The platform's side of a candidate's process. What comes out of that process is trusted in nothing."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.sandbox_command import Launch, Level, launch
from models import child
from models.contract import Contract, Failed, Predicted
from schemas.faults import FailureKind
from schemas.agreement import Agreement, Task

#: How much of what a candidate prints is kept, for the plant.
STDERR_BYTES = 4096

#: How long a process may take to end by itself after its connection has ended, in seconds.
_LAST_BREATH_S = 2.0

#: What a process prints last that ended for want of memory. One that only pretends gains nothing by it.
_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "annot allocate memory", "Memory allocation", "out of memory")


class SandboxUnavailable(Exception):
    """The sandbox itself cannot be had; it is nobody's fault but this machine's."""


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """One candidate: its files, what it is given, what it may use."""

    #: A local copy of the MLflow model, checked against its digest.
    model: Path
    contract: Contract
    task: Task
    #: Class names in the order of their codes; empty in regression.
    classes: tuple[str, ...] = ()
    #: Seconds for one frame, from its turn to the last byte of its answer.
    timeout_s: float = 30
    #: Seconds until the model is loaded, the libraries' import included.
    start_timeout_s: float = 120
    #: What the model may take beyond its libraries.
    memory_mb: int = 2048
    #: Frames that may be on their way at once.
    window: int = 16

    @classmethod
    def agreed(cls, model: Path, contract: Contract, agreement: Agreement) -> ChildSpec:
        """The candidate under an agreement's task, classes and limits."""
        limits = agreement.limits
        return cls(
            model=model,
            contract=contract,
            task=agreement.task,
            classes=agreement.classes,
            timeout_s=limits.timeout_s,
            start_timeout_s=limits.start_timeout_s,
            memory_mb=limits.memory_mb,
        )

    @property
    def n_columns(self) -> int:
        """Columns of an answer."""
        return 2 if self.contract.score else 1

    def config(self, launched: Launch, parent: int | None) -> bytes:
        """What the child is told at its start."""
        config = {
            "model": launched.model,
            "packages": launched.packages,
            "columns": [(column.name, column.type) for column in self.contract.columns],
            "with_ts": self.contract.with_ts,
            "with_asset": self.contract.with_asset,
            "score": self.contract.score,
            "task": self.task.value,
            "classes": self.classes,
            "memory_mb": self.memory_mb,
            "parent": parent,
        }
        raw = json.dumps(config).encode()
        return child.LENGTH.pack(len(raw)) + raw


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready for frames."""

    wall_ns: int
    max_rss_kb: int
    #: Whether MLflow's own check of each call is left out, because it would change nothing.
    direct: bool


@dataclass(kw_only=True)
class _Turn:
    """One question to the child that is not answered yet."""

    seq: int
    n_rows: int
    answered: asyncio.Future[Predicted | Failed]
    #: When it became the child's turn to answer it.
    since_ns: int


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    columns: int
    seq: int
    rows: int
    cpu_ns: int
    max_rss_kb: int
    lengths: tuple[int, int, int]
    body: bytes = b""

    @property
    def size(self) -> int:
        values = self.rows * self.columns
        return 8 * values + sum(self.lengths)


class Sandbox:
    """One child with one candidate. Once it has ended it stays ended."""

    def __init__(self, spec: ChildSpec, *, level: Level) -> None:
        self._spec = spec
        self._level: Level = level
        self._window = asyncio.Semaphore(spec.window)
        self._turns: collections.deque[_Turn] = collections.deque()
        self._seq = 0
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Failed | None = None
        self._stderr = bytearray()
        self._output: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = False

    @property
    def ended(self) -> bool:
        """Whether this child answers nothing any more."""
        return self._failure is not None

    @property
    def pid(self) -> int:
        """The started process: the child itself, or the bubblewrap that holds it; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    @property
    def output(self) -> str:
        """The last of what the candidate has printed, printable."""
        return _printable(bytes(self._stderr))

    async def start(self) -> Loaded | Failed:
        """Start the process and load the model.

        Raises:
            SandboxUnavailable: the process did not come as far as the candidate's code.
        """
        began = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[None] = self._loop.create_future()
        self._ready: asyncio.Future[Loaded | Failed] = self._loop.create_future()
        self._gone: asyncio.Future[int] = self._loop.create_future()
        await self._spawn()
        try:
            async with asyncio.timeout(self._spec.start_timeout_s):
                await self._hello
                loaded = await self._ready
        except TimeoutError:
            if not self._hello.done() or self._hello.cancelled():
                await self.close()
                text = f"the sandbox did not start within {self._spec.start_timeout_s:g} s: {self.output}"
                raise SandboxUnavailable(text) from None
            loaded = Failed(
                kind="timeout", text=f"the model was not loaded within {self._spec.start_timeout_s:g} s"
            )
            self._end(loaded)
        except BaseException:
            await self.close()
            raise
        if isinstance(loaded, Failed):
            await self.close()
            return loaded
        return replace(loaded, wall_ns=time.monotonic_ns() - began)

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame (see `models.contract.Predictor`); calls may overlap and are answered in order."""
        async with self._window:
            if self._lost:
                await asyncio.shield(self._gone)
            if self._failure is not None:
                return replace(self._failure, begun=False)
            self._seq += 1
            turn = _Turn(
                seq=self._seq,
                n_rows=n_rows,
                answered=self._loop.create_future(),
                since_ns=time.monotonic_ns(),
            )
            self._turns.append(turn)
            name = asset.encode()
            before = context if context is not None and n_context else b""
            lengths = (len(before), len(payload), len(name))
            header = child.REQUEST.pack(child.REQUEST_MAGIC, turn.seq, n_context, n_rows, *lengths)
            self._transport.writelines((header, name, before, payload))
            if self._timer is None:
                self._timer = self._loop.call_later(self._spec.timeout_s, self._watch)
            return await turn.answered

    async def close(self) -> None:
        """End the child and everything it has started, and wait until it is gone."""
        self._end(Failed(kind="died", text="the sandbox was closed"))
        if self._process is not None:
            self._kill()
            await asyncio.shield(self._gone)
            shutil.rmtree(self._scratch, ignore_errors=True)

    async def _spawn(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="candidate-"))
        launched = launch(self._spec.model, self._level, self._scratch)
        ours, theirs = socket.socketpair()
        self._transport, _ = await self._loop.create_unix_connection(
            lambda: _Connection(self._receive, self._lose), sock=ours
        )
        output, sink = os.pipe()
        try:
            self._process = subprocess.Popen(
                launched.argv,
                env=launched.env,
                cwd=self._scratch,
                stdin=theirs.fileno(),
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        except OSError as error:
            self._transport.abort()
            os.close(output)
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise SandboxUnavailable(f"cannot start {launched.argv[0]}: {error}") from error
        finally:
            theirs.close()
            os.close(sink)
        self._exit = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._exit, self._reap)
        os.set_blocking(output, False)
        self._output = output
        self._loop.add_reader(output, self._drain)
        parent = os.getpid() if self._level == "none" else None
        self._transport.write(self._spec.config(launched, parent))

    # What comes from the child.

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        while self._failure is None and len(self._buffer) >= child.ANSWER.size:
            answer = self._header()
            if isinstance(answer, str):
                self._end(Failed(kind="nonsense", text=f"the model's process broke the protocol: {answer}"))
                return
            end = child.ANSWER.size + answer.size
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[child.ANSWER.size : end])
            del self._buffer[:end]
            self._take(replace(answer, body=body))
        if self._failure is not None:
            self._buffer.clear()

    def _header(self) -> _Answer | str:
        """The next answer without its body, or what is wrong with it."""
        fields = child.ANSWER.unpack_from(self._buffer)
        magic, status, columns, exception, where, text, seq, rows, cpu_ns, rss_kb = fields
        if magic != child.ANSWER_MAGIC:
            return "it wrote something else where an answer was due"
        lengths = (exception, where, text)
        limits = (child.MAX_EXCEPTION, child.MAX_WHERE, child.MAX_TEXT)
        if any(length > limit for length, limit in zip(lengths, limits, strict=True)):
            return "it announced more text than is allowed"
        if not self._due(status, seq):
            return f"it sent answer {seq} of status {status} where none was due"
        wanted = (0, 0)
        if status == child.PREDICTED:
            wanted = (self._spec.n_columns, self._turns[0].n_rows)
            lengths = (0, 0, 0)
        if (columns, rows) != wanted:
            return f"it announced {columns} × {rows} values where {wanted[0]} × {wanted[1]} were due"
        return _Answer(
            status=status,
            columns=columns,
            seq=seq,
            rows=rows,
            cpu_ns=cpu_ns,
            max_rss_kb=rss_kb,
            lengths=lengths,
        )

    def _due(self, status: int, seq: int) -> bool:
        if not self._hello.done():
            return status == child.HELLO and seq == 0
        if not self._ready.done():
            return (status == child.READY or status in child.FAILURES) and seq == 0
        due = status == child.PREDICTED or status in child.FAILURES
        return due and bool(self._turns) and self._turns[0].seq == seq

    def _take(self, answer: _Answer) -> None:
        if answer.status == child.HELLO:
            self._hello.set_result(None)
        elif not self._ready.done():
            self._take_loaded(answer)
        else:
            self._take_turn(answer)

    def _take_loaded(self, answer: _Answer) -> None:
        if answer.status == child.READY:
            direct = answer.body == child.DIRECT.encode()
            self._ready.set_result(Loaded(wall_ns=0, max_rss_kb=answer.max_rss_kb, direct=direct))
        else:
            self._end(_failed(answer))

    def _take_turn(self, answer: _Answer) -> None:
        now = time.monotonic_ns()
        outcome: Predicted | Failed
        if answer.status == child.PREDICTED:
            columns = self._columns(answer)
            if columns is None:
                text = "the model's process answered values that are no classes, or infinite"
                self._end(Failed(kind="nonsense", text=text))
                return
            outcome = Predicted(
                columns=columns,
                cpu_ns=answer.cpu_ns,
                wall_ns=now - self._turns[0].since_ns,
                max_rss_kb=answer.max_rss_kb,
            )
        else:
            outcome = _failed(answer)
        turn = self._turns.popleft()
        if self._turns:
            self._turns[0].since_ns = now
        if not turn.answered.done():
            turn.answered.set_result(outcome)

    def _columns(self, answer: _Answer) -> npt.NDArray[np.float64] | None:
        """The answer with one kind of zero and of not-a-number, or None if a value is unusable."""
        columns = np.frombuffer(answer.body, dtype="<f8").reshape(answer.columns, answer.rows) + 0.0
        absent = np.isnan(columns)
        columns[absent] = np.nan
        if np.isinf(columns).any():
            return None
        codes = columns[0]
        n = len(self._spec.classes)
        if n and not (absent[0] | ((codes >= 0) & (codes < n) & (codes == np.floor(codes)))).all():
            return None
        return columns

    # How it ends.

    def _watch(self) -> None:
        """End the child if its present turn has taken too long; look again when that may be so."""
        self._timer = None
        if not self._turns or self._failure is not None:
            return
        spent_s = (time.monotonic_ns() - self._turns[0].since_ns) / 1e9
        if spent_s >= self._spec.timeout_s:
            self._end(Failed(kind="timeout", text=f"no answer within {self._spec.timeout_s:g} s"))
            return
        self._timer = self._loop.call_later(self._spec.timeout_s - spent_s, self._watch)

    def _lose(self) -> None:
        """The connection has ended: wait for the process, which says how."""
        self._lost = True
        if self._failure is None and self._process is not None:
            handle = self._loop.call_later(_LAST_BREATH_S, self._kill)
            self._gone.add_done_callback(lambda gone: handle.cancel())
            self._gone.add_done_callback(lambda gone: self._died(gone.result()))

    def _died(self, status: int) -> None:
        if not self._hello.done():
            text = f"the sandbox ended before any of the model's code: {_ending(status)}. {self.output}"
            self._end(Failed(kind="died", text=text))
            return
        printed = self.output
        full = any(words in printed for words in _OUT_OF_MEMORY)
        kind: FailureKind = "memory" if full else "died"
        said = f"; it had printed: {printed[-1000:]}" if printed else ""
        self._end(Failed(kind=kind, text=f"the model's process ended: {_ending(status)}{said}"))

    def _end(self, failure: Failed) -> None:
        """Answer whatever is open, and kill the process."""
        if self._failure is not None:
            return
        self._failure = failure
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None and not self._hello.done():
            self._hello.set_exception(SandboxUnavailable(failure.text))
            self._hello.exception()  # it may be that nobody waits for it any more
        if self._process is not None and not self._ready.done():
            self._ready.set_result(failure)
        for turn in self._turns:
            if not turn.answered.done():
                turn.answered.set_result(failure)
            failure = replace(failure, begun=False)
        self._turns.clear()
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and not self._gone.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """The process has ended: take its status and the last of its output."""
        assert self._process is not None
        self._loop.remove_reader(self._exit)
        os.close(self._exit)
        # What it started may live on in its group and hold the connection.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, status = os.waitpid(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._drain()
        if self._output is not None:
            self._close_output()
        self._loop.call_soon(self._transport.close)
        self._gone.set_result(self._process.returncode)

    def _drain(self) -> None:
        """Take what the candidate has printed; all but the last of it is dropped."""
        if self._output is None:
            return
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return
        if not data:
            self._close_output()
            return
        self._stderr += data
        del self._stderr[:-STDERR_BYTES]

    def _close_output(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = None


class _Connection(asyncio.Protocol):
    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._on_lost = lost

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()


def _failed(answer: _Answer) -> Failed:
    exception, where, _ = answer.lengths
    texts = (
        answer.body[:exception],
        answer.body[exception : exception + where],
        answer.body[exception + where :],
    )
    name, place, text = (_printable(part) for part in texts)
    return Failed(kind=child.FAILURES[answer.status], text=text, exception=name or None, where=place or None)


def _printable(raw: bytes) -> str:
    """Text that does nothing to a terminal."""
    text = raw.decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text).strip()


def _ending(status: int) -> str:
    """How a process ended; bubblewrap reports a signal n of what it holds as 128 + n."""
    number = -status if status < 0 else status - 128
    if status < 0 or status > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
    return f"exit status {status}"
