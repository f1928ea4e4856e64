"""Header names that are no UTF-8 stop nobody from reading on."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from infra.kafka import lenient


class Cp949(str):
    """A name that is written as a Korean Windows would."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode("cp949")


def a_batch(*names: str, codec: int = 0, base: int = 0) -> bytes:
    """One batch as the broker would give it: a record for each name of a header."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for number, name in enumerate(names):
        builder.append(number, 1000 + number, b"key", f"value {name}".encode(), [(name, b"told")])
    built = bytearray(builder.build())
    built[:8] = base.to_bytes(8, "big")
    return bytes(built)


def read(kind: type, value: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    records = kind(value)
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        assert not batch.is_control_batch
        found += [(one.offset, one.value, list(one.headers)) for one in batch]
        assert batch.next_offset == found[-1][0] + 1
    return found


@pytest.mark.parametrize("codec", [0, 1, 3, 4], ids=["plain", "gzip", "lz4", "zstd"])
def test_a_name_that_is_no_text_is_made_readable_and_its_neighbours_stay_as_they_are(codec: int) -> None:
    value = a_batch("ce_id", Cp949("설비"), "끝", codec=codec) + a_batch("next", base=3)
    found = read(lenient.LenientRecords, value)
    assert [offset for offset, *_ in found] == [0, 1, 2, 3]
    assert [told for *_, told in found] == [
        [("ce_id", b"told")],
        [("\\xbc\\xb3\\xba\\xf1", b"told")],
        [("끝", b"told")],
        [("next", b"told")],
    ]
    assert found[1][1] == "value 설비".encode()


def test_what_can_be_read_is_read_as_before() -> None:
    value = a_batch("a", "b", codec=4) + a_batch("c", base=2)
    assert read(lenient.LenientRecords, value) == read(MemoryRecords, value)


def test_without_it_one_such_name_stops_the_reader() -> None:
    """Fails when the library learns to read on: then this module is no longer needed."""
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords, a_batch(Cp949("설비")))


def test_a_consumer_reads_so_once_it_is_installed() -> None:
    lenient.install()
    assert fetcher.MemoryRecords is lenient.LenientRecords
