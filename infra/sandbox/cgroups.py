"""Control groups: a bound on what all tasks of one candidate take together, where this machine lets us divide our own.

A group is made only below the one that this process is in (or beside, in a group that was delegated), and only where
that is ours to divide: the top of what there is, or marked as delegated by systemd. Elsewhere candidates have none; what
holds then are the limits of the process. Sources: cgroups(7), systemd's "Control Group APIs and Delegation".
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: The folder of all groups made here.
_FOLDER = "fieldproof"

#: How old a group of our own has to be before it is removed, in seconds: its process may not have come yet.
_YOUNG_S = 60

_turn = itertools.count()

#: Joins the groups whose files are the words of the first argument, then is replaced by the rest.
_JOIN = 'for group in $1; do echo 0 > "$group"; done 2>/dev/null; shift; exec "$@"'


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A place in which groups may be made, with the controllers it has there."""

    place: Path
    #: Version 2, where one hierarchy has all controllers.
    unified: bool
    controllers: tuple[str, ...]


def joining(argv: tuple[str, ...], *, memory_bytes: int | None, tasks: int) -> tuple[str, ...]:
    """The same command in groups of its own, as far as there are any.

    Groups that nothing runs in any more are removed at the next call, and at the end of this process.

    Args:
        argv: the command.
        memory_bytes: what all its tasks may hold, the kernel's memory for them included.
        tasks: how many there may be.
    """
    limits = {"pids": {"pids.max": str(tasks)}}
    if memory_bytes is not None:
        most = str(memory_bytes)
        limits["memory"] = {"memory.max": most, "memory.swap.max": "0", "memory.limit_in_bytes": most}
    made = []
    for hierarchy in hierarchies():
        sweep(hierarchy)
        with contextlib.suppress(OSError):
            made.append(_made(hierarchy, limits) / "cgroup.procs")
    if not made:
        return argv
    return ("/bin/sh", "-c", _JOIN, "join", " ".join(map(str, made)), *argv)


def hierarchies(
    own: str | None = None, mounts: str | None = None, wanted: tuple[str, ...] = ("memory", "pids")
) -> list[Hierarchy]:
    """Where groups may be made for these controllers.

    Args:
        own: this process's groups, as in /proc/self/cgroup, which it is by default.
        mounts: what is mounted, as in /proc/self/mountinfo.
        wanted: controllers.
    """
    own = Path("/proc/self/cgroup").read_text() if own is None else own
    mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    found = []
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        unified = not names
        for top in _mounted(mounts, names):
            for place in (top / path.lstrip("/"), (top / path.lstrip("/")).parent):
                has = _controllers(place, names, wanted)
                if has and _is_ours(place, top):
                    found.append(Hierarchy(place=place, unified=unified, controllers=has))
                    break
    return found


def _mounted(mounts: str, names: str) -> Iterator[Path]:
    """Where the hierarchy of these controllers is mounted."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        right = (
            kind == "cgroup2"
            if not names
            else kind == "cgroup" and set(names.split(",")) <= set(options.split(","))
        )
        if right and before.split()[3] == "/":
            yield Path(before.split()[4])
            return


def _controllers(place: Path, names: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    try:
        there = names.split(",") if names else (place / "cgroup.controllers").read_text().split()
    except OSError:
        return ()
    return tuple(name for name in wanted if name in there)


def _is_ours(place: Path, top: Path) -> bool:
    if not os.access(place, os.W_OK):
        return False
    return place == top or any(_marked(place, name) for name in ("trusted.delegate", "user.delegate"))


def _marked(place: Path, name: str) -> bool:
    try:
        return os.getxattr(place, name) == b"1"
    except OSError:
        return False


def _made(hierarchy: Hierarchy, limits: Mapping[str, Mapping[str, str]]) -> Path:
    """A new group with these limits.

    Raises:
        OSError: it cannot be had.
    """
    folder = hierarchy.place / _FOLDER
    group = folder / f"{os.getpid()}-{next(_turn)}"
    if hierarchy.unified:
        enable = " ".join(f"+{name}" for name in hierarchy.controllers)
        _write(hierarchy.place / "cgroup.subtree_control", enable)
        folder.mkdir(exist_ok=True)
        _write(folder / "cgroup.subtree_control", enable)
    group.mkdir(parents=True)
    for name in hierarchy.controllers:
        for file, limit in limits.get(name, {}).items():
            # Each version of the interface knows some of these files.
            if (group / file).exists():
                _write(group / file, limit)
    return group


def _write(file: Path, text: str) -> None:
    with file.open("w") as opened:
        opened.write(text)


def sweep(hierarchy: Hierarchy, young_s: float = _YOUNG_S) -> None:
    """Remove the groups that nothing runs in; the kernel keeps the others."""
    now = time.time()
    for group in (hierarchy.place / _FOLDER).glob("*-*"):
        with contextlib.suppress(OSError):
            pid = int(group.name.partition("-")[0])
            ours = pid == os.getpid()
            if (ours and now - group.stat().st_mtime >= young_s) or not (
                ours or Path(f"/proc/{pid}").exists()
            ):
                group.rmdir()


@atexit.register
def _tidy() -> None:
    for hierarchy in hierarchies():
        sweep(hierarchy, young_s=0)
        with contextlib.suppress(OSError):
            (hierarchy.place / _FOLDER).rmdir()
