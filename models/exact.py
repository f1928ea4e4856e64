"""Sums of floats that do not depend on the order of their terms, and the one way floats are rounded for publication."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

#: Sums are whole numbers of 2⁻¹¹⁰⁰: finer than the smallest float and than the last bit of any product of two mantissas.
SCALE_BITS = 1100
SCALE = 1 << SCALE_BITS

SIGNIFICANT_DIGITS = 9


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite floats, exactly, in units of 2⁻¹¹⁰⁰.

    Args:
        values: float64, finite, any shape.

    Raises:
        ValueError: a value is not finite.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(flat)):
        raise ValueError("only finite numbers can be summed")
    if flat.size == 0:
        return 0
    fractions, exponents = np.frexp(flat)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    total = 0
    for exponent in np.unique(exponents):
        chosen = mantissas[exponents == exponent]
        # Two halves, so that no partial sum leaves 64 bits below 2³¹ terms.
        high = int(np.sum(chosen >> 26))
        low = int(np.sum(chosen & ((1 << 26) - 1)))
        total += ((high << 26) + low) << (int(exponent) - 53 + SCALE_BITS)
    return total


def exact_sum_of_squares(values: np.ndarray) -> int:
    """The sum of the squares of finite floats, exactly, in units of 2⁻¹¹⁰⁰ (for magnitudes from 2⁻⁴⁰⁰ to 2⁴⁰⁰).

    Each square is the rounded product and its rounding error, by Dekker's splitting (Numerische Mathematik 18, 1971).
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    product = x * x
    split = x * 134217729.0
    high = split - (split - x)
    low = x - high
    error = ((high * high - product) + 2.0 * high * low) + low * low
    return exact_sum(product) + exact_sum(error)


def as_fraction(units: int) -> Fraction:
    """An exact sum as a number."""
    return Fraction(units, SCALE)


def published(value: Fraction | float | int) -> float:
    """A number as it is published: rounded to 9 significant digits."""
    number = float(value)
    if number == 0.0 or not math.isfinite(number):
        return 0.0
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")


def square_root(value: Fraction) -> float:
    """The square root of a fraction that is not negative, with far more digits than are published.

    The integer square root of the value scaled by 2²⁰⁰: no library's rounding enters.
    """
    scaled = (value.numerator << 200) // value.denominator
    return float(Fraction(math.isqrt(scaled), 1 << 100))
