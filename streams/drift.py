"""How the values of inputs are spread: told frame by frame, and added up without the values themselves.

A frame's values of a tag are counted in bins whose width is a power of two that fits their spread. Bins of one width lie
within those of twice the width, so that counts of any two frames add up exactly at the wider of their widths: in any order,
and with no edges to be agreed on beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa

from schemas.columns import array_of
from schemas.ledger import TagHistogram

DAY_US = 24 * 60 * 60 * 1_000_000

#: Bins that the middle half of a frame's values is cut into, at least.
_FINE_BITS = 3
#: Of a tag that stands still, bins are so many bits finer than its value.
_STILL_BITS = 20
_FINEST, _WIDEST = -1000, 1000
#: Values beyond so many bins from 0 are counted in the last one.
_FARTHEST = 2.0**52
#: Bins of one tag in a frame, and of all its tags together: they have to fit into the ledger beside the answers.
MOST_BINS, MOST_BINS_OF_ALL = 256, 80_000


def histograms(batch: pa.RecordBatch, tags: Sequence[str]) -> tuple[TagHistogram, ...]:
    """How the values of each tag in a frame are spread; the columns are float64, missing and infinite values count as missing."""
    most = min(MOST_BINS, MOST_BINS_OF_ALL // max(1, len(tags)))
    columns = [array_of(batch.column(tag)) for tag in tags]
    together = _together(columns)
    return tuple(
        _histogram(tag, values, most)
        if known is None or len(known[1]) > most
        else TagHistogram.model_construct(tag=tag, scale=known[0], bins=known[1], counts=known[2], missing=0)
        for tag, values, known in zip(tags, columns, together, strict=True)
    )


#: The power of two of the bins' width, the bins in order and their counts.
_Counted = tuple[int, tuple[int, ...], tuple[int, ...]]


def _together(columns: Sequence[np.ndarray]) -> list[_Counted | None]:
    """The tags of a frame counted in one go: numpy's calls cost more than its work on a few hundred values.

    None for those that have to be looked at alone: with missing values, or standing still.
    """
    if not columns or not columns[0].size:
        return [None] * len(columns)
    ordered = np.sort(np.array(columns), axis=1)
    rows, quarter = ordered.shape[1], ordered.shape[1] // 4
    with np.errstate(all="ignore"):
        spread = ordered[:, rows - 1 - quarter] / 2 - ordered[:, quarter] / 2
        # What is missing stands last.
        plain = np.isfinite(ordered[:, 0]) & np.isfinite(ordered[:, -1]) & (spread > 0)
        scales = np.minimum(np.maximum(np.frexp(spread)[1] - _FINE_BITS, _FINEST), _WIDEST)
        # A power of two: as exact as ldexp on each value.
        places = np.floor(ordered * np.ldexp(1.0, -scales)[:, None])
    np.minimum(np.maximum(places, -_FARTHEST, out=places), _FARTHEST, out=places)
    if not plain.all():
        places[~plain] = 0
    # Where a bin begins, in the values of all tags one after the other; the end stands last.
    begins = np.ones(places.size + 1, dtype=bool)
    of_tags = begins[:-1].reshape(places.shape)
    np.not_equal(places[:, 1:], places[:, :-1], out=of_tags[:, 1:])
    first = np.flatnonzero(begins)
    bins = places.ravel()[first[:-1]].astype(np.int64).tolist()
    counts = (first[1:] - first[:-1]).tolist()
    ends = np.searchsorted(first, np.arange(1, len(columns) + 1) * rows).tolist()
    found: list[_Counted | None] = []
    for scale, begin, end, alone in zip(scales.tolist(), [0, *ends], ends, ~plain, strict=False):
        found.append(None if alone else (scale, tuple(bins[begin:end]), tuple(counts[begin:end])))
    return found


def _histogram(tag: str, values: np.ndarray, most: int) -> TagHistogram:
    known = values[np.isfinite(values)]
    missing = int(values.size - known.size)
    if not known.size:
        return TagHistogram(tag=tag, scale=_FINEST, bins=(), counts=(), missing=missing)
    scale = _scale(known)
    # The ends of the floats are no values of a machine; what overflows on the way lands in the last bin.
    with np.errstate(over="ignore", under="ignore"):
        places = np.clip(np.floor(np.ldexp(known, -scale)), -_FARTHEST, _FARTHEST).astype(np.int64)
    bins, counts = np.unique(places, return_counts=True)
    while bins.size > most:
        scale += 1
        places >>= 1
        bins, counts = np.unique(places, return_counts=True)
    return TagHistogram(
        tag=tag, scale=scale, bins=tuple(bins.tolist()), counts=tuple(counts.tolist()), missing=missing
    )


def _scale(values: np.ndarray) -> int:
    """The power of two of the bins' width: an eighth of the middle half's spread, or less."""
    quarter = values.size // 4
    low, high = np.partition(values, [quarter, values.size - 1 - quarter])[
        [quarter, values.size - 1 - quarter]
    ]
    spread = high / 2 - low / 2
    if spread <= 0:
        spread = values.max() / 2 - values.min() / 2
    if spread <= 0:
        return int(np.clip(np.frexp(np.abs(values[0]))[1] - _STILL_BITS, _FINEST, _WIDEST))
    # frexp gives m · 2^e with m from a half to below one: 2^(e − 1) is the largest power that is not more.
    return int(np.clip(np.frexp(spread)[1] - _FINE_BITS, _FINEST, _WIDEST))


#: Counts by bin, by scale.
Levels = dict[int, dict[int, int]]


@dataclass(kw_only=True)
class Spread:
    """How the values of one tag are spread over many frames."""

    levels: Levels = field(default_factory=dict)
    missing: int = 0

    @property
    def rows(self) -> int:
        """Values that are known."""
        return sum(sum(level.values()) for level in self.levels.values())

    @property
    def scale(self) -> int:
        """The widest bins that anything was counted in."""
        return max((scale for scale, level in self.levels.items() if any(level.values())), default=_FINEST)

    def add(self, scale: int, missing: int, counts: Iterable[tuple[int, int]]) -> None:
        """Count values in: how many are missing, and how many lie in each bin of that scale; less than none takes out."""
        self.missing += missing
        level = self.levels.setdefault(scale, {})
        for place, count in counts:
            level[place] = level.get(place, 0) + count

    def join(self, other: Spread, sign: int = 1) -> None:
        """Take another's counts in, or out again."""
        self.missing += sign * other.missing
        for scale, theirs in other.levels.items():
            level = self.levels.setdefault(scale, {})
            for place, count in theirs.items():
                level[place] = level.get(place, 0) + sign * count

    def at(self, scale: int) -> dict[int, int]:
        """Counts by bin of at least that width."""
        found: dict[int, int] = {}
        for finer, level in self.levels.items():
            for place, count in level.items():
                wide = place >> max(0, scale - finer)
                found[wide] = found.get(wide, 0) + count
        return found


#: Histograms that are held back until they are counted together: one by one they would cost more than all the rest.
_HELD = 4096


@dataclass(kw_only=True)
class Inputs:
    """The spread of a deployment's inputs: of all frames, and by the day of their first row."""

    _total: dict[str, Spread] = field(default_factory=dict)
    _days: dict[int, dict[str, Spread]] = field(default_factory=dict)
    #: By day, tag and scale what is not counted yet, and whether it comes in (1) or goes out (−1).
    _waiting: dict[tuple[int, str, int], list[tuple[TagHistogram, int]]] = field(default_factory=dict)
    _held: int = 0

    def count(self, frame: Sequence[TagHistogram], first_us: int, sign: int) -> None:
        """Count a frame whose first row is of that time in (sign 1), or out again (sign −1)."""
        day = first_us // DAY_US
        for one in frame:
            self._waiting.setdefault((day, one.tag, one.scale), []).append((one, sign))
        self._held += len(frame)
        if self._held >= _HELD:
            self._count()

    @property
    def total(self) -> Mapping[str, Spread]:
        """All frames, by tag."""
        self._count()
        return self._total

    @property
    def days(self) -> Mapping[int, Mapping[str, Spread]]:
        """By day since 1970, and by tag."""
        self._count()
        return self._days

    def _count(self) -> None:
        for (day, tag, scale), listed in self._waiting.items():
            missing, counts = _summed(listed)
            for spreads in (self._total, self._days.setdefault(day, {})):
                spreads.setdefault(tag, Spread()).add(scale, missing, counts)
        self._waiting.clear()
        self._held = 0

    def first_days(self, least: int) -> dict[str, Spread]:
        """The first day's, with those that follow until every tag has so many values."""
        found: dict[str, Spread] = {}
        for _, spreads in sorted(self.days.items()):
            for tag, spread in spreads.items():
                found.setdefault(tag, Spread()).join(spread)
            if found and all(spread.rows >= least for spread in found.values()):
                break
        return found

    def without(self, other: Mapping[str, Spread]) -> dict[str, Spread]:
        """All frames but those."""
        found: dict[str, Spread] = {}
        for tag, spread in self.total.items():
            rest = found[tag] = Spread()
            rest.join(spread)
            if tag in other:
                rest.join(other[tag], -1)
        return found


def _summed(listed: Sequence[tuple[TagHistogram, int]]) -> tuple[int, list[tuple[int, int]]]:
    """What histograms of one scale amount to: missing values, and counts by bin."""
    places = np.fromiter(chain.from_iterable(one.bins for one, _ in listed), dtype=np.int64)
    counts = np.fromiter(chain.from_iterable(one.counts for one, _ in listed), dtype=np.int64)
    counts *= np.repeat([sign for _, sign in listed], [len(one.counts) for one, _ in listed])
    bins, which = np.unique(places, return_inverse=True)
    sums = np.zeros(bins.size, dtype=np.int64)
    np.add.at(sums, which, counts)
    missing = sum(sign * one.missing for one, sign in listed)
    return missing, list(zip(bins.tolist(), sums.tolist(), strict=True))


def aligned(one: Spread, other: Spread) -> tuple[np.ndarray, np.ndarray]:
    """The counts of both in the same bins, in order: int64, shape (k,)."""
    scale = max(one.scale, other.scale)
    first, second = one.at(scale), other.at(scale)
    places = sorted(first.keys() | second.keys())
    return (
        np.array([first.get(place, 0) for place in places], dtype=np.int64),
        np.array([second.get(place, 0) for place in places], dtype=np.int64),
    )
