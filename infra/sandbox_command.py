"""How a candidate's process is started: what it sees, and what it is told."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import models.child

Level = Literal["bubblewrap", "none"]

#: Where things are inside. Paths of the host are not shown, but for the interpreter's, which it needs.
_MODEL = "/candidate/model"
_PACKAGES = "/candidate/packages"
_CHILD = "/candidate/child.py"

#: The candidate's scratch space, in memory.
_TMP_BYTES = 64 << 20

#: All that a candidate finds in its environment. One thread, so that sums do not depend on the cores.
_ENVIRONMENT = {
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

#: Namespaces, the strictest first.
_NAMESPACES = (("--unshare-all", "--unshare-user", "--disable-userns"), ("--unshare-all",))

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/usr/share/zoneinfo")

_PLATFORM = Path(models.child.__file__).resolve().parent.parent

#: Tries what a sandboxed process may not manage, and says so where it failed in all of it.
_PROBE = f"""
import os, socket
assert not os.path.exists({str(_PLATFORM / "infra")!r}), "the platform is visible"
assert [name for _, name in socket.if_nameindex()] in ([], ["lo"]), "the network is visible"
assert len([name for name in os.listdir("/proc") if name.isdigit()]) <= 3, "other processes are visible"
try:
    open("/candidate/packages/probe", "w")
except OSError:
    print("held")
"""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command and the paths as the process it starts sees them."""

    argv: tuple[str, ...]
    env: dict[str, str]
    model: str
    packages: tuple[str, ...]


def probe_level() -> Level:
    """The level of isolation that is to be had here, found by trying once."""
    return "none" if _namespaces() is None else "bubblewrap"


def forget_probe() -> None:
    """Try again at the next question, where something may have been installed meanwhile."""
    _namespaces.cache_clear()


@functools.cache
def _namespaces() -> tuple[str, ...] | None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return None
    with tempfile.TemporaryDirectory() as model:
        for namespaces in _NAMESPACES:
            argv = [bwrap, *namespaces, *_mounts(Path(model)), "--", *_python("-c"), _PROBE]
            try:
                done = subprocess.run(argv, env={}, capture_output=True, timeout=30, check=False)
            except (OSError, subprocess.TimeoutExpired):
                continue
            if done.stdout.strip() == b"held":
                return namespaces
    return None


def launch(model: Path, level: Level, scratch: Path) -> Launch:
    """How to start the child for the model in directory `model`.

    Args:
        scratch: a directory of the child's own, where the level does not give it one.
    """
    if level == "bubblewrap":
        namespaces = _namespaces() or _NAMESPACES[0]
        bwrap = shutil.which("bwrap") or "bwrap"
        argv = (bwrap, *namespaces, *_mounts(model), "--", *_python(_CHILD))
        return Launch(argv=argv, env={}, model=_MODEL, packages=(_PACKAGES,))
    env = _ENVIRONMENT | {"HOME": str(scratch), "TMPDIR": str(scratch)}
    argv = _python(str(Path(models.child.__file__).resolve()))
    return Launch(argv=argv, env=env, model=str(model.resolve()), packages=(str(_site_packages()),))


def _python(script: str) -> tuple[str, ...]:
    return (_interpreter(), *_PYTHON_OPTIONS, script)


def _interpreter() -> str:
    """The interpreter under the virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _site_packages() -> Path:
    return Path(sysconfig.get_paths()["purelib"]).resolve()


def _mounts(model: Path) -> list[str]:
    """bwrap's options but for the namespaces: the few files a candidate sees, and its environment."""
    options = ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "candidate"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for path in _LIBRARIES:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    for path in _ETC:
        options += ["--ro-bind-try", path, path]
    options += _interpreter_mounts()
    packages = _site_packages()
    options += ["--ro-bind", str(packages), _PACKAGES]
    for name in ("schemas", "streams", "models", "agents", "infra"):
        if (packages / name).is_dir():
            options += ["--tmpfs", f"{_PACKAGES}/{name}"]
    options += ["--ro-bind", str(model.resolve()), _MODEL]
    options += ["--ro-bind", str(Path(models.child.__file__).resolve()), _CHILD]
    options += ["--size", str(_TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]  # noqa: S108
    options += ["--remount-ro", "/", "--clearenv"]
    for name, value in _ENVIRONMENT.items():
        options += ["--setenv", name, value]
    return options


def _interpreter_mounts() -> list[str]:
    """The interpreter and its standard library, at the same path: it finds its libraries by it."""
    interpreter = _interpreter()
    if sys.base_prefix == "/usr":
        return ["--ro-bind", interpreter, interpreter]
    prefix = str(Path(sys.base_prefix).resolve())
    options = ["--ro-bind", prefix, prefix]
    if not interpreter.startswith(prefix + os.sep):
        options += ["--ro-bind", interpreter, interpreter]
    return options
