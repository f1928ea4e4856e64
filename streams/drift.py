"""How the values of inputs are spread: told frame by frame, and added up without the values themselves.

A frame's values of a tag are counted in bins whose width is a power of two that fits their spread. Bins of one width lie
within those of twice the width, so that counts of any two frames add up exactly at the wider of their widths: in any order,
and with no edges to be agreed on beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

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
    return tuple(_histogram(tag, batch.column(tag).to_numpy(zero_copy_only=False), most) for tag in tags)


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

    def add(self, one: TagHistogram, sign: int) -> None:
        """Count a frame in (sign 1), or out again (sign −1)."""
        self.missing += sign * one.missing
        level = self.levels.setdefault(one.scale, {})
        for place, count in zip(one.bins, one.counts, strict=True):
            level[place] = level.get(place, 0) + sign * count

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


@dataclass(kw_only=True)
class Inputs:
    """The spread of a deployment's inputs: of all frames, and by the day of their first row."""

    total: dict[str, Spread] = field(default_factory=dict)
    days: dict[int, dict[str, Spread]] = field(default_factory=dict)

    def count(self, frames: Iterable[TagHistogram], times_us: np.ndarray, sign: int) -> None:
        """Count a frame in (sign 1), or out again (sign −1)."""
        day = int(times_us[0] // DAY_US)
        for one in frames:
            for spreads in (self.total, self.days.setdefault(day, {})):
                spreads.setdefault(one.tag, Spread()).add(one, sign)

    def first_days(self, least: int) -> dict[str, Spread]:
        """The first day's, with those that follow until every tag has so many values."""
        found: dict[str, Spread] = {}
        for day in sorted(self.days):
            for tag, spread in self.days[day].items():
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


def aligned(one: Spread, other: Spread) -> tuple[np.ndarray, np.ndarray]:
    """The counts of both in the same bins, in order: int64, shape (k,)."""
    scale = max(one.scale, other.scale)
    first, second = one.at(scale), other.at(scale)
    places = sorted(first.keys() | second.keys())
    return (
        np.array([first.get(place, 0) for place in places], dtype=np.int64),
        np.array([second.get(place, 0) for place in places], dtype=np.int64),
    )
