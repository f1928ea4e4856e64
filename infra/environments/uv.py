"""The uv program: how it is found, run within limits, and whose fault it is when it fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.environments.environment import EnvironmentUnavailable
from infra.environments.package_index import operator_settings
from infra.errors import ProcessFailed
from infra.processes import start

#: How often a running uv is looked after, in seconds.
_LOOK_S = 0.5

#: How much of uv's explanation is passed on, in characters of its beginning and of its end, where its hints are.
_BEGINNING, _END = 600, 300

#: How much of its output is read, in bytes: it explains at length.
_OUTPUT_BYTES = 1 << 20

#: What uv would take for the environment that it should work on, or for a wish of the platform's own.
_DROPPED = frozenset(
    {"VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES"}
    | {"UV_COMPILE_BYTECODE", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"}
)

#: What uv says where the model asks for something that cannot be.
_MODEL = ("No solution found", "Failed to install", "wheel is invalid", "included as a URL dependency")
#: What it says besides where the reason lies on this side all the same.
_PLATFORM = ("network was disabled", "authentication credentials", "returned a 403 Forbidden", "os error")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of one run of uv."""

    ok: bool
    #: What it printed.
    text: str

    @property
    def models_fault(self) -> bool:
        """Whether it failed for what the model asks."""
        asked = any(sign in self.text for sign in _MODEL)
        return not self.ok and asked and not any(sign in self.text for sign in _PLATFORM)

    @property
    def explanation(self) -> str:
        """What uv says of it, without ornament and bounded."""
        lines = (re.sub(r"^(error|cause|hint):\s*", "", line.strip()) for line in self.text.splitlines())
        text = " ".join(line for line in lines if line and not line.startswith(("warning:", "Using CPython")))
        text = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
        return text if len(text) <= _BEGINNING + _END else f"{text[:_BEGINNING]} … {text[-_END:]}"


def run_to_end(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path,
    until: float,
    held: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Ran:
    """Run a program to its end, within a time, so that it does not outlive this process.

    Args:
        command: the program and its arguments.
        environment: all of its environment.
        log: the file that takes its output.
        until: when it is ended, on the clock of `time.monotonic`.
        held: a lock that lasts until the program has ended, should this process die before.
        watch: called at the start and then twice a second; what it raises ends the program.

    Raises:
        EnvironmentUnavailable: it cannot be started, or took too long.
    """
    log.unlink(missing_ok=True)
    locks = () if held is None else (held,)
    # Readable by the users that candidates are, whatever this process keeps to itself.
    readable = ["/bin/sh", "-c", 'umask 022 && exec "$@"', "sh", *command]
    try:
        # In the root folder: uv reads the settings of the project that it is started in.
        process = start(readable, log_path=log, env=environment, cwd=Path("/"), held=locks)
    except ProcessFailed as error:
        raise EnvironmentUnavailable(str(error)) from error
    with process:
        watch()
        while (code := process.wait(_LOOK_S)) is None:
            watch()
            if time.monotonic() >= until:
                process.kill()
                step = " ".join(Path(word).name for word in command[:3])
                said = Ran(ok=False, text=process.log_tail(3)).explanation
                raise EnvironmentUnavailable(
                    f"the time was up while `{step}` was still running. {said}".rstrip()
                )
    with log.open("rb") as stream:
        return Ran(ok=code == 0, text=stream.read(_OUTPUT_BYTES).decode(errors="replace"))


@dataclass(frozen=True, kw_only=True)
class Uv:
    """The uv program with its folders."""

    program: Path
    #: Everything that was ever fetched.
    cache: Path
    #: Pythons that it fetched.
    pythons: Path

    @classmethod
    def found(cls, directory: Path) -> Uv:
        """The uv of this installation, with its folders in `directory`.

        Raises:
            EnvironmentUnavailable: there is none.
        """
        beside = Path(__file__).parents[2] / ".tools" / "bin" / "uv"
        places = (os.environ.get("UV"), Path(sysconfig.get_path("scripts"), "uv"), shutil.which("uv"), beside)
        for place in places:
            if place and os.access(place, os.X_OK):
                return cls(program=Path(place), cache=directory / "cache", pythons=directory / "pythons")
        raise EnvironmentUnavailable(
            "uv is not installed, which builds the environments of candidates: `pip install uv`, then try again"
        )

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The operator's environment, with this installation's folders."""
        kept = {name: value for name, value in environ.items() if name not in _DROPPED}
        own = {"UV_CACHE_DIR": str(self.cache), "UV_PYTHON_INSTALL_DIR": str(self.pythons)}
        own |= {"UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        return kept | operator_settings(environ) | own

    def run(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        until: float,
        held: int | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> Ran:
        """Run uv with these arguments to its end; see `run_to_end`."""
        command = [str(self.program), *arguments]
        return run_to_end(command, self.environment(), log=log, until=until, held=held, watch=watch)

    def ask(self, *arguments: str) -> str:
        """The answer to a question that needs no network.

        Raises:
            EnvironmentUnavailable: it has none.
        """
        command = [str(self.program), *arguments]
        try:
            done = subprocess.run(
                command,
                env=self.environment(),
                cwd="/",
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EnvironmentUnavailable(f"{' '.join(command)} failed: {error}") from error
        return done.stdout
