"""Users that exist only while a candidate runs: numbers that no account of a machine has."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from infra.errors import InfraError

#: 2³⁰ numbers from here on: 256 for each process there can be. Accounts and containers are given smaller ones.
_FIRST = 0x40000000
_EACH = 256

_turn = itertools.count()


class NoFreeUser(InfraError):
    """Every user that this process can give its candidates has processes. End some of them first."""


def is_root() -> bool:
    """Whether this process is root of the machine, and not only of a container's own users."""
    return os.geteuid() == 0 and _all_users_exist()


def free_uid() -> int:
    """A user and group that no process has.

    Processes on a machine have different numbers, so no two of them choose from the same 256.

    Raises:
        NoFreeUser: all of these have processes.
    """
    taken = _taken()
    first = _FIRST + os.getpid() * _EACH
    for turn in itertools.islice(_turn, _EACH):
        uid = first + turn % _EACH
        if uid not in taken:
            return uid
    raise NoFreeUser


def _all_users_exist() -> bool:
    words = Path("/proc/self/uid_map").read_text().split()
    return words == ["0", "0", "4294967295"]


def tasks_of(uid: int) -> int:
    """How many processes and threads a user has."""
    return sum(threads for owner, threads in _processes() if owner == uid)


def _taken() -> set[int]:
    """The real users of all processes."""
    return {owner for owner, _ in _processes()}


def _processes() -> Iterator[tuple[int, int]]:
    """The real user and the number of threads of every process."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                status = Path("/proc", name, "status").read_bytes()
            except OSError:  # it has ended meanwhile
                status = b""
            if not status:
                continue
            said = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)
            yield int(said[b"Uid"].split()[0]), int(said[b"Threads"])


def reachable(path: Path) -> bool:
    """Whether any user may go as far as a file or directory."""
    return all(one.stat().st_mode & 0o001 for one in path.resolve().parents)


def readable(path: Path, *, deep: bool = False) -> bool:
    """Whether any user who is there can read a file or directory; with `deep`, everything below as well."""
    return all(_readable(one) for one in (path, *(path.rglob("*") if deep else ())))


def _readable(path: Path) -> bool:
    mode = path.lstat().st_mode
    return bool(mode & 0o004) and (not stat.S_ISDIR(mode) or bool(mode & 0o001))
