"""The command `fieldproof` as people run it: a process of its own, in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]

#: What a test waits for at most; every wait ends with the fact, not with the time.
PATIENCE_S = 90.0

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Json]:
        """Its lines on stdout; every one of them has to be JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a command: nothing of an installation but its home, and what is given."""
    without = ("KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return {**kept, "FIELDPROOF_HOME": str(home), "PYTHONUNBUFFERED": "1", **more}


def command(*arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "infra.cli.main", *arguments]


def run(home: Path, *arguments: str, timeout_s: float = PATIENCE_S, **more: str) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        command(*arguments),
        env=environment(home, **more),
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


class Running:
    """A command that runs beside the test; its lines are read as they come."""

    def __init__(self, home: Path, *arguments: str, **more: str) -> None:
        self.home = home
        self.lines: list[str] = []
        self.err: list[str] = []
        # A group of its own, as a terminal gives to a command in the foreground.
        self.process = subprocess.Popen(
            command(*arguments),
            env=environment(home, **more),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))
        stream.close()

    @property
    def records(self) -> list[Json]:
        """Its lines on stdout so far; every one of them has to be JSON."""
        return [json.loads(line) for line in list(self.lines)]

    def record(self, kind: str) -> Json:
        """Its first record of a kind, once it is there."""
        return wait_for(
            lambda: next((one for one in self.records if one.get("kind") == kind), None),
            f"a record {kind!r} of {self.process.args}",
            alive=self.alive,
        )

    def alive(self) -> str | None:
        """Why it will not say anything more; None while it may."""
        if self.process.poll() is None:
            return None
        return f"ended with {self.process.returncode}: {self.err[-8:]}"

    def interrupt(self, *, group: bool = False) -> None:
        """Ctrl-C: to the process alone, or to its whole group as a terminal does."""
        if group:
            os.killpg(self.process.pid, signal.SIGINT)
        else:
            self.process.send_signal(signal.SIGINT)

    def end(self, timeout_s: float = PATIENCE_S) -> Ran:
        """Wait for its end."""
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        return Ran(code=code, out="\n".join(self.lines), err="\n".join(self.err))

    def stop(self) -> None:
        """End it, if it still runs, and wait until nothing of it is left."""
        if self.process.poll() is None:
            self.interrupt()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.end()
        wait_until_none(self.home)


def processes_of(home: Path) -> dict[int, str]:
    """Every process that has to do with a home, by id: it names the home, or was started by one that does."""
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            told = line + "\0" + "\0".join(process.environ().values())
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE and str(home) in told:
                found[process.pid] = line
                for child in process.children(recursive=True):
                    if child.status() != psutil.STATUS_ZOMBIE:
                        found.setdefault(child.pid, " ".join(child.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_until_none(home: Path, *pids: int, but: int = 0, timeout_s: float = 40.0) -> None:
    """Return once no process of a home is left `but` one, and none of these; fail naming those that are."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = processes_of(home)
        left.update({pid: "seen before" for pid in pids if _runs(pid)})
        left.pop(but, None)
        if not left:
            return
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def worker_pid(home: Path, name: str) -> int | None:
    """The process of a worker such as `scorer.plant` or `runner.pairing/candidate`; its guard is not meant."""
    told = str(home.resolve() / "workers" / f"{name.replace('/', '.')}.json")
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if told in line and "infra.worker" in line and line[1] == "-m":
            return int(process.pid)
    return None


def wait_for(
    look: Callable[[], Any],
    what: str,
    *,
    timeout_s: float = PATIENCE_S,
    alive: Callable[[], str | None] | None = None,
) -> Any:
    """What `look` finds, once it finds something; fails with the words for it where that does not come."""
    deadline = time.monotonic() + timeout_s
    while True:
        ended = alive() if alive is not None else None
        found = look()
        if found:
            return found
        assert ended is None, f"waited for {what}, but it {ended}"
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.05)


def lines_of(text: str) -> Iterator[str]:
    """Lines that hold something."""
    return (line for line in text.splitlines() if line.strip())
