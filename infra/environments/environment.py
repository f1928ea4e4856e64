"""A Python environment that a candidate may run in: an interpreter and the packages beside it."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from infra.environments.requirements import Requirements
from infra.errors import InfraError


class EnvironmentUnusable(InfraError):
    """No environment can be built from what the model asks for. It is the model that has to change."""

    exit_code = 2


class EnvironmentUnavailable(InfraError):
    """The environment cannot be built here and now, for a reason that is not the model's. Try again."""


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


def own_environment_fits(asked: Requirements) -> bool:
    """Whether the platform's own packages are what a model asks for, so that nothing has to be built.

    The Python has to be of the same minor version, since pickled functions are byte code, and every
    package of a version that the model allows: one that pins scikit-learn runs with that version or
    with none.
    """
    if asked.python is not None and asked.python[:2] != sys.version_info[:2]:
        return False
    needed = [Requirement(line) for line in asked.packages]
    bounds = [Requirement(line) for line in asked.constraints]
    return all(_met(one, missing=False) for one in needed) and all(_met(one, missing=True) for one in bounds)


def _met(requirement: Requirement, *, missing: bool) -> bool:
    """Whether it is met here; `missing` is the answer for a package that is not installed."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.extras:
        return False
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return missing
    return requirement.specifier.contains(version, prereleases=True)
