"""Sums of floats that do not depend on the order of their terms, and the one way floats are rounded for publication."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import numpy as np

#: A float is a whole number of 53 bits times a power of two; the smallest power is 2⁻¹¹²⁶ (the last bit of 2⁻¹⁰⁷⁴, with its
#: mantissa shifted up to 53 bits). Sums are whole numbers of its square, so that squares of the smallest floats fit as well.
_MANTISSA_BITS = 53
_SMALLEST_POWER = -1126
SCALE_BITS = -2 * _SMALLEST_POWER
SCALE = 1 << SCALE_BITS

SIGNIFICANT_DIGITS = 9


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite floats, exactly, in units of 2⁻²²⁵².

    Args:
        values: float64, finite, any shape, fewer than 2²⁶ of them.

    Raises:
        ValueError: a value is not finite.
    """
    total = 0
    for power, mantissas in _by_power(values):
        total += _whole_sum(mantissas) << (power + SCALE_BITS)
    return total


def exact_sum_of_squares(values: np.ndarray) -> int:
    """The sum of the squares of finite floats, exactly, in units of 2⁻²²⁵².

    Args:
        values: float64, finite, any shape, fewer than 2²⁶ of them.

    Raises:
        ValueError: a value is not finite.
    """
    total = 0
    for power, mantissas in _by_power(values):
        # (h·2²⁷ + l)² in three products, each of which fits into 64 bits.
        high, low = mantissas >> 27, mantissas & ((1 << 27) - 1)
        square = (_whole_sum(high * high) << 54) + (_whole_sum(high * low) << 28) + _whole_sum(low * low)
        total += square << (2 * power + SCALE_BITS)
    return total


def _by_power(values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The values as whole numbers of 53 bits, int64, by the power of two that each is to be multiplied with."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(flat)):
        raise ValueError("only finite numbers can be summed")
    fractions, exponents = np.frexp(flat)
    mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
    return [
        (int(exponent) - _MANTISSA_BITS, mantissas[exponents == exponent])
        for exponent in np.unique(exponents)
    ]


def _whole_sum(values: np.ndarray) -> int:
    # Two halves, so that no partial sum leaves 64 bits below 2²⁶ terms.
    high = int(np.sum(values >> 26))
    low = int(np.sum(values & ((1 << 26) - 1)))
    return (high << 26) + low


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
