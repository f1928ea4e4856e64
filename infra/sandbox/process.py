"""A child's process: how it is started, what it prints, what the kernel says it uses, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from infra.sandbox.command import Launch
from infra.sandbox.wire import printable

#: How much of what a candidate prints is kept, for the plant.
STDERR_BYTES = 4096

#: How much of what it prints is read at once, and for how long nothing is read after that, in seconds: one that prints
#: without end waits for its pipe, and the platform does not wait for it.
_PRINTED_BYTES, _PRINTED_S = 1 << 16, 0.02

#: How old the last look at a process's memory has to be for another one, in seconds.
_MEMORY_LOOK_S = 0.25


class Meter:
    """What the kernel says that a process has used. Once the process has ended it stays at what was read last.

    Processes that it starts are not counted; from level `reduced` on it starts none.
    A number that is taken by another process meanwhile would be read as this one's: numbers come around after
    thousands of starts, and the platform learns of an end within a turn of its loop.
    """

    def __init__(self, pid: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        # The clock of a process, as `clock_getcpuclockid` in the C library makes its name.
        self._clock = (~pid << 3) | 2
        self._pid = pid
        self._monotonic = monotonic
        self._looked = -_MEMORY_LOOK_S
        self._cpu_ns = 0
        self._peak_kb = 0

    def cpu_ns(self) -> int:
        """CPU time of all its threads since its start; 0 where the kernel does not say."""
        with contextlib.suppress(OSError):
            self._cpu_ns = max(self._cpu_ns, time.clock_gettime_ns(self._clock))
        return self._cpu_ns

    def peak_kb(self) -> int:
        """The largest resident size so far, as of at most a quarter of a second ago; 0 where the kernel does not say."""
        now = self._monotonic()
        if now - self._looked >= _MEMORY_LOOK_S:
            self._looked = now
            self._peak_kb = max(self._peak_kb, _peak_kb(self._pid))
        return self._peak_kb


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0
    lines = (line.split() for line in status.split(b"\n") if line.startswith(b"VmHWM:"))
    return next((int(words[1]) for words in lines), 0)


class ChildProcess:
    """One started process with everything that it starts."""

    def __init__(self, launched: Launch, *, stdin: socket.socket, cwd: Path) -> None:
        """Start it in a session of its own.

        Raises:
            OSError: it cannot be started.
        """
        self._loop = asyncio.get_running_loop()
        output, sink = os.pipe()
        try:
            self._process = subprocess.Popen(
                launched.argv,
                env=launched.env,
                cwd=cwd,
                stdin=stdin.fileno(),
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(sink)
        self._printed = bytearray()
        self._output: int | None = output
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._take_printed)
        #: Its exit status when it has ended; negative for a signal.
        self.gone: asyncio.Future[int] = self._loop.create_future()
        self._exit = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._exit, self._reap)

    @property
    def pid(self) -> int:
        """The child itself, or what holds it."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The last of what it has printed, printable."""
        return printable(bytes(self._printed))

    def kill(self) -> None:
        """End it, at once."""
        if not self.gone.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """The process has ended: take its status and the last of its output."""
        self._loop.remove_reader(self._exit)
        os.close(self._exit)
        # What it started may live on in its group and hold the connection.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, status = os.waitpid(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._read_printed()
        self._close_output()
        self.gone.set_result(self._process.returncode)

    def _take_printed(self) -> None:
        """Read once, and not again for a while."""
        self._read_printed()
        if self._output is not None:
            self._loop.remove_reader(self._output)
            self._loop.call_later(_PRINTED_S, self._listen)

    def _listen(self) -> None:
        if self._output is not None:
            self._loop.add_reader(self._output, self._take_printed)

    def _read_printed(self) -> None:
        """Take what it has printed; all but the last of it is dropped."""
        if self._output is None:
            return
        try:
            data = os.read(self._output, _PRINTED_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close_output()
            return
        self._printed += data
        del self._printed[:-STDERR_BYTES]

    def _close_output(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = None


def ending(status: int) -> str:
    """How a process ended; bubblewrap reports a signal n of what it holds as 128 + n."""
    number = -status if status < 0 else status - 128
    if status < 0 or status > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
    return f"exit status {status}"
