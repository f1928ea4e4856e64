"""The environments of candidates: each set of requirements gets one, built once and kept.

In the folder of an environment, whose name is its key: `requirements.txt`, what is asked for; `lock.txt`, what
that was resolved to, with the hash of every file; `python.json`, the Python that was found for it; `packages`, the
packages themselves, there when and only when all of them are; `uv.log`, what uv said last. The lock outlives the
packages, so that what is built again is the same again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.environments.build import Build, Limits, disk_bytes
from infra.environments.environment import (
    Environment,
    EnvironmentUnavailable,
    EnvironmentUnusable,
    own_environment,
    own_environment_fits,
)
from infra.environments.pythons import Python, find_python, minor, own_python, remember, remembered
from infra.environments.requirements import Refused, Requirements, requirements_of
from infra.environments.uv import Uv
from infra.errors import FolderBusy
from infra.folder_lock import held_folder

Progress = Callable[[str], None]


def _silent(_: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides what an environment holds."""

    packages: tuple[str, ...]
    constraints: tuple[str, ...]
    #: The minor version: packages and byte code are the same for all its patches.
    python: str
    #: System, machine and C library.
    platform: str

    @classmethod
    def of(cls, asked: Requirements, version: tuple[int, ...]) -> Recipe:
        """What a model asks for and what the platform's own script needs, in one list.

        The platform's needs are names without versions, so that the model's pins win.
        """
        libc = platform.libc_ver()[0] or "musl"
        return cls(
            packages=(*asked.packages, *_needed(asked)),
            constraints=asked.constraints,
            python=minor(version),
            platform=f"{sys.platform}-{platform.machine()}-{libc}",
        )

    @property
    def key(self) -> str:
        """SHA-256 of the recipe."""
        recipe = [sorted(self.packages), sorted(self.constraints), self.python, self.platform]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()


def _needed(asked: Requirements) -> list[str]:
    names = asked.names()
    needed = [name for name in ("pandas", "pyarrow") if name not in names]
    if not names & {"mlflow", "mlflow-skinny"}:
        # The same modules as mlflow's, with fewer packages behind them.
        needed.append("mlflow-skinny")
    if asked.setuptools and "setuptools" not in names:
        needed.append(asked.setuptools)
    return needed


def _standing(folder: Path, recipe: Recipe) -> Python | None:
    """The Python of an environment that stands; None where its packages or its Python are not there."""
    if not (folder / "packages").is_dir():
        return None
    own = own_python()
    return own if recipe.python == minor(own.version) else remembered(folder / "python.json")


class Environments:
    """The environments of one installation. Methods block, and may be called from any thread or process."""

    def __init__(self, directory: Path, *, limits: Limits = Limits()) -> None:
        self._directory = directory.resolve()
        self._limits = limits

    def of(self, model: Path, *, progress: Progress = _silent) -> Environment:
        """The environment for the model in a directory; built now if it is not there yet.

        Nothing of the model, and nothing of the packages it asks for, is run.

        Raises:
            EnvironmentUnusable: the model asks for something that it cannot have; the text says what to do.
            EnvironmentUnavailable: this machine, its network or its time did not allow it; try again.
        """
        asked = requirements_of(model)
        if isinstance(asked, Refused):
            raise EnvironmentUnusable(asked.text)
        if own_environment_fits(asked):
            return own_environment()
        try:
            return self._built(asked, progress)
        except OSError as error:
            raise EnvironmentUnavailable(
                f"the environment cannot be kept in {self._directory}: {error}"
            ) from error

    def _built(self, asked: Requirements, progress: Progress) -> Environment:
        self._directory.mkdir(parents=True, exist_ok=True)
        recipe = Recipe.of(asked, asked.python or own_python().version)
        folder = self._directory / recipe.key
        python = _standing(folder, recipe)
        if python is None:
            with self._turn() as held:
                # Another process may have built it meanwhile.
                python = _standing(folder, recipe) or self._build(asked, recipe, folder, held, progress)
        packages = folder / "packages"
        # When it was last wanted, for `prune`.
        os.utime(packages)
        return Environment(interpreter=python.interpreter, prefix=python.prefix, packages=packages)

    def _build(
        self, asked: Requirements, recipe: Recipe, folder: Path, held: int, progress: Progress
    ) -> Python:
        uv = Uv.found(self._directory)
        python = find_python(asked.python, uv, log=self._directory / "python.log", progress=progress)
        folder.mkdir(exist_ok=True)
        if not (folder / "packages").is_dir():
            build = Build(
                packages=recipe.packages,
                constraints=recipe.constraints,
                title=f"Python {recipe.python}, {recipe.platform}",
                interpreter=python.interpreter,
                uv=uv,
                folder=folder,
                limits=self._limits,
                held=held,
                until=time.monotonic() + self._limits.timeout_s,
                progress=progress,
            )
            build.run()
        remember(python, folder / "python.json")
        return python

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int]:
        """One at a time: so a second process finds what the first has built, and disk space is told apart.

        Raises:
            EnvironmentUnavailable: others are still at it.
        """
        try:
            with held_folder(
                self._directory, purpose="build of environments", patience_s=2 * self._limits.timeout_s
            ) as held:
                yield held
        except FolderBusy as error:
            raise EnvironmentUnavailable(
                f"other environments are being built in {self._directory}; this one waited "
                f"{2 * self._limits.timeout_s:g} s for its turn"
            ) from error

    def prune(self, keep_bytes: int, *, using: Collection[Environment] = ()) -> int:
        """Remove what was wanted the longest time ago until at most so many bytes are on disk.

        The cache goes first: what stands does not need it. Environments in `using` stay. Locks stay, so that
        what was removed can be built again as it was. Returns how many bytes were freed.

        Raises:
            EnvironmentUnavailable: environments are being built all the time.
        """
        in_use = {one.packages for one in using}
        with self._turn():
            for pattern in ("*.gone", "*/*.gone", "*/draft"):
                for left in self._directory.glob(pattern):
                    shutil.rmtree(left, ignore_errors=True)
            before = held = disk_bytes(self._directory)
            stand = sorted(self._directory.glob("*/packages"), key=lambda one: one.stat().st_mtime)
            for folder in [self._directory / "cache", *stand]:
                if held <= keep_bytes:
                    break
                if folder not in in_use and folder.exists():
                    # Out of sight first: half an environment must never be found.
                    gone = folder.rename(folder.with_name(folder.name + ".gone"))
                    shutil.rmtree(gone, ignore_errors=True)
                    held = disk_bytes(self._directory)
        return before - held
