"""Exponential and logarithm from +, −, ×, ÷ alone: the same bits on every machine.

A library's `exp` and `log` may differ from one machine to the next in the last bit. IEEE 754 fixes the four operations and
scaling by powers of two, and NumPy carries them out one at a time, so these do not. Their errors are a few units in
the last place, far below the digits that are published.
"""

from __future__ import annotations

import sys

import numpy as np

#: ln 2 in two parts; the first has 21 zero bits at its end, so that its product with an exponent is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
#: From here on 2 to the power that is split off would be no float; below the other end e^x − 1 is −1.
_LARGEST, _SMALLEST = 709.0, -60.0
#: Terms until what is left out is below 2⁻⁶⁰ of the result: |r| ≤ ln(2)/2, and z ≤ (3 − 2√2)².
_EXP_TERMS, _LOG_TERMS = 15, 12


def exp_minus_one(values: np.ndarray) -> np.ndarray:
    """e^x − 1, also where x is small; the largest float where x is beyond 709.

    Args:
        values: float64, finite, any shape.
    """
    within = np.clip(values, _SMALLEST, _LARGEST)
    power = np.rint(within / _LN2)
    rest = (within - power * _LN2_HIGH) - power * _LN2_LOW
    # e^r − 1 = r · (1 + r/2 · (1 + r/3 · (…)))
    series = np.ones_like(rest)
    for n in range(_EXP_TERMS, 1, -1):
        series = 1.0 + rest / n * series
    scale = power.astype(np.int64)
    found = np.ldexp(rest * series, scale) + (np.ldexp(np.ones_like(rest), scale) - 1.0)
    return np.where(values > _LARGEST, sys.float_info.max, found)


def logarithm(values: np.ndarray) -> np.ndarray:
    """ln x.

    Args:
        values: float64, finite, above 0, any shape.
    """
    mantissas, exponents = np.frexp(values)
    small = mantissas < 0.5 * 2**0.5
    mantissas = np.where(small, 2.0 * mantissas, mantissas)
    powers = exponents - small
    # ln m = 2 · artanh((m − 1) / (m + 1)) = 2s · (1 + s²/3 + s⁴/5 + …)
    s = (mantissas - 1.0) / (mantissas + 1.0)
    square = s * s
    series = np.zeros_like(s)
    for n in range(_LOG_TERMS, -1, -1):
        series = series * square + 1.0 / (2 * n + 1)
    found: np.ndarray = powers * _LN2_HIGH + (2.0 * s * series + powers * _LN2_LOW)
    return found
