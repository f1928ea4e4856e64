"""The rows of an asset before a frame, for candidates that ask for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from streams.frames import encode_batch


@dataclass(kw_only=True)
class Context:
    """The last `rows` rows of each asset, in the order of the log."""

    rows: int
    _kept: dict[str, pa.RecordBatch] = field(default_factory=dict)

    def before(self, asset: str) -> tuple[bytes | None, int]:
        """An Arrow stream of what is kept of an asset and its number of rows; None and 0 where there is nothing."""
        batch = self._kept.get(asset)
        if batch is None or not batch.num_rows:
            return None, 0
        return encode_batch(batch), int(batch.num_rows)

    def add(self, asset: str, batch: pa.RecordBatch) -> None:
        """Take the rows of the asset's next frame in."""
        if not self.rows:
            return
        kept = self._kept.get(asset)
        if kept is not None and batch.num_rows < self.rows:
            joined = pa.Table.from_batches([kept, batch]).combine_chunks()
            batch = joined.to_batches()[0]
        start = max(0, batch.num_rows - self.rows)
        # A copy, so that the few rows do not keep their whole frame in memory.
        self._kept[asset] = batch.slice(start).take(pa.array(range(batch.num_rows - start)))

    def full(self, asset: str) -> bool:
        """Whether nothing earlier could change what is kept of an asset."""
        return asset in self._kept and self._kept[asset].num_rows >= self.rows

    def clear(self) -> None:
        """Forget everything: the partitions have moved."""
        self._kept.clear()
