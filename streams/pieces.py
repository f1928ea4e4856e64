"""Where decision units begin: what the frames of one asset say about it, in their order.

Which rows are of which unit follows from the telemetry alone, and for runs and events from its labels; never from a
prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from schemas.terms import DecisionUnit
from streams.truth import Rows

MINUTE_US = 60_000_000

#: Where a unit stands: the broker's timestamp, partition, offset and row.
Place = tuple[int, int, int, int]

_NONE = np.empty(0, dtype=np.int64)


@dataclass(kw_only=True, eq=False)
class Piece:
    """One frame: which of its rows are of which units, and what it adds to them.

    Attributes:
        units: int64, shape (u,), none of them twice; empty while its boundaries are not known.
        starts: the first row of each, int64, shape (u,).
        known: the labels of its rows as they count, float64, shape (n,).
        closed: rows that will get no label any more, bool, shape (n,).
        added: what it adds to its units at present, by name, each int64, shape (u,).
    """

    rows: Rows
    appended_ms: int
    #: The asset's frame before this one, and after.
    before: Piece | None = None
    after: Piece | None = None
    units: np.ndarray = field(default_factory=lambda: _NONE)
    starts: np.ndarray = field(default_factory=lambda: _NONE)
    known: np.ndarray = field(default_factory=lambda: np.empty(0))
    closed: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    added: dict[str, np.ndarray] = field(default_factory=dict)

    def place(self, row: int = 0) -> Place:
        """Where one of its rows stands in the telemetry."""
        return self.appended_ms, self.rows.partition, self.rows.offset, row

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values of rows, summed by unit: int64, shape (…, u)."""
        found: np.ndarray = np.add.reduceat(values, self.starts, axis=-1, dtype=np.int64)
        return found

    def sizes(self) -> np.ndarray:
        """Rows of each unit."""
        return np.diff(np.append(self.starts, self.rows.times_us.size))

    def open(self) -> bool:
        """Whether a row has no label and may still get one."""
        return bool(np.any(np.isnan(self.known) & ~self.closed))

    def happening(self) -> np.ndarray:
        """Whether each row is of an event: its label is another class than the first."""
        return self.known > 0

    def happened(self) -> np.ndarray:
        """Whether the row before each is of an event."""
        earlier = self.before is not None and self.before.known.size > 0 and self.before.known[-1] > 0
        return np.append(earlier, self.happening()[:-1])


@dataclass(kw_only=True)
class Lane:
    """One asset."""

    #: The unit that its last row is of; none before the first.
    unit: int = -1
    last: Piece | None = None
    #: Frames whose boundaries depend on labels that are open.
    uncut: list[Piece] = field(default_factory=list)
    #: The present block, and the last label that is known.
    _block: int | None = None
    _label: float = np.inf

    def append(self, piece: Piece) -> None:
        """Take the next frame in."""
        piece.before = self.last
        if self.last is not None:
            self.last.after = piece
        self.last = piece

    def boundaries(self, piece: Piece, unit: DecisionUnit) -> list[int]:
        """The rows of the next frame at which units begin; of the asset's first frame its first row among them."""
        begins = self._boundaries(piece, unit)
        return [0, *begins] if self.unit < 0 and begins[:1] != [0] else begins

    def _boundaries(self, piece: Piece, unit: DecisionUnit) -> list[int]:
        match unit.kind:
            case "row":
                return list(range(piece.rows.times_us.size))
            case "block":
                since = piece.rows.times_us - (unit.offset_minutes or 0) * MINUTE_US
                return self._blocks(since // (unit.block_minutes * MINUTE_US))
            case "event":
                found: list[int] = np.flatnonzero(piece.happened() & ~piece.happening()).tolist()
                return found
            case "run":
                return self._runs(piece.known)

    def _blocks(self, blocks: np.ndarray) -> list[int]:
        """A row that is one block late stays in the present one; a clock that was set begins another."""
        begins: list[int] = []
        present = int(blocks[0]) if self._block is None else self._block
        for row in np.append(0, np.flatnonzero(np.diff(blocks)) + 1).tolist():
            block = int(blocks[row])
            if block > present or block < present - 1:
                begins.append(row)
                present = block
        self._block = present
        return begins

    def _runs(self, known: np.ndarray) -> list[int]:
        """What is left of a run only falls: where it rises, another has begun."""
        there = np.flatnonzero(~np.isnan(known))
        labels = known[there]
        begins: list[int] = there[labels > np.append(self._label, labels[:-1])].tolist()
        if labels.size:
            self._label = float(labels[-1])
        return begins
