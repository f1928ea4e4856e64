"""Labels and watermarks joined with rows, in one go, from what stands in the label topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.faults.checker_records import Frame, Label, Mark
from tests.faults.checker_topics import Json

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class Truths:
    """Labels and watermarks of a plant as they stand in their topic, each once."""

    agreement: Json
    labels: Sequence[Label]
    marks: Sequence[Mark]

    @property
    def deadline_ms(self) -> int:
        return int(self.agreement["labels"]["deadline_days"] * DAY_MS)

    def of(self, frame: Frame, labels: Iterable[Label]) -> np.ndarray:
        """The labels of a frame's rows: of each label its newest version, of those the last in the topic."""
        assert frame.times_us is not None
        in_time = [one for one in labels if one.asset == frame.asset and self.in_time(one, frame)]
        newest: dict[str, int] = {}
        for one in in_time:
            newest[one.ident] = max(newest.get(one.ident, -1), one.offset)
        truth = np.full(frame.times_us.size, np.nan)
        for one in sorted(in_time, key=lambda one: one.offset):
            if newest[one.ident] == one.offset:
                said = says(one, frame)
                truth = np.where(np.isnan(said), truth, said)
        return truth

    def in_time(self, one: Label | Mark, frame: Frame) -> bool:
        return one.message.at_ms <= frame.message.at_ms + self.deadline_ms

    def known(self, frame: Frame, truth: np.ndarray, marks: Iterable[Mark]) -> tuple[np.ndarray, np.ndarray]:
        """Labels as they count, where silence may mean normal; and which rows the watermark has passed."""
        assert frame.times_us is not None
        until = [one.until_us for one in marks if one.asset == frame.asset and self.in_time(one, frame)]
        under = frame.times_us < max(until, default=-(2**62))
        if self.agreement["labels"].get("absent_means") == "normal":
            truth = np.where(np.isnan(truth) & under, 0.0, truth)
        return truth, under


def says(label: Label, frame: Frame) -> np.ndarray:
    """What one label says of a frame's rows: float64, not-a-number where it says nothing."""
    assert frame.times_us is not None
    said = np.full(frame.times_us.size, np.nan)
    if label.times_us is not None and label.values is not None:
        if label.frame is None:
            for time, value in zip(label.times_us, label.values, strict=True):
                if not np.isnan(value):
                    said[frame.times_us == time] = value
        elif label.frame == frame.ident and label.values.size == said.size:
            said = label.values.copy()
    elif label.value is not None:
        said[(frame.times_us >= label.start_us) & (frame.times_us < label.end_us)] = label.value
    return said


def touches(label: Label, frame: Frame) -> bool:
    """Whether a label may be about a frame."""
    assert frame.times_us is not None
    if label.asset != frame.asset:
        return False
    if label.frame is not None:
        return label.frame == frame.ident
    start, end = label.span()
    return start < int(frame.times_us.max()) + 1 and end > int(frame.times_us.min())
