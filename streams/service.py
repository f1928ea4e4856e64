"""What answering cost a deployment: service times, CPU time and memory, in whole numbers that add up in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.evaluation import Service
from schemas.ledger import Outcome

#: Each power of two is cut into so many buckets: a quantile is told to within 1/8 of itself.
_STEPS = 8


@dataclass(kw_only=True)
class ServiceTally:
    """The answers of a deployment, by how long they took."""

    #: Frames by bucket of service time.
    buckets: dict[int, int] = field(default_factory=dict)
    frames: int = 0
    rows: int = 0
    cpu_us: int = 0
    #: The largest resident size that was seen; it stays though its frame be taken out again.
    peak_kb: int = 0

    def count(self, meta: Outcome, sign: int) -> None:
        """Count a frame that was asked in (sign 1), or out again (sign −1)."""
        bucket = bucket_of(meta.wall_us)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + sign
        self.frames += sign
        self.rows += sign * meta.rows
        self.cpu_us += sign * meta.cpu_us
        self.peak_kb = max(self.peak_kb, meta.peak_kb)

    def told(self) -> Service | None:
        """The figures; None where nothing was measured."""
        if not self.frames:
            return None
        return Service(
            frames=self.frames,
            p50_us=self._quantile(50),
            p95_us=self._quantile(95),
            p99_us=self._quantile(99),
            cpu_us_per_1000_rows=1000 * self.cpu_us // self.rows if self.rows else 0,
            peak_mb=-(-self.peak_kb // 1024),
        )

    def _quantile(self, percent: int) -> int:
        """The smallest bucket's upper end that at least so many of a hundred frames do not exceed."""
        wanted = -(-self.frames * percent // 100)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return upper_end(bucket)
        return 0


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
