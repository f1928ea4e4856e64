"""What rows amount to: the same after any history of labels as if everything had been there from the beginning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.metrics import every_metric, metrics_for
from models.metrics.series import piece_of, series_metrics, series_sums
from schemas.agreement import Task
from streams import scores as module
from streams.ledger import Book
from streams.ledger_codec import Entry
from streams.ranking import Ranking
from tests.unit.ledger_examples import (
    CANDIDATE,
    agreement,
    ended,
    fold,
    label,
    outcome,
    standing,
    started,
    watermark,
)

NAN = math.nan
ASSETS = ("pump-1", "pump-2")
FRAMES = st.lists(
    st.tuples(
        st.sampled_from(ASSETS),
        st.lists(
            st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
            min_size=1,
            max_size=5,
        ),
        st.sampled_from(["answered", "answered", "answered", "failed"]),
    ),
    min_size=1,
    max_size=10,
)
LABELS = st.lists(
    st.tuples(
        st.sampled_from(ASSETS),
        st.integers(0, 9005),
        st.integers(1, 4000),
        st.sampled_from([0.0, 1.0, 1.0, None]),
        st.sampled_from("abc"),
    ),
    max_size=8,
)


@pytest.fixture(autouse=True, scope="module")
def few_frames_a_block() -> Iterator[None]:
    """Blocks so small that the drawn frames fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 3)
        yield


def entries_of(frames: Any, labels: Any) -> tuple[list[Entry], list[Entry]]:
    came: list[Entry] = [
        outcome(
            i,
            asset=asset,
            answers=[answer for answer, _ in rows],
            scores=[score for _, score in rows],
            result=result,
        )
        for i, (asset, rows, result) in enumerate(frames)
    ]
    told: list[Entry] = [
        label(i, start, start + length, code, ident=ident, asset=asset)
        for i, (asset, start, length, code, ident) in enumerate(labels)
    ]
    return came, told


def told(book: Book) -> dict[str, float]:
    return every_metric(metrics_for(agreement()), standing(book))


@given(FRAMES, LABELS, st.sampled_from(["normal", "unlabelled"]), st.integers(0, 9000), st.data())
def test_the_incremental_scores_are_those_of_a_fold_at_one_go(
    frames: Any, labels: Any, absent: str, until: int, data: st.DataObject
) -> None:
    start = started(agreement(absent=absent))
    came, said = entries_of(frames, labels)
    marks: list[Entry] = [watermark(50, until), ended(data.draw(st.integers(0, len(frames))))]
    whole = standing(fold(start, *came, *said, *marks))
    # Frames stay in the telemetry's order; everything else comes whenever it likes, and scores are asked for in between.
    others = data.draw(st.permutations([*said, *marks]))
    places = data.draw(st.permutations([True] * len(came) + [False] * len(others)))
    frames_left, others_left = iter(came), iter(others)
    book = fold(start)
    for place in places:
        book.fold(next(frames_left) if place else next(others_left), offset=1, digest=bytes(32))
        if data.draw(st.booleans()):
            book.settle()
            standing(book)
    book.settle()
    again = standing(book)
    assert (again.sums, again.series, again.counts) == (whole.sums, whole.series, whole.counts)
    assert whole.counts.hold()
    metrics = metrics_for(agreement())
    assert every_metric(metrics, again) == every_metric(metrics, whole)


@given(FRAMES, LABELS)
def test_the_scores_are_those_of_all_rows_looked_at_together(frames: Any, labels: Any) -> None:
    came, said = entries_of(frames, labels)
    book = fold(started(agreement()), *came, *said)
    kept = [rows for _, rows in book.runs[CANDIDATE].kept.values() if rows is not None]
    rows = [
        (truth, answer, score)
        for one in kept
        if one.scores is not None
        for truth, answer, score in zip(one.truth, one.answers[0], one.scores[0], strict=True)
        if not math.isnan(truth) and not math.isnan(answer)
    ]
    found = told(book)
    truth, answers, scores = np.array(rows).reshape(-1, 3).T
    assert ("average_precision" in found) == bool(truth.any())
    if truth.any():
        wanted = sk.average_precision_score(truth, scores)
        assert found["average_precision"] == pytest.approx(wanted, rel=1e-8)
    if truth.size:
        assert found["brier"] == pytest.approx(sk.brier_score_loss(truth, scores), rel=1e-8, abs=1e-15)
        assert found["accuracy"] == pytest.approx(float(np.mean(truth == answers)))
    assert series_metrics(standing(book).series.values()) == series_metrics(
        [series_sums(_pieces(kept, asset)) for asset in ASSETS]
    )


def _pieces(kept: Any, asset: str) -> list[Any]:
    of = sorted((one for one in kept if one.asset == asset), key=lambda one: one.offset)
    if not of:
        return []
    truth = np.concatenate([one.truth for one in of])
    codes = np.where(np.isnan(truth), -1, truth).astype(np.int8)
    answers = np.concatenate([one.answers[0] for one in of])
    return [piece_of(np.concatenate([one.times_us for one in of]), codes, answers)]


def test_an_event_that_got_no_answer_was_missed() -> None:
    frames = [
        outcome(0, answers=[0, 0]),
        outcome(1, answers=[1, 1], result="failed"),
        outcome(2, answers=[0]),
    ]
    book = fold(
        started(agreement()), *frames, label(0, 0, 1000, 0), label(1, 1000, 1002, 1), label(2, 2000, 3000, 0)
    )
    assert told(book)["event_recall"] == 0
    assert standing(book).counts.failed == 2 and standing(book).counts.scored == 3
    assert standing(book).counts.hold()
    assert not book.runs[CANDIDATE].awaiting()


def test_a_score_that_is_missing_takes_what_is_said_of_scores_away() -> None:
    start, known = started(agreement()), label(0, 0, 2, 1)
    full = fold(start, outcome(0, answers=[1, 0], scores=[0.9, 0.2]), known)
    assert {"average_precision", "brier", "log_loss"} <= told(full).keys()
    partly = fold(start, outcome(0, answers=[1, 0], scores=[0.9, NAN]), known)
    assert not {"average_precision", "brier", "log_loss"} & told(partly).keys()
    # A row that was abstained from has neither answer nor score, and is shown beside them.
    silent = fold(start, outcome(0, answers=[1, NAN], scores=[0.9, NAN]), known)
    assert told(silent)["average_precision"] == 1
    none = fold(start, outcome(0, answers=[1, 0]), known)
    assert not {"average_precision", "brier"} & told(none).keys()


def test_scores_of_another_shape_than_the_answers_count_for_nothing() -> None:
    wrong = outcome(0, answers=[1, 0], scores=[0.5])
    assert standing(fold(started(agreement()), wrong)).counts.rows_in == 0


def test_only_anomaly_tasks_have_events() -> None:
    book = fold(started(agreement(task=Task.CLASSIFICATION)), outcome(0, answers=[1, 2]), label(0, 0, 2, 1))
    assert standing(book).series == {} and standing(book).ranking is None


CHANGES = st.lists(st.tuples(st.sampled_from([-0.0, 0.0, 1.5, -2.0, 7.0]), st.integers(0, 1)), max_size=30)


@given(CHANGES, st.data())
def test_a_ranking_holds_what_came_and_did_not_go(rows: list[tuple[float, int]], data: st.DataObject) -> None:
    ranking, there = Ranking(), list(rows)
    for part in (rows[::2], rows[1::2]):
        ranking.change(np.array([one for one, _ in part]), np.array([code for _, code in part], np.int8), 1)
        if data.draw(st.booleans()):
            ranking.table()
    gone = data.draw(st.lists(st.sampled_from(rows), unique=True)) if rows else []
    for one in gone:
        there.remove(one)
        ranking.change(np.array([one[0]]), np.array([one[1]], np.int8), -1)
    levels = sorted({score for score, _ in there}, reverse=True)
    second, first = (column.tolist() for column in ranking.table())
    assert second == [sum(one == (level, 1) for one in there) for level in levels]
    assert first == [sum(one == (level, 0) for one in there) for level in levels]


def test_a_late_label_moves_a_row_out_of_a_ranking_and_back() -> None:
    book = fold(started(agreement()), outcome(0, answers=[1, 0, 0], scores=[0.9, 0.5, 0.1]))

    def after(entry: Entry) -> float | None:
        book.fold(entry, offset=1, digest=bytes(32))
        book.settle()
        return told(book).get("average_precision")

    assert after(label(0, 0, 1, 1, ident="a")) == 1
    assert after(label(1, 1, 3, 0, ident="b")) == 1
    assert after(label(2, 1, 3, 1, ident="b")) == 1
    assert after(label(3, 0, 1, 0, ident="a")) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert after(label(4, 0, 0, None, ident="b")) is None
    assert after(label(5, 0, 1, 1, ident="a")) == 1
