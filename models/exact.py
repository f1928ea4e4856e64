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
    mantissas, powers, first = _by_power(values)
    return _total(_whole_sums(mantissas, first), powers + SCALE_BITS)


def exact_sum_of_squares(values: np.ndarray) -> int:
    """The sum of the squares of finite floats, exactly, in units of 2⁻²²⁵².

    Args:
        values: float64, finite, any shape, fewer than 2²⁶ of them.

    Raises:
        ValueError: a value is not finite.
    """
    mantissas, powers, first = _by_power(values)
    # (h·2²⁷ + l)² in three products, each of which fits into 64 bits.
    high, low = mantissas >> 27, mantissas & ((1 << 27) - 1)
    parts = [_whole_sums(product, first) for product in (high * high, high * low, low * low)]
    squares = [(a << 54) + (b << 28) + c for a, b, c in zip(*parts, strict=True)]
    return _total(squares, 2 * powers + SCALE_BITS)


def _by_power(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values as whole numbers of 53 bits, int64, ordered by the power of two that each is to be multiplied with;
    these powers, each once, and where each begins."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(flat)):
        raise ValueError("only finite numbers can be summed")
    fractions, exponents = np.frexp(flat)
    order = np.argsort(exponents, kind="stable")
    exponents = exponents[order]
    first = np.flatnonzero(np.diff(exponents, prepend=exponents[:1] - 1))
    mantissas = np.ldexp(fractions[order], _MANTISSA_BITS).astype(np.int64)
    return mantissas, exponents[first].astype(np.int64) - _MANTISSA_BITS, first


def _whole_sums(values: np.ndarray, first: np.ndarray) -> list[int]:
    """The sum of each stretch of whole numbers."""
    if not values.size:
        return []
    # Two halves, so that no partial sum leaves 64 bits below 2²⁶ terms.
    high = np.add.reduceat(values >> 26, first).tolist()
    low = np.add.reduceat(values & ((1 << 26) - 1), first).tolist()
    return [(a << 26) + b for a, b in zip(high, low, strict=True)]


def _total(sums: list[int], bits: np.ndarray) -> int:
    return sum(value << shift for value, shift in zip(sums, bits.tolist(), strict=True))


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
