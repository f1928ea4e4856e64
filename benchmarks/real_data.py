"""Would the decision be fooled by detectors that know nothing, on real data?

For each data set the rule is frozen on one half: its best constant answer, and whether the rehearsal's metric check lets it pass.
Then it is tried on the other half, with every trivial detector and 200 seeds. A rule that passed has to turn them away: the lower
Clopper–Pearson limit (95 %) of how often each is accepted is at most alpha. Rules that the check refuses are tried as well, and told
apart: no trial begins under them.

    python benchmarks/real_data.py --data ../shared/data [--seeds 200]

Exit code 1: a rule that passed was fooled, or one that has to be refused was not. 2: there are no data.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from infra.skab.files import TRAIN_ROWS, read_folder
from models.losses import FULL, Losses, Share
from models.metric_check import Check, Sample, best_constant
from models.reading import Rule

ALPHA, SEEDS, SEED, TRIALS = 0.05, 200, 20260302, 2000
RIGHT_OR_WRONG = Losses(share=Share(), table=FULL * (1 - np.eye(2, dtype=np.int64)))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A data set cut into units, the rehearsal's half and the trial's."""

    name: str
    losses: Losses
    rehearsal: Sample
    trial: Sample
    #: What always answers the same and is a baseline; the best constant beside it, unless it is the only one.
    baseline: float
    alone: bool = False
    #: The check has to refuse it.
    to_refuse: bool = False


def sample(truth: np.ndarray, assets: np.ndarray, units: np.ndarray) -> Sample:
    """Labelled rows; units and assets are numbered anew."""
    torn = (np.diff(units, prepend=-1) != 0) | (np.diff(assets, prepend=-1) != 0)
    return Sample(
        truth=truth.astype(np.float64),
        units=np.cumsum(torn) - 1,
        assets=np.cumsum(np.diff(assets, prepend=-1) != 0) - 1,
        rivals=np.empty((0, truth.size)),
    )


def halves(
    truth: np.ndarray, assets: np.ndarray, units: np.ndarray, first: np.ndarray
) -> tuple[Sample, Sample]:
    """The rows of the first half and of the second."""
    return tuple(sample(truth[one], assets[one], units[one]) for one in (first, ~first))  # type: ignore[return-value]


def skab(folder: Path) -> Iterator[Case]:
    """Every second recording rehearses, its rows that are scored; blocks of rows, or rows themselves."""
    scored = [one.anomaly[TRAIN_ROWS:] for one in read_folder(folder / "skab")]
    truth = np.concatenate(scored)
    assets = np.repeat(np.arange(len(scored)), [one.size for one in scored])
    row = np.concatenate([np.arange(one.size) for one in scored])
    for name, rows, alone in (
        ("rows, nothing alone", 1, True),
        ("rows", 1, False),
        ("blocks of 300", 300, False),
    ):
        rehearsal, trial = halves(truth, assets, row // rows, assets % 2 == 0)
        yield Case(
            name=f"SKAB, {name}",
            losses=RIGHT_OR_WRONG,
            rehearsal=rehearsal,
            trial=trial,
            baseline=0.0,
            alone=alone,
            to_refuse=rows == 1,
        )


def nab(folder: Path) -> Iterator[Case]:
    """The first half of the series rehearses; days."""
    series = pd.read_csv(folder / "nab/machine_temperature_system_failure.csv", parse_dates=["timestamp"])
    windows = json.loads((folder / "nab/windows.json").read_text())
    if isinstance(windows, dict):
        windows = next(iter(windows.values()))
    truth = np.zeros(len(series), dtype=bool)
    for begin, end in windows:
        truth |= series["timestamp"].between(pd.Timestamp(begin), pd.Timestamp(end)).to_numpy()
    day = np.arange(len(series)) // 288
    assets = np.zeros(len(series), dtype=np.int64)
    rehearsal, trial = halves(truth, assets, day, day < day[-1] / 2)
    yield Case(
        name="NAB machine temperature, days",
        losses=RIGHT_OR_WRONG,
        rehearsal=rehearsal,
        trial=trial,
        baseline=0.0,
    )


def ai4i(folder: Path) -> Iterator[Case]:
    """Products one after the other, without a time: rows."""
    table = pd.read_csv(folder / "ai4i/ai4i2020.csv")
    truth = table["Machine failure"].to_numpy()
    rows = np.arange(truth.size)
    rehearsal, trial = halves(truth, np.zeros(truth.size, dtype=np.int64), rows, rows < truth.size // 2)
    yield Case(name="AI4I, rows", losses=RIGHT_OR_WRONG, rehearsal=rehearsal, trial=trial, baseline=0.0)


def cmapss(folder: Path) -> Iterator[Case]:
    """Every second engine rehearses; runs to failure, errors full at 125 cycles."""
    with gzip.open(folder / "cmapss/train_FD001.txt.gz") as file:
        table = pd.read_csv(file, sep=r"\s+", header=None)
    engine, cycle = table[0].to_numpy(), table[1].to_numpy()
    left = (table.groupby(0)[1].transform("max").to_numpy() - cycle).astype(np.float64)
    rehearsal, trial = halves(left, engine, engine, engine % 2 == 0)
    losses = Losses(share=Share(), distance=125.0)
    yield Case(name="C-MAPSS FD001, runs", losses=losses, rehearsal=rehearsal, trial=trial, baseline=107.8)


def tried(case: Case, seeds: int, trials: int) -> dict[str, object]:
    """Freeze the rule on one half and try it on the other."""
    rivals = [case.baseline]
    best = best_constant(case.losses, case.rehearsal, [case.baseline])
    if not case.alone and best is not None and best != case.baseline:
        rivals.append(best)
    units = int(case.trial.units[-1]) + 1
    check = Check(
        rule=Rule(planned=units, alpha=Decimal(str(ALPHA)), margin=Decimal(0)),
        alpha=ALPHA,
        losses=case.losses,
        sample=_against(case.rehearsal, rivals),
    )
    passed = check.run(SEED, trials=trials)
    accepted = replace(check, sample=_against(case.trial, rivals)).straight(SEED, times=seeds)
    oracle = accepted.pop("oracle")
    worst = max(accepted, key=lambda name: accepted[name])
    return {
        "case": case.name,
        "units": units,
        "rivals": rivals,
        "passed": passed.passed,
        "events": passed.events,
        "nearest": min(
            ((one.headroom, one.name) for one in passed.detectors), default=(0.0, "too few events")
        )[1],
        "detectors": len(accepted),
        "most_accepted": worst,
        "accepted": accepted[worst] / seeds,
        "lower_limit": round(_lower_limit(accepted[worst], seeds), 4),
        "oracle": oracle / seeds,
        "to_refuse": case.to_refuse,
    }


def _against(rows: Sample, rivals: list[float]) -> Sample:
    return replace(rows, rivals=np.repeat(np.array(rivals)[:, None], rows.truth.size, axis=1))


def _lower_limit(accepted: int, times: int) -> float:
    from scipy.stats import beta

    return float(beta.ppf(0.05, accepted, times - accepted + 1)) if accepted else 0.0


def main() -> int:
    """Try every data set; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with skab/, nab/, ai4i/ and cmapss/"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    arguments = parser.parse_args()
    if not (arguments.data / "skab").is_dir():
        print(f"there are no data at {arguments.data}", file=sys.stderr)
        return 2
    found = []
    for cases in (skab, nab, ai4i, cmapss):
        for case in cases(arguments.data):
            one = tried(case, arguments.seeds, arguments.trials)
            found.append(one)
            rule = "passes" if one["passed"] else f"is refused ({one['nearest']})"
            print(
                f"{one['case']}: {one['units']} units, the rule {rule}; {one['most_accepted']} accepted in "
                f"{one['accepted']:.3f} of {arguments.seeds}, at least {one['lower_limit']}; oracle {one['oracle']:.2f}",
                flush=True,
            )
    fooled = [one["case"] for one in found if one["passed"] and float(str(one["lower_limit"])) > ALPHA]
    missed = [one["case"] for one in found if one["passed"] and one["to_refuse"]]
    print(
        json.dumps(
            {
                "alpha": ALPHA,
                "seeds": arguments.seeds,
                "seed": SEED,
                "cases": found,
                "fooled": fooled,
                "missed": missed,
            }
        )
    )
    return 1 if fooled or missed else 0


if __name__ == "__main__":
    sys.exit(main())
