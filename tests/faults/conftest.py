"""Installations that are killed, and one trial that was: its topics are what wounds are made in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.checker_topics import Json, Records
from tests.faults.kills import run_seed
from tests.faults.kills_world import World
from tests.integration.conftest import models, shared

#: The fixtures of the integration tests are at hand here, too.
__all__ = ["models", "shared"]

#: The seed whose trial is looked at from every side.
SEED = 1


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation of its own, for everything that dies."""
    found = World.started(tmp_path_factory.mktemp("world"))
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def killed(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, Records]:
    """One seed of the kill test: what came of it, and what stands in the topics."""
    dump = tmp_path_factory.mktemp("killed")
    told = run_seed(world, SEED, dumps=dump, keep=True)
    print(f"seed {SEED}: {told}")
    return told, Records.load(Path(told["dump"]))
