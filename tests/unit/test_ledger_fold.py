"""The fold: which frames count, how labels join, when rows are settled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.agreement import Task
from streams.ledger_codec import OutcomeRows
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


def confusion(book: object) -> tuple[int, ...]:
    return standing(book).sums[:4]  # type: ignore[arg-type]


def test_a_late_label_is_scored_against_the_earlier_prediction() -> None:
    book = fold(START, outcome(0, answers=[0, 1, 1]), label(0, 0, 2, 1))
    assert confusion(book) == (0, 0, 1, 1)
    assert standing(book).counts.awaiting_label == 1


def test_a_label_applies_to_rows_that_come_later() -> None:
    early = fold(START, label(0, 0, 2000, 1), outcome(0, answers=[1, 0]), outcome(1, answers=[1]))
    assert confusion(early) == (0, 0, 1, 2)


def test_an_outcome_written_twice_counts_once() -> None:
    book = fold(START, outcome(0, answers=[1]), outcome(0, answers=[0]), label(0, 0, 10, 1))
    assert confusion(book) == (0, 0, 0, 1)
    assert standing(book).audit.duplicates == 1


def test_an_outcome_after_a_missing_one_does_not_count_until_the_gap_is_filled() -> None:
    gap = [START, outcome(0, answers=[1]), outcome(2, answers=[1])]
    assert standing(fold(*gap)).counts.rows_in == 1
    assert standing(fold(*gap)).audit.gaps == 1
    filled = fold(*gap, outcome(1, answers=[1]), outcome(2, answers=[1]))
    assert standing(filled).counts.rows_in == 3


def test_a_frame_that_was_sent_again_under_its_id_counts_once() -> None:
    again = outcome(1, answers=[1, 1])
    again = replace(again, meta=again.meta.model_copy(update={"frame": "f0"}))
    book = fold(START, outcome(0, answers=[1, 0]), again, outcome(2, answers=[1]))
    assert standing(book).counts.rows_in == 3
    assert standing(book).audit.frames_repeated == 1


def under(ident: str, one: OutcomeRows) -> OutcomeRows:
    """The same outcome of a frame with another id."""
    return replace(one, meta=one.meta.model_copy(update={"frame": ident}))


@pytest.mark.parametrize("result", ["refused", "unreadable"])
def test_a_frame_that_was_refused_and_comes_again_mended_counts_once(result: str) -> None:
    refused = under("f", outcome(0, answers=[0, 0], result=result))
    again = under("f", outcome(1, answers=[0, 0], result=result))
    mended = under("f", outcome(2, answers=[1, 0]))
    late = under("f", outcome(3, answers=[1, 1]))
    book = fold(START, refused, again, mended, late, label(0, 2000, 2002, 1))
    shown = standing(book)
    assert (shown.counts.rows_in, shown.counts.scored, shown.counts.refused) == (2, 2, 0)
    assert (shown.audit.frames, shown.audit.frames_refused, shown.audit.frames_repeated) == (1, 0, 3)


def test_a_frame_that_failed_is_not_tried_again_by_sending_it_again() -> None:
    failed = under("f", outcome(0, answers=[0, 0], result="failed"))
    book = fold(START, failed, under("f", outcome(1, answers=[1, 1])))
    assert (standing(book).counts.failed, standing(book).counts.rows_in) == (2, 2)


def test_a_refusal_counts_again_where_what_was_sent_in_its_place_came_after_the_end() -> None:
    refused = under("f", outcome(0, answers=[0, 0], result="refused"))
    book = fold(START, refused, under("f", outcome(1, answers=[1, 0])), ended(1))
    assert standing(book) == standing(fold(START, refused, ended(1)))
    assert standing(book).counts.refused == 2


def test_offsets_that_were_passed_and_not_due_are_covered_by_the_next_outcome_or_a_bare_range() -> None:
    book = fold(START, covered(0, 4), outcome(7, first=5, answers=[1]), ended(8))
    assert standing(book).counts.rows_in == 1
    assert book.runs[CANDIDATE].complete()


def test_frames_counted_past_the_end_are_taken_out_again() -> None:
    book = fold(
        START,
        outcome(0, answers=[1]),
        outcome(1, answers=[0, 0]),
        outcome(2, answers=[0], result="failed"),
        label(0, 0, 9000, 1),
        ended(1),
    )
    assert standing(book).counts.rows_in == 1
    assert confusion(book) == (0, 0, 0, 1)
    assert book.runs[CANDIDATE].complete()


def test_the_first_end_counts() -> None:
    book = fold(START, outcome(0, answers=[1]), ended(1), ended(5))
    assert book.runs[CANDIDATE].until == {0: 1}


def test_the_law_of_counts_holds_for_every_kind_of_row() -> None:
    book = fold(
        START,
        outcome(0, answers=[1, 0, NAN]),
        outcome(1, answers=[0, 0], result="failed"),
        outcome(2, answers=[0, 0, 0, 0], result="refused"),
        outcome(3, answers=[], result="unreadable"),
        outcome(4, answers=[1]),
        label(0, 0, 1, 1),
        watermark(1, 3),
    )
    counts = standing(book).counts
    assert counts.hold()
    assert (counts.rows_in, counts.scored, counts.awaiting_label, counts.unlabelled) == (10, 1, 1, 1)
    assert (counts.abstained, counts.failed, counts.refused) == (1, 2, 4)
    assert standing(book).audit.frames_refused == 1
    assert standing(book).audit.failed_by_kind == {"error": 2}


def test_rows_under_the_watermark_are_normal_where_only_events_are_labelled() -> None:
    start = started(agreement(absent="normal"))
    book = fold(start, outcome(0, answers=[0, 1, 1]), label(0, 2, 3, 1), watermark(1, 3))
    assert confusion(book) == (1, 1, 0, 1)


def test_a_correction_moves_a_row_from_one_cell_to_another() -> None:
    book = fold(
        START,
        outcome(0, answers=[1, 1]),
        label(0, 0, 2, 0, ident="a"),
        label(1, 1, 2, 1, ident="a"),
    )
    assert confusion(book) == (0, 0, 0, 1)
    assert standing(book).counts.awaiting_label == 1
    assert standing(book).audit.corrected == 2


def test_an_older_version_that_comes_later_changes_nothing() -> None:
    book = fold(START, outcome(0, answers=[1]), label(5, 0, 1, 1, ident="a"), label(3, 0, 1, 0, ident="a"))
    assert confusion(book) == (0, 0, 0, 1)


def test_a_withdrawn_label_leaves_its_rows_waiting() -> None:
    book = fold(START, outcome(0, answers=[1]), label(0, 0, 1, 1, ident="a"), label(1, 0, 0, None, ident="a"))
    assert standing(book).counts.awaiting_label == 1


def test_a_label_after_the_deadline_does_not_count_and_is_noted() -> None:
    book = fold(START, outcome(0, answers=[1]), label(0, 0, 1, 1, ms=DAY_MS + 1))
    assert standing(book).counts.scored == 0
    assert standing(book).audit.labels_late == 1


def test_a_correction_after_the_deadline_leaves_the_earlier_version_standing() -> None:
    book = fold(
        START,
        outcome(0, answers=[1]),
        label(0, 0, 1, 1, ident="a", ms=DAY_MS),
        label(1, 0, 1, 0, ident="a", ms=DAY_MS + 1),
        label(2, 0, 1, 0, ident="b", ms=DAY_MS + 1),
    )
    assert confusion(book) == (0, 0, 0, 1)


def test_a_tick_past_the_deadline_settles_rows_without_a_label() -> None:
    book = fold(START, outcome(0, answers=[1]), tick(DAY_MS + 1))
    assert standing(book).counts.unlabelled == 1
    assert book.next_deadline_ms() is None


def test_a_watermark_after_the_deadline_does_not_turn_silence_into_normal() -> None:
    start = started(agreement(absent="normal"))
    book = fold(start, outcome(0, answers=[1]), watermark(0, 10, ms=DAY_MS + 1), tick(DAY_MS + 1))
    assert standing(book).counts.unlabelled == 1


def test_rows_with_the_same_time_keep_labels_of_their_own_when_labels_name_the_frame() -> None:
    book = fold(
        START,
        outcome(0, answers=[1, 0], times=[5, 5]),
        label_frame(0, [5, 5], [1, 0], frame="f0"),
    )
    assert confusion(book) == (1, 0, 0, 1)


def test_label_frames_join_by_time_in_any_order_and_leave_unlabelled_points_alone() -> None:
    book = fold(START, outcome(0, answers=[1, 0, 0]), label_frame(0, [2, 0, 1], [0, 1, NAN]))
    assert confusion(book) == (1, 0, 0, 1)
    assert standing(book).counts.awaiting_label == 1


def test_a_pairing_closes_only_when_every_deployment_has_ended_and_no_row_waits() -> None:
    entries = [START, outcome(0, answers=[1])]
    assert not fold(*entries).ready_to_close({CANDIDATE})
    assert not fold(*entries, ended(1)).ready_to_close({CANDIDATE})
    closed = fold(*entries, ended(1), label(0, 0, 1, 1))
    assert closed.ready_to_close({CANDIDATE})
    assert not closed.ready_to_close({CANDIDATE, "another"})


def test_the_chain_does_not_see_duplicates() -> None:
    once = fold(START, outcome(0, answers=[1]))
    twice = fold(START, outcome(0, answers=[1]), outcome(0, answers=[1]))
    assert once.chain == twice.chain
    assert once.chain != fold(START, outcome(0, answers=[0])).chain


VERSIONS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(0, 12),
        st.integers(1, 8),
        st.sampled_from([0.0, 1.0, None]),
        st.sampled_from([0, 2 * DAY_MS]),
    ),
    max_size=8,
)


@given(VERSIONS, st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_duplication_or_delay_of_labels(
    versions: list[tuple], random
) -> None:  # type: ignore[type-arg,no-untyped-def]
    frames = [
        outcome(0, answers=[1, 0, 1, 0], times=[0, 1, 2, 3]),
        outcome(1, answers=[0, 0, NAN, 1], times=[6, 5, 9, 4]),
        outcome(2, answers=[1, 1], times=[5, 14]),
    ]
    labels = [
        label(i, start, start + length, code, ident=ident, ms=ms)
        for i, (ident, start, length, code, ms) in enumerate(versions)
    ]
    straight = standing(fold(START, *frames, *labels))
    mixed = [*labels, *labels]
    random.shuffle(mixed)
    cut = random.randint(0, len(mixed))
    shuffled = standing(fold(START, *mixed[:cut], *frames[:1], *mixed[cut:], *frames[1:]))
    assert shuffled.sums == straight.sums
    assert shuffled.counts == straight.counts


@given(VERSIONS)
def test_the_incremental_join_equals_looking_every_row_up_by_itself(versions: list[tuple]) -> None:  # type: ignore[type-arg]
    times = [0, 3, 7, 12, 13]
    labels = [
        label(i, start, start + length, code, ident=ident, ms=ms)
        for i, (ident, start, length, code, ms) in enumerate(versions)
    ]
    book = fold(START, outcome(0, answers=[1] * 5, times=times), *labels)
    rows = next(iter(book.runs[CANDIDATE].kept.values()))[1]
    assert rows is not None
    in_time = [one for one in labels if one.source.appended_ms <= DAY_MS]
    newest = {one.id: one for one in in_time}
    for moment, found in zip(times, rows.truth, strict=True):
        covering = [
            one for one in newest.values() if one.code is not None and one.start_us <= moment < one.end_us
        ]
        wanted = max(covering, key=lambda one: one.source.offset).code if covering else None
        assert (None if np.isnan(found) else found) == wanted


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_regression_sums_are_the_same_bits_in_any_order(order: tuple[int, ...]) -> None:
    start = started(agreement(task=Task.REGRESSION))
    labels = [label(i, i, i + 1, 0.1 * 10 ** (8 * i)) for i in range(3)]
    book = fold(start, outcome(0, answers=[0.3, 1e-9, 7.7]), *(labels[i] for i in order))
    straight = fold(start, outcome(0, answers=[0.3, 1e-9, 7.7]), *labels)
    assert standing(book).sums == standing(straight).sums
