"""Sums of floats that do not depend on the order of their terms, and the one way floats are rounded for publication."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

#: A float is a whole number of 53 bits times a power of two; the smallest power is 2⁻¹¹²⁶ (the last bit of 2⁻¹⁰⁷⁴, with its
#: mantissa shifted up to 53 bits). Sums are whole numbers of its square, so that squares of the smallest floats fit as well.
_MANTISSA_BITS = 53
_SMALLEST_POWER = -1126
_GROUP_BITS = 2
_GROUP = 1 << _GROUP_BITS
_HALF_BITS = 30
_LOW_HALF = (1 << _HALF_BITS) - 1
#: Above every exponent of a float.
_NO_EXPONENT = 1100
#: Values that are summed at a time: what is made of them meanwhile stays in the processor's cache.
_MOST = 1024
SCALE_BITS = -2 * _SMALLEST_POWER
SCALE = 1 << SCALE_BITS

SIGNIFICANT_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class _Exact:
    """Rows of finite floats taken apart: numpy's calls cost more than its work on a few hundred values, so rows go together.

    Powers of two are taken four at a time: what a value has above the lowest of its four is shifted into its whole number.

    Attributes:
        mantissas: whole numbers of 53 bits and a sign, int64, shape (k, n).
        shifts: by how many bits each is to be shifted, 0 … 3, int64, shape (k, n).
        groups: 1 where a value is to be taken so often sixteenfold then, else 0, float64, shape (k, groups, n).
        lowest: the power of two that all are to be multiplied with.
    """

    mantissas: np.ndarray
    shifts: np.ndarray
    groups: np.ndarray
    lowest: int

    @classmethod
    def of(cls, values: np.ndarray) -> _Exact:
        """Take values apart.

        Args:
            values: float64, finite, shape (k, n), n at most `_MOST`.

        Raises:
            ValueError: a value is not finite.
        """
        if not np.isfinite(values).all():
            raise ValueError("only finite numbers can be summed")
        fractions, exponents = np.frexp(values)
        lowest = int(exponents.min(initial=_NO_EXPONENT))
        powers = exponents.astype(np.int64) - lowest
        sixteens = powers >> _GROUP_BITS
        there = np.arange(int(sixteens.max(initial=0)) + 1)[:, None]
        return cls(
            # Whole numbers below 2⁵³: a product of floats is exact here.
            mantissas=(fractions * (1 << _MANTISSA_BITS)).astype(np.int64),
            shifts=powers & (_GROUP - 1),
            groups=(sixteens[:, None, :] == there).astype(np.float64),
            lowest=lowest - _MANTISSA_BITS + SCALE_BITS,
        )

    def first(self, rows: int) -> _Exact:
        """So many of the rows."""
        return replace(
            self, mantissas=self.mantissas[:rows], shifts=self.shifts[:rows], groups=self.groups[:rows]
        )

    def totals(self) -> list[int]:
        """The sum of each row, in units of 2⁻²²⁵²; k of them."""
        (sums,) = self._sums(self.mantissas << self.shifts)
        return [_put_together(one, self.lowest, _GROUP) for one in sums]

    def totals_of_squares(self) -> list[int]:
        """The sum of each row's squares, in units of 2⁻²²⁵²; k of them."""
        # (h·2²⁷ + l)² in three products of 54 bits at most, which leave room for a shift of six.
        high, low, shifts = self.mantissas >> 27, self.mantissas & ((1 << 27) - 1), 2 * self.shifts
        sums = self._sums(high * high << shifts, high * low << shifts, low * low << shifts)
        lowest, step = 2 * self.lowest - SCALE_BITS, 2 * _GROUP
        return [
            _put_together([(a << 54) + (b << 28) + c for a, b, c in zip(*parts, strict=True)], lowest, step)
            for parts in zip(*sums, strict=True)
        ]

    def _sums(self, *values: np.ndarray) -> list[list[list[int]]]:
        """The sums of whole numbers of 60 bits, each of shape (k, n): for each, and for each row, one a group."""
        # In halves of 30 bits no sum leaves the whole numbers that a float holds, in whatever order it is made.
        halves = np.array(
            [half for one in values for half in (one >> _HALF_BITS, one & _LOW_HALF)], dtype=np.float64
        )
        found = np.matmul(self.groups, halves[..., None])[..., 0].astype(np.int64).tolist()
        return [
            [
                [(a << _HALF_BITS) + b for a, b in zip(*of_row, strict=True)]
                for of_row in zip(high, low, strict=True)
            ]
            for high, low in zip(found[::2], found[1::2], strict=True)
        ]


def exact_sums(values: np.ndarray, *, squares: int = 0) -> tuple[list[int], list[int]]:
    """The sums of rows of finite floats of any number, and of the squares of the first rows, exactly, in units of 2⁻²²⁵².

    Args:
        values: float64, shape (k, n).
        squares: of how many rows the squares are summed as well.

    Returns:
        The k sums, and the sums of squares.

    Raises:
        ValueError: a value is not finite.
    """
    totals, of_squares = [0] * len(values), [0] * squares
    for start in range(0, values.shape[1], _MOST):
        part = _Exact.of(values[:, start : start + _MOST])
        totals = [a + b for a, b in zip(totals, part.totals(), strict=True)]
        if squares:
            more = part.first(squares).totals_of_squares()
            of_squares = [a + b for a, b in zip(of_squares, more, strict=True)]
    return totals, of_squares


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite floats of any number and shape: see `exact_sums`."""
    (total,), _ = exact_sums(np.asarray(values, dtype=np.float64).reshape(1, -1))
    return total


def exact_sum_of_squares(values: np.ndarray) -> int:
    """The sum of the squares of finite floats of any number and shape: see `exact_sums`."""
    _, (total,) = exact_sums(np.asarray(values, dtype=np.float64).reshape(1, -1), squares=1)
    return total


def _put_together(sums: list[int], lowest: int, step: int) -> int:
    """Whole numbers times rising powers of two, added up."""
    return sum(value << step * group for group, value in enumerate(sums) if value) << lowest


def as_fraction(units: int) -> Fraction:
    """An exact sum as a number."""
    return Fraction(units, SCALE)


def published(value: Fraction | float | int) -> float:
    """A number as it is published: rounded to 9 significant digits, and never beyond what a float can hold.

    Raises:
        ValueError: it is not a number.
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isnan(number):
        raise ValueError("what is published has to be a number")
    if number == 0.0:
        return 0.0
    most = sys.float_info.max
    # Rounded up, the largest float would be none any more: it is cut.
    return max(-most, min(most, float(f"{number:.{SIGNIFICANT_DIGITS}g}")))


def square_root(value: Fraction) -> float:
    """The square root of a fraction that is not negative, with far more digits than are published.

    The integer square root of the value scaled by an even power of two that leaves at least 100 bits: no library's
    rounding enters.
    """
    if not value:
        return 0.0
    lift = max(0, 200 + value.denominator.bit_length() - value.numerator.bit_length())
    half = (lift + 1) // 2
    scaled = (value.numerator << (2 * half)) // value.denominator
    return float(Fraction(math.isqrt(scaled), 1 << half))
