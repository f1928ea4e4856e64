"""Rows of one source partition into frames; what may be committed; what is framed already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bridge.framed import SOURCE_HEADER, Mark, Ranges, Source, mark_of, within
from infra.bridge.lane import Cut, Lane, most_rows
from infra.bridge.reading import Rows
from streams.envelope import RawRecord
from streams.topics import FRAME_BYTES

ASSETS = ("a", "b")
SOURCE = Source(topic="rows", ident="id-1")


def lane(*, position: int = 0, rows: int = 3, framed: Ranges | None = None, since: int = 0) -> Lane:
    return Lane(0, position, assets=ASSETS, rows=rows, age_s=1.0, framed=framed or {}, since={0: since})


def add(into: Lane, assets: str, *, at: float = 0.0) -> list[Cut]:
    """One message an asset's letter, from the lane's position on; a dot is a message without a good row."""
    places = [place for place, asset in enumerate(assets) if asset != "."]
    numbers = np.array([into.position + place for place in places], dtype=np.int64)
    codes = np.array([ASSETS.index(assets[place]) for place in places], dtype=np.int64)
    good = Rows(places=np.array(places, dtype=np.int64), assets=codes, times=numbers * 10, values=numbers[None, :] * 1.0)  # fmt: skip
    found = list(into.add(good, numbers, at))
    into.position += len(assets)
    return found


def shown(cuts: Iterable[Cut]) -> list[tuple[str, list[int]]]:
    for cut in (cuts := list(cuts)):
        assert cut.times.tolist() == [10 * one for one in cut.offsets] and cut.values[0].tolist() == cut.offsets.tolist()  # fmt: skip
    return [(cut.asset, cut.offsets.tolist()) for cut in cuts]


def test_frames_of_an_asset_are_cut_by_size_in_the_order_of_the_source() -> None:
    one = lane()
    assert shown(add(one, "abab")) == []
    assert shown(add(one, "aaaaab")) == [("a", [0, 2, 4]), ("a", [5, 6, 7]), ("b", [1, 3, 9])]
    assert shown(one.rest()) == [("a", [8])]


def test_a_frame_waits_no_longer_than_its_first_row_may() -> None:
    one = lane()
    add(one, "a", at=0.0)
    add(one, "ab", at=0.9)
    assert shown(one.due(0.99)) == []
    assert shown(one.due(1.0)) == [("a", [0, 1])]
    assert shown(one.due(2.0)) == [("b", [2])]


def test_what_is_left_of_a_full_frame_waits_from_when_it_came() -> None:
    one = lane()
    add(one, "aa", at=0.0)
    add(one, "aa", at=0.9)
    assert shown(one.due(1.5)) == []
    assert shown(one.due(2.0)) == [("a", [3])]


def test_nothing_is_committed_that_is_held_or_on_its_way() -> None:
    one = lane()
    assert one.safe()[0] == 0
    cuts = add(one, "b.aaa")
    assert one.safe()[0] == 0
    assert shown(one.due(1.0)) == [("b", [0])]
    numbers = [one.sent(0), one.sent(cuts[0].first), one.sent(1)]
    one.acknowledged(numbers[1])
    assert one.safe()[0] == 0
    one.acknowledged(numbers[0])
    assert one.safe()[0] == 1
    one.acknowledged(numbers[2])
    assert one.safe()[0] == 5


def test_rows_that_stand_in_a_frame_are_passed_over_and_no_others() -> None:
    framed: Ranges = {(0, "a"): [(2, 4), (9, 11)], (1, "b"): [(0, 99)]}
    one = lane(framed=framed, rows=100)
    add(one, "aaaaaabaaa")
    add(one, "aaaa")
    assert shown(one.rest()) == [("a", [0, 1, 5, 7, 8, 12, 13]), ("b", [6])]
    assert one.skipped == 6


def test_the_look_begins_where_the_target_ended_when_reading_stood_before_what_is_not_committed() -> None:
    one = lane(rows=100)
    one.stands({0: 7})
    add(one, "aa", at=0.0)
    one.stands({0: 8})
    add(one, "b", at=5.0)
    one.stands({0: 9})
    assert one.safe() == (0, {0: 7})
    list(one.due(1.0))
    assert one.safe() == (2, {0: 8})
    list(one.due(6.0))
    assert one.safe() == (3, {0: 9})


def test_it_begins_no_later_than_what_an_earlier_run_framed() -> None:
    one = lane(framed={(0, "a"): [(0, 5)]}, since=40)
    one.stands({0: 60})
    add(one, "aaa")
    one.stands({0: 60})
    assert one.safe() == (3, {0: 40})
    add(one, "aaa")
    one.stands({0: 60})
    assert one.safe() == (6, {0: 60})


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("ab.", min_size=1, max_size=9), st.booleans()), max_size=9), st.integers(1, 4)
)
def test_every_row_is_cut_once_whatever_comes_when(lots: list[tuple[str, bool]], rows: int) -> None:
    one = lane(rows=rows)
    cuts: list[Cut] = []
    for number, (lot, waits) in enumerate(lots):
        cuts += add(one, lot, at=float(number))
        cuts += one.due(number + (1.0 if waits else 0.5))
    cuts += one.rest()
    letters = "".join(lot for lot, _ in lots)
    for asset in ASSETS:
        found = [offset for cut in cuts if cut.asset == asset for offset in cut.offsets.tolist()]
        assert found == [place for place, letter in enumerate(letters) if letter == asset]
    assert all(len(cut.offsets) <= rows for cut in cuts)
    assert one.safe()[0] == len(letters)


def test_no_frame_is_larger_than_a_message_may_be() -> None:
    assert most_rows(["x"], 500) == 500
    wide = [f"tag-{number}" for number in range(1000)]
    rows = most_rows(wide, 500)
    values = np.full((1000, rows), 1.0)
    values[:, 1] = np.nan
    numbers = np.arange(rows, dtype=np.int64)
    value = Cut(asset="a", offsets=numbers, times=numbers, values=values).encoded(wide)
    assert 0.9 * FRAME_BYTES < len(value) <= FRAME_BYTES


# --- what is framed -------------------------------------------------------------------------------------------------


def frame(partition: int, first: int, last: int, *, key: str = "a", of: Source = SOURCE) -> RawRecord:
    said = ((SOURCE_HEADER, of.header(partition, first, last)),)
    return RawRecord(
        topic="t", partition=0, offset=0, timestamp_ms=0, key=key.encode(), value=b"", headers=said
    )


def test_frames_tell_which_rows_they_hold() -> None:
    records = [
        frame(0, 10, 20), frame(0, 4, 9), frame(0, 0, 3), frame(0, 5, 6, key="b"), frame(1, 7, 9), frame(2, 0, 99),
        frame(0, 50, 60, of=Source(topic="rows", ident="id-2")), frame(0, 50, 60, of=Source(topic="other", ident="id-1")),
        RawRecord(topic="t", partition=0, offset=0, timestamp_ms=0, key=b"a", value=b""),
        RawRecord(topic="t", partition=0, offset=0, timestamp_ms=0, key=b"a", value=b"", headers=((SOURCE_HEADER, b"x"),)),
    ]  # fmt: skip
    assert SOURCE.framed(records, {0: 4, 1: 10}) == {(0, "a"): [(4, 9), (10, 20)], (0, "b"): [(5, 6)]}


def test_the_same_rows_have_the_same_id_and_others_another() -> None:
    given = {(0, "a", 1, 2), (1, "a", 1, 2), (0, "b", 1, 2), (0, "a", 1, 3), (0, "a", 0, 2)}
    assert len({SOURCE.frame_id(*one) for one in given}) == len(given)
    assert SOURCE.frame_id(0, "a", 1, 2) == SOURCE.frame_id(0, "a", 1, 2)
    assert SOURCE.frame_id(0, "a", 1, 2) != Source(topic="rows", ident="id-2").frame_id(0, "a", 1, 2)


def test_offsets_within_ranges_are_found_with_both_ends() -> None:
    assert within(np.arange(8), [(1, 2), (5, 5)]).tolist() == [False, True, True, False, False, True, False, False]  # fmt: skip


def test_a_mark_is_read_as_it_was_written_and_anything_else_is_none() -> None:
    mark = Mark(target="id", ends={0: 5, 63: 2**40})
    assert mark_of(mark.written()) == mark
    assert len(Mark(target="x" * 36, ends=dict.fromkeys(range(64), 2**62)).written()) < 4096


@pytest.mark.parametrize(
    "text", ["", "nonsense", "{}", "[]", "5", '{"target": 1, "ends": 2}', '{"target": "x", "ends": {"a": 1}}']
)
def test_what_is_no_mark_is_none(text: str) -> None:
    assert mark_of(text) is None
