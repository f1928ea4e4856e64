"""Exports as messages: what is sent, in which order, under which ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.labels import LABEL_RECORD, IntervalLabel, Watermark
from streams.envelope import FRAME_HEADER, RawRecord
from streams.export_plan import Planned, outside, plan, plan_frames
from streams.exports import AssetRows, Export
from streams.frames import Frame, decode_frame, moment, read_arrow
from streams.topics import FRAME_BYTES

SECOND = 1_000_000


def rows(asset: str, seconds: Sequence[float], labels: Sequence[object] | None = None) -> AssetRows:
    times = np.array([round(second * SECOND) for second in seconds], dtype=np.int64)
    values = {"P": np.arange(len(times), dtype=np.float64)}
    return AssetRows(
        asset=asset, times=times, values=values, labels=None if labels is None else pa.array(labels)
    )


def export(*assets: AssetRows, digest: str = "d") -> Export:
    return Export(file="x.csv", digest=digest, assets=assets, notes=())


def interval(start: int, end: int, asset: str = "a") -> IntervalLabel:
    return IntervalLabel(
        id=f"{asset}-{start}",
        asset=asset,
        start=moment(start * SECOND),
        end=moment(end * SECOND),
        value="anomaly",
    )


def decoded(message: Planned) -> Frame:
    frame = decode_frame(
        RawRecord(
            topic=message.topic("p"), partition=0, offset=0, timestamp_ms=0, key=message.asset.encode(),
            value=message.value, headers=tuple(message.headers("p")),
        ),
        tags=["P"],
    )  # fmt: skip
    assert isinstance(frame, Frame), frame
    return frame


def header(message: Planned, name: str) -> str:
    return dict(message.headers("p"))[name].decode()


def kinds(messages: Sequence[Planned]) -> list[str]:
    return [message.kind for message in messages]


def test_every_row_is_in_one_frame_and_in_its_order() -> None:
    messages = [m for m in plan([export(rows("a", [5, 3, 4, 4, 9]))], rows_per_frame=2) if m.kind == "frame"]
    frames = [decoded(message) for message in messages]
    assert [frame.rows for frame in frames] == [2, 2, 1]
    assert [second for frame in frames for second in frame.times() // SECOND] == [5, 3, 4, 4, 9]
    assert [frame.ident for frame in frames] == [message.ident for message in messages]


def test_the_same_file_gives_the_same_ids_and_another_file_others() -> None:
    def ids(digest: str, *wanted: str) -> list[str]:
        sent = export(rows("a", range(10), [1] * 10), digest=digest)
        return [message.ident for message in plan([sent], [interval(1, 2)]) if message.kind in wanted]

    every = ("frame", "label_frame", "label", "watermark")
    assert ids("d", *every) == ids("d", *every)
    assert len(set(ids("d", *every))) == len(ids("d", *every)) == 4
    assert not set(ids("d", "frame", "label_frame")) & set(ids("e", "frame", "label_frame"))


def test_a_frame_that_would_be_too_large_is_split() -> None:
    n = 20_000
    noise = np.random.default_rng(0)
    wide = AssetRows(
        asset="a",
        times=np.arange(n, dtype=np.int64),
        values={f"t{i}": noise.normal(size=n) for i in range(20)},
    )
    frames = list(plan_frames(wide, digest="d", rows_per_frame=n))
    assert len(frames) > 1
    assert all(len(frame.value) <= FRAME_BYTES for frame in frames)
    assert sum(frame.rows for frame in frames) == n


def test_labels_that_would_be_too_large_split_their_frame() -> None:
    long = rows("a", range(100), ["x" * 50_000] * 100)
    frames = list(plan_frames(long, digest="d", rows_per_frame=100))
    assert all(len(frame.labels or b"") <= FRAME_BYTES for frame in frames)
    assert sum(frame.rows for frame in frames) == 100


def test_machines_are_sent_in_the_order_of_their_times() -> None:
    messages = plan(
        [export(rows("a", [0, 10, 20]), rows("b", [5, 15, 25]))], rows_per_frame=1, watermarks=False
    )
    assert [(message.asset, message.at_us // SECOND) for message in messages] == [
        ("a", 0), ("b", 5), ("a", 10), ("b", 15), ("a", 20), ("b", 25),
    ]  # fmt: skip


def test_label_frames_name_their_frame_and_carry_null_where_there_is_no_label() -> None:
    frame, labels = plan([export(rows("a", [1, 2, 3], [0, None, 1]))], watermarks=False)
    assert header(labels, FRAME_HEADER) == frame.ident == header(frame, "ce_id")
    assert (frame.topic("p"), labels.topic("p")) == ("fp.telemetry.p", "fp.labels.p")
    batch = read_arrow(labels.value)
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema.types == [pa.timestamp("us", tz="UTC"), pa.int64()]
    assert batch.column("value").to_pylist() == [0, None, 1]
    np.testing.assert_array_equal(decoded(frame).times(), batch.column("ts").cast(pa.int64()).to_numpy())


def test_each_frame_carries_the_labels_of_its_own_rows() -> None:
    messages = list(
        plan([export(rows("a", range(4), ["p", "q", "r", "s"]))], rows_per_frame=2, watermarks=False)
    )
    batches = [read_arrow(message.value) for message in messages if message.kind == "label_frame"]
    assert [b.column("value").to_pylist() for b in batches if isinstance(b, pa.RecordBatch)] == [
        ["p", "q"],
        ["r", "s"],
    ]


def test_a_frame_without_any_label_has_no_label_frame() -> None:
    messages = list(
        plan([export(rows("a", range(4), [None, None, 1, None]))], rows_per_frame=2, watermarks=False)
    )
    assert kinds(messages) == ["frame", "frame", "label_frame"]


def test_a_label_is_sent_when_the_replay_has_reached_its_time_and_the_delay() -> None:
    def at(delay_s: int) -> int:
        messages = plan(
            [export(rows("a", range(10)))],
            [interval(1, 3)],
            rows_per_frame=1,
            label_delay_us=delay_s * SECOND,
        )
        return kinds(list(messages)).index("label")

    # After the frame of second 3, which is the fourth; after that of second 7; after the last.
    assert (at(0), at(4), at(1000)) == (4, 8, 10)


def test_label_frames_wait_for_their_delay_too() -> None:
    messages = plan(
        [export(rows("a", range(4), [1] * 4))], rows_per_frame=1, label_delay_us=2 * SECOND, watermarks=False
    )
    assert kinds(list(messages)) == [
        "frame",
        "frame",
        "frame",
        "label_frame",
        "frame",
        "label_frame",
        "label_frame",
        "label_frame",
    ]


def test_the_watermark_follows_everything_and_ends_after_the_last_row() -> None:
    messages = list(plan([export(rows("a", [5, 9, 7]), rows("b", [1]))], [interval(1, 100)]))
    assert kinds(messages)[-3:] == ["label", "watermark", "watermark"]
    marks = [LABEL_RECORD.validate_json(message.value) for message in messages[-2:]]
    assert marks == [
        Watermark(asset="a", until=moment(9 * SECOND + 1)),
        Watermark(asset="b", until=moment(1 * SECOND + 1)),
    ]


def test_a_machine_in_two_files_is_sent_file_by_file_with_one_watermark() -> None:
    first, second = export(rows("a", [10, 11]), digest="d"), export(rows("a", [1, 2]), digest="e")
    messages = list(plan([first, second]))
    assert [second for m in messages if m.kind == "frame" for second in decoded(m).times() // SECOND] == [
        10,
        11,
        1,
        2,
    ]
    assert kinds(messages).count("watermark") == 1


def test_a_corrected_label_is_another_message() -> None:
    def ident(end: int) -> str:
        return next(m.ident for m in plan([export(rows("a", [0]))], [interval(1, end)]) if m.kind == "label")

    assert ident(3) != ident(4)


def test_labels_of_no_row_are_counted() -> None:
    sent = [export(rows("a", range(10)))]
    labels = [interval(1, 3), interval(-5, -1), interval(20, 30), interval(1, 3, asset="b")]
    assert outside(sent, labels) == 3


@settings(deadline=None)
@given(
    seconds=st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(0, 50), min_size=1, max_size=12), min_size=1
    ),
    spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=5),
    delay=st.integers(0, 60),
    size=st.integers(1, 5),
)
def test_a_plan_never_goes_back_in_time_and_sends_everything_once(
    seconds: dict[str, list[int]], spans: list[tuple[int, int]], delay: int, size: int
) -> None:
    sent = [export(*(rows(asset, times, times) for asset, times in seconds.items()))]
    labels = [interval(start, start + length) for start, length in spans]
    messages = list(plan(sent, labels, rows_per_frame=size, label_delay_us=delay * SECOND))
    assert [m.at_us for m in messages] == sorted(m.at_us for m in messages)
    assert sum(m.rows for m in messages) == sum(map(len, seconds.values()))
    assert kinds(messages).count("label") == len(labels)
    assert kinds(messages).count("label_frame") == kinds(messages).count("frame")
    assert kinds(messages).count("watermark") == len(seconds)
    for asset, times in seconds.items():
        own = [
            second
            for m in messages
            if m.kind == "frame" and m.asset == asset
            for second in decoded(m).times() // SECOND
        ]
        assert own == times


@pytest.mark.parametrize("kind", ["frame", "label_frame", "label", "watermark"])
def test_every_message_says_what_it_is(kind: str) -> None:
    messages = plan([export(rows("a", [1], [1]))], [interval(0, 1)])
    message = next(each for each in messages if each.kind == kind)
    wanted = {"frame": "fieldproof.telemetry.frame", "label_frame": "fieldproof.label.frame"}
    assert header(message, "ce_type") == wanted.get(kind, "fieldproof.label")
    assert header(message, "ce_source") == "/plants/p"
    arrow = "application/vnd.apache.arrow.stream"
    assert header(message, "content-type") == (arrow if kind.endswith("frame") else "application/json")
