"""Building one environment: resolve, weigh, install, compile, and only then put it in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.environments.environment import EnvironmentUnavailable, EnvironmentUnusable
from infra.environments.uv import Ran, Uv, run_to_end
from infra.errors import InfraError

#: No build script runs: what has no wheel is not installed.
_WHEELS_ONLY = ("--only-binary", ":all:")

#: What every environment holds for the platform's own script. Where not even these are to be had, the index is
#: at fault and no model.
_BASE = ("mlflow-skinny", "pandas", "pyarrow")

#: How long byte code may take, in seconds: a stranger's file could take for ever.
_COMPILE_TIMEOUT_S = 600.0

#: Compiles without running anything, and without the tests of the packages, which are half of their files. The
#: files are strangers': some could use up any memory.
_COMPILE = """
import compileall, py_compile, re, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(sys.argv[1], quiet=2, workers=0, rx=re.compile("/tests?/"), invalidation_mode=mode)
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one environment may take."""

    #: Bytes of its files on disk, byte code included.
    size_bytes: int = 4 << 30
    #: Bytes of the disk that stay free, for the log of a running plant.
    reserve_bytes: int = 1 << 30
    #: Seconds for building it, downloads included.
    timeout_s: float = 1800


@dataclass(frozen=True, kw_only=True)
class Build:
    """One environment that is being built."""

    packages: tuple[str, ...]
    constraints: tuple[str, ...]
    #: What it is for, as a person would say it.
    title: str
    interpreter: Path
    uv: Uv
    #: Where it will stand, in `packages`.
    folder: Path
    limits: Limits
    #: The lock under which it is built.
    held: int
    #: When it has to be there, on the clock of `time.monotonic`.
    until: float
    progress: Callable[[str], None]

    def run(self) -> None:
        """Build it; what is there when this fails is never taken for an environment.

        Raises:
            EnvironmentUnusable, EnvironmentUnavailable
        """
        began_s = time.monotonic()
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir()
        try:
            self._resolve()
            self._install()
            self._compile()
            size = self._check_size()
            # A power cut must not leave an environment in place whose files are empty.
            os.sync()
            (self._draft / "packages").rename(self.folder / "packages")
        except EnvironmentUnusable:
            self._forget()
            raise
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)
        took_s = time.monotonic() - began_s
        self.progress(f"The environment is ready: {_megabytes(size)} in {took_s:.0f} s")

    @property
    def _draft(self) -> Path:
        return self.folder / "draft"

    @property
    def _lock(self) -> Path:
        return self.folder / "lock.txt"

    def _resolve(self) -> None:
        """Find versions for everything, once: `lock.txt` holds them with the hashes of their files."""
        if self._lock.exists():
            return
        self.progress(f"Resolving {len(self.packages)} requirements for {self.title}")
        head = f"# {self.title}\n"
        asked, bounds = self.folder / "requirements.txt", self._draft / "constraints.txt"
        asked.write_text(head + "".join(f"{line}\n" for line in self.packages))
        bounds.write_text("".join(f"{line}\n" for line in self.constraints))
        draft = self._draft / "lock.txt"
        options = ("--generate-hashes", "--no-annotate", "--constraints", str(bounds), "-o", str(draft))
        ran = self._uv("pip", "compile", str(asked), *options)
        if not ran.ok:
            raise self._unresolved(ran)
        draft.write_text(head + draft.read_text())
        draft.replace(self._lock)

    def _unresolved(self, ran: Ran) -> EnvironmentUnusable | EnvironmentUnavailable:
        if not ran.models_fault:
            return self._unavailable(ran)
        base = self._resolve_base()
        if not base.ok:
            return self._unavailable(base)
        return EnvironmentUnusable(
            f"what the model asks for cannot be installed for {self.title}, from wheels and from this plant's "
            f"package index: {ran.explanation} Change pip_requirements where the model is logged, and log it again."
        )

    def _resolve_base(self) -> Ran:
        """Ask for nothing but what the platform itself needs."""
        asked = self._draft / "base.txt"
        asked.write_text("".join(f"{line}\n" for line in _BASE))
        return self._uv("pip", "compile", str(asked), "-o", str(self._draft / "base.lock"))

    def _weigh(self) -> None:
        """Refuse what is too large before it is fetched; the index says how large its files are."""
        listing = self._draft / "pylock.toml"
        ran = self._uv("pip", "compile", str(self._lock), "--no-deps", "-o", str(listing))
        if not ran.ok:
            raise self._unavailable(ran)
        packages = tomllib.loads(listing.read_text()).get("packages", [])
        sizes = [
            min((wheel.get("size", 0) for wheel in one.get("wheels", [])), default=0) for one in packages
        ]
        self.progress(
            f"Installing {len(packages)} packages, {_megabytes(sum(sizes))} to fetch if they are new"
        )
        if sum(sizes) > self.limits.size_bytes:
            raise self._too_large(sum(sizes), "to download alone")

    def _install(self) -> None:
        """Put the locked wheels in place: from the cache where all of them lie there, else from the index."""
        ran = self._fill("--offline")
        if not ran.ok:
            self._weigh()
            ran = self._fill()
        if not ran.ok and ran.models_fault:
            raise EnvironmentUnusable(
                f"a package that the model asks for cannot be installed: {ran.explanation} "
                "Choose another version of it."
            )
        if not ran.ok:
            raise self._unavailable(ran)
        (self._draft / "packages" / ".lock").unlink(missing_ok=True)

    def _fill(self, *options: str) -> Ran:
        """Unpack the locked wheels into a plain folder, from which no interpreter starts anything.

        Not into a virtual environment: uv would start its Python, which runs what `.pth` files say.
        """
        began = time.time()
        free = shutil.disk_usage(self.folder).free

        def watch() -> None:
            left = shutil.disk_usage(self.folder).free
            # A wheel may unpack to anything. Others write to this disk as well, so suspicion is no proof.
            if free - left > self.limits.size_bytes:
                written = disk_bytes(self._draft, self.uv.cache, since=began)
                if written > self.limits.size_bytes:
                    raise self._too_large(written, "and more to come")
            if left < self.limits.reserve_bytes:
                raise EnvironmentUnavailable(
                    f"the disk of {self.folder} has {_megabytes(left)} left, and {_megabytes(self.limits.reserve_bytes)} "
                    "have to stay free. Make room, then try again."
                )

        options += ("--no-deps", "--require-hashes", "--target", str(self._draft / "packages"))
        try:
            return self._uv("pip", "install", *options, "-r", str(self._lock), watch=watch)
        except InfraError:
            # What it was unpacking when it was ended.
            with contextlib.suppress(EnvironmentUnavailable):
                self.uv.ask("cache", "prune")
            raise

    def _forget(self) -> None:
        """Take what was installed out of the cache: nobody gets it. Others fetch again what they share with it."""
        locked = self._lock.read_text().splitlines() if self._lock.exists() else []
        names = [line.partition("==")[0] for line in locked if "==" in line and line[0].isalnum()]
        if names:
            with contextlib.suppress(EnvironmentUnavailable):
                self.uv.ask("cache", "clean", *names)

    def _compile(self) -> None:
        """Byte code for all packages, as far as it goes; what has none is compiled at each import."""
        command = [str(self.interpreter), "-I", "-S", "-c", _COMPILE, str(self._draft / "packages")]
        until = min(self.until, time.monotonic() + _COMPILE_TIMEOUT_S)
        with contextlib.suppress(EnvironmentUnavailable):
            run_to_end(command, {}, log=self._draft / "compile.log", until=until, held=self.held)

    def _check_size(self) -> int:
        size = disk_bytes(self._draft / "packages")
        if size > self.limits.size_bytes:
            raise self._too_large(size, "on disk")
        return size

    def _uv(self, *arguments: str, watch: Callable[[], None] = lambda: None) -> Ran:
        quiet = ("--no-header", "--quiet") if arguments[1] == "compile" else ()
        command = [*arguments, "--python", str(self.interpreter), *_WHEELS_ONLY, *quiet]
        log = self.folder / "uv.log"
        return self.uv.run(command, log=log, until=self.until, held=self.held, watch=watch)

    def _unavailable(self, ran: Ran) -> EnvironmentUnavailable:
        return EnvironmentUnavailable(
            f"the environment cannot be built here at present: {ran.explanation} "
            "Check the network and the package index (UV_DEFAULT_INDEX, or pip's index-url), then try again."
        )

    def _too_large(self, size: int, what: str) -> EnvironmentUnusable:
        advice = "Ask for fewer or smaller packages; a deep model exported to ONNX needs onnxruntime alone."
        if "\nnvidia-" in self._lock.read_text():
            advice += (
                " Most of it is for GPUs, which candidates have none of: a plant that sets UV_TORCH_BACKEND=cpu "
                "gets PyTorch without it."
            )
        return EnvironmentUnusable(
            f"the model's environment is too large: {_megabytes(size)} {what}, and "
            f"{_megabytes(self.limits.size_bytes)} are allowed. {advice}"
        )


def disk_bytes(*folders: Path, since: float = 0.0) -> int:
    """Bytes of all files below the folders that were changed since a time, each counted once."""
    sizes = {
        (info.st_dev, info.st_ino): info.st_size
        for folder in folders
        for info in _files(folder)
        if info.st_mtime >= since
    }
    return sum(sizes.values())


def _files(folder: Path) -> Iterator[os.stat_result]:
    """What is known of every plain file below a folder, while others may be writing to it."""
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.lstat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(info.st_mode):
                yield info


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
