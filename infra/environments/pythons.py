"""The Pythons of this machine: the one nearest to the Python that a model was made with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.environments.environment import EnvironmentUnavailable, EnvironmentUnusable, own_environment
from infra.environments.uv import Uv

#: The oldest minor version that candidates may have: Python 3.10 came to its end of life in October 2026.
OLDEST = (3, 11)

_FETCH_TIMEOUT_S = 600.0

#: Says who it is, if it is a CPython with the usual lock.
_WHO = """
import json, os, sys, sysconfig
assert sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
print(json.dumps([base, os.path.realpath(sys.base_prefix), sys.version_info[:3]]))
"""


@dataclass(frozen=True, kw_only=True)
class Python:
    """One CPython on this machine."""

    #: The real interpreter, no link and no virtual environment's copy.
    interpreter: Path
    #: The installation that holds its standard library.
    prefix: Path
    version: tuple[int, int, int]


def minor(version: tuple[int, ...]) -> str:
    """A version without its patch, such as 3.11."""
    return f"{version[0]}.{version[1]}"


def own_python() -> Python:
    """The Python that the platform itself runs on."""
    own = own_environment()
    return Python(interpreter=own.interpreter, prefix=own.prefix, version=sys.version_info[:3])


def nearest(wanted: tuple[int, ...], there: Iterable[Python]) -> Python | None:
    """The Python of the wanted minor version whose patch is the nearest; the first of equals."""
    fitting = [one for one in there if one.version[:2] == wanted[:2]]
    patch = wanted[2] if len(wanted) > 2 else sys.maxsize
    return min(fitting, key=lambda one: abs(one.version[2] - patch), default=None)


def find_python(
    wanted: tuple[int, ...] | None, uv: Uv, *, log: Path, progress: Callable[[str], None]
) -> Python:
    """The Python for a model that was made with version `wanted`: the platform's own, another one, or one fetched by uv.

    Packages and byte code are of a minor version, so that another patch serves as well.

    Raises:
        EnvironmentUnusable: no candidate may have so old a Python.
        EnvironmentUnavailable: there is none of this minor version, and none could be fetched.
    """
    own = own_python()
    if wanted is None or own.version[:2] == wanted[:2]:
        return own
    kind = minor(wanted)
    if wanted[:2] < OLDEST:
        raise EnvironmentUnusable(
            f"the model was made with Python {kind}, which is no longer maintained: make and log it with "
            f"{minor(OLDEST)} or newer"
        )
    found = nearest(wanted, pythons_here(uv))
    if found is not None:
        return found
    progress(f"Fetching Python {kind}, once")
    until = time.monotonic() + _FETCH_TIMEOUT_S
    fetched = uv.run(["python", "install", "--no-bin", kind], log=log, until=until)
    there = [own, *pythons_here(uv)]
    found = nearest(wanted, there)
    if found is not None:
        return found
    versions = ", ".join(sorted({".".join(map(str, one.version)) for one in there}))
    raise EnvironmentUnavailable(
        f"the model was made with Python {kind}; this machine has {versions}, and no other could be fetched. "
        f"Install Python {kind} here, or make the model with one of these. uv says: {fetched.explanation}"
    )


def pythons_here(uv: Uv) -> list[Python]:
    """The CPythons of this machine, those that uv fetched first."""
    listed = json.loads(
        uv.ask("python", "list", "--only-installed", "--all-versions", "--output-format", "json")
    )
    plain = [one for one in listed if (one["implementation"], one["variant"]) == ("cpython", "default")]
    paths = [Path(one["path"]) for one in plain] + _of_pyenv()
    found = {python.interpreter: python for path in paths if (python := _asked(path)) is not None}
    return sorted(found.values(), key=lambda one: not one.interpreter.is_relative_to(uv.pythons))


def remember(python: Python, path: Path) -> None:
    """Write down which Python was found: looking for one takes seconds."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps([str(python.interpreter), str(python.prefix), python.version]))
    draft.replace(path)


def remembered(path: Path) -> Python | None:
    """The Python that was written down, None where there is none or it is gone."""
    try:
        interpreter, prefix, (major, minor, patch) = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not os.access(interpreter, os.X_OK):
        return None
    return Python(interpreter=Path(interpreter), prefix=Path(prefix), version=(major, minor, patch))


def _of_pyenv() -> list[Path]:
    """What pyenv keeps out of the path: uv sees only what stands there for it."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return sorted(root.glob("versions/*/bin/python3"))


def _asked(path: Path) -> Python | None:
    """The Python itself behind a link, a virtual environment or a shim; None where it does not run."""
    try:
        done = subprocess.run([path, "-I", "-S", "-c", _WHO], capture_output=True, timeout=30, check=True)
        interpreter, prefix, (major, minor, patch) = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Python(interpreter=Path(interpreter), prefix=Path(prefix), version=(major, minor, patch))
