"""The command that starts a candidate's process at a level of confinement, and what the process then sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import models.confine
from infra.environments.environment import Environment
from infra.sandbox.bubblewrap import Bind, bubblewrap
from infra.sandbox.uids import free_uid, is_root, reachable, readable, tasks_of
from models.confine import Confinement

#: How a candidate's process is held: `full` by bubblewrap with namespaces, Landlock, seccomp and limits, `reduced`
#: by the latter three, `none` by limits alone.
Level = Literal["full", "reduced", "none"]

#: From the strictest.
LEVELS: tuple[Level, ...] = ("full", "reduced", "none")

#: Where things are inside. Paths of the host are not shown, but for the interpreter's, which needs its own.
_INSIDE = "/candidate"
_MODEL, _PACKAGES = f"{_INSIDE}/model", f"{_INSIDE}/packages"

#: The candidate's scratch space in memory, and the most that a file of its may hold.
SCRATCH_BYTES = 64 << 20

#: What a user who has other processes too may have more of them, theirs included: a bound on what one candidate starts.
_MORE_TASKS = 1024

#: All that a candidate finds in its environment. One thread, so that sums do not depend on the cores.
VARIABLES = {
    "HOME": "/tmp",  # noqa: S108  (a directory of its own)
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

#: Isolated from the platform's packages: no user site, no script directory on the path, and no site module,
#: which would follow an editable install back to the platform. Not -I: it would ignore PYTHONHASHSEED, which
#: makes results repeatable; the environment is ours in any case.
_PYTHON_OPTIONS = ("-s", "-S", "-P", "-B")

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")

#: What libraries read of a machine, and nothing that tells of its owner. Where a file is seen and cannot be read,
#: they fail; where there is none, they go without.
_MACHINE = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/ssl/openssl.cnf",
    "/usr/share/zoneinfo",
)
#: The same of the kernel, where it is not bubblewrap that shows it.
_KERNEL = (
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/kernel/mm/transparent_hugepage",
)

_CONFINE = Path(models.confine.__file__).resolve()
_PLATFORM = _CONFINE.parent.parent
#: The platform's own packages: no candidate imports them, wherever they are installed.
PACKAGES = ("schemas", "streams", "models", "agents", "infra")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command and the paths as the process it starts sees them."""

    argv: tuple[str, ...]
    env: dict[str, str]
    model: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is started.

    Attributes:
        script: runs in the confined process, by its path, with the standard library alone.
        arguments: its arguments.
        model: the directory with the candidate's files.
        scratch: a directory of its own, where the level does not give it one.
    """

    script: Path
    arguments: tuple[str, ...] = ()
    model: Path
    environment: Environment
    scratch: Path


def command(program: Program, level: Level) -> Launch:
    """How to start a program at a level. Whether the level is to be had is not asked here."""
    match level:
        case "full":
            return _full(program)
        case "reduced":
            return _reduced(program)
        case "none":
            limits = Confinement(parent=os.getpid(), file_bytes=SCRATCH_BYTES, sealed=False)
            return _bare(program, limits)


def _full(program: Program) -> Launch:
    """Bubblewrap shows a file system of its own; the process confines itself in it once more."""
    root = is_root()
    binds = _shown(program, root=root)
    script = f"{_INSIDE}/{program.script.name}"
    search = root and not all(readable(Path(bind.source)) for bind in binds if bind.missing == "fail")
    confinement = Confinement(
        uid=free_uid() if root else None,
        search=search,
        # In a namespace of its own it could not read what is root's.
        namespace=root and not search,
        tasks=_tasks(apart=root or _counts_tasks_apart()),
        file_bytes=SCRATCH_BYTES,
        sealed=True,
        read=(*(bind.place for bind in binds), *_KERNEL),
        # Not /dev/shm: where it cannot be written, joblib works in one process instead of failing to start others.
        write=("/tmp", "/dev/null"),  # noqa: S108
    )
    argv = (
        *bubblewrap(
            binds, hidden=_hidden(binds), variables=VARIABLES, scratch_bytes=SCRATCH_BYTES, root=root
        ),
        *_python(program.environment, f"{_INSIDE}/{_CONFINE.name}"),
        confinement.to_json(),
        script,
        *program.arguments,
    )
    return Launch(argv=argv, env={}, model=_MODEL, packages=(_PACKAGES,))


def _shown(program: Program, *, root: bool) -> list[Bind]:
    """All that is seen inside."""
    model = program.model.resolve()
    if root and not readable(model, deep=True):
        model = _copied(model, program.scratch / "model")
    return [
        *_libraries(),
        *(Bind(source=path, missing="skip") for path in _MACHINE),
        *_interpreter(program.environment),
        Bind(source=str(program.environment.packages), target=_PACKAGES),
        Bind(source=str(model), target=_MODEL),
        Bind(source=str(_CONFINE), target=f"{_INSIDE}/{_CONFINE.name}"),
        Bind(source=str(program.script.resolve()), target=f"{_INSIDE}/{program.script.name}"),
    ]


def _reduced(program: Program) -> Launch:
    environment, scratch = program.environment, program.scratch.resolve()
    needed = [
        *(path for path in (*_LIBRARIES, *_MACHINE, *_KERNEL) if os.path.exists(path)),
        str(environment.interpreter),
        *((str(environment.prefix),) if str(environment.prefix) != "/usr" else ()),
        str(environment.packages),
        str(program.model.resolve()),
        str(program.script.resolve()),
    ]
    read, listed = _without_platform(needed)
    uid = free_uid() if is_root() else None
    if uid is not None:
        os.chown(scratch, uid, uid)
    confinement = Confinement(
        uid=uid,
        search=uid is not None and _private(needed, program.model.resolve(), scratch.parent),
        parent=os.getpid(),
        tasks=_tasks(apart=uid is not None),
        file_bytes=SCRATCH_BYTES,
        sealed=True,
        read=tuple(read),
        listed=tuple(listed),
        write=(str(scratch), "/dev/null"),
    )
    return _bare(program, confinement)


def _private(needed: Sequence[str], model: Path, above_scratch: Path) -> bool:
    """Whether something that a candidate needs can be read by its owner alone."""
    places = (*map(Path, needed), above_scratch)
    open_ = all(map(reachable, places)) and all(map(readable, places))
    return not open_ or not readable(model, deep=True)


def _bare(program: Program, confinement: Confinement) -> Launch:
    scratch = str(program.scratch.resolve())
    argv = (
        *_python(program.environment, str(_CONFINE)),
        confinement.to_json(),
        str(program.script.resolve()),
        *program.arguments,
    )
    return Launch(
        argv=argv,
        env=VARIABLES | {"HOME": scratch, "TMPDIR": scratch},
        model=str(program.model.resolve()),
        packages=(str(program.environment.packages),),
    )


def _python(environment: Environment, script: str) -> tuple[str, ...]:
    return (str(environment.interpreter), *_PYTHON_OPTIONS, script)


def _libraries() -> Iterator[Bind]:
    for path in _LIBRARIES:
        if os.path.islink(path):
            yield Bind(source=os.readlink(path), target=path, missing="link")
        elif os.path.isdir(path):
            yield Bind(source=path)


def _interpreter(environment: Environment) -> Iterator[Bind]:
    """The interpreter and its standard library, at the same path: it finds its libraries by it."""
    interpreter, prefix = str(environment.interpreter), str(environment.prefix)
    if prefix != "/usr":
        yield Bind(source=prefix)
    if prefix == "/usr" or not environment.interpreter.is_relative_to(environment.prefix):
        yield Bind(source=interpreter)


def _tasks(*, apart: bool) -> int:
    """How many tasks its user may have; where that is not the candidate's alone, so many beside those that it has."""
    return models.confine.TASKS if apart else tasks_of(os.getuid()) + _MORE_TASKS


def _counts_tasks_apart() -> bool:
    """Whether the kernel counts a user's tasks in each user namespace apart: from 5.14 on."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 14)


def _copied(model: Path, to: Path) -> Path:
    """A copy that any user can read. Links stay links: what they lead to is not the model's."""
    shutil.copytree(model, to, symlinks=True)
    for path in (to, *to.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return to


# The platform's packages, where they are installed among what a candidate sees.


def _hidden(binds: Sequence[Bind]) -> list[str]:
    """Where they would be seen inside."""
    found = []
    for bind in binds:
        if bind.missing != "link" and _PLATFORM.is_relative_to(bind.source):
            place = Path(bind.place, _PLATFORM.relative_to(bind.source))
            found += [str(place / name) for name in PACKAGES]
    return found


def _without_platform(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The same paths without what belongs to the platform: those to read, those of which to list the names."""
    read, listed = [], []
    for path in paths:
        if not _PLATFORM.is_relative_to(path):
            read.append(path)
            continue
        listed.append(path)
        below = [f"{path.rstrip('/')}/{name}" for name in os.listdir(path)]
        own = {str(_PLATFORM / name) for name in PACKAGES}
        more_read, more_listed = _without_platform([one for one in below if one not in own])
        read += more_read
        listed += more_listed
    return read, listed
