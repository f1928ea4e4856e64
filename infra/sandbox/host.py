"""The platform's side of a candidate's process. What comes out of that process is trusted in nothing."""

from __future__ import annotations

import asyncio
import collections
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infra.sandbox.answers import Cost, Loaded, meaning
from infra.sandbox.command import Level, launch
from infra.sandbox.process import ChildProcess, Meter, ending
from infra.sandbox.spec import ChildSpec
from infra.sandbox.wire import Answer, Due, Wire
from models import child
from models.contract import Failed, Predicted
from schemas.faults import FailureKind

__all__ = ["ChildSpec", "Loaded", "Sandbox", "SandboxUnavailable"]

#: How long a process may take to end by itself after it has hung up, in seconds.
_LAST_BREATH_S = 2.0

#: The shortest time between two looks at a child's CPU time, in seconds.
_LOOK_S = 0.01

#: After how many reads of one answer it is read only so often, in seconds: a child that writes byte by byte would have
#: the platform work harder than itself.
_PIECES, _PIECE_S = 16, 0.001

#: While more is open, answers are taken together: the next look comes when the child should be half through what it
#: has, after so many seconds at most, and at once where less would be won than that takes. Waking for each answer costs
#: the platform more than the answer itself; what is found together also goes out together.
_TOGETHER_S, _WORTH_S = 0.25, 0.002

#: What a process prints last that ended for want of memory. One that only pretends gains nothing by it.
_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "annot allocate memory", "Memory allocation", "out of memory")

_STARTED, _WARM = frozenset({child.STARTED}), frozenset({child.WARM})
_LOADED = frozenset({child.READY, *child.FAILURES})
_ANSWERED = frozenset({child.PREDICTED, *child.FAILURES})


class SandboxUnavailable(Exception):
    """The sandbox itself cannot be had; it is nobody's fault but this machine's."""


@dataclass(kw_only=True)
class _Turn:
    """Something that the child owes."""

    due: Due
    answered: asyncio.Future[Predicted | Loaded | Failed]
    #: What is said where it does not come.
    missing: str
    timeout_s: float
    cpu_s: float | None
    #: When it became the child's turn to give it.
    since_ns: int

    def patience_s(self, wall_ns: int, cpu_ns: int) -> float:
        """How long it may be until a limit is reached, after so much time and CPU time."""
        left_s = self.timeout_s - wall_ns / 1e9
        if self.cpu_s is None:
            return left_s
        return min(left_s, max((self.cpu_s - cpu_ns / 1e9) / (os.cpu_count() or 1), _LOOK_S))


class Sandbox:
    """One child with one candidate. Once it has ended it stays ended."""

    def __init__(self, spec: ChildSpec, *, level: Level) -> None:
        self._spec = spec
        self._level: Level = level
        self._window = asyncio.Semaphore(spec.window)
        self._turns: collections.deque[_Turn] = collections.deque()
        self._seq = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Failed | None = None
        self._process: ChildProcess | None = None
        self._meter: Meter | None = None
        #: The process's CPU time when it last answered, and what an answer took of late, in seconds.
        self._cpu_ns = 0
        self._pace_s = 0.0
        self._hung_up = False

    @property
    def failure(self) -> Failed | None:
        """Why this child answers nothing any more; None while it does."""
        return self._failure

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
        return self._process.output if self._process is not None else ""

    # How it starts.

    async def start(self) -> Loaded | Failed:
        """Start the process and load the model.

        Raises:
            SandboxUnavailable: the process did not come as far as the candidate's code.
        """
        began = time.monotonic_ns()
        cold = await self.warm()
        loaded = cold or await self.load()
        return loaded if isinstance(loaded, Failed) else replace(loaded, wall_ns=time.monotonic_ns() - began)

    async def warm(self) -> Failed | None:
        """Start the process and have it import its libraries; a failure is one of the candidate's own packages.

        Raises:
            SandboxUnavailable: it did not come so far, and nothing of the candidate's had been run.
        """
        try:
            self._spawn()
            started = self._owe(_STARTED, "the sandbox has not started")
            warm = self._owe(_WARM, "the libraries were not imported")
            answer = await started
            foreign = isinstance(answer, Loaded) and self._spec.own_packages
            if isinstance(answer, Loaded):
                answer = await warm
        except BaseException:
            await self.close()
            raise
        self._stop_looking()
        if not isinstance(answer, Failed):
            return None
        await self.close()
        if foreign:
            return answer
        raise SandboxUnavailable(f"the sandbox ended before any of the model's code: {answer.text}")

    async def load(self) -> Loaded | Failed:
        """Have a warm process load the model."""
        try:
            loaded = await self._owe(_LOADED, "the model was not loaded", child.LOAD)
        except BaseException:
            await self.close()
            raise
        self._stop_looking()
        if isinstance(loaded, Failed):
            await self.close()
        assert not isinstance(loaded, Predicted)
        return loaded

    def _spawn(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._scratch = Path(tempfile.mkdtemp(prefix="candidate-"))
        spec = self._spec
        launched = launch(spec.model, self._level, self._scratch, spec.environment, spec.memory_mb)
        ours, theirs = socket.socketpair()
        self._wire = Wire(ours)
        try:
            self._process = ChildProcess(launched, stdin=theirs, cwd=self._scratch)
        except OSError as error:
            self._wire.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise SandboxUnavailable(f"cannot start {launched.argv[0]}: {error}") from error
        finally:
            theirs.close()
        self._process.gone.add_done_callback(lambda gone: self._reaped(gone.result()))
        self._loop.add_reader(self._wire, self._receive)
        self._send(self._spec.config(launched))

    # What it is asked.

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame (see `models.contract.Predictor`); calls may overlap and are answered in order."""
        async with self._window:
            if self._hung_up and self._process is not None:
                await asyncio.shield(self._process.gone)
            if self._failure is not None:
                return replace(self._failure, begun=False)
            self._seq += 1
            name = asset.encode()
            before = context if context is not None and n_context else b""
            lengths = (len(before), len(payload), len(name))
            header = child.REQUEST.pack(child.REQUEST_MAGIC, self._seq, n_context, n_rows, *lengths)
            due = Due(statuses=_ANSWERED, seq=self._seq, columns=self._spec.n_columns, rows=n_rows)
            limits = (self._spec.timeout_s, self._spec.cpu_s)
            answer = await self._ask(due, "no answer", limits, header, name, before, payload)
            assert not isinstance(answer, Loaded)
            return answer

    def _owe(
        self, statuses: frozenset[int], missing: str, *parts: bytes
    ) -> asyncio.Future[Predicted | Loaded | Failed]:
        """Let the child owe a stage of its start."""
        return self._ask(Due(statuses=statuses), missing, (self._spec.start_timeout_s, None), *parts)

    def _ask(
        self,
        due: Due,
        missing: str,
        limits: tuple[float, float | None],
        *parts: bytes | memoryview,
    ) -> asyncio.Future[Predicted | Loaded | Failed]:
        answered: asyncio.Future[Predicted | Loaded | Failed] = self._loop.create_future()
        if self._failure is not None:
            answered.set_result(self._failure)
            return answered
        turn = _Turn(
            due=due,
            answered=answered,
            missing=missing,
            timeout_s=limits[0],
            cpu_s=limits[1],
            since_ns=time.monotonic_ns(),
        )
        self._turns.append(turn)
        self._send(*parts)
        if self._timer is None:
            self._timer = self._loop.call_later(turn.patience_s(0, 0), self._look)
        return answered

    def _send(self, *parts: bytes | memoryview) -> None:
        if not self._wire.send(*parts):
            self._loop.add_writer(self._wire, self._flush)

    def _flush(self) -> None:
        if self._wire.flush():
            self._loop.remove_writer(self._wire)

    # What it answers.

    def _receive(self) -> None:
        """Take the answers that are there."""
        if self._failure is not None or self._hung_up:
            return
        received = self._wire.read(turn.due for turn in self._turns)
        if received.answers:
            self._take(received.answers)
        if self._failure is not None:
            return
        if received.broken is not None:
            self._end(
                Failed(kind="nonsense", text=f"the model's process broke the protocol: {received.broken}")
            )
        elif received.ended:
            self._lose()
        elif self._wire.pieces > _PIECES:
            self._pause(_PIECE_S)
        elif (
            received.answers and (pause_s := min(self._pace_s * len(self._turns) / 2, _TOGETHER_S)) > _WORTH_S
        ):
            # The child does not run dry: the other half is still before it, and it is asked for more meanwhile.
            self._pause(pause_s)

    def _pause(self, seconds: float) -> None:
        """Read nothing for a while."""
        self._loop.remove_reader(self._wire)
        self._loop.call_later(seconds, self._listen)

    def _listen(self) -> None:
        if self._failure is None and not self._hung_up:
            self._loop.add_reader(self._wire, self._receive)

    def _take(self, answers: Sequence[Answer]) -> None:
        """Settle the first turns with answers that were found together; what they cost is split by their rows."""
        now, cpu = time.monotonic_ns(), self._used_ns()
        turns = list(self._turns)[: len(answers)]
        wall_ns, cpu_ns = now - turns[0].since_ns, cpu - self._cpu_ns
        # Where the platform comes late, the child has gone on with the next frame.
        begun = min(len(answers) + 1, len(self._turns))
        limit = turns[0].cpu_s
        if limit is not None and cpu_ns > limit * begun * 1e9:
            self._end(_used_up(limit))
            return
        total = sum(max(turn.due.rows, 1) for turn in turns)
        for turn, answer in zip(turns, answers, strict=True):
            rows = max(turn.due.rows, 1)
            cost = self._cost(wall_ns * rows // total, cpu_ns * rows // total)
            outcome = meaning(answer, turn.due, cost, self._spec)
            if outcome is None:
                text = "the model's process answered values that are no classes, or infinite"
                self._end(Failed(kind="nonsense", text=text))
                return
            self._turns.popleft()
            if not turn.answered.done():
                turn.answered.set_result(outcome)
        # What it computed for, where that is known: one that had to wait for a core would be left waiting longer still.
        busy_ns = min(wall_ns, cpu_ns) if cpu_ns > 0 else wall_ns
        self._cpu_ns, self._pace_s = cpu, busy_ns / len(turns) / 1e9
        if self._turns:
            self._turns[0].since_ns = now

    def _used_ns(self) -> int:
        """CPU time of the process so far, read from the kernel."""
        if self._meter is None and self._wire.peer:
            self._meter = Meter(self._wire.peer)
        return self._meter.cpu_ns() if self._meter is not None else 0

    def _cost(self, wall_ns: int, cpu_ns: int) -> Cost:
        peak_kb = self._meter.peak_kb() if self._meter is not None else 0
        return Cost(wall_ns=max(wall_ns, 0), cpu_ns=max(cpu_ns, 0), max_rss_kb=peak_kb)

    # How it ends.

    def _look(self) -> None:
        """End the child if its present turn has taken too much; look again when that may be so."""
        self._timer = None
        now, cpu = time.monotonic_ns(), self._used_ns()
        # What was answered until then is there to be taken now; what is due after that was not answered by then.
        self._receive()
        if not self._turns or self._failure is not None:
            return
        turn = self._turns[0]
        wall_ns, cpu_ns = now - turn.since_ns, cpu - self._cpu_ns
        if turn.cpu_s is not None and cpu_ns > turn.cpu_s * 1e9:
            self._end(_used_up(turn.cpu_s))
        elif wall_ns >= turn.timeout_s * 1e9:
            used = f"its process had used {max(cpu_ns, 0) / 1e9:.2f} s of CPU time"
            text = f"{turn.missing} within {turn.timeout_s:g} s; {used}"
            self._end(Failed(kind="timeout", text=text))
        else:
            self._timer = self._loop.call_later(turn.patience_s(wall_ns, cpu_ns), self._look)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self) -> None:
        """It has hung up: wait for the process, which says how."""
        assert self._process is not None
        self._hung_up = True
        self._loop.remove_reader(self._wire)
        handle = self._loop.call_later(_LAST_BREATH_S, self._process.kill)
        self._process.gone.add_done_callback(lambda gone: handle.cancel())

    def _reaped(self, status: int) -> None:
        # What it answered before its end counts.
        self._receive()
        printed = self.output
        full = any(words in printed for words in _OUT_OF_MEMORY)
        kind: FailureKind = "memory" if full else "died"
        said = f"; it had printed: {printed[-1000:]}" if printed else ""
        self._end(Failed(kind=kind, text=f"the model's process ended: {ending(status)}{said}"))

    def _end(self, failure: Failed) -> None:
        """Answer whatever is open, and kill the process."""
        if self._failure is not None:
            return
        self._failure = failure
        self._stop_looking()
        if self._turns:
            now = time.monotonic_ns()
            cost = self._cost(now - self._turns[0].since_ns, self._used_ns() - self._cpu_ns)
            failure = replace(failure, **asdict(cost))
        for turn in self._turns:
            if not turn.answered.done():
                turn.answered.set_result(failure)
            failure = replace(self._failure, begun=False)
        self._turns.clear()
        if self._process is not None:
            self._process.kill()
            self._loop.remove_reader(self._wire)
            self._loop.remove_writer(self._wire)
            self._wire.close()

    async def close(self) -> None:
        """End the child and everything it has started, and wait until it is gone."""
        self._end(Failed(kind="died", text="the sandbox was closed"))
        if self._process is not None:
            await asyncio.shield(self._process.gone)
            shutil.rmtree(self._scratch, ignore_errors=True)


def _used_up(cpu_s: float) -> Failed:
    return Failed(kind="timeout", text=f"no answer: its process used more than {cpu_s:g} s of CPU time")
