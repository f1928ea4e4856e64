"""What is refused before it costs anything, and what is kept of it."""

from __future__ import annotations

import json
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.words.facts import told
from schemas.events import PlantPaused, RequestRefused
from schemas.parties import RejectLimit
from schemas.rejected import Rejected, Rejections
from schemas.requests import PausePlant, ReportRejections, ResumePlant
from streams.arrow_size import opened_bytes
from streams.disclosure import fact_for
from streams.envelope import ARROW, JSON, RawRecord
from streams.frames import TS, TS_TYPE, Frame, decode_frame, encode_batch
from streams.judgement import judge
from streams.label_codec import decode_label
from streams.refusals import Recent, rejected_message
from streams.topics import FRAME_BYTES, MESSAGE_BYTES, WRITTEN_BYTES
from tests.unit.test_control import after, grant
from tests.unit.twins import PAIRING, PLANT


def a_record(value: bytes, *, content: str = ARROW, key: bytes = b"pump-1") -> RawRecord:
    return RawRecord(
        topic="fp.telemetry.plant-1",
        partition=0,
        offset=7,
        timestamp_ms=0,
        key=key,
        value=value,
        headers=(("content-type", content.encode()),),
    )


def a_stream(rows: int, *, tags: int = 1, compression: str | None = None) -> bytes:
    columns = {f"x{i}": pa.array(np.zeros(rows)) for i in range(tags)}
    times = pa.array(np.zeros(rows, dtype=np.int64)).cast(TS_TYPE)
    batch = pa.RecordBatch.from_pydict({TS: times, **columns})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as out:
        out.write_batch(batch)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("tags", [0, 1, 40])
def test_what_a_stream_opens_to_is_known_before_it_is_opened(compression: str | None, tags: int) -> None:
    assert opened_bytes(a_stream(1000, tags=tags, compression=compression)) in range(
        8000 * (tags + 1), 8064 * (tags + 1)
    )


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_frame_that_would_fill_the_memory_is_refused_unopened(compression: str) -> None:
    bomb = a_stream(10_000_000, compression=compression)
    assert len(bomb) <= FRAME_BYTES
    usual = pa.default_memory_pool()
    watched = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(watched)
    try:
        found = decode_frame(a_record(bomb))
    finally:
        pa.set_memory_pool(usual)
    assert isinstance(found, Rejected)
    assert found.reason == "too_large"
    assert watched.max_memory() < FRAME_BYTES


def test_a_stream_that_declares_less_than_it_holds_cannot_be_opened() -> None:
    value = bytearray(a_stream(10_000, compression="zstd"))
    declared = value.index(struct.pack("<q", 80_000))
    value[declared : declared + 8] = struct.pack("<q", 800)
    found = decode_frame(a_record(bytes(value)))
    assert isinstance(found, Rejected)
    assert found.reason == "not_readable"


@given(st.binary(max_size=40), st.integers(0, 600), st.booleans())
def test_damage_to_a_compressed_stream_is_a_value(damage: bytes, at: int, lengthen: bool) -> None:
    value = a_stream(500, compression="zstd")
    damaged = value[:at] + damage + value[at + (0 if lengthen else len(damage)) :]
    assert isinstance(decode_frame(a_record(damaged)), Rejected | Frame)
    assert decode_label(a_record(damaged)) is not None


def test_rows_that_each_name_another_tag_are_refused_before_they_become_a_table() -> None:
    rows = [{"ts": "2026-03-02T00:00:00Z", "values": {f"t{i}": 1}} for i in range(15_000)]
    value = json.dumps(rows).encode()
    assert len(value) <= FRAME_BYTES
    found = decode_frame(a_record(value, content=JSON))
    assert isinstance(found, Rejected)
    assert found.reason == "too_large"


def test_a_second_batch_counts_as_well() -> None:
    batch = pa.RecordBatch.from_pydict({TS: pa.array([0]).cast(TS_TYPE)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as out:
        for _ in range(3):
            out.write_batch(batch)
    assert opened_bytes(bytes(sink.getvalue())) == 3 * opened_bytes(encode_batch(batch))


def test_what_is_kept_of_a_rejected_message_always_fits_into_its_topic() -> None:
    """A message that its sender compressed may be larger, once it is open, than what any topic takes."""
    record = a_record(bytes(3 * WRITTEN_BYTES), key=bytes(MESSAGE_BYTES))
    why = decode_label(record)
    assert isinstance(why, Rejected)
    assert why.reason == "too_large"
    key, value, listed = rejected_message(record, why, source="/plants/plant-1/labels")
    assert len(key) + len(value) + sum(len(name) + len(told) for name, told in listed) < WRITTEN_BYTES // 2
    assert value == record.value[:MESSAGE_BYTES] if record.value else False
    assert dict(listed)["fp_bytes"] == str(3 * WRITTEN_BYTES).encode()


BAD, WORSE = Rejected(reason="wrong_time", detail="t"), Rejected(reason="not_readable", detail="n")


@given(st.lists(st.sampled_from([None, BAD, WORSE]), max_size=60), st.integers(1, 20), st.floats(0.01, 1))
def test_too_many_is_more_than_the_share_of_the_last_and_enough_of_them(
    seen: list[Rejected | None], last: int, share: float
) -> None:
    limit = RejectLimit(share=share, last=last, at_least=3)
    recent = Recent(limit)
    for one in seen:
        recent.note(one)
    window = [one for one in seen[-last:] if one is not None]
    count, of = len(window), len(seen[-last:])
    assert recent.too_many() == (count >= 3 and count > share * of)
    if recent.too_many():
        figures = recent.told("fp.labels.plant-1")
        assert (figures.rejected, figures.of) == (count, of)
        assert window.count(BAD if figures.reason == "wrong_time" else WORSE) * 2 >= count
        assert figures.detail == {"wrong_time": "t", "not_readable": "n"}[figures.reason]


def test_a_share_of_one_never_stops_a_line() -> None:
    recent = Recent(RejectLimit(share=1, last=20, at_least=20))
    for _ in range(50):
        recent.note(BAD)
    assert not recent.too_many()


REPORT = ReportRejections(
    plant=PLANT,
    rejections=Rejections(
        topic=f"fp.telemetry.{PLANT}", rejected=21, of=100, reason="wrong_column", detail="no tag 'Pressure2'"
    ),
)


def test_a_plant_of_which_too_much_is_rejected_is_paused_with_the_figures_and_resumed_by_its_owner() -> None:
    state = after(12)
    assert not any(one.held for one in state.pairings.values())
    body = grant(state, PLANT, REPORT).body
    assert isinstance(body, PlantPaused)
    assert body.rejections == REPORT.rejections
    pairing = state.pairings[PAIRING]
    assert pairing.paused and pairing.held
    assert "21 of the last 100 messages" in told(body).en and "wrong columns" in told(body).en
    assert "최근 메시지 100건 중 21건" in told(body).ko and "열이 맞지 않음" in told(body).ko
    grant(state, "maker", ResumePlant(plant=PLANT))
    assert not state.pairings[PAIRING].paused and not state.pairings[PAIRING].held
    grant(state, "maker", PausePlant(plant=PLANT, reason="repairs"))
    assert state.pairings[PAIRING].paused and not state.pairings[PAIRING].held


def test_only_its_workers_report_and_a_plant_that_is_paused_is_not_paused_again() -> None:
    state = after(12)
    refused = judge("maker", REPORT, state, request="r-1", ends={})
    assert isinstance(refused, RequestRefused)
    assert "only the workers of plant-1" in refused.reason
    grant(state, PLANT, REPORT)
    again = judge(PLANT, REPORT, state, request="r-2", ends={})
    assert isinstance(again, RequestRefused)
    assert "is paused already" in again.reason


def test_what_was_rejected_is_told_to_the_owner_alone() -> None:
    state = after(12)
    fact = grant(state, PLANT, REPORT)
    seen = {party: item.fact.body for party, item in fact_for(fact, state)}
    assert {"maker", "startup-1", "city"} <= set(seen)
    assert PLANT not in seen
    for party, body in seen.items():
        assert isinstance(body, PlantPaused)
        assert (body.rejections is not None) == (party == "maker")
        assert told(body).ko != told(body).en


@pytest.mark.parametrize(
    ("there", "instead"), [(b"xylophone", b"xyl\xffphone"), (b"UTC", b"U\xffC")], ids=["name", "zone"]
)
def test_a_name_or_a_zone_that_is_no_text_is_a_value(there: bytes, instead: bytes) -> None:
    batch = pa.RecordBatch.from_pydict({TS: pa.array([0]).cast(TS_TYPE), "xylophone": pa.array([0.5])})
    value = encode_batch(batch)
    assert value.count(there) == 1
    damaged = value.replace(there, instead)
    for read in (decode_frame(a_record(damaged)), decode_label(a_record(damaged))):
        assert isinstance(read, Rejected)
        assert read.reason == "not_readable"
