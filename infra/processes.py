"""Child programs that never outlive Fieldproof: neither after Ctrl-C nor after its own SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from infra.errors import ProcessFailed
from infra.guard import KILL, TERMINATE

_GUARD = Path(__file__).with_name("guard.py")
_LOG_LIMIT_BYTES = 10_000_000


class Process:
    """A running child program behind its guard. Methods may be called from any thread."""

    def __init__(self, *, guard: subprocess.Popen[bytes], watch: int, pid: int, log_path: Path) -> None:
        self._guard = guard
        self._watch = watch
        #: Process id of the program itself, not of its guard.
        self.pid = pid
        self.log_path = log_path

    def poll(self) -> int | None:
        """The exit code, -n if signal n ended the program, None while it runs."""
        return _exit_code(self._guard.poll())

    def alive(self) -> bool:
        return self._guard.poll() is None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program and all its descendants to end; None if that took longer than `timeout_s`."""
        try:
            return _exit_code(self._guard.wait(timeout_s))
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM, wait up to `timeout_s`, then SIGKILL to it and its descendants. Returns the exit code."""
        self._order(TERMINATE)
        code = self.wait(timeout_s)
        return self.kill() if code is None else self._close(code)

    def kill(self) -> int:
        """SIGKILL to the program and its descendants. Returns the exit code."""
        self._order(KILL)
        code = self.wait(5.0)
        if code is None:  # the guard itself hangs; the kernel kills the program with it
            self._guard.kill()
            code = self.wait()
        assert code is not None
        return self._close(code)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of what the program has written."""
        return tail(self.log_path, lines)

    def _order(self, order: bytes) -> None:
        try:
            if self._watch >= 0:
                os.write(self._watch, order)
        except BrokenPipeError:  # already ended
            pass

    def _close(self, code: int) -> int:
        watch, self._watch = self._watch, -1
        if watch >= 0:
            os.close(watch)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    command: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_s: float = 5.0,
    held: Sequence[int] = (),
) -> Process:
    """Start a program in a session of its own (out of reach of Ctrl-C), its output appended to `log_path`.

    `grace_s` is how long the program gets between SIGTERM and SIGKILL when this process dies.
    `held` are files, locks for example, that stay open until the program and its descendants are gone.
    Raises ProcessFailed when the program cannot be executed; that it soon ends is for the caller to see.
    """
    watch, keep = os.pipe()
    status, report = os.pipe()
    descriptors = (watch, report, *held)
    arguments = [",".join(map(str, descriptors)), str(os.getpid()), str(grace_s), *command]
    try:
        with _open_log(log_path) as log:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=descriptors,
            )
    except OSError as error:
        os.close(keep)
        os.close(status)
        raise ProcessFailed(f"could not start {command[0]}: {error}") from error
    finally:
        os.close(watch)
        os.close(report)
    with os.fdopen(status, "rb") as stream:
        answer = stream.readline().decode(errors="replace").strip()
    if not answer.isdigit():
        guard.wait()
        os.close(keep)
        raise ProcessFailed(f"could not start {command[0]}: {answer.lstrip('!') or tail(log_path, 5)}")
    return Process(guard=guard, watch=keep, pid=int(answer), log_path=log_path)


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file; empty if there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 16_384))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _exit_code(code: int | None) -> int | None:
    return 128 - code if code is not None and code > 128 else code
