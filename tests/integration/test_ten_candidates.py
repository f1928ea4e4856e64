"""Ten candidates on one machine: what the three hostile ones do there changes nothing for the seven honest ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Shared
from tests.integration.crowd import ASSETS, HOSTILE, Seen, hold, save_crowd

#: Most of it is the back-off of the hostile ones: two minutes until ten ends of their process.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

#: Little enough that the platform and ten candidates use less than half of two cores.
SECONDS, FRAMES_S = 10, 6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_crowd(tmp_path_factory.mktemp("crowd"))


@pytest.fixture(scope="module")
def without(shared: Shared, models: dict[str, Path]) -> Seen:
    """The trial of the seven honest ones."""
    honest = {name: path for name, path in models.items() if name not in HOSTILE}
    return hold(shared.site("quiet", assets=ASSETS), honest, seconds=SECONDS, frames_s=FRAMES_S)


@pytest.fixture(scope="module")
def beside(shared: Shared, models: dict[str, Path], without: Seen) -> Seen:
    """The trial of all ten, after the other one; with the same telemetry."""
    return hold(shared.site("crowded", assets=ASSETS), models, seconds=SECONDS, frames_s=FRAMES_S)


def test_honest_candidates_have_the_same_outcomes_beside_hostile_ones(without: Seen, beside: Seen) -> None:
    assert len(without.outcomes) == 7
    for name, outcomes in without.outcomes.items():
        assert len(outcomes) == SECONDS * FRAMES_S
        assert not any(b'"failed"' in one for one in outcomes)
        assert beside.outcomes[name] == outcomes, name


def test_honest_candidates_have_the_same_evaluation_and_verdict_beside_hostile_ones(
    without: Seen, beside: Seen
) -> None:
    assert len(set(without.finals.values())) == 7
    for name, final in without.finals.items():
        assert '"gaps":0' in final
        assert beside.finals[name] == final, name


def test_hostile_candidates_end_suspended_and_every_frame_of_theirs_is_accounted_for(beside: Seen) -> None:
    faults = {name: (fault.kind, fault.count) for name, fault in beside.suspended.items()}
    assert faults == {"floods": ("timeout", 10), "eats": ("timeout", 10), "crashes": ("died", 10)}
    for name in HOSTILE:
        assert len(beside.outcomes[name]) == SECONDS * FRAMES_S
        assert all(b'"failed"' in one for one in beside.outcomes[name])
