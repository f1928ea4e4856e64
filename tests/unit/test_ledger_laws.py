"""Laws of the fold, for ledgers that nobody thought of: duplicates, zombies, ends, restarts, silence."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.agreement import Task
from schemas.ledger import Outcome
from streams.ledger_codec import Entry, OutcomeRows
from streams.run import REFUSED, Standing
from tests.unit.ledger_examples import (
    CANDIDATE,
    DAY_MS,
    agreement,
    covered,
    ended,
    fold,
    label,
    label_frame,
    outcome,
    standing,
    started,
    tick,
    watermark,
)

START = started(agreement())
NAN = float("nan")
ANSWERS = st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=1, max_size=4)
RESULTS = st.sampled_from(["answered", "answered", "answered", "failed", "refused", "unreadable"])
FRAMES = st.lists(st.tuples(ANSWERS, RESULTS), min_size=1, max_size=8)


def frames_of(drawn: list[tuple[list[float], str]]) -> list[OutcomeRows]:
    return [outcome(i, answers=answers, result=result) for i, (answers, result) in enumerate(drawn)]


def label_of(i: int, one: tuple[int, int, float | None, str, int]) -> Entry:
    start, length, code, ident, late = one
    return label(i, start, start + length, code, ident=ident, ms=late * 2 * DAY_MS)


LABELS = st.lists(
    st.tuples(
        st.integers(0, 8003),
        st.integers(1, 3000),
        st.sampled_from([0.0, 1.0, None]),
        st.sampled_from("abc"),
        st.integers(0, 1),
    ),
    max_size=6,
)


@given(FRAMES, st.data())
def test_two_writers_for_one_partition_count_each_frame_once(drawn: Any, data: st.DataObject) -> None:
    first = frames_of(drawn)
    # The second writer begins where the first had been acknowledged, and answers differently.
    begins = data.draw(st.integers(0, len(first)))
    second = [outcome(i, answers=[0.0, 0.0, 1.0]) for i in range(begins, len(first))]
    head, tail = first[:begins], first[begins:]
    turns = data.draw(st.permutations([0] * len(tail) + [1] * len(second)))
    queues = [iter(tail), iter(second)]
    book = fold(START, *head, *(next(queues[turn]) for turn in turns))
    counted = standing(book)
    taken: dict[int, OutcomeRows] = {one.meta.last: one for one in head}
    queues = [iter(tail), iter(second)]
    expected = len(head)
    for turn in turns:
        one = next(queues[turn])
        if one.meta.last == expected:
            taken[expected] = one
            expected += 1
    readable = [one.meta for one in taken.values() if one.meta.result != "unreadable"]
    assert counted.counts.rows_in == sum(meta.rows for meta in readable)
    assert counted.audit.frames == len(readable)
    assert counted.counts.hold()
    # One writer got everything in, the other's are duplicates, or came before their turn.
    assert book.runs[CANDIDATE].expected == {0: len(first)}
    assert counted.audit.duplicates + counted.audit.gaps == len(second)


@given(FRAMES, LABELS, st.data())
def test_an_end_leaves_what_the_due_frames_alone_give(drawn: Any, labels: Any, data: st.DataObject) -> None:
    frames = frames_of(drawn)
    until = data.draw(st.integers(0, len(frames)))
    entries: list[Entry] = [*frames, *(label_of(i, one) for i, one in enumerate(labels))]
    where = data.draw(st.integers(0, len(entries)))
    mixed = fold(START, *entries[:where], ended(until), *entries[where:])
    due = fold(START, *frames[:until], ended(until), *entries[len(frames) :])
    assert standing(mixed) == standing(due)
    assert mixed.runs[CANDIDATE].complete()


IDENTS = st.lists(st.sampled_from("fgh"), min_size=8, max_size=8)


@given(FRAMES, IDENTS, LABELS, st.data())
def test_of_frames_with_one_id_the_first_that_could_be_taken_counts_wherever_the_end_is(
    drawn: Any, idents: list[str], labels: Any, data: st.DataObject
) -> None:
    frames = [
        replace(one, meta=one.meta.model_copy(update={"frame": ident}))
        for one, ident in zip(frames_of(drawn), idents, strict=False)
    ]
    until = data.draw(st.integers(0, len(frames)))
    told = [label_of(i, one) for i, one in enumerate(labels)]
    where = data.draw(st.integers(0, len(frames)))
    mixed = standing(fold(START, *frames[:where], ended(until), *frames[where:], *told))
    assert mixed == standing(fold(START, *frames[:until], ended(until), *told))
    counted: dict[str, Outcome] = {}
    for meta in (one.meta for one in frames[:until]):
        first = counted.get(meta.frame)
        if first is None or (first.result in REFUSED and meta.result not in REFUSED):
            counted[meta.frame] = meta
    unread = sum(meta.result == "unreadable" for meta in counted.values())
    assert mixed.counts.rows_in == sum(m.rows for m in counted.values() if m.result != "unreadable")
    assert mixed.counts.refused == sum(m.rows for m in counted.values() if m.result == "refused")
    assert (mixed.audit.frames, mixed.audit.frames_refused) == (len(counted) - unread, unread)
    assert mixed.audit.frames_repeated == until - len(counted)
    assert mixed.counts.hold()


@given(FRAMES, LABELS, st.data())
def test_the_entries_that_counted_are_the_whole_state(drawn: Any, labels: Any, data: st.DataObject) -> None:
    entries: list[Entry] = [*frames_of(drawn), *(label_of(i, one) for i, one in enumerate(labels))]
    entries += [
        covered(len(drawn), len(drawn) + 2),
        outcome(len(drawn) + 5, first=len(drawn) + 3, answers=[1.0]),
        ended(data.draw(st.integers(0, len(drawn) + 6))),
        watermark(90, 500),
        watermark(91, 4000, ms=DAY_MS + 1),
        tick(DAY_MS + 1),
    ]
    shuffled = data.draw(st.permutations(entries + entries[:2]))
    whole = fold(START)
    counted = [entry for i, entry in enumerate(shuffled, 1) if whole.fold(entry, offset=i, digest=bytes(32))]
    whole.settle()
    again = fold(START)
    for i, entry in enumerate(counted, 1):
        assert again.fold(entry, offset=i, digest=bytes(32))
    again.settle()
    assert again.runs[CANDIDATE].expected == whole.runs[CANDIDATE].expected
    assert again.runs[CANDIDATE].complete() == whole.runs[CANDIDATE].complete()
    noise = {"duplicates", "gaps"}
    assert standing(again).audit.model_dump(exclude=noise) == standing(whole).audit.model_dump(exclude=noise)
    assert (standing(again).counts, standing(again).sums) == (standing(whole).counts, standing(whole).sums)
    assert again.next_deadline_ms() == whole.next_deadline_ms()


def test_an_outcome_beyond_the_end_counts_for_the_offsets_that_led_up_to_it() -> None:
    book = fold(START, outcome(0, answers=[1]), ended(3))
    assert book.fold(outcome(7, first=1, answers=[1, 1]), offset=9, digest=bytes(32))
    assert book.runs[CANDIDATE].complete()
    assert standing(book).counts.rows_in == 1


def test_what_happened_to_rows_past_the_end_is_taken_out_of_the_audit() -> None:
    entries = [
        START,
        outcome(0, answers=[1]),
        outcome(1, answers=[1]),
        label(0, 1000, 1001, 0),
        label(1, 1000, 1001, 1),
        label(2, 1000, 1001, 0, ms=DAY_MS + 1),
        outcome(2, answers=[1]),
        # The sender sends the last frame again.
        outcome(3, answers=[1]),
    ]
    again = entries[-1]
    assert isinstance(again, OutcomeRows)
    entries[-1] = OutcomeRows(
        meta=again.meta.model_copy(update={"frame": "f2"}), times_us=again.times_us, answers=again.answers
    )
    audit = standing(fold(*entries)).audit
    assert (audit.corrected, audit.labels_late, audit.frames_repeated) == (1, 1, 1)
    audit = standing(fold(*entries, ended(1))).audit
    assert (audit.corrected, audit.labels_late, audit.frames_repeated) == (0, 0, 0)
    assert audit.frames == 1


def test_a_label_of_the_last_millisecond_is_waited_for() -> None:
    entries = [START, outcome(0, answers=[1])]
    assert standing(fold(*entries, tick(DAY_MS))).counts.awaiting_label == 1
    assert standing(fold(*entries, tick(DAY_MS), label(0, 0, 1, 1, ms=DAY_MS))).counts.scored == 1
    assert standing(fold(*entries, tick(DAY_MS + 1))).counts.unlabelled == 1


MARKS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=6, unique_by=lambda one: one[1]
)


@given(MARKS, st.data())
def test_watermarks_say_the_same_in_any_order(marks: list[tuple[int, int]], data: st.DataObject) -> None:
    start = started(agreement(absent="normal", deadline_days=2 / DAY_MS))
    frames = [
        outcome(i, answers=[0, 1, 1], times=[1, 4, 7], appended_ms=appended)
        for i, appended in enumerate((0, 1, 2))
    ]
    entries = [watermark(i, until, ms=appended) for i, (appended, until) in enumerate(marks)]
    shuffled: list[Entry] = data.draw(st.permutations([*entries, *entries]))
    found = standing(fold(start, *frames, *shuffled))
    below = [
        max((until for appended, until in marks if appended <= frame + 2), default=0) for frame in (0, 1, 2)
    ]
    normal = [sum(time < until for time in (1, 4, 7)) for until in below]
    assert found.counts.scored == sum(normal)
    assert found.sums[:4] == (sum(n > 0 for n in normal), sum(max(0, n - 1) for n in normal), 0, 0)


@given(FRAMES, LABELS, st.data())
def test_silence_moves_a_row_and_never_makes_one_vanish(drawn: Any, labels: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(drawn) - 1))
    answers, result = drawn[at]
    row = data.draw(st.integers(0, len(answers) - 1))
    silent = [NAN if i == row else answer for i, answer in enumerate(answers)]
    with_silence = [*drawn[:at], (silent, result), *drawn[at + 1 :]]
    told = [label_of(i, one) for i, one in enumerate(labels)]
    spoken = standing(fold(START, *frames_of(drawn), *told)).counts
    unspoken = standing(fold(START, *frames_of(with_silence), *told)).counts
    assert spoken.hold()
    assert unspoken.hold()
    assert unspoken.rows_in == spoken.rows_in
    moved = 0 if result != "answered" or np.isnan(answers[row]) else 1
    assert unspoken.abstained - spoken.abstained == moved
    assert unspoken.scored <= spoken.scored


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8), LABELS)
def test_deadlines_pass_for_the_frames_that_wait_and_for_no_others(steps: Any, labels: Any) -> None:
    """The queue of deadlines says what a look at every frame says."""
    start = started(agreement(deadline_days=10 / DAY_MS))
    book = fold(start)
    offset, ticked = 0, 0
    told = iter(label_of(i, one) for i, one in enumerate(labels))
    for kind, value in steps:
        entry: Entry | None
        if kind <= 1:
            entry = outcome(offset, answers=[1, NAN], appended_ms=value * 7)
            offset += 1
        elif kind == 2:
            entry = next(told, None)
        else:
            ticked = max(ticked, 8 + value * 7)
            entry = tick(8 + value * 7)
        if entry is not None:
            book.fold(entry, offset=0, digest=bytes(32))
        book.settle()
        rows = [rows for _, rows in book.runs[CANDIDATE].kept.values() if rows is not None]
        waiting = [
            one.deadline_ms
            for one in rows
            if one.deadline_ms >= ticked and np.any(np.isnan(one.truth) & np.isfinite(one.answers[0]))
        ]
        assert book.next_deadline_ms() == min(waiting, default=None)
        assert book.runs[CANDIDATE].awaiting() == bool(waiting)


@pytest.mark.parametrize(
    "wrong",
    [
        outcome(0, answers=[2]),
        outcome(0, answers=[0.5]),
        outcome(0, answers=[-1]),
        OutcomeRows(
            meta=outcome(0, answers=[1]).meta, times_us=np.zeros(1, np.int64), answers=np.zeros((2, 1))
        ),
        OutcomeRows(
            meta=outcome(0, answers=[1]).meta, times_us=np.zeros(2, np.int64), answers=np.zeros((1, 2))
        ),
    ],
    ids=["no class", "half a class", "below", "two subjects", "two rows"],
)
def test_answers_that_fit_no_subject_row_or_class_count_for_nothing(wrong: OutcomeRows) -> None:
    book = fold(START, wrong, label(0, 0, 10, 1))
    assert standing(book).counts.rows_in == 0
    assert book.runs[CANDIDATE].expected == {0: 0}


@given(st.permutations(range(5)))
def test_regression_is_exact_whatever_the_order_of_corrections(order: list[int]) -> None:
    start = started(agreement(task=Task.REGRESSION))
    frame = outcome(0, answers=[1e300, 5e-324, -1e-160], times=[0, 1, 2])
    labels = [label(i, i % 3, i % 3 + 1, 10.0 ** (-40 * i), ident=str(i % 3)) for i in range(5)]
    straight = standing(fold(start, frame, *labels))
    assert standing(fold(start, frame, *(labels[i] for i in order))).sums == straight.sums
    assert standing(fold(start, *(labels[i] for i in order), frame)).sums == straight.sums


def test_a_label_frame_may_name_its_frame_or_the_times_and_gives_the_same() -> None:
    frame = outcome(0, answers=[1, 0, 1])
    named = fold(START, frame, label_frame(0, [0, 1, 2], [1, 1, 0], frame="f0"))
    timed = fold(START, frame, label_frame(0, [2, 1, 0], [0, 1, 1]))
    assert standing(named) == standing(timed)
    other = fold(START, frame, label_frame(0, [0, 1, 2], [1, 1, 0], frame="f9"))
    assert standing(other).counts.awaiting_label == 3
    short = fold(START, frame, label_frame(0, [0, 1], [1, 1], frame="f0"))
    assert standing(short).counts.awaiting_label == 3


def test_entries_after_the_close_count_for_nothing() -> None:
    from schemas.ledger import Closed

    book = fold(START, outcome(0, answers=[1]), ended(1), label(0, 0, 1, 1), Closed(pairing="pump-2026-01"))
    before: Standing = standing(book)
    chain = book.chain
    late: list[Entry] = [label(1, 0, 1, 0), outcome(1, answers=[1]), watermark(2, 10), tick(5), START]
    assert not any(book.fold(entry, offset=9, digest=bytes(32)) for entry in late)
    book.settle()
    assert (standing(book), book.chain) == (before, chain)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_gaps_never_count_and_are_filled_in_order_only(order: tuple[int, ...]) -> None:
    frames = [outcome(i, answers=[1]) for i in range(3)]
    book = fold(START, *(frames[i] for i in order))
    counted = 0
    for i in order:
        counted += i == counted
    assert standing(book).counts.rows_in == counted
    assert standing(book).audit.gaps == 3 - counted
