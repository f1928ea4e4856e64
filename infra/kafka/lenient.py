"""Reading messages whose header names are no UTF-8.

Kafka's protocol wants UTF-8 there, and its broker takes any bytes: a sender that writes names in CP949 is enough. aiokafka
raises over such a message whenever it is fetched, so that nothing behind it is ever read. Here its name is made readable,
and what the message is worth is decided where every other one is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """What was fetched of a partition, batch by batch."""

    def next_batch(self) -> Any:
        """The next batch; None where there is none."""
        value = self._next_slice
        batch = super().next_batch()
        return _Batch(batch, bytes(value)) if batch is not None and batch.magic >= 2 else batch


class _Batch:
    """A batch as aiokafka reads it; where that fails over a name, as its slower reader does without being strict."""

    def __init__(self, batch: Any, value: bytes) -> None:
        self._batch = batch
        self._value = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            slow = _DefaultRecordBatchPy(self._value)
            slow._maybe_uncompress()
            slow._buffer = _Readable(slow._buffer)
            return iter(slow)


class _Readable(bytearray):
    """Bytes whose parts are text in any case: what is no UTF-8 becomes `\\\\xff`."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Readable(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


def install() -> None:
    """Have every consumer of aiokafka in this process read so, Faust's among them."""
    fetcher.MemoryRecords = LenientRecords
