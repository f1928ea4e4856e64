"""What this machine can carry, read from the system and from the limits of the group that this process runs in."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from infra.sandbox.command import Level
from schemas.parties import Capacity

#: Memory limits of a control group, version 2 and 1. A number larger than the machine's memory is no limit.
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def capacity(level: Level, *, unsandboxed: bool) -> Capacity:
    """This machine's cores and memory, and how it holds code at that level."""
    return Capacity(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mb=_memory_bytes() >> 20,
        sandbox=level,
        unsandboxed=unsandboxed,
    )


def _memory_bytes() -> int:
    total = int(psutil.virtual_memory().total)
    return min([total, *(limit for path in _MEMORY_LIMITS if (limit := _limit(path)))])


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
