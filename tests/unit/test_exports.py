"""Reading what factories export."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.export_columns import Layout
from streams.export_text import Problem
from streams.exports import AssetRows, Export, parse
from streams.frames import moment

TAGS = ("Pressure", "Temperature")


def layout(**given: Any) -> Layout:
    return Layout(**{"tags": TAGS, "assets": ("press-3", "press-31"), "zone": "Asia/Seoul", **given})


def read(text: str | bytes, file: str = "press-3.csv", **given: Any) -> AssetRows:
    found = export(text, file, **given)
    assert len(found.assets) == 1
    return found.assets[0]


def export(text: str | bytes, file: str = "press-3.csv", **given: Any) -> Export:
    raw = text if isinstance(text, bytes) else text.encode()
    found = parse(raw, layout(**given), file=file)
    assert isinstance(found, Export), "\n".join(map(str, found))
    return found


def problems(text: str | bytes, file: str = "press-3.csv", **given: Any) -> list[Problem]:
    raw = text if isinstance(text, bytes) else text.encode()
    found = parse(raw, layout(**given), file=file)
    assert isinstance(found, list)
    return found


def seoul(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


PLAIN = "time,Pressure,Temperature\n2026-03-02 09:00:00,1.5,20\n2026-03-02 09:00:01,1.6,21\n"


def test_times_without_a_zone_are_of_the_plant() -> None:
    rows = read(PLAIN)
    assert moment(int(rows.times[0])) == seoul(2026, 3, 2, 0)
    assert "times without a zone are of Asia/Seoul" in export(PLAIN).notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encoding_is_found(encoding: str) -> None:
    text = "일시;압력\n2026-03-02 오후 1:02:03;1.5\n"
    rows = read(text.encode(encoding), tags=("압력",))
    assert rows.values["압력"].tolist() == [1.5]
    assert moment(int(rows.times[0])) == seoul(2026, 3, 2, 4, 2, 3)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    assert read(PLAIN.replace(",", delimiter)).values["Temperature"].tolist() == [20.0, 21.0]


def test_a_gzipped_file_is_opened_and_a_damaged_one_is_a_problem() -> None:
    packed = gzip.compress(PLAIN.encode())
    assert read(packed).rows == 2
    assert "damaged" in problems(packed[:-9])[0].detail


def test_a_row_of_units_and_lines_before_the_header_are_passed_over() -> None:
    text = "# report of line 3\n\ntime;Pressure;Temperature\n;bar;Cel\n2026-03-02 09:00;1;2\n"
    found = export(text)
    assert found.rows == 1
    assert any("line 4 was taken as units: bar, Cel" in note for note in found.notes)


def test_a_row_of_numbers_without_a_time_is_no_row_of_units() -> None:
    assert problems("time,Pressure,Temperature\n,1,2\n2026-03-02,1,2\n")[0].line == 2


@pytest.mark.parametrize("word", ["", "Bad", "I/O Timeout", "#N/A", "No Data", "NaN", "-", " bad "])
def test_words_for_no_value_become_missing(word: str) -> None:
    rows = read(f"time,Pressure,Temperature\n2026-03-02,{word},1\n2026-03-03,2,1\n")
    assert np.isnan(rows.values["Pressure"]).tolist() == [True, False]


def test_a_text_for_no_reason_is_rejected_with_file_line_and_column() -> None:
    found = problems(PLAIN + '"2026-03-02 09:00:02",high,"1"\n')
    assert str(found[0]).startswith("press-3.csv:4: column 'Pressure': 'high' is no number")
    assert "--missing 'high'" in found[0].detail
    rows = read(PLAIN + "2026-03-02 09:00:02,HIGH,1\n", missing=frozenset({"high"}))
    assert np.isnan(rows.values["Pressure"][2])
    assert read(PLAIN + "2026-03-02 09:00:02,High,1\n", numbers={"high": 9.0}).values["Pressure"][2] == 9.0


def test_lines_are_counted_over_quoted_line_ends_and_blank_lines() -> None:
    text = 'time,Pressure,note\n2026-03-02,1,"two\nlines"\n\n2026-03-03,x,""\n'
    assert [each.line for each in problems(text, ignore=("note",))] == [5]


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
def test_infinity_is_no_measurement(value: str) -> None:
    assert problems(f"time,Pressure\n2026-03-02,{value}\n")[0].line == 2


def test_decimal_commas_and_thousands_are_told_apart() -> None:
    assert read("time;Pressure\n2026-03-02;1,5\n2026-03-03;1.234,5\n").values["Pressure"].tolist() == [
        1.5,
        1234.5,
    ]
    korean = 'time,Pressure\n2026-03-02,"1,234.5"\n2026-03-03,"12,345"\n'
    assert read(korean).values["Pressure"].tolist() == [1234.5, 12345.0]


def test_a_comma_that_may_be_either_is_asked_for() -> None:
    text = "time;Pressure\n2026-03-02;1,234\n"
    assert "--decimal" in problems(text)[0].detail
    assert read(text, decimal=",").values["Pressure"].tolist() == [1.234]
    assert read(text, decimal=".").values["Pressure"].tolist() == [1234.0]


def test_a_misspelt_column_is_an_error_with_a_suggestion() -> None:
    found = problems("time,Presure,Temperature\n2026-03-02,1,2\n")
    assert "--tag 'Presure=Pressure'" in found[0].detail
    assert (found[0].line, found[0].column) == (1, "Presure")
    assert read("time,Presure\n2026-03-02,1\n", rename={"Presure": "Pressure"}).values[
        "Pressure"
    ].tolist() == [1.0]


def test_a_column_that_is_nothing_known_is_ignored_only_when_told() -> None:
    text = "time,Pressure,Q1,Q2\n2026-03-02,1,ok,ok\n"
    assert {each.column for each in problems(text)} == {"Q1", "Q2"}
    assert list(read(text, ignore=("Q*",)).values) == ["Pressure"]
    assert "did you mean 'Q1'" in problems(text, ignore=("Q*", "Q11"))[0].detail


def test_a_unit_in_the_header_does_not_hide_the_tag() -> None:
    assert list(read("time,pressure [bar],Temperature(℃)\n2026-03-02,1,2\n").values) == list(TAGS)


def test_two_columns_cannot_be_one_tag() -> None:
    assert "as is the column" in problems("time,Pressure,pressure (bar)\n2026-03-02,1,2\n")[0].detail


def test_the_asset_comes_from_the_file_name_an_option_or_a_column() -> None:
    assert read(PLAIN, "out/PRESS-31_2026.csv").asset == "press-31"
    assert read(PLAIN, "x.csv", asset="press-3").asset == "press-3"
    assert "which asset" in problems(PLAIN, "press-33.csv")[0].detail
    text = "설비,time,Pressure\npress-31,2026-03-02,1\npress-3,2026-03-02,2\npress-31,2026-03-03,3\n"
    found = {rows.asset: rows.values["Pressure"].tolist() for rows in export(text).assets}
    assert found == {"press-31": [1.0, 3.0], "press-3": [2.0]}
    numbered = export(text.replace("press-", ""), asset="press-{}")
    assert [rows.asset for rows in numbered.assets] == ["press-31", "press-3"]


def test_an_unknown_asset_in_a_column_names_its_line() -> None:
    found = problems("asset,time,Pressure\npress-3,2026-03-02,1\npres-3,2026-03-02,1\n")
    assert (found[0].line, found[0].column) == (3, "asset")
    assert "did you mean 'press-3'" in found[0].detail


def test_the_long_form_becomes_rows() -> None:
    text = (
        "tag,time,value\nPressure,2026-03-02 09:00,1\nPressure,2026-03-02 09:01,2\n"
        "Temperature,2026-03-02 09:01,20\nTemperature,2026-03-02 09:00,Bad\nTemperature,2026-03-02 09:02,22\n"
    )
    rows = read(text)
    assert rows.values["Pressure"].tolist()[:2] == [1.0, 2.0]
    np.testing.assert_array_equal(rows.values["Temperature"], [np.nan, 20.0, 22.0])
    assert np.diff(rows.times).tolist() == [60_000_000, 60_000_000]


def test_a_value_that_the_long_form_gives_twice_starts_another_row() -> None:
    rows = read("tag,time,value\nPressure,2026-03-02,1\nPressure,2026-03-02,2\nTemperature,2026-03-02,9\n")
    assert rows.values["Pressure"].tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(rows.values["Temperature"], [9.0, np.nan])


def test_an_unknown_tag_in_the_long_form_names_its_line() -> None:
    text = "tag,time,value\nPressure,2026-03-02,1\nPresure,2026-03-02,1\n"
    assert problems(text)[0].line == 3
    assert read(text, ignore=("Presure",)).rows == 1


def test_files_without_time_are_counted_from_a_start() -> None:
    assert "--start and --step" in problems("Pressure\n1\n2\n")[0].detail
    rows = read("Pressure\n1\n2\n", start_us=5_000_000, step_us=1_000_000)
    assert rows.times.tolist() == [5_000_000, 6_000_000]


def test_a_cycle_is_a_number_of_steps() -> None:
    rows = read("cycle,Pressure\n1,10\n2.5,11\n", time_column="cycle", start_us=0, step_us=3_600_000_000)
    assert rows.times.tolist() == [3_600_000_000, 9_000_000_000]


def test_a_file_without_header_takes_the_names_given() -> None:
    rows = read(" 3  1  1.5 \n 3  2  1.6 \n", columns=("unit", "cycle", "Pressure"), asset="press-{}",
                asset_column="unit", time_column="cycle", start_us=0, step_us=1_000_000)  # fmt: skip
    assert rows.asset == "press-3"
    assert rows.values["Pressure"].tolist() == [1.5, 1.6]


def test_a_date_and_a_time_of_day_are_joined() -> None:
    assert moment(int(read("날짜,시간,Pressure\n2026-03-02,09:00:01,1\n").times[0])) == seoul(
        2026, 3, 2, 0, 0, 1
    )
    joined = read("D,T,Pressure\n2026-03-02,09:00:01,1\n", time_column="D+T")
    assert moment(int(joined.times[0])) == seoul(2026, 3, 2, 0, 0, 1)


def test_the_order_of_rows_is_kept_when_the_clock_steps_back() -> None:
    found = export("time,Pressure\n2026-03-02 09:01,1\n2026-03-02 09:00,2\n2026-03-02 09:01,3\n")
    assert found.assets[0].values["Pressure"].tolist() == [1.0, 2.0, 3.0]
    assert any("steps back 1 times" in note for note in found.notes)


def test_labels_of_a_column_are_kept_apart_from_the_values() -> None:
    text = "time,Pressure,anomaly\n2026-03-02,1,0\n2026-03-03,1,\n2026-03-04,1,1\n"
    rows = read(text, label_column="anomaly")
    assert list(rows.values) == ["Pressure"]
    assert rows.labels is not None and rows.labels.to_pylist() == [0, None, 1]
    texts = read(text, label_column="anomaly", label_map={"0": "normal", "1": "anomaly"})
    assert texts.labels is not None and texts.labels.to_pylist() == ["normal", None, "anomaly"]


def test_labels_stay_with_their_rows_where_assets_alternate() -> None:
    text = "asset,time,Pressure,y\npress-3,2026-03-02,1,a\npress-31,2026-03-02,2,b\npress-3,2026-03-03,3,c\n"
    found = {rows.asset: rows.labels for rows in export(text, label_column="y").assets}
    assert {asset: labels.to_pylist() for asset, labels in found.items() if labels} == {
        "press-3": ["a", "c"],
        "press-31": ["b"],
    }


def test_a_row_that_is_too_short_or_too_long_is_a_problem() -> None:
    found = problems(PLAIN + "2026-03-02 09:00:02,1\n2026-03-02 09:00:03,1,2,3\n2026-03-02 09:00:04,1,2,\n")
    assert [each.line for each in found] == [4, 5]


def test_an_open_quotation_mark_and_an_empty_file_are_problems() -> None:
    assert problems("")[0].detail == "the file is empty"
    assert problems(PLAIN + '2026-03-02 09:00:02,"1,2\n' + "3,4,5\n" * 50_000)
    assert "no rows" in problems("time,Pressure\n")[0].detail


def test_after_twenty_problems_the_rest_is_not_told() -> None:
    assert len(problems("time,Pressure\n" + "x,y\n" * 500)) == 20


def test_hangul_in_parts_is_the_same_name() -> None:
    import unicodedata

    rows = read(unicodedata.normalize("NFD", "일시,압력\n2026-03-02,1\n"), tags=("압력",))
    assert list(rows.values) == ["압력"]


values = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
times = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1))


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(times, values, values), min_size=1, max_size=20),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp949", "utf-16"]),
    missing=st.sampled_from(["", "Bad", "#N/A"]),
    form=st.sampled_from(["%Y-%m-%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S.%f", "%Y.%m.%d %p %I:%M:%S.%f"]),
)
def test_what_is_written_is_read_again(
    rows: list[tuple[datetime, float | None, float | None]],
    delimiter: str,
    encoding: str,
    missing: str,
    form: str,
) -> None:
    lines = [delimiter.join(("일시", *TAGS))]
    for at, *cells in rows:
        texts = [missing if cell is None else repr(cell) for cell in cells]
        time = at.strftime(form).replace("AM", "오전").replace("PM", "오후")
        lines.append(delimiter.join((time, *texts)))
    # UTC has no clock changes, so that every time comes back as it was.
    found = read("\r\n".join(lines).encode(encoding), zone="UTC")
    assert [moment(int(us)) for us in found.times] == [at.replace(tzinfo=UTC) for at, *_ in rows]
    for place, tag in enumerate(TAGS):
        wanted = [np.nan if row[place + 1] is None else row[place + 1] for row in rows]
        np.testing.assert_array_equal(found.values[tag], np.array(wanted, dtype=np.float64))


@settings(deadline=None)
@given(
    raw=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)),
    headed=st.booleans(),
    long=st.booleans(),
)
def test_no_bytes_crash_the_reader(raw: bytes, headed: bool, long: bool) -> None:
    head = b"tag,time,value\n" if long else b"time,Pressure,Temperature\n"
    found = parse(head + raw if headed else raw, layout(), file="press-3.csv")
    assert isinstance(found, Export) or found
    counted = parse(raw, layout(columns=TAGS, start_us=0, step_us=1), file="press-3.csv")
    assert isinstance(counted, Export) or counted
