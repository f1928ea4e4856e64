"""The benchmarks of the decision, on few trials: that they find what they look for."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("FIELDPROOF_DATA") or ROOT.parent / "shared" / "data")


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def verdicts() -> ModuleType:
    return benchmark("verdicts")


@pytest.mark.parametrize("at", range(7))
def test_every_scenario_s_trial_comes_out_of_the_fold_as_it_was_drawn(verdicts: ModuleType, at: int) -> None:
    import numpy as np

    scenario = verdicts.SCENARIOS[at]
    losses = scenario.draw(np.random.default_rng(3), scenario.rows)
    duel = verdicts.folded(scenario, losses, np.random.default_rng(4))
    shape = (scenario.planned, -1)
    lost = [one.reshape(shape).mean(axis=1) for one in (losses.baseline, losses.candidate)]
    assert duel.pair.low.gains().tolist() == np.round((lost[0] - lost[1]) * 1e6).astype(int).tolist()
    assert duel.pair.high.end == duel.pair.low.end


def test_a_drift_that_ends_below_zero_deceives_a_weighted_mean_and_not_the_rule(verdicts: ModuleType) -> None:
    def share(mutant: str) -> float:
        found = [verdicts.trial(number, at=2, seed=1, mutant=mutant) for number in range(40)]
        return sum(one.covered for one in found) / len(found)

    assert share("") >= 0.95
    assert share("plug-in") <= 0.5


def test_a_promise_that_is_not_kept_is_named(verdicts: ModuleType) -> None:
    good = {"false_accept": 0.0, "coverage": 1.0, "power": 1.0, "naive_false_accept": 0.3}
    kept = {name: dict(good) for name in "abcde"}
    kept["f"] = {**good, "accept_rows": 0.4, "accept_blocks": 0.0}
    assert verdicts.broken(kept) == []
    for name, key, value in (("a", "false_accept", 0.03), ("c", "coverage", 0.9), ("d", "power", 0.8)):
        assert verdicts.broken({**kept, name: {**kept[name], key: value}})
    for key, value in (("accept_rows", 0.01), ("accept_blocks", 0.06)):
        assert verdicts.broken({**kept, "f": {**kept["f"], key: value}})


@pytest.mark.skipif(
    not (DATA / "skab").is_dir(), reason=f"there is no SKAB in {DATA}; FIELDPROOF_DATA names its parent"
)
def test_skab_with_rows_as_units_and_nothing_as_the_only_baseline_is_refused() -> None:
    real = benchmark("real_data")
    case = next(iter(real.skab(DATA)))
    found = real.tried(case, seeds=20, trials=200)
    assert (found["passed"], found["nearest"]) == (False, "always class 1")
    assert found["accepted"] == 1.0
