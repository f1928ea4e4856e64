"""What the platform's processes use, by kind of process, as psutil sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

KINDS = ("runner", "child", "scorer", "broker", "control", "mlflow", "other")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU seconds since their start and resident megabytes now, by kind of process."""

    cpu_s: Mapping[str, float]
    rss_mb: Mapping[str, float]

    def cpu_since(self, before: Usage) -> dict[str, float]:
        """CPU seconds between two looks."""
        return {kind: used - before.cpu_s.get(kind, 0.0) for kind, used in self.cpu_s.items()}


def usage(pid: int) -> Usage:
    """Of a process and all that it has started."""
    cpu_s: dict[str, float] = {}
    rss_mb: dict[str, float] = {}
    top = psutil.Process(pid)
    for process in (top, *top.children(recursive=True)):
        try:
            kind = kind_of(process.cmdline())
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        cpu_s[kind] = cpu_s.get(kind, 0.0) + times.user + times.system
        rss_mb[kind] = rss_mb.get(kind, 0.0) + memory.rss / 2**20
    return Usage(cpu_s=cpu_s, rss_mb=rss_mb)


def kind_of(line: list[str]) -> str:
    """What a process is, by its command line."""
    told = " ".join(line)
    if "guard.py" in told:
        return "other"
    if "confine.py" in told or "child.py" in told:
        return "child"
    worker = worker_of(line)
    if worker is not None:
        return next((kind for kind in ("runner", "scorer", "control") if worker.startswith(kind)), "other")
    if "kafka.Kafka" in told:
        return "broker"
    return "mlflow" if "mlflow" in told else "other"


def worker_of(line: list[str]) -> str | None:
    """The name of the worker that a process is, by its command line; None where it is none, as its guard."""
    named = "infra.worker" in line and not any(word.endswith("guard.py") for word in line)
    return Path(line[-1]).stem if named else None
