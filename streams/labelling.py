"""What is known of labels beside what they say: how late they came, and what was changed into what."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from schemas.agreement import Agreement
from schemas.evaluation import LabelStatistics
from streams.buckets import bucket_of, quantile

#: What a label is changed into that is taken back.
WITHDRAWN = "unlabelled"


@dataclass(kw_only=True)
class Labelling:
    """Of the rows of a frame, or of a deployment."""

    #: Labels that came after the deadline.
    late: int = 0
    #: Rows whose label something said later changed, by what it was changed into.
    corrections: dict[str, int] = field(default_factory=dict)
    #: Rows by how long after them, in milliseconds, each version of a label for them came, in buckets.
    delays: dict[int, int] = field(default_factory=dict)

    @property
    def corrected(self) -> int:
        """Rows whose label something said later changed."""
        return sum(self.corrections.values())

    def came(self, rows: int, delay_ms: int) -> None:
        """A version of a label came for so many rows."""
        if rows:
            bucket = bucket_of(delay_ms)
            self.delays[bucket] = self.delays.get(bucket, 0) + rows

    def changed(self, before: np.ndarray, after: np.ndarray, agreement: Agreement) -> None:
        """Labels as they counted, and as they count now: float64, shape (n,), not-a-number where there is none."""
        differ = ~np.isnan(before) & ~((before == after) | (np.isnan(before) & np.isnan(after)))
        if not differ.any():
            return
        for name, rows in _directions(before[differ], after[differ], agreement.classes).items():
            self.corrections[name] = self.corrections.get(name, 0) + rows

    def add(self, other: Labelling, sign: int = 1) -> None:
        """Take another's in (sign 1), or out again (sign −1)."""
        self.late += sign * other.late
        for name, rows in other.corrections.items():
            self.corrections[name] = self.corrections.get(name, 0) + sign * rows
        for bucket, rows in other.delays.items():
            self.delays[bucket] = self.delays.get(bucket, 0) + sign * rows

    def told(self, *, labelled: int, rows: int) -> LabelStatistics:
        """The figures, beside so many labelled ones of so many rows."""
        return LabelStatistics(
            rows=rows,
            labelled=labelled,
            delay_p50_ms=quantile(self.delays, 50) if any(self.delays.values()) else None,
            delay_p90_ms=quantile(self.delays, 90) if any(self.delays.values()) else None,
            corrections={name: count for name, count in sorted(self.corrections.items()) if count},
        )


def _directions(before: np.ndarray, after: np.ndarray, classes: tuple[str, ...]) -> dict[str, int]:
    gone = np.isnan(after)
    if not classes:
        counts = {"up": after > before, "down": after < before, WITHDRAWN: gone}
        return {name: int(np.count_nonzero(rows)) for name, rows in counts.items() if rows.any()}
    codes = before * (len(classes) + 1) + np.where(gone, len(classes), after)
    found, rows = np.unique(codes.astype(np.int64), return_counts=True)
    names = (*classes, WITHDRAWN)
    return {
        f"{names[code // len(names)]}/{names[code % len(names)]}": count
        for code, count in zip(found.tolist(), rows.tolist(), strict=True)
    }
