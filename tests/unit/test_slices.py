"""Slices: parts of the rows told apart by machine, shift and the ranges of a tag."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.scores import evaluations
from infra.agreement.words import document
from infra.words.language import Lang
from schemas.agreement import Agreement
from schemas.evaluation import SliceScores
from schemas.slices import Slice
from streams.frames import micros
from streams.ledger_codec import Entry, OutcomeRows
from streams.slices import codes_of
from tests.unit.ledger_examples import agreement, ended, fold, label, outcome, started, tick

NAN = math.nan
SHIFTS = Slice(by="shift", starts=(6, 14, 22))
PRESSURE = Slice(by="tag", tag="Pressure", cuts=(1.0, 2.0))
ASSETS = Slice(by="asset")
EVERY = (ASSETS, SHIFTS, PRESSURE)


def sliced(*slices: Slice) -> Agreement:
    return agreement().model_copy(update={"slices": slices or EVERY})


def codes(times: list[int], values: list[float], *slices: Slice, zone: str = "Asia/Seoul") -> list[list[int]]:
    batch = pa.RecordBatch.from_pydict({"Pressure": np.array(values, dtype=np.float64)})
    return codes_of(batch, np.array(times, dtype=np.int64), slices or EVERY, zone).tolist()  # type: ignore[no-any-return]


def test_a_cut_is_part_of_the_upper_range_and_a_missing_value_of_none() -> None:
    (found,) = codes([0] * 6, [0.9, 1.0, 1.9, 2.0, NAN, math.inf], PRESSURE)
    assert found == [0, 1, 1, 2, -1, 2]
    assert PRESSURE.values == ("< 1", "1 … 2", "≥ 2")


@pytest.mark.parametrize(
    ("hour", "shift"), [(5, 2), (6, 0), (13, 0), (14, 1), (21, 1), (22, 2), (23, 2), (0, 2)]
)
def test_shifts_are_by_the_hours_of_the_plant(hour: int, shift: int) -> None:
    at = micros(datetime(2026, 3, 2, hour, 59, 59, tzinfo=ZoneInfo("Asia/Seoul")))
    assert codes([at], [1.0], SHIFTS) == [[shift]]
    assert SHIFTS.values == ("06:00–14:00", "14:00–22:00", "22:00–06:00")


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)),
    st.sampled_from(["Asia/Seoul", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_the_hour_is_that_of_the_zone_also_when_its_clock_changes(moment: datetime, zone: str) -> None:
    every_hour = Slice(by="shift", starts=tuple(range(24)))
    at = moment.replace(tzinfo=UTC)
    assert codes([micros(at)], [1.0], every_hour, zone=zone) == [[at.astimezone(ZoneInfo(zone)).hour]]


def test_a_time_that_no_calendar_has_is_in_no_shift() -> None:
    assert codes([2**62, -(2**62), 0], [1.0] * 3, SHIFTS) == [[-1, -1, 0]]


def told(*entries: Entry, slices: tuple[Slice, ...] = EVERY) -> list[SliceScores]:
    book = fold(started(sliced(*slices)), *entries)
    (one,) = evaluations(book, partition=0, offset=1, at_ms=0, final=False)
    return list(one.slices)


def with_codes(entry: OutcomeRows, rows: list[list[int]]) -> OutcomeRows:
    return OutcomeRows(
        meta=entry.meta,
        times_us=entry.times_us,
        answers=entry.answers,
        scores=entry.scores,
        codes=np.array(rows, dtype=np.int8),
    )


def test_every_part_has_counts_and_metrics_of_its_own() -> None:
    frames = [
        with_codes(outcome(0, answers=[1, 0, 1, NAN]), [[0, 0, 1, 1], [0, 1, 2, -1]]),
        with_codes(outcome(1, answers=[1, 1], asset="pump-2"), [[2, 2], [2, 2]]),
        with_codes(outcome(2, answers=[0, 0], result="failed"), [[2, 2], [0, 0]]),
    ]
    found = {(one.by, one.value): one for one in told(*frames, label(0, 0, 3, 1))}
    assert set(found) == {
        ("asset", "pump-1"),
        ("asset", "pump-2"),
        *(("shift", value) for value in SHIFTS.values),
        *(("Pressure", value) for value in (*PRESSURE.values, "unknown")),
    }
    pump = found["asset", "pump-1"]
    assert pump.counts.model_dump(exclude_defaults=True) == {
        "rows_in": 6,
        "scored": 3,
        "abstained": 1,
        "failed": 2,
    }
    assert pump.metrics["recall"] == pytest.approx(2 / 3, abs=1e-9) and pump.metrics["event_recall"] == 1
    assert found["asset", "pump-2"].counts.awaiting_label == 2
    assert found["shift", "06:00–14:00"].metrics["recall"] == 0.5
    assert found["shift", "14:00–22:00"].metrics["recall"] == 1
    assert found["Pressure", "1 … 2"].metrics["recall"] == 0
    assert found["Pressure", "unknown"].counts.abstained == 1
    assert all(one.counts.hold() for one in found.values())


def test_without_codes_rows_are_in_no_part_but_their_machines() -> None:
    found = told(outcome(0, answers=[1]), label(0, 0, 3, 1))
    assert [(one.by, one.value) for one in found] == [("asset", "pump-1")]
    assert told(outcome(0, answers=[1]), slices=(SHIFTS,)) == []


def test_codes_of_another_length_than_the_rows_count_for_nothing() -> None:
    wrong = with_codes(outcome(0, answers=[1, 0]), [[0], [0]])
    assert told(wrong, label(0, 0, 3, 1)) == []


CODED = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(-1, 2), st.integers(-1, 2)),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


@given(
    CODED, st.lists(st.tuples(st.integers(0, 6000), st.sampled_from([0.0, 1.0, None])), max_size=5), st.data()
)
def test_parts_add_up_to_the_whole_after_any_history(frames: Any, labels: Any, data: st.DataObject) -> None:
    came = [
        with_codes(
            outcome(i, answers=[one for one, _, _ in rows], asset=f"pump-{1 + i % 2}"),
            [[shift for _, shift, _ in rows], [part for _, _, part in rows]],
        )
        for i, rows in enumerate(frames)
    ]
    said = [label(i, start, start + 3000, code, ident="ab"[i % 2]) for i, (start, code) in enumerate(labels)]
    end, late = ended(data.draw(st.integers(0, len(came)))), tick(10**9)
    others = data.draw(st.permutations([*said, end, late]))
    cut = data.draw(st.integers(0, len(others)))
    start = started(sliced())
    mixed = fold(start, *others[:cut], *came[:1])
    mixed.settle()
    for entry in (*others[cut:], *came[1:]):
        mixed.fold(entry, offset=1, digest=bytes(32))
    whole, parts = _told(mixed)
    assert (whole, parts) == _told(fold(start, *came, *said, end, late))
    for by in ("asset", "shift", "Pressure"):
        of = [one for one in parts if one.by == by]
        for name in ("rows_in", "scored", "awaiting_label", "unlabelled", "abstained"):
            assert sum(getattr(one.counts, name) for one in of) == getattr(whole, name)


def _told(book: Any) -> tuple[Any, Any]:
    (one,) = evaluations(book, partition=0, offset=1, at_ms=0, final=False)
    return one.counts, one.slices


WRONG = [
    ({"by": "shift"}, "starts", "is missing"),
    ({"by": "shift", "starts": [14, 6]}, "starts", "do not rise"),
    ({"by": "tag", "tag": "x"}, "cuts", "is missing"),
    ({"by": "tag", "tag": "x", "cuts": [2, 1]}, "cuts", "do not rise"),
    ({"by": "asset", "tag": "x"}, "tag", "remove the line"),
    ({"by": "tag", "tag": "z", "cuts": [1]}, "slices.0.tag", "none of the inputs"),
]


@pytest.mark.parametrize(("one", "path", "said"), WRONG)
def test_slices_that_make_no_sense_are_refused_in_both_languages(
    one: dict[str, Any], path: str, said: str
) -> None:
    fields = {
        "task": "anomaly",
        "assets": ["p"],
        "inputs": ["x"],
        "acceptance": {"metric": "f1", "at_least": 1},
    }
    with pytest.raises(ValidationError) as caught:
        Agreement.model_validate({**fields, "slices": [one]})
    (error,) = caught.value.errors()
    assert error["ctx"]["path"] == path and said in error["ctx"]["en"]
    assert any("가" <= letter <= "힣" for letter in error["ctx"]["ko"])


def test_slices_are_sealed_where_there_are_any_and_told_in_words() -> None:
    assert "slices" not in agreement().to_dict()
    assert sliced().digest() != agreement().digest()
    english = document(sliced(), Lang.EN)
    assert "Shown apart by shift: 06:00–14:00, 14:00–22:00, 22:00–06:00." in english
    assert "근무조별로 따로 표시" in document(sliced(), Lang.KO)
