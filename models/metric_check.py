"""Would the agreed rule be fooled? It is run on trials drawn from the rehearsal's labels, with detectors that know nothing.

Trials are drawn in blocks of units that follow one another, none shorter than the longest event, so that what makes neighbours
alike stays together. Every trivial detector has to be turned away as often as alpha promises, and the oracle, which knows
every label, has to be accepted: a rule that accepts nobody protects nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.decision import UNIT
from models.exact import published
from models.losses import Losses
from models.path import Looks
from models.reading import Rule
from schemas.rehearsal import Detector, MetricCheck

TRIALS = 2000
#: Below this many labelled events, or units where answers are numbers, nothing can be said.
LEAST_EVENTS = 10
#: Longer plans are tried at this length: what neighbours have in common matters less and less.
LONGEST = 20_000
#: The oracle has to be accepted at least so often.
ORACLE = 0.8
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.9)
#: Numbers held in memory at a time.
_AT_ONCE = 400_000
#: Rows of shifted or permuted labels that are worked through in all.
_ROWS = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Labelled rows of a rehearsal, asset by asset, each asset's in the order of the telemetry.

    Attributes:
        truth: float64 codes or numbers, shape (n,).
        units: the unit of each row, int64, shape (n,), rising from 0.
        assets: the asset of each row, int64, shape (n,), rising from 0.
        rivals: what everyone answers that has to be beaten, float64, shape (r, n).
    """

    truth: np.ndarray
    units: np.ndarray
    assets: np.ndarray
    rivals: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The first row of each unit."""
        return np.flatnonzero(np.diff(self.units, prepend=-1))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values of rows, summed by unit: int64, shape (u,)."""
        found: np.ndarray = np.add.reduceat(values, self.starts, dtype=np.int64)
        return found

    def events(self) -> list[tuple[int, int]]:
        """The first row of each event and the first after it: rows of another class than the first, of one asset."""
        happening = self.truth > 0
        torn = np.diff(self.assets, prepend=-1) != 0
        begins = np.flatnonzero(happening & (torn | ~np.append(False, happening[:-1])))
        ends = np.flatnonzero(happening & np.append(torn[1:] | ~happening[1:], True)) + 1
        return list(zip(begins.tolist(), ends.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Early:
    """From which unit on an outcome may be read before the planned end."""

    least_units: int


@dataclass(frozen=True, kw_only=True)
class Check:
    """The complete rule, and what it is tried on.

    Attributes:
        rule: of one candidate.
        alpha: of the agreement: no trivial detector may be accepted more often.
        early: where the outcome may fall early.
    """

    rule: Rule
    alpha: float
    losses: Losses
    sample: Sample
    early: Early | None = None

    def run(self, seed: int, *, trials: int = TRIALS) -> MetricCheck:
        """Try every detector.

        Args:
            seed: everything drawn follows from it.
            trials: how many are drawn.
        """
        sample, numeric = self.sample, self.losses.table is None
        events = [] if numeric else sample.events()
        units = int(sample.units[-1]) + 1 if sample.units.size else 0
        if (units if numeric else len(events)) < LEAST_EVENTS:
            return MetricCheck(passed=False, events=len(events))
        together = _together(sample, events, units)
        length = min(self.rule.planned, LONGEST)
        found = tuple(
            self._tried(name, detector, trials, length, together, np.random.default_rng([seed, at]))
            for at, (name, detector) in enumerate(self._detectors(events))
        )
        return MetricCheck(
            passed=all(one.headroom >= 0 for one in found),
            trials=trials,
            units=length,
            together=together,
            events=len(events),
            detectors=found,
        )

    def straight(self, seed: int, *, times: int) -> dict[str, int]:
        """How often each detector is accepted on the rows as they stand, in their order.

        Args:
            seed: everything drawn follows from it.
            times: how often each is tried.
        """
        units = int(self.sample.units[-1]) + 1
        drawn = np.arange(min(units, self.rule.planned))[None, :]
        rivals = [self._lost(one)[drawn] for one in self.sample.rivals]
        looks = Looks(self.rule.planned, self.rule.alpha / 2)
        found = {}
        for at, (name, detector) in enumerate(self._detectors(self.sample.events())):
            random = np.random.default_rng([seed, at])
            lost = [detector(drawn, number, random) for number in range(times)]
            accepted = [self._accepted(looks, [one - each for one in rivals])[0] for each in lost]
            found[name] = int(np.count_nonzero(accepted))
        return found

    # --- detectors ------------------------------------------------------------------------------------------------

    def _detectors(self, events: list[tuple[int, int]]) -> Iterator[tuple[str, Detects]]:
        """Everyone that is tried, the oracle last."""
        sample, table = self.sample, self.losses.table
        longest = max((end - begin for begin, end in events), default=1)
        if table is None:
            constants = np.unique(np.quantile(sample.truth, np.linspace(0.1, 0.9, 9), method="inverted_cdf"))
            yield from ((f"always {value:.6g}", self._always(value)) for value in constants.tolist())
            yield "permuted labels", self._permuted()
        else:
            yield from ((f"always class {code}", self._always(code)) for code in range(len(table)))
            rate = float(np.mean(sample.truth > 0))
            for share in (rate, *SHARES):
                yield f"random {share:.3g}", self._random(share)
            yield "random episodes", self._shifted(longest)
        yield "oracle", self._answering(sample.truth)

    def _lost(self, answers: np.ndarray) -> np.ndarray:
        """What units lose with these answers, in millionths."""
        points = self.sample.sums(self.losses.points(self.sample.truth, answers))
        return self.losses.losses(points, self._rows())

    def _rows(self) -> np.ndarray:
        return np.bincount(self.sample.units)

    def _answering(self, answers: np.ndarray) -> Detects:
        lost = self._lost(answers)
        return lambda drawn, first, random: lost[drawn]

    def _always(self, value: float) -> Detects:
        return self._answering(np.full(self.sample.truth.size, value, dtype=np.float64))

    def _random(self, share: float) -> Detects:
        """The first class, but for so large a share: then another one, as often as it occurs among the others."""
        sample, table = self.sample, self.losses.table
        assert table is not None, "numbers are not drawn by class"
        rows = self._rows()
        truths = [sample.sums((sample.truth == code).astype(np.int64)) for code in range(len(table))]
        others = np.array([max(1, one.sum()) for one in truths[1:]], dtype=np.float64)
        chances = np.append(1 - share, share * others / others.sum())

        def lose(drawn: np.ndarray, first: int, random: np.random.Generator) -> np.ndarray:
            points = np.zeros(drawn.shape, dtype=np.int64)
            for code, count in enumerate(truths):
                answered = _split(count[drawn], chances, random)
                points += sum(table[code, i] * one for i, one in enumerate(answered))
            return self.losses.losses(points.ravel(), rows[drawn].ravel()).reshape(drawn.shape)

        return lose

    def _shifted(self, longest: int) -> Detects:
        """The labels themselves, at another time: shifted in a circle by more than the longest event."""
        size = self.sample.truth.size
        low, high = (longest + 1, size - longest) if size > 2 * longest + 1 else (1, max(2, size))
        return self._rearranged(lambda random: np.roll(self.sample.truth, int(random.integers(low, high))))

    def _permuted(self) -> Detects:
        """The labels themselves, at any other time."""
        return self._rearranged(lambda random: random.permutation(self.sample.truth))

    def _rearranged(self, draw: Callable[[np.random.Generator], np.ndarray]) -> Detects:
        most = max(20, _ROWS // max(1, self.sample.truth.size))
        known: list[np.ndarray] = []

        def lose(drawn: np.ndarray, first: int, random: np.random.Generator) -> np.ndarray:
            while len(known) < min(most, first + len(drawn)):
                known.append(self._lost(draw(random)).astype(np.int32))
            return np.array([known[(first + i) % len(known)][one] for i, one in enumerate(drawn)])

        return lose

    # --- trials ---------------------------------------------------------------------------------------------------

    def _tried(
        self,
        name: str,
        detector: Detects,
        trials: int,
        length: int,
        together: int,
        random: np.random.Generator,
    ) -> Detector:
        units, accepted = int(self.sample.units[-1]) + 1, 0
        rivals = [self._lost(one) for one in self.sample.rivals]
        looks = Looks(self.rule.planned, self.rule.alpha / 2)
        size = max(1, _AT_ONCE // length)
        for first in range(0, trials, size):
            count = min(size, trials - first)
            begins = random.integers(0, units, (count, -(-length // together), 1))
            drawn = ((begins + np.arange(together)) % units).reshape(count, -1)[:, :length]
            lost = detector(drawn, first, random)
            accepted += int(np.count_nonzero(self._accepted(looks, [one[drawn] - lost for one in rivals])))
        return _detector(name, accepted, trials, self.alpha)

    def _accepted(self, looks: Looks, gains: list[np.ndarray]) -> np.ndarray:
        """Whether the complete rule accepts, trial by trial; gains in millionths, each of shape (trials, units)."""
        levels, length = self.rule.levels, gains[0].shape[1]
        start = min(self.early.least_units, length) - 1 if self.early is not None else length - 1
        sums = [_Sums.of(one, start) for one in gains]
        beaten = np.logical_and.reduce([one.lower_reaches(looks, levels.above) for one in sums])
        if self.early is None or not beaten.any():
            found: np.ndarray = beaten.any(axis=1)
            return found
        fallen = beaten | np.logical_or.reduce([one.upper_reaches(looks, levels.below) for one in sums])
        if self.rule.margin > 0:
            close = [
                one.lower_reaches(looks, levels.above)
                | (one.lower_reaches(looks, levels.not_below) & one.upper_reaches(looks, levels.not_above))
                for one in sums
            ]
            fallen |= np.logical_and.reduce(close)
        first = np.argmax(fallen, axis=1)
        picked: np.ndarray = beaten[np.arange(len(beaten)), first]
        return picked


#: What a detector loses: given the units of some trials, shape (t, k), the number of the first, and chance; millionths.
Detects = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums after units of many trials, from one unit on; int64, shape (trials, k)."""

    k: np.ndarray
    totals: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, gains: np.ndarray, start: int) -> _Sums:
        totals = np.cumsum(gains, axis=1)
        k = 1 + np.arange(gains.shape[1])
        means = (totals - gains) // k
        spreads = [(gains - np.clip(means, *ends)) ** 2 for ends in ((-UNIT, 0), (0, UNIT))]
        if start == gains.shape[1] - 1:
            lower, upper = (one.sum(axis=1, keepdims=True) for one in spreads)
        else:
            lower, upper = (np.cumsum(one, axis=1)[:, start:] for one in spreads)
        return cls(k=k[start:], totals=totals[:, start:], lower=lower, upper=upper)

    def lower_reaches(self, looks: Looks, level: int) -> np.ndarray:
        if level <= -UNIT:
            return np.ones(self.totals.shape, dtype=bool)
        return self._reached(looks, self.totals - self.k * level, self.lower)

    def upper_reaches(self, looks: Looks, level: int) -> np.ndarray:
        if level >= UNIT:
            return np.ones(self.totals.shape, dtype=bool)
        return self._reached(looks, self.k * level - self.totals, self.upper)

    def _reached(self, looks: Looks, sums: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        flat = spreads.ravel()
        return looks.reached(sums.ravel(), flat.astype(np.float64), lambda i: int(flat[i])).reshape(
            sums.shape
        )


def best_constant(losses: Losses, sample: Sample, agreed: list[float]) -> float | None:
    """The constant answer that loses least on these rows, on average over units; None without rows.

    Args:
        losses: how answers lose.
        sample: the rehearsal's rows.
        agreed: constants that are to be tried, too, where answers are numbers.
    """
    if not sample.truth.size:
        return None
    if losses.table is None:
        quantiles = np.quantile(sample.truth, np.linspace(0, 1, 101), method="inverted_cdf")
        candidates: list[float] = sorted({*quantiles.tolist(), *agreed})
    else:
        candidates = [float(code) for code in range(len(losses.table))]
    rows = np.bincount(sample.units)

    def lost(value: float) -> int:
        points = losses.points(sample.truth, np.full(sample.truth.size, value))
        return int(np.sum(losses.losses(sample.sums(points), rows)))

    return min(candidates, key=lost)


def _together(sample: Sample, events: list[tuple[int, int]], units: int) -> int:
    """How many units are drawn together: as many as the longest event spans; of numbers the root of their number."""
    if not events:
        return max(1, math.isqrt(units))
    return max(int(sample.units[end - 1] - sample.units[begin]) + 1 for begin, end in events)


def _split(counts: np.ndarray, chances: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """So many rows, each answered with one of the classes by chance: how many of each."""
    found, left, rest = [], counts, 1.0
    for chance in chances[:-1].tolist():
        share = min(1.0, max(0.0, chance / rest)) if rest > 0 else 0.0
        one = random.binomial(left, share)
        found.append(one)
        left, rest = left - one, rest - chance
    return [*found, left]


def _detector(name: str, accepted: int, trials: int, alpha: float) -> Detector:
    from scipy.stats import beta

    oracle = name == "oracle"
    if oracle:
        bound = float(beta.ppf(0.05, accepted, trials - accepted + 1)) if accepted else 0.0
        headroom = accepted / trials - ORACLE
    else:
        bound = float(beta.ppf(0.95, accepted + 1, trials - accepted)) if accepted < trials else 1.0
        headroom = alpha - bound
    return Detector(
        name=name, accepted=published(accepted / trials), bound=published(bound), headroom=published(headroom)
    )
