"""Rows out of JSON messages: the fast way and the careful one say the same, and what is wrong is named."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.bridge import reading
from infra.bridge.layout import BadLayout, Clock, Layout, check_asset, fields_of
from infra.bridge.reading import Reader
from infra.bridge.single import Row, Single
from schemas.parties import Asset, Plant, Tag
from schemas.rejected import Rejected

LAYOUT = Layout(assets=("m1", "설비2"), fields={"x": "x", "압력": "pressure"})
NUMBERED = Layout(assets=("m1",), fields={"x": "x"}, clock=Clock.MILLIS, asset_field="machine")
LOCAL = Layout(assets=("m1",), fields={"x": "x"}, zone="Asia/Seoul", asset="m1")
STRICT = Layout(assets=("m1",), fields={"x": "x"}, asset="m1", strict=True)

NOON = 1_772_452_800_000_000
GOOD = b'{"ts": "2026-03-02T12:00:00Z", "x": 1.5}'


def one(layout: Layout, value: bytes | None, key: bytes | None = b"m1") -> Row | Rejected:
    """By the fast way where it takes the message, after making sure that the careful one says the same."""
    careful = Single(layout).read(value, key)
    read = Reader(layout).read([value], [key])
    if isinstance(careful, Rejected):
        assert read.rejected == [(0, careful)] and len(read.rows.places) == 0
    else:
        assert read.rows.times.tolist() == [careful.at_us]
        assert read.rows.assets.tolist() == [careful.asset]
        assert np.array_equal(read.rows.values[:, 0], careful.values, equal_nan=True)
    return careful


def row(layout: Layout, value: bytes, key: bytes | None = b"m1") -> Row:
    found = one(layout, value, key)
    assert isinstance(found, Row), found
    return found


def reason(layout: Layout, value: bytes | None, key: bytes | None = b"m1") -> str:
    found = one(layout, value, key)
    assert isinstance(found, Rejected), found
    assert found.rows == 1 and found.detail
    return found.reason


# --- the two ways agree ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["ts", "x", "압력", "machine", "note", "", "T", "\\u0078", "\\u0000", "\\ud800"])
TEXTS = st.sampled_from(
    [
        '"2026-03-02T12:00:00Z"', '"2026-03-02T12:00:00+09:00"', '"2026-03-02 12:00:00.1234567Z"', '"2026-03-02T12:00:00"',
        '"2026-03-02T12:00Z"', '"1812-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"m1"', '"m9"', '"NaN"', '"}\\n{"', '"{"', '"}', '""',
        "1772452800000", "1772452800", "-0", "0", "1.5", "-2e3", "1e400", "9" * 400, "8" * 5000, "9007199254740993", "1e-400", "NaN",
        "-Infinity", "Inf", "01", "1.", "+1", "true", "null", "[]", "{}", "[1, [2]]", '{"x": 1, "x": 2}', '{"x": 1}', "[" * 100 + "]" * 100,
        "tru", "", "'x'", "2 ", "/**/1",
    ]
)  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES, TEXTS), max_size=5)


def written(fields: Sequence[tuple[str, str]]) -> bytes:
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields) + "}").encode()


ODD = st.sampled_from(
    [
        b"", b"{}", b"[]", b"5", b"{", b"}", b"{}{}", GOOD + GOOD, GOOD[:-1], b"," + GOOD[1:], GOOD + b"\n", b" " + GOOD, b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"x", b"\xff"), GOOD.decode().encode("utf-16"), b'{"ts": "2026-03-02T12:00:00Z}', b'{"a": "x}', b'"}', b"{\n" + GOOD[1:],
        b'{"ts":{}', b',"x":2}', b'{"ts": "2026-03-02T12:00:00Z", "x": 1, "note": "\xed\xb0\x80"}', GOOD.replace(b"1.5", b"1.5, \"note\": \"a\x01\""),
    ]
)  # fmt: skip
USUAL = st.builds(
    lambda x, note: written([("ts", '"2026-03-02T12:00:00Z"'), ("machine", '"m1"'), ("x", x), *note]),
    TEXTS | st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str),
    st.lists(st.tuples(NAMES, TEXTS), max_size=1),
)
VALUES = st.one_of(st.none(), st.just(GOOD), USUAL, FIELDS.map(written), ODD, st.binary(max_size=20))
KEYS = st.sampled_from([b"m1", "설비2".encode(), b"m9", b"", b"\xff", None])


@pytest.mark.parametrize("layout", [LAYOUT, NUMBERED, LOCAL, STRICT])
@settings(max_examples=400, deadline=None)
@given(messages=st.lists(st.tuples(VALUES, KEYS), max_size=8), small=st.sampled_from([1, 3]))
@example(messages=[(b'{"a": "x}', b"m1"), (b'"}', b"m1")], small=1)
@example(messages=[(GOOD[:-1] + b",", b"m1"), (b'"note": 2}' + GOOD, b"m1")], small=1)
@example(messages=[(GOOD + GOOD, b"m1"), (b"", b"m1")], small=1)
@example(messages=[(b'{"ts":{}', b"m1"), (b',"x":2}{}', b"m1")], small=1)
def test_many_at_a_time_are_read_as_each_of_them_alone(
    layout: Layout, messages: list[tuple[bytes | None, bytes | None]], small: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So that the fast way is taken wherever it can be, and each message that it does not take is read alone.
        patch.setattr(reading, "SMALL", small)
        read = Reader(layout).read([value for value, _ in messages], [key for _, key in messages])
    careful = [Single(layout).read(value, key) for value, key in messages]
    good = [(place, one) for place, one in enumerate(careful) if isinstance(one, Row)]
    assert read.rejected == [(place, one) for place, one in enumerate(careful) if isinstance(one, Rejected)]
    assert read.rows.places.tolist() == [place for place, _ in good]
    assert read.rows.assets.tolist() == [one.asset for _, one in good]
    assert read.rows.times.tolist() == [one.at_us for _, one in good]
    wanted = np.array([one.values for _, one in good], dtype=float).reshape(-1, len(layout.fields)).T
    assert np.array_equal(read.rows.values, wanted, equal_nan=True)
    assert {name for name in read.unknown if name.isprintable()} == {
        name for _, one in good for name in one.unknown if name.isprintable()
    }


def test_one_wrong_row_leaves_the_fast_way_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    careful = Single.read

    def counted(self: Single, value: bytes | None, key: bytes | None) -> Row | Rejected:
        looked_at.append(value)
        return careful(self, value, key)

    monkeypatch.setattr(Single, "read", counted)
    values = [GOOD] * 4000
    values[1234] = b"nonsense"
    read = Reader(LAYOUT).read(values, [b"m1"] * 4000)
    assert [place for place, _ in read.rejected] == [1234]
    assert len(read.rows.places) == 3999
    assert len(looked_at) <= reading.SMALL


# --- what a row may be ----------------------------------------------------------------------------------------------


def test_fields_become_tags_and_a_missing_one_is_not_a_number() -> None:
    found = row(LAYOUT, '{"압력": 2, "ts": "2026-03-02T21:00:00+09:00"}'.encode(), "설비2".encode())
    assert (found.asset, found.at_us) == (1, NOON)
    assert math.isnan(found.values[0]) and found.values[1] == 2.0


def test_the_asset_may_stand_in_a_field() -> None:
    assert row(NUMBERED, b'{"ts": 1772452800123, "machine": "m1", "x": 1}', None).at_us == NOON + 123_000
    assert reason(NUMBERED, b'{"ts": 1772452800123, "machine": "m2", "x": 1}') == "unknown_asset"
    assert reason(NUMBERED, b'{"ts": 1772452800123, "x": 1}') == "unknown_asset"


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-03-02T21:00:00", NOON), ("2026-03-02 12:00:00Z", NOON), ("2026-03-02T12:00:00.1234567Z", NOON + 123_456),
        ("2026-03-02T21:00:00.1234567", NOON + 123_456), ("2026-03-02T07:00:00-0500", NOON),
    ],
)  # fmt: skip
def test_a_text_without_a_zone_is_of_the_zone_that_was_named(text: str, us: int) -> None:
    assert row(LOCAL, json.dumps({"ts": text, "x": 1}).encode()).at_us == us


def test_an_hour_that_comes_twice_is_the_first_and_one_that_does_not_come_is_no_time() -> None:
    layout = Layout(assets=("m1",), fields={"x": "x"}, zone="Europe/Berlin", asset="m1")
    assert row(layout, b'{"ts": "2025-10-26T02:30:00", "x": 1}').at_us == 1_761_438_600_000_000
    assert reason(layout, b'{"ts": "2025-03-30T02:30:00", "x": 1}') == "wrong_time"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "not_readable"), (b"", "not_readable"), (b"nonsense", "not_readable"), (b"[]", "not_readable"), (GOOD + GOOD, "not_readable"),
        (GOOD.replace(b"1.5", b"NaN"), "not_readable"), (GOOD.replace(b"1.5", b'1.5, "x": 2'), "not_readable"),
        (b"[" * 100_000, "not_readable"), (GOOD.replace(b"1.5", b'"1.5"'), "wrong_type"), (GOOD.replace(b"1.5", b"true"), "wrong_type"),
        (GOOD.replace(b"1.5", b"1e400"), "wrong_value"), (GOOD.replace(b"1.5", b"9" * 400), "wrong_value"),
        (b'{"x": 1}', "wrong_time"), (b'{"ts": null, "x": 1}', "wrong_time"), (b'{"ts": 1772452800, "x": 1}', "wrong_time"),
        (b'{"ts": "2026-03-02T12:00:00", "x": 1}', "wrong_time"), (b'{"ts": "1970-01-01T00:00:00Z", "x": 1}', "wrong_time"),
        (b'{"ts": "yesterday", "x": 1}', "wrong_time"), (b'{"ts": "2026-03-02T12:00:00Z", "y": 1}', "wrong_column"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_is_named(value: bytes | None, why: str) -> None:
    assert reason(LAYOUT, value) == why


def test_a_machine_that_the_plant_does_not_have_is_named_so() -> None:
    assert reason(LAYOUT, GOOD, b"m9") == "unknown_asset"
    assert reason(LAYOUT, GOOD, None) == "unknown_asset"


@pytest.mark.parametrize(
    "given", [b"1772452800", b"1772452800000000", b"1772452800000.0", b"true", b'"1"', b"9" * 30]
)
def test_a_number_of_another_unit_is_no_time(given: bytes) -> None:
    assert reason(NUMBERED, b'{"machine": "m1", "x": 1, "ts": %b}' % given) == "wrong_time"


def test_an_unknown_field_is_left_out_and_named_or_has_its_row_rejected() -> None:
    more = GOOD.replace(b"1.5", b'1.5, "note": {"a": [1]}')
    assert row(LOCAL, more).unknown == Reader(LOCAL).read([more], [None]).unknown == {"note"}
    assert reason(STRICT, more) == "wrong_column"


def test_a_row_whose_tags_are_all_null_is_a_row() -> None:
    assert math.isnan(row(STRICT, GOOD.replace(b"1.5", b"null")).values[0])


def test_a_field_nested_so_deep_that_arrow_would_end_the_process_is_only_rejected() -> None:
    deep: Any = b'{"ts": "2026-03-02T12:00:00Z", "x": 1, "note": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert reason(LOCAL, deep) == "not_readable"


# --- layouts --------------------------------------------------------------------------------------------------------

PLANT = Plant(
    id="p", name="p", owner="o", assets=(Asset(name="m1"),), tags=(Tag(name="a"), Tag(name="b"), Tag(name="c"))
)  # fmt: skip


def test_fields_are_named_like_their_tags_unless_they_are_mapped() -> None:
    assert fields_of(PLANT, {"AI-07": "b"}) == {"a": "a", "AI-07": "b", "c": "c"}
    assert fields_of(PLANT, {"AI-07": "b"}, ["c", "b"]) == {"AI-07": "b", "c": "c"}


def test_what_does_not_fit_the_plant_is_said_before_anything_is_read() -> None:
    with pytest.raises(BadLayout, match="no tag z; its tags are a, b, c"):
        fields_of(PLANT, {"AI-07": "z"})
    with pytest.raises(BadLayout, match="one tag has two fields"):
        fields_of(PLANT, {"AI-07": "b", "AI-08": "b"})
    with pytest.raises(BadLayout, match="no asset m2"):
        check_asset(PLANT, "m2")
    with pytest.raises(BadLayout, match="named for two things"):
        Layout(assets=("m1",), fields={"ts": "a"})
