"""Bubblewrap's options: a file system of few files, namespaces, no capabilities."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: Started in its place, this fails as a program does that is not installed.
_MISSING = "/not-installed/bwrap"


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory that is seen inside, read-only."""

    source: str
    #: Where it is inside; empty for the same place.
    target: str = ""
    #: What to do where it is missing: bubblewrap fails, or goes without. A link is made as a link.
    missing: Literal["fail", "skip", "link"] = "fail"

    @property
    def place(self) -> str:
        """Where it is inside."""
        return self.target or self.source

    def options(self) -> tuple[str, ...]:
        """As bubblewrap takes it."""
        option = {"fail": "--ro-bind", "skip": "--ro-bind-try", "link": "--symlink"}[self.missing]
        # Made by itself, the directory above would be as private as the source's.
        return "--dir", str(Path(self.place).parent), option, self.source, self.place


def bubblewrap(
    binds: Iterable[Bind],
    *,
    hidden: Iterable[str],
    variables: Mapping[str, str],
    scratch_bytes: int,
    root: bool,
) -> tuple[str, ...]:
    """The command in front of the confined program's.

    Args:
        binds: what is seen inside.
        hidden: directories below it that are empty inside.
        variables: the environment inside.
        scratch_bytes: the size of `/tmp`, the one place that can be written.
        root: whether root of the machine starts it. It then holds on to what a program needs to become another user.
    """
    program = shutil.which("bwrap") or _MISSING
    options = [program, *_namespaces(program, root=root)]
    options += ["--die-with-parent", "--new-session", "--hostname", "candidate", "--cap-drop", "ALL"]
    if root:
        for name in ("SETUID", "SETGID", "SETPCAP", "DAC_READ_SEARCH"):
            options += ["--cap-add", f"CAP_{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for bind in binds:
        options += bind.options()
    for place in hidden:
        options += ["--tmpfs", place]
    options += ["--perms", "1777", "--size", str(scratch_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--clearenv"]  # noqa: S108
    for name, value in variables.items():
        options += ["--setenv", name, value]
    return (*options, "--")


def _namespaces(program: str, *, root: bool) -> tuple[str, ...]:
    if root:
        # The program enters a user namespace by itself, when it is no longer root.
        each = ("pid", "net", "ipc", "uts", "cgroup-try")
        return tuple(f"--unshare-{name}" for name in each)
    return ("--unshare-all", "--unshare-user", *_disable_userns(program))


@functools.cache
def _disable_userns(program: str) -> tuple[str, ...]:
    """The option that forbids further user namespaces, where bubblewrap knows it; seccomp forbids them too."""
    option = "--disable-userns"
    argv = [program, "--unshare-user", option, "--ro-bind", "/", "/", "true"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return (option,) if done.returncode == 0 else ()


def forget() -> None:
    """Try again at the next question what bubblewrap can do."""
    _disable_userns.cache_clear()
