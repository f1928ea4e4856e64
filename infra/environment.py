"""A Python environment that a candidate may run in: an interpreter and the packages beside it."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a candidate's interpreter and its packages lie on this machine."""

    #: The real interpreter, no link and no virtual environment's copy.
    interpreter: Path
    #: The installation that holds the interpreter's standard library: `sys.base_prefix` inside.
    prefix: Path
    #: The directory with the packages, `site-packages`.
    packages: Path


def own_environment() -> Environment:
    """The environment that the platform itself runs in."""
    return Environment(
        # The interpreter under the virtual environment.
        interpreter=Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable))),
        prefix=Path(sys.base_prefix).resolve(),
        packages=Path(sysconfig.get_paths()["purelib"]).resolve(),
    )
