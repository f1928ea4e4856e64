"""Files of labels as plants keep them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.labels import IntervalLabel, PointLabel
from streams.export_columns import Layout
from streams.export_labels import LabelFile, due_us, label_array, parse_labels
from streams.export_text import Problem
from streams.frames import micros


def layout(**given: Any) -> Layout:
    return Layout(**{"tags": ("P",), "assets": ("a-1", "a-2"), "zone": "Asia/Seoul", **given})


def read(
    text: str, *, columns: dict[str, str] | None = None, value: str | None = None, **given: Any
) -> LabelFile:
    found = parse_labels(
        text.encode("cp949"), layout(**given), file="events.csv", columns=columns, value=value
    )
    assert isinstance(found, LabelFile), "\n".join(map(str, found))
    return found


def problems(text: str, *, value: str | None = None, **given: Any) -> list[Problem]:
    found = parse_labels(text.encode(), layout(**given), file="events.csv", value=value)
    assert isinstance(found, list)
    return found


EVENTS = "설비,시작,종료,구분\na-1,2026-03-02 오전 9:00,2026-03-02 오전 9:10,불량\na-2,2026-03-02 10:00,2026-03-02 11:00,고장\n"


def test_events_become_intervals_in_the_plants_zone() -> None:
    first, second = read(EVENTS, label_map={"불량": "anomaly"}).labels
    assert isinstance(first, IntervalLabel)
    assert (first.asset, first.value, first.start.isoformat()) == (
        "a-1",
        "anomaly",
        "2026-03-02T00:00:00+00:00",
    )
    assert due_us(first) == micros(first.end)
    assert second.value == "고장"


def test_the_telemetrys_column_of_machines_is_that_of_the_labels_where_they_have_it() -> None:
    text = "engine,cycle,value\na-1,2026-03-02 09:00,112\n"
    assert read(text, asset_column="Engine").labels[0].asset == "a-1"
    assert read(text.replace("engine", "asset"), asset_column="Engine").labels[0].asset == "a-1"
    assert "--label-columns asset=NAME" in problems(text)[0].detail


def test_a_corrected_event_keeps_its_id_and_another_one_has_another() -> None:
    first = read(EVENTS).labels
    corrected = read(EVENTS.replace("9:10,불량", "9:20,정상")).labels
    assert [label.id for label in first] == [label.id for label in corrected]
    assert len({label.id for label in first}) == 2


def test_an_event_keeps_its_id_when_another_one_is_struck_out() -> None:
    more = EVENTS + "a-1,2026-03-02 12:00,2026-03-02 13:00,고장\n"
    without_first = "\n".join([more.splitlines()[0], *more.splitlines()[2:]])
    assert [label.id for label in read(more).labels][1:] == [label.id for label in read(without_first).labels]


def test_two_events_of_one_start_have_two_ids() -> None:
    twice = EVENTS + "a-1,2026-03-02 오전 9:00,2026-03-02 오전 9:30,불량\n"
    assert len({label.id for label in read(twice).labels}) == 3


def test_moments_become_points_and_their_cycles_are_steps() -> None:
    found = read("cycle,value\n3,112\n4,111.5\n", asset="a-1", start_us=0, step_us=3_600_000_000).labels
    assert all(isinstance(label, PointLabel) for label in found)
    assert [(due_us(label), label.value) for label in found] == [
        (10_800_000_000, 112.0),
        (14_400_000_000, 111.5),
    ]


def test_a_moment_without_a_value_is_left_out_and_told() -> None:
    found = read("asset,ts,value\na-1,2026-03-02,1\na-1,2026-03-03,\n")
    assert len(found.labels) == 1
    assert "1 rows without a label were left out" in found.notes


def test_events_without_a_kind_take_the_one_given() -> None:
    text = "asset,start,end\na-1,2026-03-02,2026-03-03\n"
    assert "--label-value" in problems(text)[0].detail
    assert read(text, value="anomaly").labels[0].value == "anomaly"


def test_columns_of_other_names_are_named() -> None:
    text = "Linie,von,bis,was\na-1,2026-03-02,2026-03-03,x\n"
    assert "--label-columns" in problems(text)[0].detail
    found = read(text, columns={"asset": "Linie", "start": "von", "end": "bis", "value": "was"})
    assert found.labels[0].value == "x"


def test_an_event_that_ends_before_it_starts_names_its_line() -> None:
    found = problems(EVENTS + "a-1,2026-03-02 09:00,2026-03-02 08:00,x\n")
    assert found[0].line == 4 and "ends before it starts" in found[0].detail


def test_an_unknown_asset_and_a_time_that_is_none_are_problems() -> None:
    found = problems("asset,start,end,value\na-3,2026-03-02,soon,x\n")
    assert {each.column for each in found} == {"asset", "end"}


def test_whose_labels_they_are_is_asked_for_where_it_is_not_clear() -> None:
    text = "start,end,value\n2026-03-02,2026-03-03,x\n"
    assert "which asset" in problems(text)[0].detail
    assert read(text, assets=("a-1",)).labels[0].asset == "a-1"
    assert read(text, asset="a-2").labels[0].asset == "a-2"


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["0", "", "1"], [0, None, 1]),
        (["0.0", "nan", "1"], [0.0, None, 1.0]),
        (["true", "False", "-"], [True, False, None]),
        (["0", "Bad"], ["0", "Bad"]),
        (["", ""], [None, None]),
    ],
)
def test_labels_of_a_column_have_one_type(texts: list[str], wanted: list[Any]) -> None:
    found = label_array(texts, layout()).to_pylist()
    assert found == wanted
    assert [type(value) for value in found] == [type(value) for value in wanted]


@settings(deadline=None)
@given(
    raw=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    head=st.sampled_from([b"", b"ts,value\n", b"asset,start,end,value\n"]),
)
def test_no_bytes_crash_the_reader_of_labels(raw: bytes, head: bytes) -> None:
    found = parse_labels(head + raw, layout(asset="a-1"), file="events.csv", value="x")
    assert isinstance(found, LabelFile) or found
