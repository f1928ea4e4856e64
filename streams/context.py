"""The rows of an asset before a frame, for candidates that ask for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.columns import column_of
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
        # Senders differ in what they say about columns beside their types; batches are joined without it.
        batch = pa.RecordBatch.from_arrays(batch.columns, names=batch.schema.names)
        kept = self._kept.get(asset)
        if kept is not None and batch.num_rows < self.rows:
            batch = pa.Table.from_batches([kept, batch]).combine_chunks().to_batches()[0]
        start = max(0, batch.num_rows - self.rows)
        # A copy, so that the few rows do not keep their whole frame in memory.
        self._kept[asset] = batch.take(column_of(np.arange(start, batch.num_rows), pa.int64()))
