"""What stands beside the scores: how many rows have labels, how late these came, what was changed into what, and costs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.scores import evaluations
from schemas.agreement import Task
from schemas.evaluation import LabelStatistics, Spent
from schemas.terms import Cost
from streams.buckets import bucket_of, upper_end
from streams.labelling import Labelling
from streams.ledger import Book
from tests.unit.ledger_examples import (
    DAY_MS,
    agreement,
    ended,
    fold,
    label,
    label_frame,
    outcome,
    standing,
    started,
    watermark,
)

NAN = float("nan")
START = started(agreement())
HOUR_MS = 3_600_000


def labels(book: Book) -> LabelStatistics:
    return standing(book).labels


def test_coverage_counts_failed_rows_too_and_silence_that_means_normal() -> None:
    frames = [outcome(0, answers=[1, NAN]), outcome(1, answers=[1, 1], result="failed")]
    some = labels(fold(START, *frames, label(0, 1, 1001, 1)))
    assert (some.labelled, some.rows) == (2, 4)
    start = started(agreement(absent="normal"))
    assert labels(fold(start, *frames, watermark(0, 1001))).labelled == 3


def test_delays_are_from_the_arrival_of_a_row_to_each_label_for_it() -> None:
    told = [label(0, 0, 9, 1, ms=HOUR_MS), label(1, 9, 10, 0, ms=5 * HOUR_MS), label(2, 0, 9, 0, ms=HOUR_MS)]
    frame = outcome(0, answers=[1] * 10, times=list(range(10)), appended_ms=HOUR_MS // 2)
    for book in (
        fold(START, frame, *told),
        fold(START, *told, frame),
        fold(START, told[0], frame, *told[1:]),
    ):
        found = labels(book)
        assert found.delay_p50_ms == found.delay_p90_ms == upper_end(bucket_of(HOUR_MS // 2))
    early = fold(START, label(0, 0, 9, 1, ms=HOUR_MS), outcome(0, answers=[1], appended_ms=2 * HOUR_MS))
    assert labels(early).delay_p90_ms == 0
    late = fold(START, outcome(0, answers=[1]), label(0, 0, 9, 1, ms=DAY_MS + 1))
    assert labels(late).delay_p50_ms is None


def test_corrections_are_told_by_direction() -> None:
    frame = outcome(0, answers=[1, 1, 1, 1])
    changes = [
        label_frame(0, [0, 1, 2], [0, 1, 1]),
        label(1, 0, 3, 1, ident="a"),
        label(2, 0, 1, 0, ident="a"),
        label(3, 0, 4, 0, ident="b"),
    ]
    found = labels(fold(START, frame, *changes))
    # The first row went from normal to anomaly and back, the others end as normal; the last row had no label before.
    assert found.corrections == {"anomaly/normal": 3, "normal/anomaly": 1}
    gone = fold(START, frame, label(0, 0, 2, 1, ident="a"), label(1, 0, 0, None, ident="a"))
    assert labels(gone).corrections == {"anomaly/unlabelled": 2}
    assert standing(gone).audit.corrected == 2


def test_a_row_that_counted_as_normal_under_the_watermark_is_corrected_by_a_label() -> None:
    start = started(agreement(absent="normal"))
    frame, mark = outcome(0, answers=[1, 1]), watermark(0, 2)
    # What stood first is what the label topic says, in whichever order the ledger has it.
    for told in itertools.permutations([frame, mark, label(1, 0, 1, 1)]):
        assert labels(fold(start, *told)).corrections == {"normal/anomaly": 1}
    for told in itertools.permutations([frame, label(1, 0, 1, 1), watermark(2, 2)]):
        assert labels(fold(start, *told)).corrections == {}
    taken_back = fold(start, frame, mark, label(1, 0, 1, 1, ident="a"), label(2, 0, 0, None, ident="a"))
    assert labels(taken_back).corrections == {"anomaly/normal": 1, "normal/anomaly": 1}


def test_numbers_are_corrected_up_and_down() -> None:
    start = started(agreement(task=Task.REGRESSION))
    told = [
        label(i, 0, 3, value, ident=ident) for i, (value, ident) in enumerate([(5, "a"), (7, "a"), (6, "b")])
    ]
    found = labels(fold(start, outcome(0, answers=[1, 2, 3]), *told))
    assert found.corrections == {"up": 3, "down": 3}


def test_what_is_told_of_labels_past_the_end_is_taken_out_again() -> None:
    entries = [outcome(0, answers=[1]), outcome(1, answers=[1]), label(0, 0, 2000, 0), label(1, 0, 2000, 1)]
    mixed, due = fold(START, *entries, ended(1)), fold(START, entries[0], ended(1), *entries[2:])
    assert labels(mixed) == labels(due)
    assert labels(due).corrections == {"normal/anomaly": 1}


CODES = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, NAN])] * 2), max_size=20)


@given(CODES)
def test_every_changed_row_has_one_direction(pairs: Any) -> None:
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    agreed = agreement(task=Task.CLASSIFICATION)
    found = Labelling()
    found.changed(before, after, agreed)
    names = {0.0: "a", 1.0: "b", 2.0: "c"}
    wanted: dict[str, int] = {}
    for old, new in pairs:
        if old in names and old != new:
            name = f"{names[old]}/{names.get(new, 'unlabelled')}"
            wanted[name] = wanted.get(name, 0) + 1
    assert found.corrections == wanted and found.corrected == sum(wanted.values())
    found.add(found, -1)
    assert not any(found.corrections.values())


@pytest.mark.parametrize("currency", ["KRW", "USD"])
def test_an_evaluation_tells_costs_where_they_are_agreed(currency: str) -> None:
    costs = Cost(currency=currency, false_alarm=20_000, missed=500_000)
    agreed = agreement().model_copy(update={"cost": costs})
    entries = [outcome(0, answers=[1, 0, NAN, 0]), label(0, 0, 1, 0), label(1, 1, 4, 1)]
    (with_cost,) = evaluations(fold(started(agreed), *entries), partition=0, offset=3, at_ms=0, final=False)
    assert with_cost.cost == Spent(currency=currency, amount=1_020_000)
    assert with_cost.labels is not None and with_cost.labels.labelled == 4
    (without,) = evaluations(fold(START, *entries), partition=0, offset=3, at_ms=0, final=False)
    assert without.cost is None
