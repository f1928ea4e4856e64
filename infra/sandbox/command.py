"""How a candidate's process is started: at which level, with what it sees, and what it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import models.child
import models.confine
from infra.environments.environment import Environment, own_environment
from infra.sandbox.cgroups import joining
from infra.sandbox.confinement import LEVELS, Launch, Level, Program, command
from infra.sandbox.containment import forget_probe, probe_level

__all__ = ["LEVELS", "Launch", "Level", "forget_probe", "launch", "probe_level"]

#: Processes of bubblewrap beside a candidate's own.
_HOLDERS = 3


def launch(
    model: Path,
    level: Level,
    scratch: Path,
    environment: Environment | None = None,
    memory_mb: int | None = None,
) -> Launch:
    """How to start the child for the model in directory `model`.

    Args:
        model: a local copy of the candidate's files.
        level: how it is to be held. It is asked of nobody here whether this machine can (see `probe_level`).
        scratch: a directory of the child's own, where the level does not give it one.
        environment: the interpreter and packages it runs with; by default the platform's own.
        memory_mb: what the model may take beyond its libraries; bounds its group, where it can have one.
    """
    program = Program(
        script=Path(models.child.__file__),
        model=model,
        environment=environment or own_environment(),
        scratch=scratch,
    )
    launched = command(program, level)
    memory_bytes = None if memory_mb is None else (memory_mb << 20) + models.child.LIBRARIES_BYTES
    argv = joining(launched.argv, memory_bytes=memory_bytes, tasks=models.confine.TASKS + _HOLDERS)
    return replace(launched, argv=argv)
