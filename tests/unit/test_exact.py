"""Exact sums: equal to fractions whatever their order, for every float there is."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.exact import (
    _MOST,
    as_fraction,
    exact_sum,
    exact_sum_of_squares,
    exact_sums,
    published,
    square_root,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LISTS = st.lists(FINITE, max_size=40)


@given(LISTS)
def test_a_sum_is_that_of_the_fractions(values: list[float]) -> None:
    assert as_fraction(exact_sum(np.array(values))) == sum(map(Fraction, values))


@given(LISTS)
def test_a_sum_of_squares_is_that_of_the_fractions(values: list[float]) -> None:
    assert as_fraction(exact_sum_of_squares(np.array(values))) == sum(Fraction(one) ** 2 for one in values)


@given(LISTS)
def test_a_sum_of_sizes_is_that_of_the_fractions(values: list[float]) -> None:
    sizes = exact_sum(np.abs(np.array(values)))
    assert as_fraction(sizes) == sum(abs(Fraction(one)) for one in values)


@given(st.lists(st.tuples(FINITE, FINITE, FINITE), max_size=20))
def test_rows_that_are_summed_together_come_to_what_each_comes_to_alone(values: list[Any]) -> None:
    rows = np.array(values, dtype=float).reshape(-1, 3).T
    sums, squares = exact_sums(rows, squares=2)
    assert sums == [exact_sum(row) for row in rows]
    assert squares == [exact_sum_of_squares(row) for row in rows[:2]]


@given(LISTS, st.integers(0, 40), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_order_or_grouping(values: list[float], cut: int, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(values)
    random.shuffle(shuffled)
    for add in (exact_sum, exact_sum_of_squares):
        whole = add(np.array(values))
        assert whole == add(np.array(shuffled[:cut])) + add(np.array(shuffled[cut:]))
        assert whole - add(np.array(shuffled[:cut])) - add(np.array(shuffled[cut:])) == 0


@pytest.mark.parametrize("extreme", [5e-324, 1e-160, 1e200, sys.float_info.max, sys.float_info.min, -0.0])
def test_the_smallest_and_the_largest_floats_can_be_summed_and_squared(extreme: float) -> None:
    values = np.array([extreme, -extreme, extreme])
    assert as_fraction(exact_sum(values)) == Fraction(extreme)
    assert as_fraction(exact_sum_of_squares(values)) == 3 * Fraction(extreme) ** 2


def test_many_terms_of_one_size_do_not_leave_what_a_float_holds_exactly() -> None:
    values = np.full(_MOST + 5, np.nextafter(16.0, 1.0))
    # The lowest power of the first part makes all others be shifted as far as it goes.
    values[0] = 1.0
    rest = values.size - 1
    assert as_fraction(exact_sum(values)) == 1 + rest * Fraction(values[1])
    assert as_fraction(exact_sum_of_squares(values)) == 1 + rest * Fraction(values[1]) ** 2


@pytest.mark.parametrize("endless", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_cannot_be_summed(endless: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        exact_sum(np.array([1.0, endless]))
    with pytest.raises(ValueError, match="finite"):
        exact_sum_of_squares(np.array([1.0, endless]))


@given(FINITE)
def test_the_square_root_of_a_square_is_the_number(value: float) -> None:
    assert square_root(Fraction(value) ** 2) == pytest.approx(abs(value), rel=1e-15, abs=0)


@given(st.fractions(min_value=0))
def test_a_square_root_has_more_digits_than_are_published(value: Fraction) -> None:
    root = Fraction(square_root(value))
    assert abs(root * root - value) <= value / 10**14


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Fraction(1, 3), 0.333333333),
        (Fraction(7, 10), 0.7),
        (123456789012, 123456789000.0),
        (-0.0, 0.0),
        (Fraction(10) ** 400, sys.float_info.max),
        (-(Fraction(10) ** 400), -sys.float_info.max),
        (sys.float_info.max, 1.79769313e308),
        (math.inf, sys.float_info.max),
    ],
)
def test_numbers_are_published_with_nine_digits_and_never_as_infinity(value: Fraction, shown: float) -> None:
    assert published(value) == shown
    assert str(published(value)) != "-0.0"


def test_what_is_not_a_number_is_not_published_as_one() -> None:
    with pytest.raises(ValueError, match="number"):
        published(math.nan)
