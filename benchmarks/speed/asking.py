"""Peers as the harness sees them: processes of the environment `.venv-bench`, each with one model, asked job by job."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.sandbox.confinement import VARIABLES

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"

#: One thread, as the platform gives it to a candidate.
THREADS = {name: value for name, value in VARIABLES.items() if name.endswith(("_THREADS", "_CPU_COUNT"))}

START_S, JOB_S = 180.0, 600.0


class PeerFailed(Exception):
    """A peer did not do its job; says why."""


class Peer:
    """One peer's process; it ends with this one, however this one ends."""

    def __init__(self, program: str, *arguments: str, log: Path) -> None:
        """Raises PeerFailed: the environment is not there."""
        if not PYTHON.exists():
            raise PeerFailed(f"{PYTHON.parent.parent.name} is missing: run `make bench`, which makes it")
        self._log = log
        self.name = program
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        path = f"{PYTHON.parent}{os.pathsep}{kept.get('PATH', '')}"
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [str(PYTHON), "-m", f"benchmarks.speed.peers.{program}", *arguments],
                env={**kept, **THREADS, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                process_group=0,
            )
        self._rest = b""
        self._ready = False
        #: Whether it was given a job whose answer nobody has read.
        self._asked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> None:
        """Wait until its model is loaded. Raises PeerFailed."""
        if not self._ready:
            self._answer(START_S)
            self._ready = True

    def run(self, job: dict[str, Any], *, timeout_s: float = JOB_S) -> dict[str, Any]:
        """Have it do a job, and wait for its answer. Raises PeerFailed."""
        self.begin(job)
        return self.wait(timeout_s=timeout_s)

    def begin(self, job: dict[str, Any]) -> None:
        """Give it a job. Raises PeerFailed."""
        self.ready()
        assert self._process.stdin is not None
        if self._asked:
            self._answer(JOB_S)
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failed("ended") from error
        self._asked = True

    def wait(self, *, timeout_s: float = JOB_S) -> dict[str, Any]:
        """The answer to the job that it was given. Raises PeerFailed."""
        answer = self._answer(timeout_s)
        self._asked = False
        if "error" in answer:
            raise PeerFailed(f"{self.name}: {answer['error']}")
        return answer

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline, number = time.monotonic() + timeout_s, self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([number], [], [], left)[0]:
                raise self._failed(f"has not answered within {timeout_s:g} s")
            came = os.read(number, 65_536)
            if not came:
                raise self._failed("ended")
            self._rest += came
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _failed(self, what: str) -> PeerFailed:
        told = self._log.read_text(errors="replace").splitlines()[-3:]
        return PeerFailed(f"{self.name} {what}: {' | '.join(told) or 'it said nothing'}")

    def close(self) -> None:
        """End it with all that it has started."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(5)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait(5)
