"""What answering cost a deployment: service times, CPU time and memory, in whole numbers that add up in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from schemas.evaluation import Service
from streams.buckets import bucket_of, quantile


class Answered(Protocol):
    """What an outcome tells of the work that it took."""

    @property
    def rows(self) -> int: ...

    @property
    def cpu_us(self) -> int: ...

    @property
    def wall_us(self) -> int: ...

    @property
    def peak_kb(self) -> int: ...


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

    def count(self, meta: Answered, sign: int) -> None:
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
            p50_us=quantile(self.buckets, 50),
            p95_us=quantile(self.buckets, 95),
            p99_us=quantile(self.buckets, 99),
            cpu_us_per_1000_rows=1000 * self.cpu_us // self.rows if self.rows else 0,
            peak_mb=-(-self.peak_kb // 1024),
        )
