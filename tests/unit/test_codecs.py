"""What comes in as bytes: read in full, or refused with a reason, and never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import IntervalLabel, PointLabel, Watermark, Withdrawal
from schemas.ledger import Closed, Label, LabelFrame, Source
from schemas.rejected import Rejected
from streams import envelope, topics
from streams.envelope import ARROW, FRAME_HEADER, JSON, RawRecord
from streams.frames import (
    MAX_ROWS,
    OPEN_BYTES,
    Frame,
    decode_frame,
    encode_batch,
    encode_frame,
    micros,
    moment,
    read_arrow,
    select,
)
from streams.label_codec import Points, codes, decode_label, for_pairing
from streams.ledger_codec import Entry, LabelRows, OutcomeRows, decode, encode
from streams.refusals import rejected_message
from streams.topics import FRAME_BYTES
from tests.unit import ledger_examples as examples
from tests.unit.twins import PAIRING, a_pairing, an_agreement

TIMES = st.integers(-(2**50), 2**50)
VALUES = st.floats(allow_infinity=False)
ROWS = st.lists(st.tuples(TIMES, VALUES, VALUES), min_size=1, max_size=20)
UTC_US = pa.timestamp("us", tz="UTC")


def record(
    value: bytes | None,
    *,
    key: bytes | None = b"pump-1",
    content: str | None = ARROW,
    ident: str | None = "f1",
    kind: str | None = None,
    frame: str | None = None,
) -> RawRecord:
    named = {"content-type": content, "ce_id": ident, "ce_type": kind, FRAME_HEADER: frame}
    listed = tuple((name, text.encode()) for name, text in named.items() if text is not None)
    return RawRecord(
        topic="fp.telemetry.plant-1",
        partition=2,
        offset=7,
        timestamp_ms=5,
        key=key,
        value=value,
        headers=listed,
    )


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"ts": pa.array([0, 1], pa.int64()).cast(UTC_US), **columns})


def refused(found: object) -> str:
    assert isinstance(found, Rejected), found
    assert found.detail
    return found.reason


# --- frames ---------------------------------------------------------------------------------------------------------


@given(ROWS)
def test_a_frame_comes_back_as_it_was_sent(rows: list[tuple[int, float, float]]) -> None:
    times, first, second = (np.array(column) for column in zip(*rows, strict=True))
    value = encode_frame(times, {"a": first, "b": second})
    found = decode_frame(record(value), tags=["a", "b"])
    assert isinstance(found, Frame)
    assert (found.asset, found.ident, found.rows, found.raw) == ("pump-1", "f1", len(rows), value)
    assert found.times().tolist() == times.tolist()
    chosen = select(found, ["a", "b"])
    assert not isinstance(chosen, Rejected)
    assert chosen.payload == value
    np.testing.assert_array_equal(chosen.batch.column(1).to_numpy(zero_copy_only=False), first)
    other = select(found, ["b"])
    assert not isinstance(other, Rejected)
    assert other.batch.schema.names == ["ts", "b"]
    np.testing.assert_array_equal(other.batch.column(1).to_numpy(zero_copy_only=False), second)


@given(st.binary(max_size=300), st.sampled_from([ARROW, JSON, None, "text/plain"]), st.binary(max_size=4))
def test_no_bytes_make_a_reader_raise(value: bytes, content: str | None, key: bytes) -> None:
    one = record(value, key=key, content=content)
    for found in (decode_frame(one), decode_label(one)):
        if isinstance(found, Rejected):
            rejected_message(one, found, source="/test")
    for kind in (envelope.LEDGER_OUTCOME, envelope.LEDGER_LABELS, envelope.LEDGER_ENTRY, None):
        decode(record(value, kind=kind))


VALID = [
    encode_frame(np.arange(3), {"a": np.arange(3.0)}),
    encode(examples.outcome(0, answers=[1, 0]), source="/test", ident="x")[1],
    encode(examples.label_frame(0, [1, 2], [1, 0]), source="/test", ident="x")[1],
    encode_batch(batch(value=["normal", None])),
]


@given(st.sampled_from(VALID), st.data())
def test_no_bytes_that_were_once_a_frame_make_a_reader_raise(value: bytes, data: st.DataObject) -> None:
    broken = bytearray(value[: data.draw(st.integers(0, len(value)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    found = decode_frame(record(bytes(broken)))
    if isinstance(found, Frame):
        select(found, ["a"])
        found.times()
    told = decode_label(record(bytes(broken)))
    if not isinstance(told, Rejected):
        for_pairing(told, a_pairing(), Source(partition=0, offset=0, appended_ms=0))
    for kind in (envelope.LEDGER_OUTCOME, envelope.LEDGER_LABELS):
        decode(record(bytes(broken), kind=kind))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LIKE_ROWS = st.dictionaries(st.sampled_from(["ts", "values", "asset"]), ANYTHING, max_size=3)
LIKE_LABELS = st.dictionaries(
    st.sampled_from(["kind", "id", "asset", "ts", "start", "end", "value", "until"]),
    ANYTHING | st.sampled_from(["point", "interval", "pump-1", "2026-03-02T09:00:00Z"]),
    max_size=8,
)


@given(LIKE_ROWS | st.lists(LIKE_ROWS, max_size=2), LIKE_LABELS)
def test_no_json_makes_a_reader_raise(rows: Any, label: Any) -> None:
    for value, reader in ((rows, decode_frame), (label, decode_label)):
        one = record(json.dumps(value).encode(), content=JSON)
        found = reader(one)
        if isinstance(found, Rejected):
            rejected_message(one, found, source="/test")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_readable"),
        (b"", "not_readable"),
        (b"\xff\xff\xff\xff", "not_readable"),
        (encode_batch(batch()) + encode_batch(batch()), None),
        (encode_batch(batch(a=["x", "y"]).slice(0, 0)), "no_rows"),
        (encode_batch(pa.RecordBatch.from_pydict({"a": [1.0]})), "wrong_column"),
        (encode_batch(pa.RecordBatch.from_pydict({"ts": [1.0]})), "wrong_type"),
        (encode_batch(pa.RecordBatch.from_pydict({"ts": pa.array([0], pa.timestamp("us"))})), "wrong_type"),
        (encode_batch(pa.RecordBatch.from_pydict({"ts": pa.array([None], UTC_US)})), "wrong_time"),
        (encode_batch(batch(b=[1.0, 2.0])), "wrong_column"),
        (encode_batch(batch(a=[[1.0], [2.0]])), "wrong_type"),
        (encode_batch(batch(a=pa.array(["x", "y"]).dictionary_encode())), "wrong_type"),
        (
            encode_batch(
                pa.RecordBatch.from_arrays(
                    [pa.array([0], UTC_US), pa.array([1.0]), pa.array([1.0])], names=["ts", "a", "a"]
                )
            ),
            "wrong_column",
        ),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(value: bytes | None, reason: str | None) -> None:
    found = decode_frame(record(value), tags=["a"])
    if reason is None:
        # A second stream behind the first is not part of it.
        assert isinstance(found, Frame)
    else:
        assert refused(found) == reason


def test_texts_that_are_no_utf_8_are_noticed_before_anyone_reads_them() -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    broken = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"\xff\xfe"))
    value = encode_batch(batch(value=broken))
    assert refused(decode_frame(record(value))) == "not_readable"
    assert refused(decode_label(record(value))) == "not_readable"


def test_a_frame_has_one_batch() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch(a=[1.0, 2.0]).schema) as writer:
        writer.write_batch(batch(a=[1.0, 2.0]))
        writer.write_batch(batch(a=[3.0, 4.0]))
    assert refused(decode_frame(record(bytes(sink.getvalue())))) == "not_readable"


def test_a_frame_may_be_so_large_and_no_larger() -> None:
    assert refused(decode_frame(record(b" " * (FRAME_BYTES + 1), content=JSON))) == "too_large"
    assert refused(decode_frame(record(compressed(rows=MAX_ROWS + 1, tags=0)))) == "too_large"
    # A byte a value, and eight as the numbers that candidates get.
    columns = OPEN_BYTES // (8 * MAX_ROWS)
    assert isinstance(decode_frame(record(compressed(rows=MAX_ROWS, tags=columns - 1))), Frame)
    assert refused(decode_frame(record(compressed(rows=MAX_ROWS, tags=columns)))) == "too_large"


def compressed(*, rows: int, tags: int) -> bytes:
    """A frame of small numbers in few bytes."""
    columns: dict[str, Any] = {"ts": pa.array(np.arange(rows)).cast(UTC_US)}
    columns |= {f"t{number}": pa.array(np.zeros(rows, dtype=np.int8)) for number in range(tags)}
    wide = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, wide.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(wide)
    return bytes(sink.getvalue())


def test_the_key_is_the_machine() -> None:
    value = encode_frame(np.arange(1), {"a": np.zeros(1)})
    assert refused(decode_frame(record(value, key=None))) == "not_readable"
    assert refused(decode_frame(record(value, key=b"\xff"))) == "not_readable"
    found = decode_frame(record(value, key="펌프-1".encode()))
    assert isinstance(found, Frame)
    assert found.asset == "펌프-1"


def test_a_frame_without_an_id_is_called_by_its_place() -> None:
    value = encode_frame(np.arange(1), {"a": np.zeros(1)})
    for ident in (None, "", "x" * 201):
        found = decode_frame(record(value, ident=ident))
        assert isinstance(found, Frame)
        assert found.ident == "2-7"


def test_json_rows_become_a_frame_with_a_column_for_every_tag() -> None:
    rows = [
        {"ts": "2026-03-02T09:00:00+09:00", "values": {"a": 1, "b": None}},
        {"ts": "2026-03-02T00:00:01.000002Z", "values": {"c": -2.5}},
    ]
    found = decode_frame(record(json.dumps(rows).encode(), content=JSON), tags=["a", "b", "c"])
    assert isinstance(found, Frame)
    assert found.raw is None
    columns = found.batch.to_pydict()
    assert (columns["a"], columns["b"], columns["c"]) == ([1.0, None], [None, None], [None, -2.5])
    first, second = found.times().tolist()
    assert moment(first) == datetime(2026, 3, 2, tzinfo=UTC)
    assert second - first == 1_000_002
    one = decode_frame(record(json.dumps(rows[0]).encode(), content=None))
    assert isinstance(one, Frame)


@pytest.mark.parametrize(
    "text",
    [
        '{"ts": "2026-03-02T09:00:00", "values": {"a": 1}}',
        '{"ts": "0001-01-01T00:00:00+09:00", "values": {"a": 1}}',
        '{"ts": "2026-03-02T09:00:00Z", "values": {"a": NaN}}',
        '{"ts": "2026-03-02T09:00:00Z", "values": {"a": 1' + "0" * 400 + "}}",
        '{"ts": "2026-03-02T09:00:00Z", "values": {"a": "1,5"}}',
        '{"ts": "2026-03-02T09:00:00Z", "values": {}}',
        '{"ts": "2026-03-02T09:00:00Z", "value": {"a": 1}}',
        '{"ts": "2026-03-02T09:00:00Z", "values": {"\\ud800": 1}}',
        "[" * 100_000,
        "[]",
    ],
)
def test_json_rows_that_are_none_are_refused_with_a_reason(text: str) -> None:
    one = record(text.encode(), content=JSON)
    found = decode_frame(one)
    assert refused(found) in ("not_readable", "no_rows")
    assert isinstance(found, Rejected)
    rejected_message(one, found, source="/test")


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pa.array([1, None], pa.int8()), [1.0, None]),
        (pa.array([True, False]), [1.0, 0.0]),
        (pa.array([2**60 + 1, 2], pa.int64()), [float(2**60), 2.0]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [float(2**64), 0.0]),
        (pa.array([np.float16(0.5), np.float16(1)], pa.float16()), [0.5, 1.0]),
        (pa.array([0.5, 1.0], pa.float32()), [0.5, 1.0]),
    ],
)
def test_every_kind_of_number_reaches_a_candidate_as_float(column: Any, wanted: list[float]) -> None:
    found = decode_frame(record(encode_batch(batch(a=column))))
    assert isinstance(found, Frame)
    chosen = select(found, ["a"])
    assert not isinstance(chosen, Rejected)
    assert chosen.batch.to_pydict()["a"] == wanted
    again = read_arrow(chosen.payload)
    assert isinstance(again, pa.RecordBatch)
    assert again.equals(chosen.batch)


def test_an_input_that_is_no_number_or_not_there_is_refused_with_its_rows() -> None:
    found = decode_frame(record(encode_batch(batch(a=["x", "y"]))))
    assert isinstance(found, Frame)
    for inputs, reason in ((["a"], "wrong_type"), (["b"], "wrong_column")):
        problem = select(found, inputs)
        assert refused(problem) == reason
        assert isinstance(problem, Rejected)
        assert problem.rows == 2


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_are_whole_microseconds_there_and_back(when: datetime) -> None:
    assert moment(micros(when)) == when
    assert micros(when + timedelta(microseconds=1)) == micros(when) + 1 if when.year < 9999 else True


# --- labels ---------------------------------------------------------------------------------------------------------

SOURCE = Source(partition=0, offset=3, appended_ms=9)


def label(**fields: Any) -> RawRecord:
    return record(json.dumps({"asset": "pump-1", "id": "l", **fields}).encode(), content=JSON)


def test_labels_become_entries_with_codes_and_whole_microseconds() -> None:
    ts = "2026-03-02T09:00:00+09:00"
    at = micros(datetime(2026, 3, 2, tzinfo=UTC))
    point = decode_label(label(kind="point", ts=ts, value="anomaly"))
    assert isinstance(point, PointLabel)
    entry = for_pairing(point, a_pairing(), SOURCE)
    assert entry == Label(
        pairing=PAIRING, asset="pump-1", id="l", start_us=at, end_us=at + 1, code=1.0, source=SOURCE
    )
    interval = decode_label(label(kind="interval", start=ts, end="2026-03-02T09:00:01+09:00", value=False))
    assert isinstance(interval, IntervalLabel)
    entry = for_pairing(interval, a_pairing(), SOURCE)
    assert isinstance(entry, Label)
    assert (entry.start_us, entry.end_us, entry.code) == (at, at + 1_000_000, 0.0)
    withdrawal = decode_label(label(kind="withdrawal"))
    assert isinstance(withdrawal, Withdrawal)
    entry = for_pairing(withdrawal, a_pairing(), SOURCE)
    assert isinstance(entry, Label)
    assert entry.code is None
    mark = decode_label(record(b'{"kind":"watermark","asset":"pump-1","until":"2026-03-02T00:00:00Z"}'))
    assert refused(mark) == "not_readable"
    mark = decode_label(
        record(b'{"kind":"watermark","asset":"pump-1","until":"2026-03-02T00:00:00Z"}', content=JSON)
    )
    assert isinstance(mark, Watermark)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "point", "ts": "2026-03-02T09:00:00", "value": 1}, "not_readable"),
        ({"kind": "point", "ts": "2026-03-02T09:00:00Z"}, "not_readable"),
        ({"kind": "point", "ts": "2026-03-02T09:00:00Z", "value": None}, "not_readable"),
        ({"kind": "span", "ts": "2026-03-02T09:00:00Z", "value": 1}, "not_readable"),
        (
            {
                "kind": "interval",
                "start": "2026-03-02T09:00:00Z",
                "end": "2026-03-02T09:00:00Z",
                "value": 1,
            },
            "not_readable",
        ),
        (
            {"kind": "point", "ts": "2026-03-02T09:00:00Z", "value": 1, "asset": "pump-2"},
            "unknown_asset",
        ),
    ],
)
def test_what_is_wrong_with_a_label_is_said(fields: dict[str, Any], reason: str) -> None:
    assert refused(decode_label(label(**fields))) == reason


def test_labels_of_other_machines_and_of_earlier_trials_are_not_a_pairings_own() -> None:
    point = decode_label(label(kind="point", ts="2026-03-02T09:00:00Z", value="anomaly"))
    assert not isinstance(point, Rejected)
    pairing = a_pairing(labels_from=4)
    assert for_pairing(point, pairing, SOURCE) is None
    assert for_pairing(point, pairing, SOURCE.model_copy(update={"offset": 4})) is not None
    elsewhere = a_pairing(agreed=an_agreement().model_copy(update={"assets": ("pump-2",)}))
    assert for_pairing(point, elsewhere, SOURCE) is None


def test_a_label_frame_has_a_code_for_every_row_and_names_its_frame() -> None:
    value = encode_batch(batch(value=["anomaly", None]))
    points = decode_label(record(value, frame="f9"))
    assert isinstance(points, Points)
    entry = for_pairing(points, a_pairing(), SOURCE)
    assert isinstance(entry, LabelRows)
    assert (entry.meta.frame, entry.meta.id) == ("f9", "f1")
    np.testing.assert_array_equal(entry.codes, [1.0, np.nan])
    assert entry.times_us.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (encode_batch(batch(value=["anomaly", "broken"])), "wrong_value"),
        (encode_batch(batch(value=[1.0, float("nan")])), "wrong_value"),
        (encode_batch(batch(value=pa.array([0, 1], UTC_US))), "wrong_type"),
        (encode_batch(batch(values=["anomaly", "normal"])), "wrong_column"),
        (encode_batch(batch(value=["anomaly", "normal"]).slice(0, 0)), "wrong_time"),
        (b"no stream", "not_readable"),
    ],
)
def test_what_is_wrong_with_a_label_frame_is_said(value: bytes, reason: str) -> None:
    found: object = decode_label(record(value))
    if isinstance(found, Points):
        found = for_pairing(found, a_pairing(), SOURCE)
    assert refused(found) == reason


def test_codes_follow_the_order_of_the_classes() -> None:
    agreed = an_agreement()
    found = codes(["normal", "anomaly", None, True, 0, 1.0], agreed)
    np.testing.assert_array_equal(found, [0, 1, np.nan, 1, 0, 1])
    with pytest.raises(ValueError, match="none of the classes"):
        codes(["normal", 2], agreed)


# --- the ledger -----------------------------------------------------------------------------------------------------

ENTRIES: list[Entry] = [
    examples.started(an_agreement()),
    examples.ended(5),
    examples.covered(1, 2),
    examples.label(0, 1, 2, None),
    examples.label(0, -5, 2, 1.0),
    examples.watermark(1, 5),
    examples.tick(9),
    Closed(pairing=PAIRING),
]


def there_and_back(entry: Entry) -> object:
    key, value, listed = encode(entry, source="/test", ident="x")
    assert key == PAIRING.encode()
    one = RawRecord(
        topic="l", partition=0, offset=0, timestamp_ms=0, key=key, value=value, headers=tuple(listed)
    )
    return decode(one)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_entries_come_back_as_they_were_written(entry: Entry) -> None:
    assert there_and_back(entry) == entry


@given(
    st.lists(st.integers(-(2**62), 2**62), max_size=8),
    st.integers(0, 3),
    st.sampled_from(["answered", "failed"]),
    st.booleans(),
    st.data(),
)
def test_outcomes_come_back_with_their_rows(
    times: list[int], subjects: int, result: str, scored: bool, data: st.DataObject
) -> None:
    answers = data.draw(
        st.lists(
            st.lists(st.floats(), min_size=len(times), max_size=len(times)),
            min_size=subjects,
            max_size=subjects,
        )
    )
    meta = examples.outcome(3, answers=[0.0] * len(times), result=result).meta
    entry = OutcomeRows(
        meta=meta,
        times_us=np.array(times, dtype=np.int64),
        answers=np.array(answers, dtype=np.float64).reshape(subjects, len(times)),
        scores=np.array(answers, dtype=np.float64)[::-1].reshape(subjects, len(times)) if scored else None,
        codes=np.full((2, len(times)), -1, dtype=np.int8) if scored else None,
    )
    found = there_and_back(entry)
    assert isinstance(found, OutcomeRows)
    assert found.meta == meta
    np.testing.assert_array_equal(found.times_us, entry.times_us)
    np.testing.assert_array_equal(found.answers, entry.answers)
    assert found.answers.shape == entry.answers.shape
    assert (found.scores is None) == (entry.scores is None or not subjects)
    if found.scores is not None:
        np.testing.assert_array_equal(found.scores, entry.scores)
    assert (found.codes is None) == (entry.codes is None)
    if found.codes is not None:
        assert found.codes.dtype == np.int8 and found.codes.shape == (2, len(times))
    assert found.times_us.dtype == np.int64


def test_label_frames_come_back_with_their_rows() -> None:
    entry = examples.label_frame(2, [3, 1], [1.0, float("nan")], frame="f0")
    found = there_and_back(entry)
    assert isinstance(found, LabelRows)
    assert found.meta == entry.meta
    np.testing.assert_array_equal(found.codes, entry.codes)
    np.testing.assert_array_equal(found.times_us, entry.times_us)


def test_columns_that_a_later_version_may_add_are_left_alone() -> None:
    meta = examples.outcome(0, answers=[1]).meta.to_json()
    columns = {"ts_us": [7], "other_0": [3.0], "answer_0": [1.0], "score_1": [9.0]}
    rows = pa.RecordBatch.from_pydict(columns).replace_schema_metadata({b"fieldproof": meta})
    key = examples.PAIRING.encode()
    found = decode(record(encode_batch(rows), key=key, kind=envelope.LEDGER_OUTCOME))
    assert isinstance(found, OutcomeRows)
    assert (found.answers.tolist(), found.scores) == ([[1.0]], None)


@pytest.mark.parametrize(
    "columns",
    [
        {"ts_us": [1.5], "answer_0": [1.0]},
        {"ts_us": [None], "answer_0": [1.0]},
        {"ts_us": [1], "answer_0": [None]},
        {"ts_us": [1], "answer_0": ["x"]},
        {"ts_us": [[1]], "answer_0": [1.0]},
    ],
)
def test_rows_of_an_entry_are_numbers_without_holes(columns: dict[str, Any]) -> None:
    meta = examples.outcome(0, answers=[1]).meta.to_json()
    rows = pa.RecordBatch.from_pydict(columns).replace_schema_metadata({b"fieldproof": meta})
    assert refused(decode(record(encode_batch(rows), kind=envelope.LEDGER_OUTCOME))) == "not_readable"


def test_an_entry_of_an_unknown_kind_is_refused() -> None:
    assert refused(decode(record(b"{}", kind="something"))) == "unknown_kind"
    assert refused(decode(record(b"{}", kind=None))) == "unknown_kind"
    assert refused(decode(record(b'{"kind":"x"}', kind=envelope.LEDGER_ENTRY))) == "not_readable"
    meta = LabelFrame(pairing=PAIRING, asset="a", id="i", source=SOURCE).to_json()
    bare = pa.RecordBatch.from_pydict({"ts_us": [1]}).replace_schema_metadata({b"fieldproof": meta})
    assert refused(decode(record(encode_batch(bare), kind=envelope.LEDGER_LABELS))) == "not_readable"


# --- the envelope, what is refused, topics -----------------------------------------------------------------------------


def test_headers_are_those_of_cloud_events() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    listed = dict(envelope.headers("k", source="/s", ident="i", at=at))
    assert listed["ce_specversion"] == b"1.0"
    assert (listed["ce_type"], listed["ce_source"], listed["ce_id"]) == (b"k", b"/s", b"i")
    assert (listed["ce_time"], listed["content-type"]) == (b"2026-03-02T09:00:00Z", b"application/json")
    assert "ce_time" not in dict(envelope.headers("k", source="/s", ident="i"))


def test_headers_are_read_in_whatever_form_a_library_gives_them() -> None:
    wanted = (("a", b"1"), ("b", b""))
    assert envelope.pairs([("a", b"1"), ("b", None)]) == wanted
    assert envelope.pairs([(b"a", b"1"), (b"b", b"")]) == wanted
    assert envelope.pairs({"a": b"1", "b": b""}) == wanted
    assert envelope.pairs(None) == ()


def test_of_two_headers_of_one_name_the_last_holds_and_bytes_that_are_no_text_are_none() -> None:
    one = RawRecord(
        topic="t",
        partition=0,
        offset=0,
        timestamp_ms=0,
        key=None,
        value=None,
        headers=(("a", b"1"), ("a", b"2"), ("b", b"\xff")),
    )
    assert (one.header("a"), one.header("b"), one.header("c")) == ("2", None, None)


def test_what_is_refused_keeps_its_bytes_and_says_where_it_stood() -> None:
    why = Rejected(reason="wrong_type", detail="값 " * 2000)
    key, value, listed = rejected_message(record(b"\x00\xff"), why, source="/plants/plant-1/x")
    assert key == b"fp.telemetry.plant-1:2:7"
    assert value == b"\x00\xff"
    named = dict(listed)
    assert (named["fp_topic"], named["fp_partition"], named["fp_offset"]) == (
        b"fp.telemetry.plant-1",
        b"2",
        b"7",
    )
    assert named["fp_reason"] == b"wrong_type"
    assert len(named["fp_detail"].decode()) == 2000
    assert rejected_message(record(None), why, source="/x")[1] == b""


def test_topics_of_a_plant_are_declared_once_with_the_brokers_clock_where_deadlines_are_read() -> None:
    specs = {spec.name: spec for spec in topics.of_plant("plant-1", 3)}
    assert len(specs) == len(topics.of_plant("plant-1", 3))
    for name in (topics.telemetry("plant-1"), topics.labels("plant-1"), topics.ledger("plant-1")):
        assert specs[name].config["message.timestamp.type"] == "LogAppendTime"
    for name in (topics.telemetry("plant-1"), topics.labels("plant-1")):
        assert specs[name].partitions == 3
    assert specs[topics.pairings("plant-1")].config["cleanup.policy"] == "compact"
    assert specs[topics.ledger("plant-1")].config["retention.ms"] == "-1"
    # What a worker makes of the largest message has to fit.
    assert topics.WRITTEN_BYTES >= topics.MESSAGE_BYTES + 64 * 1024
    assert topics.WRITTEN_BYTES >= MAX_ROWS * 8 * 11 + 64 * 1024
