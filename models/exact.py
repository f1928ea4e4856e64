"""Sums of floats that do not depend on the order of their terms, and the one way floats are rounded for publication."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

#: A float is a whole number of 53 bits times a power of two; the smallest power is 2⁻¹¹²⁶ (the last bit of 2⁻¹⁰⁷⁴, with its
#: mantissa shifted up to 53 bits). Sums are whole numbers of its square, so that squares of the smallest floats fit as well.
_MANTISSA_BITS = 53
_SMALLEST_POWER = -1126
_GROUP = 4
_HALF_BITS = 30
_LOW_HALF = (1 << _HALF_BITS) - 1
#: Above every exponent of a float.
_NO_EXPONENT = 1100
#: Values that are summed at a time.
_MOST = 1 << 22
SCALE_BITS = -2 * _SMALLEST_POWER
SCALE = 1 << SCALE_BITS

SIGNIFICANT_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class Exact:
    """Finite floats taken apart, so that several sums of them cost the taking apart once.

    Powers of two are taken four at a time: what a value has above the lowest of its four is shifted into its whole number.

    Attributes:
        mantissas: whole numbers of 53 bits and a sign, int64, shape (n,).
        shifts: by how many bits each is to be shifted, 0 … 3, int64, shape (n,).
        groups: how often the sixteenfold is taken then, int64, shape (n,).
        lowest: the power of two that all are to be multiplied with.
    """

    mantissas: np.ndarray
    shifts: np.ndarray
    groups: np.ndarray
    lowest: int

    @classmethod
    def of(cls, values: np.ndarray) -> Exact:
        """Take values apart.

        Args:
            values: float64, finite, any shape, at most 2²² of them.

        Raises:
            ValueError: a value is not finite.
        """
        flat = np.asarray(values, dtype=np.float64).ravel()
        if not np.isfinite(flat).all():
            raise ValueError("only finite numbers can be summed")
        fractions, exponents = np.frexp(flat)
        lowest = int(exponents.min(initial=_NO_EXPONENT))
        powers = exponents.astype(np.int64) - lowest
        return cls(
            mantissas=np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64),
            shifts=powers & (_GROUP - 1),
            groups=powers // _GROUP,
            lowest=lowest - _MANTISSA_BITS + SCALE_BITS,
        )

    def total(self) -> int:
        """The sum, in units of 2⁻²²⁵²."""
        return _put_together(self._sums(self.mantissas << self.shifts), self.lowest, _GROUP)

    def total_of_sizes(self) -> int:
        """The sum of the absolute values, in units of 2⁻²²⁵²."""
        return _put_together(self._sums(np.abs(self.mantissas) << self.shifts), self.lowest, _GROUP)

    def total_of_squares(self) -> int:
        """The sum of the squares, in units of 2⁻²²⁵²."""
        # (h·2²⁷ + l)² in three products of 54 bits at most, which leave room for a shift of six.
        high, low, shifts = self.mantissas >> 27, self.mantissas & ((1 << 27) - 1), 2 * self.shifts
        parts = [self._sums(product << shifts) for product in (high * high, high * low, low * low)]
        squares = [(a << 54) + (b << 28) + c for a, b, c in zip(*parts, strict=True)]
        return _put_together(squares, 2 * self.lowest - SCALE_BITS, 2 * _GROUP)

    def _sums(self, values: np.ndarray) -> list[int]:
        """The sum of whole numbers of 60 bits, by group."""
        # Halves of 30 bits: no partial sum of 2²² of them leaves the whole numbers that a float holds.
        high = np.bincount(self.groups, values >> _HALF_BITS)
        low = np.bincount(self.groups, values & _LOW_HALF)
        return [(int(a) << _HALF_BITS) + int(b) for a, b in zip(high.tolist(), low.tolist(), strict=True)]


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite floats of any number, exactly, in units of 2⁻²²⁵²; see `Exact.of`."""
    return sum(Exact.of(part).total() for part in _parts(values))


def exact_sum_of_squares(values: np.ndarray) -> int:
    """The sum of the squares of finite floats of any number, exactly, in units of 2⁻²²⁵²; see `Exact.of`."""
    return sum(Exact.of(part).total_of_squares() for part in _parts(values))


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    flat = np.asarray(values, dtype=np.float64).ravel()
    for start in range(0, flat.size, _MOST):
        yield flat[start : start + _MOST]


def _put_together(sums: list[int], lowest: int, step: int) -> int:
    """Whole numbers times rising powers of two, added up."""
    return sum(value << (lowest + step * group) for group, value in enumerate(sums) if value)


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
