"""Recorded or simulated rows in the form in which a replay takes what factories export."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streams.exports import AssetRows, Export


def export_of(
    name: str,
    asset: str,
    times_us: np.ndarray,
    tags: Sequence[str],
    values: np.ndarray,
    *,
    labels: np.ndarray | None = None,
) -> Export:
    """Rows of one machine as one export.

    Args:
        name: of the recording.
        asset: the machine.
        times_us: int64, microseconds since 1970, shape (n,).
        tags: m names.
        values: float64, shape (n, m).
        labels: the label of each row, shape (n,); booleans become 0 and 1.
    """
    columns = {tag: np.ascontiguousarray(values[:, i]) for i, tag in enumerate(tags)}
    told = None if labels is None else pa.array(labels.astype(np.int64))
    digest = hashlib.sha256(
        name.encode() + times_us.tobytes() + np.ascontiguousarray(values).tobytes()
    ).hexdigest()
    rows = AssetRows(asset=asset, times=times_us, values=columns, labels=told)
    return Export(file=name, digest=digest, assets=(rows,), notes=())
