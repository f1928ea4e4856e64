"""Laws of the whole way from a ledger to evaluations and verdicts: order, repetition, delay and silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.decision import UNIT, Gains, bounds
from models.reading import Rule
from schemas.evaluation import Audit, Evaluation
from schemas.ledger import Label, Tick, Watermark
from streams.ledger_codec import Entry, LabelRows
from tests.unit.drawn_trials import (
    AGREEMENTS,
    ASSETS,
    CANDIDATES,
    MINUTES,
    OVER_MS,
    Frame,
    Saying,
    Trial,
    agreed,
    folded,
    judged,
    moment_us,
    told,
    trials,
)
from tests.unit.trial_examples import DAY_MS, MINUTE_US, NAN, PAIRING

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def appended_ms(entry: Entry) -> int:
    meta = entry.meta if isinstance(entry, LabelRows) else entry
    return meta.source.appended_ms  # type: ignore[union-attr,no-any-return]


def in_some_order(trial: Trial, draw: Any) -> list[Entry]:
    """The same ledger in another order: outcomes of a partition stay in theirs, labels stand anywhere, some of them twice.

    Deadlines pass on the way, as far as the labels before them are there.
    """
    again = [one for one in trial.labels if draw(st.booleans())]
    queues = [*trial.outcomes(), *([one] for one in (*trial.labels, *again, *trial.ends()))]
    turns = draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    heads = [iter(queue) for queue in queues]
    order = [next(heads[turn]) for turn in turns]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(order)))
        missing = [one for one in trial.labels if not any(one is there for there in order[:at])]
        passed = min((appended_ms(one) for one in missing), default=OVER_MS)
        order.insert(at, Tick(pairing=PAIRING, at_ms=passed, telemetry=dict(enumerate(trial.until))))
    # A label may stand there before anyone has begun.
    starts, early = trial.starts(), draw(st.integers(0, 2))
    labels_first = [one for one in order if one in again][:early]
    return [*labels_first, *draw(st.permutations(starts)), *order, *trial.close()]


def final_bytes(book: Any) -> list[bytes]:
    """Final evaluations and verdicts, without what tells ledgers apart: their chain, and entries that did not count."""

    def plain(one: Evaluation) -> Evaluation:
        audit = Audit(**{**one.audit.model_dump(), "duplicates": 0, "gaps": 0})
        return one.model_copy(update={"chain": "0" * 64, "audit": audit})

    evaluations = [plain(one) for one in told(book)]
    verdicts = [one.model_copy(update={"evaluation": plain(one.evaluation)}) for one in judged(book)]
    return [one.to_json() for one in (*evaluations, *verdicts)]


@SLOW
@given(trials(), st.data())
def test_final_bytes_are_the_same_under_every_order_and_repetition(trial: Trial, data: st.DataObject) -> None:
    expected = final_bytes(folded(trial.whole()))
    book = folded([])
    for entry in in_some_order(trial, data.draw):
        folded([entry], book)
        if data.draw(st.integers(0, 3)) == 0 and not book.closed:
            told(book, final=False)
    assert final_bytes(book) == expected


# --- what was said, and not how, when or in which order ----------------------------------------------------------------

FORMS = st.sampled_from(["interval", "point", "times", "positions"])


def chunks(truth: Sequence[Sequence[float]], frames: Sequence[Frame], draw: Any) -> list[Saying]:
    """Messages that say the truth of every row, minute by minute, in forms and an order of their own, now and then mistaken first."""
    found = []
    for asset, codes in enumerate(truth):
        mine = sum(one.asset == asset for one in frames)
        for minute, code in enumerate(codes):
            form = draw(FORMS)
            name = f"{asset}-{minute}"
            # A label frame by position is for one frame; every frame needs its own.
            places = range(mine) if form == "positions" else range(1)
            for place in places:
                ident = f"{name}-{place}"
                right = Saying(form, asset, minute, 1, code, ident, 0, place)
                if draw(st.integers(0, 5)) == 0:
                    wrong = replace(right, code=1.0 - code)
                    found.append([wrong, right])
                else:
                    found.append([right])
    turns = draw(st.permutations([i for i, one in enumerate(found) for _ in one]))
    heads = [iter(one) for one in found]
    order = [next(heads[turn]) for turn in turns]
    # Delays that the agreement allows: each later than the one before it, all of them within the deadline.
    passed = draw(
        st.lists(st.integers(0, DAY_MS // (len(order) + 1)), min_size=len(order), max_size=len(order))
    )
    return [replace(one, passed=ms) for one, ms in zip(order, passed, strict=True)]


def without_how(book: Any) -> list[Any]:
    """Final evaluations and verdicts without what is said of the labels themselves: how late they came, what was mistaken."""

    def plain(one: Evaluation) -> Evaluation:
        return one.model_copy(update={"chain": "0" * 64, "audit": Audit(), "labels": None})

    evaluations = [plain(one) for one in told(book)]
    verdicts = [
        one.model_copy(update={"evaluation": plain(one.evaluation), "corrections": None})
        for one in judged(book)
    ]
    return [*evaluations, *verdicts]


@SLOW
@given(trials(AGREEMENTS.filter(lambda one: not one.task.numeric)), st.data())
def test_what_counts_is_what_was_said_and_not_how_or_when_or_in_which_order(
    trial: Trial, data: st.DataObject
) -> None:
    minutes = st.lists(st.sampled_from([0.0, 1.0]), min_size=MINUTES, max_size=MINUTES)
    truth = [data.draw(minutes) for _ in ASSETS]
    found = []
    for _ in range(2):
        said = tuple(chunks(truth, trial.frames, data.draw))
        found.append(without_how(folded(replace(trial, sayings=said).whole())))
    assert found[0] == found[1]


# --- against a count that knows everything and keeps nothing -----------------------------------------------------------


def plain_truth(trial: Trial, at: int, offset: int, now: int, one: Frame) -> list[float]:
    """The labels of a frame's rows, each looked up by itself in the whole label topic."""
    asset, found = ASSETS[one.asset], []
    for row, minute in enumerate(one.minutes):
        time_us, newest, under = moment_us(minute), {}, False
        for entry in trial.labels:
            if appended_ms(entry) > now + DAY_MS:
                continue
            if isinstance(entry, LabelRows):
                if entry.meta.asset == asset:
                    newest.pop(entry.meta.id, None)
                    newest[entry.meta.id] = entry
            elif entry.asset == asset and isinstance(entry, Watermark):  # type: ignore[union-attr]
                under |= time_us < entry.until_us
            elif entry.asset == asset and isinstance(entry, Label):  # type: ignore[union-attr]
                newest.pop(entry.id, None)
                newest[entry.id] = entry
        code = NAN
        for entry in newest.values():
            said = _says(entry, f"{at}-{offset}", row, time_us)
            code = code if math.isnan(said) else said
        silent = math.isnan(code) and under and trial.agreement.labels.absent_means == "normal"
        found.append(0.0 if silent else code)
    return found


def _says(entry: Any, frame: str, row: int, time_us: int) -> float:
    if isinstance(entry, Label):
        hit = entry.code is not None and entry.start_us <= time_us < entry.end_us
        return entry.code if hit and entry.code is not None else NAN
    if entry.meta.frame is not None:
        there = entry.meta.frame == frame and row < entry.codes.size
        return float(entry.codes[row]) if there else NAN
    hits = [code for when, code in zip(entry.times_us, entry.codes, strict=True) if when == time_us]
    return float(hits[-1]) if hits else NAN


@SLOW
@given(trials(), st.data())
def test_scores_that_grew_label_by_label_are_those_of_all_rows_at_once(
    trial: Trial, data: st.DataObject
) -> None:
    book = folded([])
    for entry in in_some_order(trial, data.draw):
        folded([entry], book)
        if data.draw(st.integers(0, 5)) == 0 and not book.closed:
            told(book, final=False)
    found = {one.candidate: one for one in told(book)}
    labelled = [(one, plain_truth(trial, *place, one)) for *place, one in trial.placed()]
    for subject, name in enumerate(CANDIDATES, 1):
        rows = [
            (one.results[subject], answer, code)
            for one, codes in labelled
            for answer, code in zip(one.answers[subject + 1], codes, strict=True)
        ]
        counts, metrics = found[name].counts, found[name].metrics
        answered = [(answer, code) for result, answer, code in rows if result == "answered"]
        spoken = [(answer, code) for answer, code in answered if not math.isnan(answer)]
        scored = [(code, answer) for answer, code in spoken if not math.isnan(code)]
        assert (counts.rows_in, counts.failed, counts.abstained, counts.scored, counts.unlabelled) == (
            len(rows),
            len(rows) - len(answered),
            len(answered) - len(spoken),
            len(scored),
            len(spoken) - len(scored),
        )
        for metric, value in reference(trial, scored).items():
            assert metrics[metric] == pytest.approx(value, rel=1e-8, abs=1e-12), metric
        for by in {one.by for one in found[name].slices}:
            parts = [one.counts.scored for one in found[name].slices if one.by == by]
            assert sum(parts) == len(scored)


def reference(trial: Trial, scored: list[tuple[float, float]]) -> dict[str, float]:
    """What scikit-learn says of scored rows, where it is defined; costs as they are agreed."""
    if not scored:
        return {}
    truth, answers = np.array(scored).T
    if trial.agreement.task.numeric:
        square = sk.mean_squared_error(truth, answers)
        return {"mae": sk.mean_absolute_error(truth, answers), "rmse": math.sqrt(square)}
    found = {"accuracy": sk.accuracy_score(truth, answers)}
    if truth.any() or answers.any():
        found["f1"] = sk.f1_score(truth, answers)
    if truth.any():
        found["recall"] = sk.recall_score(truth, answers)
        found["average_precision"] = sk.average_precision_score(truth, np.abs(answers - 0.1))
    if answers.any():
        found["precision"] = sk.precision_score(truth, answers)
    return found


WHOLE_BLOCKS = st.builds(
    agreed, st.sampled_from(["row", "block"]), absent=st.just("normal"), early=st.booleans()
)


@SLOW
@given(trials(WHOLE_BLOCKS, faults=False), st.data())
def test_bounds_are_those_of_a_plain_list_of_units(trial: Trial, data: st.DataObject) -> None:
    """Every row is under a watermark, so that every unit has one gain."""
    marks = [Saying("watermark", asset, 0, MINUTES, 0.0, "", 0) for asset in range(len(ASSETS))]
    trial = replace(trial, sayings=(*marks, *trial.sayings))
    book = folded(in_some_order(trial, data.draw))
    units = plain_units(trial)
    rule = Rule.of(trial.agreement.decision)  # type: ignore[arg-type]
    for verdict in judged(book):
        decision = verdict.decision
        assert decision is not None
        assert decision.units == (decision.fell_at or min(len(units), rule.planned))
        for one in decision.comparisons:
            lost = [
                (unit[one.rival], unit[verdict.candidate], unit["rows"]) for unit in units[: decision.units]
            ]
            gains = [rival * UNIT // rows - ours * UNIT // rows for rival, ours, rows in lost]
            expected = bounds(Gains.of(gains), planned=rule.planned, alpha=rule.alpha)
            assert (one.lower, one.upper) == (expected.lower / UNIT, expected.upper / UNIT)


def plain_units(trial: Trial) -> list[dict[str, int]]:
    """Wrong rows of everyone by unit, in the order of the telemetry."""
    units: list[dict[str, Any]] = []
    present: dict[int, dict[str, Any]] = {}
    names = ("low", "high", *CANDIDATES)
    for at, offset, now, one in trial.placed():
        codes = plain_truth(trial, at, offset, now, one)
        for row, minute in enumerate(one.minutes):
            place, block = (now, at, offset, row), moment_us(minute) // MINUTE_US
            known = present.get(one.asset)
            if trial.agreement.decision.unit.kind == "row":  # type: ignore[union-attr]
                known = None
            if known is None or not known["block"] - 1 <= block <= known["block"]:
                if known is not None:
                    known["place"] = place
                known = present[one.asset] = {
                    "block": block,
                    "rows": 0,
                    "place": None,
                    **dict.fromkeys(names, 0),
                }
                units.append(known)
                if trial.agreement.decision.unit.kind == "row":  # type: ignore[union-attr]
                    known["place"] = place
            known["rows"] += 1
            known["last"] = place[:3]
            for i, name in enumerate(names):
                spoken = i < 2 or one.results[i - 1] == "answered"
                known[name] += not spoken or one.answers[i][row] != codes[row]
    whole = sorted((one for one in units if one["place"]), key=lambda one: one["place"])
    return [*whole, *sorted((one for one in units if not one["place"]), key=lambda one: one["last"])]


# --- silence ----------------------------------------------------------------------------------------------------------


@SLOW
@given(trials(), st.data())
def test_silence_never_lowers_a_loss_and_is_nobody_else_s_affair(trial: Trial, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(trial.frames) - 1))
    one = trial.frames[at]
    row = data.draw(st.integers(0, len(one.minutes) - 1))
    spoken = replace(one, results=(one.results[0], "answered", one.results[2]))
    silent = tuple(NAN if i == row else answer for i, answer in enumerate(one.answers[2]))
    quiet = (
        replace(spoken, results=(one.results[0], "failed", one.results[2]))
        if data.draw(st.booleans())
        else replace(spoken, answers=(*one.answers[:2], silent, one.answers[3]))
    )
    books = [
        folded(replace(trial, frames=(*trial.frames[:at], each, *trial.frames[at + 1 :])).whole())
        for each in (spoken, quiet)
    ]
    counts = [{one.candidate: one for one in told(book)} for book in books]
    units = [book.units[""] for book in books]
    entered = units[0].entered("first")
    assert units[1].entered("first") == entered
    for rival in ("low", "high", "second"):
        was, now = (one.gained("first", rival, 0, entered) for one in units)
        assert was.low.size == now.low.size == entered
        assert np.all(was.low >= now.low)
        assert np.all(was.high >= now.high)
    assert counts[0]["second"] == counts[1]["second"]
    assert counts[0]["low"] == counts[1]["low"]
    before, after = (found["first"].counts for found in counts)
    assert before.rows_in == after.rows_in
    assert before.abstained + before.failed <= after.abstained + after.failed
    assert after.scored <= before.scored


def test_a_lower_gain_may_narrow_an_interval_so_that_only_losses_are_promised() -> None:
    """One gain of a whole unit among small ones is spread: half of it gone, the others look more alike."""
    spoken = [-UNIT, UNIT, *[UNIT // 5] * 73]
    quiet = [-UNIT, UNIT // 2, *[UNIT // 5] * 73]
    lower = [bounds(Gains.of(one), planned=200, alpha=Decimal("0.05")).lower for one in (spoken, quiet)]
    assert lower == [39_408, 42_141]
