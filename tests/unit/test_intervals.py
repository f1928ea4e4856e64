"""The interval index: what overlaps, in order of start, without walking through everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.intervals import IntervalIndex

SPANS = st.lists(st.tuples(st.integers(-60, 60), st.integers(0, 40)), max_size=40)
LOOKS = st.lists(st.tuples(st.integers(-80, 80), st.integers(0, 60)), min_size=1, max_size=10)


@given(SPANS, LOOKS)
def test_the_index_finds_what_looking_through_everything_finds(
    spans: list[tuple[int, int]], looks: list[tuple[int, int]]
) -> None:
    index: IntervalIndex[int] = IntervalIndex()
    for number, (start, length) in enumerate(spans):
        index.add(start, start + length, number)
    in_order = sorted(range(len(spans)), key=lambda number: spans[number][0])
    assert len(index) == len(spans)
    for start, length in looks:
        end = start + length
        wanted = [n for n in in_order if spans[n][0] < end and sum(spans[n]) > start]
        assert index.overlapping(start, end) == wanted


def test_one_long_item_does_not_make_every_look_up_walk_back_to_it() -> None:
    looked_at = 0

    class End(int):
        def __gt__(self, other: int) -> bool:
            nonlocal looked_at
            looked_at += 1
            return int(self) > other

    index: IntervalIndex[int] = IntervalIndex()
    index.add(0, End(10**9), -1)
    for number in range(1000):
        index.add(number * 10, End(number * 10 + 10), number)
    looked_at = 0
    assert index.overlapping(9990, 10_000) == [-1, 999]
    assert looked_at < 10
