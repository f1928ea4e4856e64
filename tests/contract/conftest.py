"""Saved models, and the levels of the sandbox that are to be had here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from infra.sandbox.command import LEVELS, Level, probe_level
from infra.sandbox.host import Loaded, Sandbox
from tests.contract.children import Models, Shared, save_models

#: One loop with one child of many moods at each level.
_SHARED: dict[Level, Shared] = {}


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    """Every level that is to be had here."""
    wanted: Level = request.param
    if LEVELS.index(wanted) < LEVELS.index(probe_level()):
        pytest.skip(f"level {wanted} is not to be had here")
    return wanted


@pytest.fixture
def best() -> Level:
    """The best level here, for what does not depend on it."""
    return probe_level()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """What `children.save_models` saves."""
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session", autouse=True)
def _close_shared() -> Iterator[None]:
    yield
    for shared in _SHARED.values():
        shared.runner.run(shared.child.close())
        shared.runner.close()


@pytest.fixture
def moods(models: Models, level: Level) -> Shared:
    """A child that is shared by the tests which leave it alive."""
    if level not in _SHARED:
        runner = asyncio.Runner()
        child = Sandbox(models.spec("moods"), level=level)
        assert isinstance(runner.run(child.start()), Loaded)
        _SHARED[level] = Shared(runner=runner, child=child)
    return _SHARED[level]
