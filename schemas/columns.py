"""Columns of Arrow streams as numpy arrays and back, in the memory in which they lie.

pyarrow's own ways there and back import pandas at their first use: a worker would pay for that with a second of its first
frame and 27 MB for good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

#: How the numbers of a type lie in memory; times as whole numbers in their own unit.
_LAYOUT: dict[int, np.dtype[Any]] = {
    pa.int64().id: np.dtype(np.int64),
    pa.float64().id: np.dtype(np.float64),
    pa.int8().id: np.dtype(np.int8),
    pa.timestamp("us").id: np.dtype(np.int64),
}


def array_of(column: pa.Array[Any]) -> np.ndarray:
    """The values of a validated column, shape (n,); not to be written to.

    Args:
        column: of int64, float64, int8 or times; a float that is missing becomes not-a-number.

    Raises:
        ValueError: the column is of another type, or a value is missing that is no float.
    """
    layout = _LAYOUT.get(column.type.id)
    if layout is None or (column.null_count and layout.kind != "f"):
        raise ValueError(f"a column of {column.type} with {column.null_count} missing is no array of numbers")
    rows, begin = len(column), column.offset
    if not rows:
        return np.empty(0, dtype=layout)
    buffers: list[Any] = column.buffers()
    valid, data = buffers
    values = np.frombuffer(data, dtype=layout, count=rows, offset=begin * layout.itemsize)
    if not column.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(valid, dtype=np.uint8), count=begin + rows, bitorder="little")
    return np.where(bits[begin:], values, np.nan)


def column_of(values: np.ndarray, kind: pa.DataType) -> pa.Array[Any]:
    """A column without missing values over the memory of an array, shape (n,); what lies otherwise is copied.

    Raises:
        ValueError: the type is none of those that `array_of` reads.
    """
    layout = _LAYOUT.get(kind.id)
    if layout is None:
        raise ValueError(f"a column of {kind} is no array of numbers")
    plain: np.ndarray = np.ascontiguousarray(values, dtype=layout)
    return pa.Array.from_buffers(kind, plain.size, [None, pa.py_buffer(plain.data)])
