"""Stands between Fieldproof and one child program, so that it and all its descendants end with Fieldproof.

Run as a script (`python -I -S guard.py <fds> <parent pid> <grace s> command …`), standard library only.
It learns of its parent's death by the end of file on a pipe and, should a fork have kept that pipe open, by
its changed parent id. The kernel's parent-death signal alone would not do: it fires when the *thread* that
started the child ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

#: Bytes that the parent may write to the watch pipe.
TERMINATE, KILL = b"T", b"K"

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PARENT_CHECK_S = 1.0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _exec_child(command: Sequence[str], guard: int, failure: int) -> NoReturn:
    """Become the program; its own process group, killed by the kernel when the guard dies."""
    try:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard died before the line above
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], list(command))  # noqa: S606  (no shell is what is wanted)
    except (OSError, ValueError) as error:
        os.write(failure, str(error).encode()[:1000])
    finally:  # nothing may return into the guard's own code
        os._exit(127)


def _start(command: Sequence[str]) -> tuple[int, str]:
    """Start the program; return its process id and, if it could not be started, why."""
    report, failure = os.pipe()
    guard, child = os.getpid(), os.fork()
    if child == 0:
        _exec_child(command, guard, failure)
    os.close(failure)
    with os.fdopen(report, "rb") as stream:
        return child, stream.read().decode(errors="replace")


def _children() -> list[int]:
    """Direct children of the guard, adopted ones included (Linux only)."""
    try:
        told = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return [int(pid) for pid in told.split()]
    except OSError:
        return []


def _sweep(group: int) -> None:
    """Kill whatever the program left behind, adopted descendants in other groups included."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        _signal_group(group, signal.SIGKILL)
        for pid in _children():
            _signal(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_group(group: int, number: int) -> None:
    # macOS answers with a permission error for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Guard:
    def __init__(self, *, child: int, parent: int, watch: int, grace_s: float) -> None:
        self._child, self._parent, self._watch, self._grace_s = child, parent, watch, grace_s
        self._kill_at: float | None = None
        self._code: int | None = None
        self._watching = True

    def run(self, wake: int) -> int:
        poller = select.poll()
        poller.register(self._watch, select.POLLIN)
        poller.register(wake, select.POLLIN)
        while self._code is None:
            ready = {fd for fd, _ in poller.poll(self._wait_ms())}
            if wake in ready:
                self._on_signals(os.read(wake, 64))
            if self._watch in ready and not self._on_watch():
                poller.unregister(self._watch)
            if os.getppid() != self._parent:
                self._terminate(grace_s=self._grace_s)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                _signal_group(self._child, signal.SIGKILL)
            self._reap()
        _sweep(self._child)
        return self._code

    def _wait_ms(self) -> float:
        left_s = _PARENT_CHECK_S if self._kill_at is None else self._kill_at - time.monotonic()
        return max(10.0, min(left_s, _PARENT_CHECK_S) * 1000)

    def _on_signals(self, numbers: bytes) -> None:
        if any(number != signal.SIGCHLD for number in numbers):
            self._terminate(grace_s=self._grace_s)

    def _on_watch(self) -> bool:
        """Obey the parent; false when the pipe has ended, which means that the parent is gone."""
        order = os.read(self._watch, 1)
        if order == KILL:
            self._kill_at = time.monotonic()
        elif order == TERMINATE:
            _signal(self._child, signal.SIGTERM)
        else:
            self._terminate(grace_s=self._grace_s)
        return bool(order)

    def _terminate(self, *, grace_s: float) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + grace_s
            _signal(self._child, signal.SIGTERM)

    def _reap(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return


def _wakeup() -> int:
    """A pipe that becomes readable at each signal that concerns the guard."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def main(arguments: Sequence[str]) -> int:
    # Any further descriptors (locks) are held for as long as the guard lives, and are not the program's.
    watch, status, *held = (int(text) for text in arguments[0].split(","))
    parent, grace_s, command = int(arguments[1]), float(arguments[2]), arguments[3:]
    for fd in (watch, status, *held):
        os.set_inheritable(fd, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake = _wakeup()
    child, failure = _start(command)
    os.write(status, f"!{failure}\n".encode() if failure else f"{child}\n".encode())
    os.close(status)
    return _Guard(child=child, parent=parent, watch=watch, grace_s=grace_s).run(wake)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # A shell's convention for a program ended by a signal; the parent turns it back.
    os._exit(code if code >= 0 else 128 - code)
