"""How a candidate's process is started: at which level, with what it sees, and what it is told."""

from __future__ import annotations

from pathlib import Path

import models.child
from infra.confinement import LEVELS, Launch, Level, Program, command
from infra.containment import forget_probe, probe_level
from infra.environment import Environment, own_environment

__all__ = ["LEVELS", "Launch", "Level", "forget_probe", "launch", "probe_level"]


def launch(model: Path, level: Level, scratch: Path, environment: Environment | None = None) -> Launch:
    """How to start the child for the model in directory `model`.

    Args:
        model: a local copy of the candidate's files.
        level: how it is to be held. It is asked of nobody here whether this machine can (see `probe_level`).
        scratch: a directory of the child's own, where the level does not give it one.
        environment: the interpreter and packages it runs with; by default the platform's own.
    """
    program = Program(
        script=Path(models.child.__file__),
        model=model,
        environment=environment or own_environment(),
        scratch=scratch,
    )
    return command(program, level)
