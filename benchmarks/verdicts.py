"""Does the decision keep its word? Trials whose truth is known, through the scorer's own code.

Every trial is a ledger: outcomes of a baseline and a candidate, labels that come late, shuffled and twice. It is folded as the
scorer folds it, and looked at after every unit. Scenarios (baseline's and candidate's chance of a wrong unit):

    a  .20 and .20, independent
    b  regimes that last, in which both are equally good or bad: the mean gain is 0, given all that came before
    c  drift: the candidate is better at first, and worse on the whole in the end
    d  .20 and .15, independent
    e  .20 and .15, on the same hard units
    f  regimes that last, in which one or the other is better: the mean gain is 0 in the long run, and not given what came
       before. Rows as units take that for evidence; blocks of time do not.

Prints one line a scenario, and JSON in the last line. Exit code 1: a promise is not kept.

    python benchmarks/verdicts.py [--trials 2000] [--seed 20260302] [--mutant plug-in]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from agents.decisions import Duel, losses_for
from models.decision import UNIT
from models.metrics import metrics_for
from models.path import Looks
from models.reading import Rule
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.ledger import Ended, LabelFrame, Outcome, Source, Started
from schemas.terms import Decision, DecisionUnit
from streams.ledger import Book
from streams.ledger_codec import Entry, LabelRows, OutcomeRows

TRIALS, SEED, ALPHA, DELTA, PLANNED = 2000, 20260302, 0.05, 0.0, 2500
#: Frames of a trial; rows of a block, and blocks of a trial, in the scenario that has blocks.
FRAMES, BLOCK_ROWS, BLOCKS = 10, 100, 250
PAIRING, PLANT = "verdicts", "bench"
MINUTE_US = 60_000_000
#: What a naive reader calls significant, from so many units on.
Z, Z_FROM = 1.96, 30


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Whether each answer is wrong, and the mean gain of each row given all that came before; shape (rows,)."""

    baseline: np.ndarray
    candidate: np.ndarray
    mean: np.ndarray


Draw = Callable[[np.random.Generator, int], Losses]


def independent(baseline: float, candidate: float) -> Draw:
    """Units of which each answer is wrong by chance."""

    def draw(random: np.random.Generator, rows: int) -> Losses:
        wrong = random.random((2, rows)) < [[baseline], [candidate]]
        return Losses(baseline=wrong[0], candidate=wrong[1], mean=np.full(rows, baseline - candidate))

    return draw


def paired(both: float, baseline: float, candidate: float) -> Draw:
    """Units that are hard for both, for the baseline alone, and for the candidate alone."""

    def draw(random: np.random.Generator, rows: int) -> Losses:
        chance = random.random(rows)
        wrong = chance < both + baseline, (chance < both) | (chance > 1 - candidate)
        return Losses(baseline=wrong[0], candidate=wrong[1], mean=np.full(rows, baseline - candidate))

    return draw


def regimes(random: np.random.Generator, rows: int, stays: float) -> np.ndarray:
    """Which of two regimes each row is in; bool, shape (rows,)."""
    changes = random.random(rows) > stays
    changes[0] = random.random() < 0.5
    return np.cumsum(changes) % 2 == 1


def equal_regimes(random: np.random.Generator, rows: int) -> Losses:
    """Both are good or bad together."""
    chance = np.where(regimes(random, rows, 0.98), 0.5, 0.05)
    wrong = random.random((2, rows)) < chance
    return Losses(baseline=wrong[0], candidate=wrong[1], mean=np.zeros(rows))


def drifting(random: np.random.Generator, rows: int) -> Losses:
    """The candidate's losses rise from half the baseline's to well above."""
    chance = np.linspace(0.15, 0.50, rows)
    wrong = random.random((2, rows)) < [np.full(rows, 0.30), chance]
    return Losses(baseline=wrong[0], candidate=wrong[1], mean=0.30 - chance)


def opposed_regimes(random: np.random.Generator, rows: int) -> Losses:
    """One or the other is better, for fifty rows on average; neither is in the long run."""
    chance = np.where(regimes(random, rows, 0.98), 0.3, 0.1)
    wrong = random.random((2, rows)) < [chance, 0.4 - chance]
    return Losses(baseline=wrong[0], candidate=wrong[1], mean=np.zeros(rows))


ROW = DecisionUnit(kind="row")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How losses come about, and what counts them."""

    name: str
    draw: Draw
    unit: DecisionUnit = ROW
    planned: int = PLANNED
    rows: int = PLANNED
    #: By when a candidate that is better has to be accepted.
    by: int = PLANNED

    def agreement(self) -> Agreement:
        """The protocol of its trials."""
        return Agreement(
            task=Task.ANOMALY,
            assets=("machine-1",),
            inputs=("x",),
            labels=LabelRule(deadline_days=1),
            baselines=(Baseline(name="incumbent", answer="normal"),),
            acceptance=Acceptance(metric="accuracy", at_least=0.0),
            decision=Decision(
                unit=self.unit,
                planned_units=self.planned,
                alpha=ALPHA,
                margin=DELTA,
                slots=1,
                incumbent="incumbent",
            ),
        )


SCENARIOS = (
    Scenario(name="a", draw=independent(0.20, 0.20)),
    Scenario(name="b", draw=equal_regimes),
    Scenario(name="c", draw=drifting),
    Scenario(name="d", draw=independent(0.20, 0.15)),
    Scenario(name="e", draw=paired(0.10, 0.10, 0.05), by=1400),
    Scenario(name="f rows", draw=opposed_regimes),
    Scenario(
        name="f blocks",
        draw=opposed_regimes,
        unit=DecisionUnit(minutes=1),
        planned=BLOCKS,
        rows=BLOCKS * BLOCK_ROWS,
        by=BLOCKS,
    ),
)


# --- one trial as a ledger --------------------------------------------------------------------------------------------


def ledger(
    scenario: Scenario, agreement: Agreement, losses: Losses, random: np.random.Generator
) -> Iterator[Entry]:
    """The entries of a trial, as they might stand in a plant's ledger."""
    truth = random.integers(0, 2, scenario.rows).astype(np.float64)
    answers = {
        "baselines": np.where(losses.baseline, 1 - truth, truth),
        "first": np.where(losses.candidate, 1 - truth, truth),
    }
    for name in answers:
        yield _started(agreement, name)
    timed: list[tuple[float, Entry]] = []
    size = scenario.rows // FRAMES
    for number in range(FRAMES):
        rows = slice(number * size, (number + 1) * size)
        for name, one in answers.items():
            timed.append((number, _outcome(name, number, rows, one[rows])))
        for half in (0, 1):
            # Each half of a frame is labelled by itself, days later, and sometimes twice.
            told = (number + random.exponential(5.0), _labels(number, rows, truth[rows], half))
            timed += [told, told] if random.random() < 0.1 else [told]
    timed += [(random.uniform(0, FRAMES), _ended(name, FRAMES)) for name in answers]
    yield from (entry for _, entry in sorted(timed, key=lambda one: one[0]))


def _started(agreement: Agreement, name: str) -> Started:
    return Started(
        pairing=PAIRING,
        deployment=f"{PAIRING}/{name}",
        plant=PLANT,
        startup="startup-1",
        subjects=("incumbent",) if name == "baselines" else (name,),
        baseline=name == "baselines",
        agreement=agreement,
        agreement_digest="0" * 64,
        starts={0: 0},
        sandbox="none",
        slot=1,
        constant=0.0,
        units_checked=True,
    )


def _ended(name: str, frames: int) -> Ended:
    return Ended(pairing=PAIRING, deployment=f"{PAIRING}/{name}", until={0: frames})


def _outcome(name: str, number: int, rows: slice, answers: np.ndarray) -> OutcomeRows:
    meta = Outcome(
        pairing=PAIRING,
        deployment=f"{PAIRING}/{name}",
        partition=0,
        first=number,
        last=number,
        asset="machine-1",
        frame=str(number),
        appended_ms=number,
        rows=answers.size,
        result="answered",
    )
    return OutcomeRows(meta=meta, times_us=_times(rows), answers=answers[None, :])


def _labels(number: int, rows: slice, truth: np.ndarray, half: int) -> LabelRows:
    first = np.arange(truth.size) < truth.size // 2
    codes = np.where(first != bool(half), truth, np.nan)
    meta = LabelFrame(
        pairing=PAIRING,
        asset="machine-1",
        id=f"{number}-{half}",
        frame=str(number),
        source=Source(partition=0, offset=2 * number + half, appended_ms=number),
    )
    return LabelRows(meta=meta, times_us=_times(rows), codes=codes)


def _times(rows: slice) -> np.ndarray:
    return np.arange(rows.start, rows.stop) * (MINUTE_US // BLOCK_ROWS)


def folded(scenario: Scenario, losses: Losses, random: np.random.Generator) -> Duel:
    """The candidate's gains, as the scorer has them after the last entry; looked at on the way, too."""
    agreement = scenario.agreement()
    book = Book(
        pairing=PAIRING, measures_for=lambda started: metrics_for(started.agreement), losses_for=losses_for
    )
    duel: Duel | None = None
    for offset, entry in enumerate(ledger(scenario, agreement, losses, random)):
        book.fold(entry, offset=offset, digest=bytes(32))
        if offset % 25 == 24:
            duel = _followed(book, duel, scenario.planned)
    duel = _followed(book, duel, scenario.planned)
    if duel.count != scenario.planned:
        sys.exit(
            f"{duel.count} of {scenario.planned} units came out of the fold: that is a fault of this program"
        )
    return duel


def _followed(book: Book, duel: Duel | None, planned: int) -> Duel:
    book.settle()
    (units,) = book.units.values()
    duel = duel or Duel(units, "first", "incumbent", planned)
    duel.cut(units.take_stale())
    duel.advance(units.entered("first"))
    return duel


# --- looking after every unit -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one trial showed."""

    false_accept: bool
    covered: bool
    accepted: bool
    naive_false_accept: bool


#: Bounds after every unit against levels in millionths: whether lower > δ, lower > Δ, upper < Δ; bool, shape (k,) each.
Test = Callable[[Duel, Rule, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def sealed(duel: Duel, rule: Rule, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rule of the platform."""
    looks, path = Looks(rule.planned, rule.alpha / 2), duel.pair.low
    below, above = np.floor(means * UNIT).astype(np.int64) + 1, np.ceil(means * UNIT).astype(np.int64) - 1
    found: list[tuple[np.ndarray, ...]] = []
    for one in path.stretches(0, len(path)):
        k = slice(int(one.k[0]) - 1, int(one.k[-1]))
        found.append(
            (
                looks.lower_reaches(one, rule.levels.above),
                looks.lower_reaches(one, below[k]),
                looks.upper_reaches(one, above[k]),
            )
        )
    first, second, third = (np.concatenate(one) for one in zip(*found, strict=True))
    return first, second, third


def plug_in(duel: Duel, rule: Rule, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mutant: the predictable plug-in sequence of Waudby-Smith and Ramdas (2024), whose mean is weighted.

    It holds where all units have one mean, and not where the mean drifts.
    """
    x = (duel.pair.low.gains() / UNIT + 1) / 2
    t = np.arange(1, x.size + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    spread = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before, spread_before = np.append(0.5, mean[:-1]), np.append(0.25, spread[:-1])
    log = np.log(2 / float(rule.alpha))
    weight = np.minimum(0.5, np.sqrt(2 * log / (spread_before * t * np.log1p(t))))
    cost = 4 * (x - before) ** 2 * (-np.log1p(-weight) - weight) / 4
    total = np.cumsum(weight)
    centre, radius = np.cumsum(weight * x) / total, (log + np.cumsum(cost)) / total
    low, high = 2 * (centre - radius) - 1, 2 * (centre + radius) - 1
    return low > float(rule.margin), low > means, high < means


TESTS: dict[str, Test] = {"": sealed, "plug-in": plug_in}


def trial(number: int, *, at: int, seed: int, mutant: str) -> Found:
    """One trial of one scenario."""
    scenario = SCENARIOS[at]
    random = np.random.default_rng([seed, at, number])
    losses = scenario.draw(random, scenario.rows)
    duel = folded(scenario, losses, random)
    decision = scenario.agreement().decision
    assert decision is not None
    rule = Rule.of(decision)
    # The mean of the first k units' expectations, each given what came before it.
    each = losses.mean.reshape(scenario.planned, -1).mean(axis=1)
    means = np.cumsum(each) / np.arange(1, each.size + 1)
    accepts, misses_below, misses_above = TESTS[mutant](duel, rule, means)
    null = means <= DELTA + 1e-12
    return Found(
        false_accept=bool(np.any(accepts & null)),
        covered=not bool(np.any(misses_below | misses_above)),
        accepted=bool(np.any(accepts[: scenario.by])),
        naive_false_accept=bool(np.any(_significant(duel.pair.low.gains() / UNIT) & null)),
    )


def _significant(gains: np.ndarray) -> np.ndarray:
    """What a z-test after each unit calls better."""
    k = np.arange(1, gains.size + 1)
    mean = np.cumsum(gains) / k
    variance = np.maximum(np.cumsum(gains**2) / k - mean**2, 1e-12)
    found: np.ndarray = (mean / np.sqrt(variance / k) > Z) & (k >= Z_FROM)
    return found


# --- the whole --------------------------------------------------------------------------------------------------------


def run(
    scenario: Scenario, at: int, arguments: argparse.Namespace, pool: multiprocessing.pool.Pool
) -> dict[str, float]:
    """Every trial of a scenario, and the shares of what they showed."""
    began = time.monotonic()
    one = partial(trial, at=at, seed=arguments.seed, mutant=arguments.mutant)
    found = pool.map(one, range(arguments.trials), chunksize=20)
    shares = {
        "false_accept": np.mean([each.false_accept for each in found]),
        "coverage": np.mean([each.covered for each in found]),
        "power": np.mean([each.accepted for each in found]),
        "naive_false_accept": np.mean([each.naive_false_accept for each in found]),
    }
    told = {name: round(float(value), 4) for name, value in shares.items()}
    words = ", ".join(f"{name} {value:.4f}" for name, value in told.items())
    print(f"{scenario.name:9} {words}  ({time.monotonic() - began:.0f} s)", flush=True)
    return told


def broken(found: dict[str, dict[str, float]]) -> list[str]:
    """The promises that are not kept."""
    said = []
    for name in "abc":
        if found[name]["false_accept"] > 0.025:
            said.append(f"{name}: accepted wrongly in {found[name]['false_accept']:.4f} of the trials")
        if found[name]["coverage"] < 0.95:
            said.append(f"{name}: the mean was held in {found[name]['coverage']:.4f} of the trials only")
    said += [
        f"{name}: accepted in {found[name]['power']:.4f} of the trials only"
        for name in "de"
        if found[name]["power"] < 0.90
    ]
    if found["f"]["accept_rows"] <= ALPHA:
        said.append(
            "f: rows that depend on one another were taken for no evidence; the scenario shows nothing"
        )
    if found["f"]["accept_blocks"] > ALPHA:
        said.append(f"f: blocks accepted in {found['f']['accept_blocks']:.4f} of the trials")
    return said


def main() -> int:
    """Run everything; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--mutant", choices=sorted(TESTS), default="", help="a rule that has to fail")
    parser.add_argument("--only", nargs="*", help="names of scenarios; nothing is judged then")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with multiprocessing.get_context("spawn").Pool() as pool:
        for at, scenario in enumerate(SCENARIOS):
            if not arguments.only or scenario.name in arguments.only:
                found[scenario.name] = run(scenario, at, arguments, pool)
    if arguments.only:
        return 0
    rows, blocks = found.pop("f rows"), found.pop("f blocks")
    found["f"] = {**rows, "accept_rows": rows["power"], "accept_blocks": blocks["power"]}
    said = broken(found)
    for one in said:
        print(f"NOT KEPT  {one}")
    summary = {
        "trials": arguments.trials,
        "alpha": ALPHA,
        "delta": DELTA,
        "K": PLANNED,
        "seed": arguments.seed,
        **({"mutant": arguments.mutant} if arguments.mutant else {}),
        "scenarios": found,
        "kept": not said,
    }
    print(json.dumps(summary))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
