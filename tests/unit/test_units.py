"""Decision units: which rows, in which order, from when on, and what a change of labels does to them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decision import UNIT, Gains, bounds
from models.reading import Rule
from schemas.agreement import Task
from schemas.evaluation import Outcome, Standing
from schemas.ledger import Tick
from schemas.terms import DecisionUnit
from streams.ledger_codec import Entry
from tests.unit.ledger_examples import PAIRING, label, watermark
from tests.unit.trial_examples import (
    BASELINES,
    CANDIDATE,
    DAY_MS,
    MINUTE_US,
    NAN,
    agreement,
    empty,
    ended,
    ends,
    fold,
    frame,
    losses,
    pair,
    standing,
    started,
    units,
)

AGREED = agreement()
STARTS: list[Entry] = [started(AGREED), started(AGREED, subject="first")]
ROWS = agreement(unit=DecisionUnit(kind="row"))


def starts(agreed: Any, **more: Any) -> list[Entry]:
    return [started(agreed, **more), started(agreed, subject="first", **more)]


def minutes(*times: float) -> list[int]:
    return [int(one * MINUTE_US) for one in times]


def sizes(book: Any) -> list[int]:
    found = units(book)
    return found._columns["rows"][found._order[: found._ordered]].tolist()  # type: ignore[no-any-return]


def test_a_block_is_complete_when_its_asset_has_passed_its_end() -> None:
    entries = [*STARTS, *pair(0, minutes(0, 0.5, 0.9), [[0, 0, 0]], [1, 0, 0]), label(0, 0, MINUTE_US, 1)]
    assert standing(fold(entries)).units == 0
    book = fold([*entries, *pair(1, minutes(1.1), [[0]], [0])])
    assert standing(book).units == 1
    assert losses(book, "first", "baseline-0") == [[666_666], [UNIT]]


def test_the_end_of_the_trial_completes_what_it_cuts_off() -> None:
    entries = [*STARTS, *pair(0, minutes(0, 1.5), [[0, 0]], [1, 1]), label(0, 0, 2 * MINUTE_US, 1)]
    assert standing(fold([*entries, *ends(1)])).units == 2
    # A frame that was answered past the end is of no unit, and its outcome completes none.
    late = pair(1, minutes(1.8, 2.1), [[0, 0]], [1, 1])
    book = fold([*entries, *late, *ends(1), label(1, 2 * MINUTE_US, 3 * MINUTE_US, 1)])
    assert sizes(book) == [1, 1]


def test_a_row_one_block_late_stays_in_the_present_one_and_a_clock_that_was_set_begins_another() -> None:
    times = minutes(0, 1, 0.5, 1.2, 2, 2.1, 10_000, 2.2, 2.3)
    book = fold([*STARTS, *pair(0, times, [[0] * 9], [0] * 9), *ends(1)])
    assert sizes(book) == [1, 3, 2, 1, 2]


def test_blocks_begin_where_the_agreement_says() -> None:
    day = 24 * 60
    times = minutes(0, 899, 900, day + 899, day + 900)
    shift = agreement(unit=DecisionUnit(minutes=day, offset_minutes=900))
    assert sizes(fold([*starts(shift), *pair(0, times, [[0] * 5], [0] * 5), *ends(1)])) == [2, 2, 1]
    midnight = agreement(unit=DecisionUnit(minutes=day))
    assert sizes(fold([*starts(midnight), *pair(0, times, [[0] * 5], [0] * 5), *ends(1)])) == [3, 2]


def test_an_asset_that_falls_silent_holds_nobody_up() -> None:
    entries = [
        *STARTS,
        *pair(0, minutes(0), [[0]], [0], asset="pump-2", appended_ms=1),
        *itertools.chain.from_iterable(
            pair(i, minutes(i), [[0]], [0], appended_ms=i + 1) for i in range(1, 6)
        ),
        watermark(0, 10 * MINUTE_US),
        watermark(1, 10 * MINUTE_US, asset="pump-2"),
    ]
    assert standing(fold(entries)).units == 4
    assert standing(fold([*entries, *ends(6)])).units == 6


def test_units_of_several_partitions_wait_until_none_can_come_before_them() -> None:
    begin = starts(agreement(absent="normal"), partitions=2)
    done = [watermark(0, 10 * MINUTE_US), watermark(1, 10 * MINUTE_US, asset="pump-2")]
    first = [
        *pair(0, minutes(0), [[0]], [0], appended_ms=10),
        *pair(1, minutes(1), [[0]], [0], appended_ms=20),
    ]
    assert standing(fold([*begin, *first, *done])).units == 0
    assert units(fold([*begin, *first, *done])).waiting()
    other = {"asset": "pump-2", "partition": 1}
    second = [
        *pair(0, minutes(0), [[0]], [1], appended_ms=5, **other),
        *pair(1, minutes(1), [[0]], [1], appended_ms=15, **other),
    ]
    book = fold([*begin, *first, *second, *done])
    assert losses(book, "first") == [[UNIT]]
    third = pair(2, minutes(1), [[0]], [1], appended_ms=25, **other)
    assert losses(fold([*begin, *first, *second, *third, *done]), "first") == [[UNIT, 0]]


def test_a_silent_partition_is_passed_by_the_broker_s_clock() -> None:
    begin = starts(AGREED, partitions=2)
    first = [
        *pair(0, minutes(0), [[0]], [0], appended_ms=10),
        *pair(1, minutes(1), [[0]], [0], appended_ms=20),
    ]
    entries = [*begin, *first, watermark(0, 10 * MINUTE_US)]
    told = Tick(pairing=PAIRING, at_ms=21, telemetry={0: 2, 1: 0})
    behind = Tick(pairing=PAIRING, at_ms=21, telemetry={0: 2, 1: 4})
    assert standing(fold([*entries, told])).units == 1
    assert standing(fold([*entries, behind])).units == 0


def test_a_unit_enters_when_it_and_all_before_it_are_closed() -> None:
    frames = [one for i in range(4) for one in pair(i, minutes(i), [[0]], [0], appended_ms=i)]
    entries = [*STARTS, *frames]
    second = label(0, MINUTE_US, 2 * MINUTE_US, 1)
    assert standing(fold([*entries, second])).units == 0
    assert standing(fold([*entries, second, label(1, 0, MINUTE_US, 0)])).units == 2
    # Withdrawn, it is open again, and with it what came after.
    withdrawn = label(2, 0, 0, None, ident="l1")
    assert standing(fold([*entries, second, label(1, 0, MINUTE_US, 0), withdrawn])).units == 0
    assert standing(fold([*entries, second, Tick(pairing=PAIRING, at_ms=DAY_MS + 100)])).units == 3


def test_a_unit_waits_for_the_candidate_s_answers_too() -> None:
    frames = [pair(i, minutes(i), [[0]], [0], appended_ms=i) for i in range(4)]
    labels = [label(0, 0, 10 * MINUTE_US, 0)]
    ahead = [one for both in frames for one in both[:1]]
    book = fold([*STARTS, *ahead, frames[0][1], *labels])
    assert standing(book).units == 1
    assert standing(fold([frames[1][1], frames[2][1]], book)).units == 3


def test_what_has_entered_is_open_again_when_its_label_is_withdrawn() -> None:
    frames = [one for i in range(4) for one in pair(i, minutes(i), [[0]], [0], appended_ms=i)]
    labels: list[Entry] = [label(i, i * MINUTE_US, (i + 1) * MINUTE_US, 0) for i in range(4)]
    book = fold([*STARTS, *frames, *labels])
    assert standing(book).units == 3
    assert standing(fold([label(9, 0, 0, None, ident="l1")], book)).units == 1
    assert standing(fold([label(10, MINUTE_US, 2 * MINUTE_US, 1)], book)).units == 3


def test_frames_past_the_end_are_taken_out_of_units_that_had_them() -> None:
    frames = [one for i in range(6) for one in pair(i, minutes(i / 2), [[0]], [0], appended_ms=i)]
    book = fold([*STARTS, *frames, label(0, 0, 10 * MINUTE_US, 0)])
    assert (standing(book).units, sizes(book)) == (2, [2, 2])
    assert standing(fold(ends(3), book)).units == 2
    assert sizes(book) == [2, 1]


def test_a_unit_that_comes_after_its_place_was_passed_is_put_there_all_the_same() -> None:
    """The scorer's clock was ahead of the broker's: what was told of a silent partition was too much."""
    agreed = agreement(absent="normal")
    first = [one for i in range(3) for one in pair(i, minutes(i), [[0]], [0], appended_ms=10 * i)]
    other = {"asset": "pump-2", "partition": 1}
    late = [one for i in range(2) for one in pair(i, minutes(i), [[0]], [1], appended_ms=i + 1, **other)]
    done = [watermark(0, 10 * MINUTE_US), watermark(1, 10 * MINUTE_US, asset="pump-2")]
    ahead = Tick(pairing=PAIRING, at_ms=50, telemetry={0: 3, 1: 0})
    book = fold([*starts(agreed, partitions=2), *first, *done, ahead])
    assert losses(book, "first") == [[0, 0]]
    fold([*late, *ends(3, 2)], book)
    expected = fold([*starts(agreed, partitions=2), *first, *late, *done, *ends(3, 2)])
    assert losses(book, "first") == losses(expected, "first") == [[UNIT, 0, 0, UNIT, 0]]
    assert standing(book) == standing(expected)


def test_a_label_that_never_came_is_taken_at_its_worst_below_and_its_best_above() -> None:
    # The candidate and the baseline disagree about the second row, which nobody labels.
    frames = [*pair(0, minutes(0, 0.5), [[0, 0]], [0, 1]), *pair(1, minutes(1), [[0]], [0])]
    book = fold([*STARTS, *frames, label(0, 0, MINUTE_US // 4, 0), Tick(pairing=PAIRING, at_ms=DAY_MS + 1)])
    found = units(book).gained("first", "baseline-0", 0, 1)
    assert (found.low.tolist(), found.high.tolist()) == ([-500_000], [500_000])
    told = standing(book)
    assert (told.units, told.unlabelled, told.comparisons[0].seen) == (1, 1, None)
    low, high = Gains.of([-500_000]), Gains.of([500_000])
    rule = Rule.of(AGREED.decision)  # type: ignore[arg-type]
    assert told.comparisons[0].lower == bounds(low, planned=100, alpha=rule.alpha).lower / UNIT
    assert told.comparisons[0].upper == bounds(high, planned=100, alpha=rule.alpha).upper / UNIT


def test_what_the_baselines_could_not_answer_drops_its_units_for_both() -> None:
    frames = [
        one
        for i in range(30)
        for one in pair(i, minutes(i), [[0]], [0], results=("failed" if i == 7 else "answered", "answered"))
    ]
    book = fold([*STARTS, *frames, watermark(0, 99 * MINUTE_US), *ends(30)])
    assert (standing(book).units, standing(book).dropped) == (29, 1)
    assert standing(book).outcome is Outcome.INCONCLUSIVE


def test_a_fault_among_many_units_is_counted_whenever_it_comes() -> None:
    first = pair(0, minutes(*range(40)), [[0] * 40], [0] * 40, results=("failed", "answered"))
    more = pair(1, minutes(*range(40, 50)), [[0] * 10], [1] * 10)
    book = fold(
        [*starts(ROWS), *first, *more, watermark(0, 200 * MINUTE_US), label(0, 0, 200 * MINUTE_US, 1)]
    )
    assert (standing(book).units, standing(book).dropped) == (10, 40)


def test_above_a_twentieth_of_dropped_units_nothing_is_decided() -> None:
    def told(faults: int) -> Standing:
        frames = [
            one
            for i in range(80)
            for one in pair(
                i, minutes(i), [[0]], [1], results=("failed" if i < faults else "answered", "answered")
            )
        ]
        return standing(fold([*STARTS, *frames, label(0, 0, 99 * MINUTE_US, 1), *ends(80)]))

    assert [told(n).outcome for n in (0, 4, 5)] == [
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
        Outcome.INCONCLUSIVE,
    ]
    assert [told(n).dropped for n in (0, 4, 5)] == [0, 4, 5]


def test_a_frame_that_only_the_candidate_s_worker_could_not_read_is_the_platform_s_fault() -> None:
    frames = pair(0, minutes(0), [[0]], [0], results=("answered", "refused"))
    more = pair(1, minutes(1), [[0]], [0])
    book = fold([*STARTS, *frames, *more, watermark(0, 99 * MINUTE_US), *ends(2)])
    assert (standing(book).units, standing(book).dropped) == (1, 1)


def test_frames_that_nobody_may_be_given_are_of_no_unit() -> None:
    frames = pair(0, minutes(0), [[0]], [0], results=("refused", "refused"))
    more = pair(1, minutes(0.5, 1), [[0, 0]], [0, 0])
    book = fold([*STARTS, *frames, *more, watermark(0, 99 * MINUTE_US), *ends(2)])
    assert sizes(book) == [1, 1]
    assert (standing(book).units, standing(book).dropped) == (2, 0)


def test_silence_costs_a_candidate_everything_and_a_baseline_what_the_best_constant_costs() -> None:
    frames = [
        *pair(0, minutes(0, 0.1), [[NAN, NAN]], [NAN, 0]),
        *pair(1, minutes(1), [[0]], [0], results=("answered", "failed")),
    ]
    labels = [
        label(0, 0, MINUTE_US // 20, 0),
        label(1, MINUTE_US // 20, MINUTE_US, 1),
        label(2, MINUTE_US, 2 * MINUTE_US, 0),
    ]
    book = fold([*STARTS, *frames, *labels, *ends(2)])
    assert losses(book, "first", "baseline-0", "always normal") == [
        [UNIT, UNIT],
        [500_000, 0],
        [500_000, 0],
    ]


def test_only_the_planned_units_count_however_many_come() -> None:
    agreed = agreement(planned=20)
    frames = [one for i in range(60) for one in pair(i, minutes(i), [[0]], [int(i < 20)])]
    book = fold([*starts(agreed), *frames, label(0, 0, 99 * MINUTE_US, 1), *ends(60)])
    told = standing(book)
    assert (told.units, told.planned, told.outcome) == (20, 20, Outcome.ACCEPTED)
    assert told.comparisons[0].seen == 1.0


def test_an_event_is_a_unit_with_the_time_since_the_event_before_it() -> None:
    agreed = agreement(unit=DecisionUnit(kind="event"), absent="normal")
    frames = [
        *pair(0, [0, 1, 2, 3], [[0] * 4], [0, 0, 1, 0]),
        *pair(1, [4, 5, 6, 7], [[0] * 4], [0, 0, 0, 1]),
        *pair(2, [8, 9, 10], [[0] * 3], [0, 0, 0]),
    ]
    labels: list[Entry] = [label(0, 2, 5, 1), label(1, 7, 8, 1)]
    open_ = fold([*starts(agreed), *frames, *labels])
    assert sizes(open_) == []
    book = fold([*starts(agreed), *frames, *labels, watermark(0, 100), *ends(3)])
    assert sizes(book) == [5, 3]
    assert losses(book, "first", "baseline-0") == [[400_000, 0], [600_000, 333_333]]
    assert standing(book).events == 2
    # A correction moves the boundary: what was one event is two.
    corrected = fold([label(2, 3, 4, 0)], book)
    assert sizes(corrected) == [3, 2, 3]
    assert standing(corrected) == standing(
        fold([*starts(agreed), label(2, 3, 4, 0), *frames, *labels, watermark(0, 100), *ends(3)])
    )


def test_a_run_to_failure_ends_where_what_is_left_rises() -> None:
    agreed = agreement(task=Task.REGRESSION, unit=DecisionUnit(kind="run"), answers=(2.0,), loss_cap=10.0)
    left = [2.0, 1.0, 0.0, 3.0, 2.0, 2.0, 1.0]
    frames = [*pair(0, [0, 1, 2], [[2.0] * 3], [2, 1, 0]), *pair(1, [3, 4, 5, 6], [[2.0] * 4], [3, 3, 3, 3])]
    labels = [label(i, i, i + 1, value) for i, value in enumerate(left)]
    book = fold([*starts(agreed, constant=2.0), *frames, *labels, *ends(2)])
    assert sizes(book) == [3, 4]
    assert losses(book, "first", "baseline-0") == [[0, 100_000], [100_000, 50_000]]


def test_a_correction_changes_its_unit_alone_and_one_that_comes_too_late_nothing() -> None:
    frames = [one for i in range(6) for one in pair(i, minutes(i), [[0]], [1], appended_ms=i)]
    labels: list[Entry] = [label(i, i * MINUTE_US, (i + 1) * MINUTE_US, 1) for i in range(6)]
    book = fold([*STARTS, *frames, *labels, *ends(6)])
    before = losses(book, "first")[0]
    fold([label(9, 2 * MINUTE_US, 3 * MINUTE_US, 0, ident="l2", ms=DAY_MS)], book)
    after = losses(book, "first")[0]
    assert [i for i in range(6) if before[i] != after[i]] == [2]
    corrected = standing(book)
    fold([label(10, 3 * MINUTE_US, 4 * MINUTE_US, 0, ident="l3", ms=DAY_MS + 9)], book)
    assert standing(book) == corrected
    assert losses(book, "first")[0] == after
    assert units(book).corrections("first", book.truths) == (0, 1)
    again = units(book).again(book.truths, book.ticked_ms, late=True)
    assert again.losses("first", 0, 6).tolist() == [0, 0, UNIT, UNIT, 0, 0]


# --- laws -------------------------------------------------------------------------------------------------------------

#: Frames: asset, broker's time since the one before, minutes of the rows, answers of candidate and baseline by row.
ROW = st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, NAN]), st.sampled_from([0.0, 1.0, NAN]))
TELEMETRY = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 2),
        st.lists(ROW, min_size=1, max_size=4),
        st.sampled_from(["answered", "answered", "answered", "failed"]),
    ),
    min_size=1,
    max_size=8,
)
LABELS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 5),
        st.integers(1, 6),
        st.sampled_from([0.0, 1.0, None]),
        st.sampled_from("abcd"),
        st.booleans(),
    ),
    max_size=8,
)
KINDS = st.sampled_from([DecisionUnit(minutes=1), DecisionUnit(kind="row"), DecisionUnit(kind="event")])


def outcomes(telemetry: Any) -> tuple[dict[str, dict[int, list[Entry]]], list[int]]:
    """The outcomes of both deployments by partition, each in order, and the ends."""
    found: dict[str, dict[int, list[Entry]]] = {BASELINES: {0: [], 1: []}, CANDIDATE: {0: [], 1: []}}
    offsets, now = [0, 0], 0
    for asset, passed, rows, result in telemetry:
        partition, now = asset % 2, now + passed
        times = [minute * MINUTE_US for minute, _, _ in rows]
        where = {"partition": partition, "asset": f"pump-{asset + 1}", "appended_ms": now}
        both = pair(
            offsets[partition],
            times,
            [[b for _, _, b in rows]],
            [a for _, a, _ in rows],
            results=("answered", result),
            **where,
        )
        for deployment, one in zip((BASELINES, CANDIDATE), both, strict=True):
            found[deployment][partition].append(one)
        offsets[partition] += 1
    return found, offsets


def told(i: int, one: Any) -> Entry:
    asset, start, length, code, ident, late = one
    return label(
        i,
        start * MINUTE_US,
        (start + length) * MINUTE_US,
        code,
        ident=f"{asset}{ident}",
        asset=f"pump-{asset + 1}",
        ms=DAY_MS * 3 if late else 0,
    )


def merged(queues: list[list[Entry]], draw: Any) -> list[Entry]:
    """The queues in one order, each of them in its own."""
    turns = draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    heads = [iter(queue) for queue in queues]
    return [next(heads[turn]) for turn in turns]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TELEMETRY, LABELS, KINDS, st.booleans(), st.data())
def test_no_order_repetition_or_delay_of_labels_or_outcomes_changes_the_decision(
    telemetry: Any, labels: Any, unit: DecisionUnit, early: bool, data: st.DataObject
) -> None:
    agreed = agreement(
        unit=unit,
        planned=12,
        margin=0.3,
        absent="normal",
        **({"early": True, "least_units": 2} if early else {}),
    )
    found, until = outcomes(telemetry)
    queues = [found[deployment][partition] for deployment in found for partition in (0, 1)]
    says = [told(i, one) for i, one in enumerate(labels)]
    closing: list[Entry] = [Tick(pairing=PAIRING, at_ms=DAY_MS * 2)]
    begin = starts(agreed, partitions=2)
    straight = fold([*begin, *itertools.chain(*queues), *ends(*until), *says, *closing])
    expected = standing(straight), straight.units[""].gained("first", "baseline-0", 0, 99)
    # The same, shuffled; some labels and outcomes twice; looked at on the way.
    repeated = [one for one in says if data.draw(st.booleans())]
    singles = [[one] for one in (*says, *repeated, *ends(*until), watermark(90, 0))]
    book = fold(begin)
    for i, entry in enumerate(merged([*queues, *singles], data.draw)):
        book.fold(entry, offset=i, digest=bytes(32))
        if data.draw(st.booleans()):
            standing(book)
        if data.draw(st.integers(0, 4)) == 0:
            book.fold(entry, offset=i, digest=bytes(32))
    fold(closing, book)
    assert standing(book) == expected[0]
    gained = book.units[""].gained("first", "baseline-0", 0, 99)
    assert gained.low.tolist() == expected[1].low.tolist()
    assert gained.high.tolist() == expected[1].high.tolist()


@settings(max_examples=100, deadline=None)
@given(TELEMETRY, LABELS, KINDS, st.data())
def test_replacing_an_answer_by_silence_never_lowers_the_loss_of_a_unit(
    telemetry: Any, labels: Any, unit: DecisionUnit, data: st.DataObject
) -> None:
    agreed = agreement(unit=unit, absent="normal")
    at = data.draw(st.integers(0, len(telemetry) - 1))
    asset, passed, rows, _ = telemetry[at]
    row = data.draw(st.integers(0, len(rows) - 1))
    silent = [(m, NAN if i == row else a, b) for i, (m, a, b) in enumerate(rows)]
    fails = data.draw(st.booleans())
    quiet = (asset, passed, rows, "failed") if fails else (asset, passed, silent, "answered")
    spoken = (asset, passed, rows, "answered")
    found = []
    for one in (spoken, quiet):
        by, until = outcomes([*telemetry[:at], one, *telemetry[at + 1 :]])
        queues = [entry for deployment in by for entry in (*by[deployment][0], *by[deployment][1])]
        says = [told(i, one) for i, one in enumerate(labels)]
        book = fold(
            [
                *starts(agreed, partitions=2),
                *queues,
                *ends(*until),
                *says,
                Tick(pairing=PAIRING, at_ms=DAY_MS * 2),
            ]
        )
        found.append(book.units[""].gained("first", "baseline-0", 0, 99))
    assert np.all(found[0].low >= found[1].low)
    assert np.all(found[0].high >= found[1].high)


@settings(max_examples=100, deadline=None)
@given(TELEMETRY, LABELS, st.data())
def test_a_running_decision_is_a_beginning_of_the_final_one(
    telemetry: Any, labels: Any, data: st.DataObject
) -> None:
    """Delay changes when a number is known, never the number: what has entered stays, but for corrections."""
    found, until = outcomes(telemetry)
    queues = [found[deployment][partition] for deployment in found for partition in (0, 1)]
    says = [[told(i, one)] for i, one in enumerate(labels)]
    agreed = agreement(planned=12)
    order = merged([*queues, *says], data.draw)
    cut = data.draw(st.integers(0, len(order)))
    rest = [one for one in order[cut:] if one not in itertools.chain(*says)]
    early = [one for one in order[:cut] if one in itertools.chain(*says)]
    begin = starts(agreed, partitions=2)
    running = fold([*begin, *order[:cut]])
    final = fold([*begin, *order[:cut], *rest, *ends(*until), Tick(pairing=PAIRING, at_ms=DAY_MS * 2)])
    count = running.units[""].entered("first")
    assert count <= final.units[""].entered("first")
    for a, b in zip(
        (running.units[""].gained("first", "baseline-0", 0, count), early),
        (final.units[""].gained("first", "baseline-0", 0, count), early),
        strict=True,
    ):
        if not isinstance(a, list) and not isinstance(b, list):
            assert a.low.tolist() == b.low.tolist()


@settings(max_examples=100, deadline=None)
@given(TELEMETRY, LABELS)
def test_blocks_are_what_a_plain_count_of_them_gives(telemetry: Any, labels: Any) -> None:
    """Against a count that knows the whole trial and keeps nothing."""
    found, until = outcomes(telemetry)
    queues = [entry for deployment in found for entry in (*found[deployment][0], *found[deployment][1])]
    says = [told(i, one) for i, one in enumerate(labels)]
    agreed = agreement(absent="unlabelled")
    book = fold(
        [
            *starts(agreed, partitions=2),
            *queues,
            *says,
            *ends(*until),
            Tick(pairing=PAIRING, at_ms=DAY_MS * 2),
        ]
    )
    blocks: list[dict[str, Any]] = []
    open_: dict[int, dict[str, Any]] = {}
    offsets, now = [0, 0], 0
    for asset, passed, rows, _ in telemetry:
        partition, now = asset % 2, now + passed
        for row, (minute, _, _) in enumerate(rows):
            place = (now, partition, offsets[partition], row)
            present = open_.get(asset)
            if present is None or not present["minute"] - 1 <= minute <= present["minute"]:
                if present is not None:
                    present["place"] = place
                open_[asset] = present = {"minute": minute, "rows": 0, "place": None, "last": None}
                blocks.append(present)
            present["rows"] += 1
            present["last"] = place[:3]
        offsets[partition] += 1
    whole = sorted((one for one in blocks if one["place"]), key=lambda one: one["place"])
    cut = sorted((one for one in blocks if not one["place"]), key=lambda one: one["last"])
    assert sizes(book) == [one["rows"] for one in (*whole, *cut)]


def test_constants_and_candidates_of_one_trial_never_mix_with_another_s() -> None:
    again = started(AGREED, subject="first").model_copy(update={"deployment": f"{PAIRING}/first.trial-2"})
    book = fold([*STARTS, again])
    assert sorted(book.units) == ["", ".trial-2"]
    assert book.units[".trial-2"].trusted is None
    other = ended(1, deployment=BASELINES)
    assert not empty().fold(other, offset=0, digest=bytes(32))
    assert frame(0, [0], [[0]], deployment=BASELINES).meta.deployment == BASELINES


@pytest.mark.parametrize(("unit", "count"), [(DecisionUnit(kind="row"), 900), (DecisionUnit(minutes=1), 143)])
def test_many_units_enter_in_one_go_as_they_do_one_by_one(unit: DecisionUnit, count: int) -> None:
    agreed = agreement(unit=unit, planned=900)
    random = np.random.default_rng(5)
    frames: list[Entry] = []
    labels: list[Entry] = []
    for i in range(20):
        times = (np.arange(50) + 50 * i) * MINUTE_US // 7
        truth = random.integers(0, 2, 50).astype(float)
        wrong = random.random((2, 50)) < [[0.4], [0.2]]
        frames += pair(
            i, times.tolist(), [np.where(wrong[0], 1 - truth, truth)], np.where(wrong[1], 1 - truth, truth)
        )
        labels += [
            label(50 * i + j, int(t), int(t) + 1, float(code))
            for j, (t, code) in enumerate(zip(times, truth, strict=True))
        ]
    at_once = fold([*starts(agreed), *frames, *labels, *ends(20)])
    book = fold([*starts(agreed), *frames])
    for i in random.permutation(len(labels)).tolist():
        book.fold(labels[i], offset=0, digest=bytes(32))
        if i % 50 == 0:
            standing(book)
    fold(ends(20), book)
    assert standing(book) == standing(at_once)
    assert standing(book).units == count
