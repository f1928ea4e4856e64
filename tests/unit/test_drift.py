"""Drift: how the values of inputs are spread and how far they have moved, the same in any order of frames."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agents.figures import LEAST_REFERENCE
from agents.scores import evaluations
from models.drift import error_drift, largest_difference, stability_index
from models.metrics import AnomalyMetrics, RegressionMetrics
from schemas.evaluation import ErrorDrift, Evaluation, InputDrift
from schemas.ledger import TagHistogram
from streams.drift import MOST_BINS, Inputs, Spread, aligned, histograms
from streams.ledger_codec import Entry, OutcomeRows, encode
from streams.topics import WRITTEN_BYTES
from tests.unit.ledger_examples import PAIRING, agreement, ended, fold, label, outcome, started

DAY = 24 * 60 * 60 * 1_000_000
FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.lists(
    st.floats(-1e6, 1e6).map(lambda value: round(value, 6)) | st.sampled_from([0.0, 293.15, 293.16]),
    min_size=1,
    max_size=50,
)
COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40)


def histogram(values: Any, tag: str = "Pressure") -> TagHistogram:
    (found,) = histograms(pa.RecordBatch.from_pydict({tag: np.array(values, dtype=np.float64)}), [tag])
    return found


def spread(*frames: Any, gone: Any = ()) -> Spread:
    """Of one tag: these frames counted in, and those that are gone in and out again."""
    found = Inputs()
    for values in (*frames, *gone):
        found.count([histogram(values)], 0, 1)
    for values in gone:
        found.count([histogram(values)], 0, -1)
    return found.total["Pressure"]


@given(st.lists(FINITE | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=40))
def test_every_value_lies_in_its_bin_and_what_is_none_is_missing(values: list[float]) -> None:
    found = histogram(values)
    known = [value for value in values if math.isfinite(value)]
    assert found.missing == len(values) - len(known) and sum(found.counts) == len(known)
    assert list(found.bins) == sorted(set(found.bins))
    width = 2.0**found.scale
    for value in known:
        place = math.floor(value / width) if math.isfinite(value / width) else math.inf
        assert place in found.bins or abs(place) > 2**52 or abs(value) < 1e-290


@pytest.mark.parametrize("scale", [1e-6, 1.0, 293.0, 1e9])
def test_bins_are_fine_enough_for_the_values_and_not_finer_than_needed(scale: float) -> None:
    values = 1e3 * scale + scale * np.random.default_rng(1).normal(size=500)
    found = histogram(values)
    assert 0.08 < 2.0**found.scale / scale <= 0.2
    assert 15 < len(found.bins) < 90


def test_a_tag_that_stands_still_is_told_from_one_that_moves_a_little() -> None:
    assert len(histogram([101325.0] * 9).bins) == len(histogram([0.0] * 9).bins) == 1
    before, now = aligned(spread([101325.0] * 9), spread([101326.0] * 9))
    assert before.tolist() == [9, 0] and now.tolist() == [0, 9]
    assert len(histogram([1.0] * 98 + [2.0, 3.0]).bins) == 3


@given(st.lists(st.lists(FINITE, min_size=7, max_size=7), min_size=1, max_size=5))
def test_tags_that_are_counted_together_are_counted_as_each_alone(columns: list[list[float]]) -> None:
    tags = [f"t{number}" for number in range(len(columns))]
    together = histograms(pa.RecordBatch.from_pydict(dict(zip(tags, columns, strict=True))), tags)
    # A tag with a missing value is always looked at alone.
    alone = [histogram([*values, math.nan], tag) for tag, values in zip(tags, columns, strict=True)]
    assert [one.model_copy(update={"missing": 1}) for one in together] == alone


@given(
    st.lists(VALUES, min_size=1, max_size=5), st.lists(VALUES, max_size=3), st.randoms(use_true_random=False)
)
def test_frames_add_up_in_any_order_and_can_be_taken_away_again(frames: Any, gone: Any, random: Any) -> None:
    whole = spread(*frames)
    mixed = list(frames)
    random.shuffle(mixed)
    other = spread(*mixed, gone=gone)
    assert (other.scale, other.rows) == (whole.scale, whole.rows)
    before, now = aligned(whole, other)
    assert before.tolist() == now.tolist()
    # At the common width each value is where it would be if it had been counted there from the start.
    width = 2.0**whole.scale
    if width > 1e-250:
        wanted: dict[int, int] = {}
        for value in (value for values in frames for value in values):
            place = max(-(2**52), min(2**52, math.floor(value / width)))
            wanted[place] = wanted.get(place, 0) + 1
        found = {place: count for place, count in whole.at(whole.scale).items() if count}
        assert found == wanted


def _largest(one: Any, other: Any) -> float:
    """The statistic of Kolmogorov and Smirnov; scipy warns of how it comes by the p-value beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ks_2samp(one, other).statistic)


@given(COUNTS)
def test_the_difference_is_that_of_kolmogorov_and_smirnov(pairs: Any) -> None:
    before, now = np.array(pairs, dtype=np.int64).T
    found = largest_difference(before, now)
    if not before.sum() or not now.sum():
        assert found is None and stability_index(before, now) is None
        return
    places = np.arange(before.size)
    wanted = _largest(np.repeat(places, before), np.repeat(places, now))
    assert found == pytest.approx(wanted, abs=1e-9)


@given(COUNTS)
def test_the_index_is_its_formula_over_tenths_of_the_reference(pairs: Any) -> None:
    before, now = np.array(pairs, dtype=np.int64).T
    if not before.sum() or not now.sum():
        return
    groups: dict[int, list[float]] = {}
    passed = 0
    for there, here in zip(before.tolist(), now.tolist(), strict=True):
        group = groups.setdefault(min(9, 10 * passed // int(before.sum())), [0.5, 0.5])
        group[0] += there
        group[1] += here
        passed += there
    wanted = 0.0
    for there, here in groups.values():
        q = there / (before.sum() + 0.5 * len(groups))
        p = here / (now.sum() + 0.5 * len(groups))
        wanted += (p - q) * math.log(p / q)
    assert stability_index(before, now) == pytest.approx(wanted, rel=1e-7, abs=1e-12)


def test_on_values_the_figures_are_near_those_of_the_values_themselves() -> None:
    random = np.random.default_rng(3)
    one, other = random.normal(size=20_000), random.normal(0.5, 1.2, size=20_000)
    before, now = aligned(spread(*np.split(one, 40)), spread(*np.split(other, 40)))
    assert largest_difference(before, now) == pytest.approx(_largest(one, other), abs=0.03)
    same = aligned(spread(*np.split(one, 40)), spread(*np.split(random.normal(size=20_000), 40)))
    assert (stability_index(*same) or 0) < 0.01 < 0.2 < (stability_index(before, now) or 0)


# --- through the fold -----------------------------------------------------------------------------------------------


def with_inputs(entry: OutcomeRows, values: Any) -> OutcomeRows:
    meta = entry.meta.model_copy(update={"histograms": (histogram(values),)})
    return OutcomeRows(meta=meta, times_us=entry.times_us, answers=entry.answers)


def frame(i: int, day: int, values: Any, **more: Any) -> OutcomeRows:
    times = [day * DAY + k for k in range(len(values))]
    return with_inputs(outcome(i, answers=[0.0] * len(values), times=times, **more), values)


def evaluation(*entries: Entry) -> Evaluation:
    (one,) = evaluations(fold(*entries), partition=0, offset=1, at_ms=0, final=False)
    return one


def moved(*entries: Entry) -> InputDrift | None:
    return evaluation(*entries).input_drift


RANDOM = np.random.default_rng(7)
CALM, HIGH = RANDOM.normal(0, 1, LEAST_REFERENCE), RANDOM.normal(3, 1, LEAST_REFERENCE)
REHEARSAL = f"{PAIRING}/t2q-v1-rehearsal"


def test_a_trials_inputs_are_compared_with_the_rehearsals() -> None:
    rehearsed = started(agreement(), deployment=REHEARSAL).model_copy(update={"phase": "rehearsal"})
    before = frame(0, 0, CALM, deployment=REHEARSAL)
    found = moved(rehearsed, before, started(agreement()), frame(0, 1, HIGH))
    assert found is not None and found.reference == "rehearsal"
    (tag,) = found.tags
    assert tag.tag == "Pressure" and tag.rows == LEAST_REFERENCE and tag.psi > 1 and tag.ks > 0.7
    same = moved(rehearsed, before, started(agreement()), frame(0, 1, CALM))
    assert same is not None and (same.tags[0].psi, same.tags[0].ks) == (0, 0)


def test_without_a_rehearsal_the_first_day_is_the_reference() -> None:
    start = started(agreement())
    days = [frame(0, 5, CALM), frame(1, 6, HIGH), frame(2, 7, [*HIGH, math.nan])]
    found = moved(start, *days)
    assert found is not None and found.reference == "first_day"
    assert found.tags[0].rows == 2 * LEAST_REFERENCE and found.tags[0].psi > 1
    assert found.tags[0].missing == pytest.approx(1 / 201, abs=1e-9) and found.tags[0].missing_before == 0
    assert moved(start, days[0]) is None
    # Too few values make no reference: the next day is taken in.
    short = moved(
        start, frame(0, 4, [9.0] * 3), *[frame(i + 1, 5 + i, one) for i, one in enumerate((CALM, HIGH))]
    )
    assert short is not None and short.tags[0].rows == LEAST_REFERENCE


def test_frames_past_the_end_are_taken_out_of_the_spread() -> None:
    start = started(agreement())
    days = [frame(0, 5, CALM), frame(1, 6, CALM), frame(2, 7, 1000 * HIGH)]
    assert moved(start, *days, ended(2)) == moved(start, *days[:2], ended(2)) == moved(start, ended(2), *days)


def test_errors_of_the_earlier_and_the_later_half_are_told() -> None:
    start = started(agreement())
    frames = [
        outcome(i, answers=[0.0] * 4, times=[day * DAY + k for k in range(4)])
        for i, day in enumerate((3, 4, 9))
    ]
    known = [label(0, 0, 9 * DAY + 2, 0), label(1, 9 * DAY + 2, 10 * DAY, 1)]
    found = evaluation(start, *frames, *known).error_drift
    assert found == ErrorDrift(error="error_rate", rows_before=4, rows_after=8, before=0, after=0.25)
    assert evaluation(start, frames[0], *known).error_drift is None
    numbers = RegressionMetrics()
    sums = [numbers.sums(np.zeros(2), np.full(2, off)) for off in (1.0, 3.0)]
    assert error_drift(numbers, [(2, one) for one in sums]) == ErrorDrift(
        error="mae", rows_before=2, rows_after=2, before=1, after=3
    )
    assert error_drift(AnomalyMetrics(classes=("a", "b")), []) is None


def test_whatever_a_frame_holds_its_outcome_fits_into_the_ledger() -> None:
    rows, tags = 65_536, 128
    random = np.random.default_rng(0)
    odd = random.standard_cauchy(rows)
    batch = pa.RecordBatch.from_pydict({f"{'압' * 40}{i}": odd for i in range(tags)})
    found = histograms(batch, batch.schema.names)
    assert max(len(one.bins) for one in found) <= MOST_BINS
    meta = outcome(0, answers=[0.0]).meta.model_copy(update={"histograms": found, "rows": rows})
    times = np.full(rows, 2**62)
    entry = OutcomeRows(
        meta=meta, times_us=times, answers=np.zeros((10, rows)), codes=np.zeros((5, rows), np.int8)
    )
    assert len(encode(entry, source="/x", ident="y")[1]) < WRITTEN_BYTES
