"""Columns as arrays and back: as pyarrow has them, over the same memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import array_of, column_of

FLOATS = st.lists(st.none() | st.floats(), max_size=40)
KINDS = [pa.int64(), pa.float64(), pa.int8(), pa.timestamp("us", tz="UTC"), pa.timestamp("us")]


@given(FLOATS, st.integers(0, 45), st.integers(0, 45))
def test_floats_are_read_as_pyarrow_reads_them_also_out_of_a_part_of_a_column(
    values: list[float | None], begin: int, count: int
) -> None:
    column = pa.array(values, type=pa.float64()).slice(min(begin, len(values)), count)
    np.testing.assert_array_equal(array_of(column), column.to_numpy(zero_copy_only=False))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(values=st.lists(st.integers(-128, 127), max_size=40), begin=st.integers(0, 40))
def test_numbers_and_times_go_there_and_back(kind: pa.DataType, values: list[int], begin: int) -> None:
    column = pa.array(values, type=pa.int64()).cast(kind).slice(min(begin, len(values)))
    read = array_of(column)
    assert read.tolist() == values[begin:]
    again = column_of(read, kind)
    assert again.equals(column)
    again.validate(full=True)


def test_nothing_is_copied_that_lies_as_it_should() -> None:
    values = np.arange(6.0)
    column = column_of(values, pa.float64())
    assert np.shares_memory(array_of(column), values)
    assert column_of(values[::2], pa.float64()).to_pylist() == [0, 2, 4]
    assert column_of(np.array([1, 2], dtype=np.int32), pa.int64()).to_pylist() == [1, 2]


@pytest.mark.parametrize("column", [pa.array(["a"]), pa.array([True]), pa.array([1, None])], ids=str)
def test_what_is_no_array_of_numbers_is_refused(column: pa.Array) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="no array of numbers"):
        array_of(column)


def test_no_column_is_made_of_another_type() -> None:
    with pytest.raises(ValueError, match="no array of numbers"):
        column_of(np.zeros(1), pa.float32())
