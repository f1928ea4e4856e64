"""Waiting for processes to end."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def wait_until_gone(pids: Iterable[int], *, timeout_s: float = 30.0) -> None:
    """Return once none of the processes runs (a zombie does not); fail naming those that still do."""
    deadline = time.monotonic() + timeout_s
    left = list(pids)
    while left := [pid for pid in left if _runs(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
