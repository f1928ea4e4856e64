"""Times as factories write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.export_times import TimeRule, duration_us, read_time, read_times, shown
from streams.frames import micros, moment

SEOUL = TimeRule(zone="Asia/Seoul")
AFTERNOON = datetime(2026, 3, 2, 13, 2, 3, tzinfo=ZoneInfo("Asia/Seoul"))


@pytest.mark.parametrize(
    "cell",
    [
        "2026-03-02 13:02:03",
        "2026-03-02T13:02:03",
        "2026-03-02T13:02:03+09:00",
        "2026-03-02 04:02:03Z",
        "2026-03-02 04:02:03.000 UTC",
        "2026-03-02 00:02:03-0400",
        "2026.03.02 13:02:03",
        "2026/3/2 13:2:3",
        "2026. 3. 2. 오후 1:02:03",
        "2026-03-02 오후 1:02:03",
        "2026-03-02 PM 01:02:03",
        "2026-03-02 1:02:03 pm",
        "2026년 3월 2일 오후 1시 2분 3초",
        "2026년 03월 02일 13:02:03",
        "20260302130203",
        "20260302 130203",
        "2-Mar-2026 13:02:03",
        "1772424123",
        "1772424123000",
        "1772424123000000",
        "1772424123000000000",
        "1772424123.0",
    ],
)
def test_these_are_all_the_same_moment(cell: str) -> None:
    assert [moment(int(us)) for us in read_times([cell], SEOUL).us] == [AFTERNOON]


@pytest.mark.parametrize(
    ("cell", "hour"),
    [
        ("오전 12:00", 0),
        ("오전 1:00", 1),
        ("오후 12:00", 12),
        ("오후 11:00", 23),
        ("오후 13:00", 13),
        ("AM 12:00", 0),
    ],
)
def test_noon_and_midnight_are_in_their_half_of_the_day(cell: str, hour: int) -> None:
    reading = read_time(f"2026-03-02 {cell}")
    assert not isinstance(reading, str)
    assert moment(reading[0]) == datetime(2026, 3, 2, hour, tzinfo=UTC)


def test_the_end_of_a_day_is_the_next_midnight() -> None:
    reading = read_time("2026-03-02 24:00:00")
    assert not isinstance(reading, str) and moment(reading[0]) == datetime(2026, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize("cell", ["03/02/2026 1:00", "26-03-02 13:02", "2.3.2026"])
def test_what_may_be_another_day_is_asked_for(cell: str) -> None:
    assert "--time-format" in str(read_time(cell))


def test_a_format_that_is_given_is_followed() -> None:
    rule = TimeRule(zone="Asia/Seoul", format="%m/%d/%Y %p %I:%M:%S")
    times = read_times(["03/02/2026 오후 1:02:03", "13/02/2026 오후 1:02:03"], rule)
    assert moment(int(times.us[0])) == AFTERNOON
    assert list(times.bad) == [1]


@pytest.mark.parametrize(
    "cell",
    ["", "12", "abc", "2026-13-02", "2026-02-30 10:00:00", "2026-03-02 25:00", "2026-03-02 1302", "2026-03-02 오전 13:00",
     "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2026-03-02 10:00+25:00"],
)  # fmt: skip
def test_what_is_no_time_says_so_and_its_place(cell: str) -> None:
    times = read_times(["2026-03-02 10:00:00", cell], SEOUL)
    assert list(times.bad) == [1] and times.bad[1]


def test_an_hour_that_clocks_show_twice_is_taken_as_the_first() -> None:
    times = read_times(["2026-11-01 01:30:00", "2026-11-01 03:30:00"], TimeRule(zone="America/New_York"))
    assert shown(int(times.us[0]), "America/New_York") == "2026-11-01T01:30:00-04:00"
    assert (times.twice, times.never, times.naive) == (1, 0, 2)


def test_an_hour_that_clocks_never_show_is_taken_an_hour_on() -> None:
    times = read_times(["2026-03-08 02:30:00"], TimeRule(zone="America/New_York"))
    assert shown(int(times.us[0]), "America/New_York") == "2026-03-08T03:30:00-04:00"
    assert (times.twice, times.never) == (0, 1)


@settings(deadline=None)
@given(
    at=st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2150, 1, 1)),
    zone=st.sampled_from(["Asia/Seoul", "America/New_York", "Europe/Berlin", "UTC"]),
)
@example(at=datetime(1956, 9, 29, 23, fold=1), zone="Asia/Seoul")
def test_naive_times_mean_what_the_zone_says(at: datetime, zone: str) -> None:
    # Written down, an hour that clocks show twice does not say which: the first is meant.
    wanted = micros(at.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC))
    # The first is read with its like at once, the second one by one.
    assert read_times([f"{at:%Y-%m-%d %H:%M:%S.%f}"], TimeRule(zone=zone)).us.tolist() == [wanted]
    assert read_times([f"{at:%Y년 %m월 %d일 %H:%M:%S.%f}"], TimeRule(zone=zone)).us.tolist() == [wanted]


@given(cell=st.text(alphabet="0123456789-:./ T오전후년월일APMZ+", max_size=30))
def test_no_text_crashes_the_reading_of_times(cell: str) -> None:
    read_times([cell], SEOUL)
    read_times([cell], TimeRule(zone="UTC", start_us=0, step_us=1_000_000))
    read_times([cell], TimeRule(zone="UTC", format="%Y-%m-%d"))


def test_lengths_of_time_need_a_unit() -> None:
    found = [duration_us(text) for text in ("1s", "0.5s", "100ms", "2h", "30분", "0", "5", "soon")]
    hour = timedelta(hours=1) // timedelta(microseconds=1)
    assert found == [1_000_000, 500_000, 100_000, 2 * hour, hour // 2, 0, None, None]
