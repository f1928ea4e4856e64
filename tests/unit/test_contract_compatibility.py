"""Which changes of a record break whom: the table of docs/contracts.md, case by case."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from infra.contracts import files
from infra.contracts.compatibility import OPEN, Side, breaking_changes
from infra.contracts.record_schemas import RECORDS, RecordSchema

WRITER, READER, KEEPER = Side.WRITER, Side.READER, Side.KEEPER


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Row(Closed):
    asset: str = Field(min_length=1, max_length=64)
    count: int
    unit: str = "1"
    note: str | None = None
    state: Literal["on", "off"]
    values: dict[str, float] = {}


class Point(Closed):
    kind: Literal["point"] = "point"
    at: int


class Span(Closed):
    kind: Literal["span"] = "span"
    start: int


class Outage(Closed):
    kind: Literal["outage"] = "outage"


class Before(Closed):
    label: Annotated[Point | Span, Field(discriminator="kind")]


class After(Closed):
    label: Annotated[Point | Span | Outage, Field(discriminator="kind")]


def _accepted(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation", schema_generator=RecordSchema)


def _written(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization", schema_generator=RecordSchema)


def _change(old: type[BaseModel], new: type[BaseModel], side: Side) -> list[str]:
    """What a change of a model breaks for a side."""
    if side is WRITER:
        return breaking_changes(_accepted(old), _accepted(new), side)
    if side is READER:
        return breaking_changes(_written(old), _written(new), side)
    return breaking_changes(_written(old), _accepted(new), side)


class WithOptional(Row):
    shift: str | None = None


class WithDefault(Row):
    shift: str = "day"


class WithRequired(Row):
    shift: str


class WithoutNote(Closed):
    asset: str = Field(min_length=1, max_length=64)
    count: int
    unit: str = "1"
    state: Literal["on", "off"]
    values: dict[str, float] = {}


class WithUnitRequired(Row):
    unit: str


class WithCountMissing(Row):
    count: int | None = None  # type: ignore[assignment]


class WithOtherDefault(Row):
    unit: str = "mm"


class WithMoreStates(Row):
    state: Literal["on", "off", "idle"]  # type: ignore[assignment]


class WithFewerStates(Row):
    state: Literal["on"]


class WithAnyState(Row):
    state: str  # type: ignore[assignment]


class WithWiderCount(Row):
    count: float  # type: ignore[assignment]


class WithTextCount(Row):
    count: str  # type: ignore[assignment]


class WithLongerAsset(Row):
    asset: str = Field(min_length=1, max_length=128)


class WithShorterAsset(Row):
    asset: str = Field(min_length=1, max_length=32)


class WithPattern(Row):
    asset: str = Field(min_length=1, max_length=64, pattern="^[a-z]+$")


class WithTextValues(Row):
    values: dict[str, str] = {}  # type: ignore[assignment]


#: Who is broken by a change from `Row`, and a word of what is said.
CHANGES: list[tuple[type[BaseModel], set[Side], str]] = [
    (WithOptional, set(), ""),
    (WithDefault, set(), ""),
    (WithRequired, {WRITER, KEEPER}, "shift: is required, and was not"),
    (WithoutNote, {WRITER, READER, KEEPER}, "note: is not"),
    (WithUnitRequired, {WRITER}, "unit: is required"),
    (WithCountMissing, {READER}, "count: may be missing"),
    (WithOtherDefault, {WRITER}, "unit: meant '1'"),
    (WithMoreStates, {READER}, "state: may be 'idle'"),
    (WithFewerStates, {WRITER, KEEPER}, "state: may be 'off'"),
    (WithAnyState, {READER}, "state: may be any string"),
    (WithWiderCount, {READER}, "count: is number"),
    (WithTextCount, {WRITER, READER, KEEPER}, "count: is"),
    (WithLongerAsset, set(), ""),
    (WithShorterAsset, {WRITER, KEEPER}, "asset: maxLength is 32"),
    (WithPattern, {WRITER, KEEPER}, "asset: has to match"),
    (WithTextValues, {WRITER, READER, KEEPER}, "values.*: is"),
]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("new", "broken", "words"), CHANGES, ids=lambda one: getattr(one, "__name__", ""))
def test_a_change_breaks_whom_it_should(
    new: type[BaseModel], broken: set[Side], words: str, side: Side
) -> None:
    found = _change(Row, new, side)
    assert bool(found) == (side in broken), found
    assert all(words in one for one in found)


@pytest.mark.parametrize(
    ("old", "new", "broken"), [(Before, After, {READER}), (After, Before, {WRITER, KEEPER})]
)
def test_a_kind_breaks_whom_it_should(old: type[BaseModel], new: type[BaseModel], broken: set[Side]) -> None:
    for side in Side:
        found = _change(old, new, side)
        assert bool(found) == (side in broken), (side, found)
        assert all("label[outage]" in one for one in found)


def test_a_change_within_one_kind_is_named_with_its_place() -> None:
    old = _accepted(Before)
    new = copy.deepcopy(old)
    new["$defs"]["Span"]["properties"]["start"]["minimum"] = 0
    assert breaking_changes(old, new) == ["label[span].start: minimum is 0, and was none"]


def test_readers_are_ready_for_new_values_where_the_set_may_grow() -> None:
    old = _written(Row)
    old["properties"]["state"][OPEN] = True
    assert breaking_changes(old, _written(WithMoreStates), READER) == []
    kinds = _written(Before)
    kinds["properties"]["label"][OPEN] = True
    assert breaking_changes(kinds, _written(After), READER) == []


def test_a_set_that_may_grow_may_not_change_what_is_in_it() -> None:
    old = _written(Before)
    old["properties"]["label"][OPEN] = True
    new = copy.deepcopy(old)
    del new["$defs"]["Point"]["properties"]["at"]
    new["$defs"]["Point"]["required"].remove("at")
    assert breaking_changes(old, new, READER) == ["label[point].at: is not written any more"]


def test_a_plain_limit_replaced_by_a_stricter_form_of_it_is_noticed() -> None:
    def number(**limits: float) -> dict[str, Any]:
        return {"type": "number", **limits}

    assert breaking_changes(number(minimum=0), number(exclusiveMinimum=0))
    assert breaking_changes(number(exclusiveMinimum=0), number(minimum=0)) == []
    assert breaking_changes(number(maximum=5), number(exclusiveMaximum=6)) == []
    assert breaking_changes(number(exclusiveMaximum=5), number(maximum=4))


def test_an_unknown_keyword_is_an_error_and_not_a_silent_yes() -> None:
    with pytest.raises(ValueError, match="dependentRequired"):
        breaking_changes({"type": "object", "dependentRequired": {}}, {"type": "object"})


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@pytest.mark.parametrize("side", [WRITER, READER])
def test_a_record_breaks_nobody_by_staying_as_it_is(record: Any, side: Side) -> None:
    schema = files.schemas()[record.name]
    assert breaking_changes(schema, copy.deepcopy(schema), side) == []


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, part in schema["$defs"].items():
        yield from ((name, field) for field in part.get("properties", {}))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_whichever_field_is_taken_away_is_missed(record: Any) -> None:
    """The comparison reaches every field of every record, for those who write it or those who read it."""
    schema = files.schemas()[record.name]
    side = WRITER if record.direction == "accepted" else READER
    unnoticed = []
    for model, field in _fields(schema):
        new = copy.deepcopy(schema)
        part = new["$defs"][model]
        del part["properties"][field]
        part["required"] = [name for name in part.get("required", ()) if name != field]
        if not breaking_changes(schema, new, side):
            unnoticed.append(f"{model}.{field}")
    assert unnoticed == []


def test_a_default_may_get_a_field_that_holds_nothing_and_no_other() -> None:
    def of(default: object) -> dict[str, object]:
        field = {"type": "object", "properties": {}, "default": default}
        return {"type": "object", "properties": {"unit": field}}

    assert not breaking_changes(of({"kind": "block"}), of({"kind": "block", "offset": None}))
    assert breaking_changes(of({"kind": "block"}), of({"kind": "block", "offset": 5}))
