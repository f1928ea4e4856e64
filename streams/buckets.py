"""Whole numbers counted by size, so that quantiles add up in any order."""

from __future__ import annotations

from collections.abc import Mapping

#: Each power of two is cut into so many buckets: a quantile is told to within 1/8 of itself.
_STEPS = 8


def bucket_of(value: int) -> int:
    """The number of a value's bucket: 0 … 7 for themselves, then eight buckets a power of two."""
    if value < _STEPS:
        return max(0, value)
    power = value.bit_length() - 4
    return _STEPS * power + (value >> power)


def upper_end(bucket: int) -> int:
    """The largest value of a bucket."""
    if bucket < 2 * _STEPS:
        return bucket
    power = bucket // _STEPS - 1
    return ((_STEPS + bucket % _STEPS + 1) << power) - 1


def quantile(counts: Mapping[int, int], percent: int) -> int:
    """The smallest bucket's upper end that at least so many of a hundred do not exceed; 0 where there are none.

    Args:
        counts: how many, by bucket.
    """
    wanted = -(-sum(counts.values()) * percent // 100)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted > 0:
            return upper_end(bucket)
    return 0
