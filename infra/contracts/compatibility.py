"""Whether a changed schema would break somebody who keeps to the earlier one.

A schema allows a set of documents. Who writes must still be allowed everything that was allowed; who reads must still
be able to expect everything that could be expected; and what is kept must still be readable. All three ask whether one
set lies within another, and the answer is a list of the places where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Schema = Mapping[str, Any]

#: Marks a set of values or kinds that may grow: readers expect some that they do not know.
OPEN = "x-open"

_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "discriminator", "$schema", "$id", "$defs", OPEN, "$ref"}
)
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_STRUCTURE = frozenset(
    {
        "type",
        "format",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "items",
        "pattern",
    }
)
_KNOWN = _ANNOTATIONS | _STRUCTURE | {*_LOWER, *_UPPER}


class Side(StrEnum):
    """Whom a change must not break."""

    #: Writes records that the platform reads: what was accepted has to stay accepted, and mean the same.
    WRITER = "writer"
    #: Reads records that the platform writes: ignores fields that it does not know, and checks no limits.
    READER = "reader"
    #: The platform itself, which reads what an earlier version wrote and kept.
    KEEPER = "keeper"


def breaking_changes(old: Schema, new: Schema, side: Side = Side.WRITER) -> list[str]:
    """What of a change breaks that side, place by place; empty where nothing does.

    Args:
        old: for a writer what was accepted, for a reader and a keeper what was written.
        new: for a writer and a keeper what is accepted now, for a reader what is written now.
        side: who kept to the old one.

    Raises:
        ValueError: a schema uses a keyword that this comparison does not know.
    """
    if side is Side.READER:
        return _Comparison(inner_root=new, outer_root=old, side=side).compare(new, old, "")
    return _Comparison(inner_root=old, outer_root=new, side=side).compare(old, new, "")


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Whether every document of the inner schema is one of the outer schema."""

    inner_root: Schema
    outer_root: Schema
    side: Side

    def compare(self, inner: Schema, outer: Schema, at: str) -> list[str]:
        inner, outer = _resolved(inner, self.inner_root), _resolved(outer, self.outer_root)
        if not set(outer) - _ANNOTATIONS:
            return []
        return [
            problem
            for branch in _alternatives(inner, self.inner_root)
            for problem in self._within_one(branch, outer, at)
        ]

    def _within_one(self, inner: Schema, outer: Schema, at: str) -> list[str]:
        branches = _alternatives(outer, self.outer_root)
        kind = _kind(inner)
        if len(branches) > 1 and kind is not None:
            branches = [branch for branch in branches if _kind(branch) == kind]
            at = f"{at}[{kind}]"
        if not branches:
            return [] if self._may_grow(outer) else [self._say(at, "is a kind that")]
        found = [self._single(inner, branch, at) for branch in branches]
        best = min(found, key=len)
        if best and len(branches) > 1 and kind is None:
            return [self._say(at, f"may be {_shape(inner)}, which")]
        return best

    def _single(self, inner: Schema, outer: Schema, at: str) -> list[str]:
        problems = [*self._values(inner, outer, at)]
        if problems:
            return problems
        kind = inner.get("type")
        if kind == "object":
            problems += [*self._fields(inner, outer, at), *self._other_fields(inner, outer, at)]
        if kind == "array" and "items" in outer:
            problems += self.compare(inner.get("items", {}), outer["items"], f"{at}[]")
        if self.side is not Side.READER:
            problems += self._limits(inner, outer, at)
        return problems

    def _values(self, inner: Schema, outer: Schema, at: str) -> Iterator[str]:
        """Types and listed values."""
        have, wanted = inner.get("type"), outer.get("type")
        if wanted is not None and have != wanted and (have, wanted) != ("integer", "number"):
            yield self._say(at, f"is {have or 'anything'}, and {wanted} is what")
            return
        if "format" in outer and inner.get("format") != outer["format"]:
            yield self._say(
                at, f"is {inner.get('format', 'any ' + str(have))}, and {outer['format']} is what"
            )
        allowed = _listed(outer)
        if allowed is None or self._may_grow(outer):
            return
        listed = _listed(inner)
        if listed is None:
            yield self._say(at, f"may be any {have}, which")
        for value in listed or ():
            if value not in allowed:
                yield self._say(at, f"may be {value!r}, which")

    def _fields(self, inner: Schema, outer: Schema, at: str) -> Iterator[str]:
        mine, theirs = inner.get("properties", {}), outer.get("properties", {})
        sure, needed = set(inner.get("required", ())), set(outer.get("required", ()))
        for name in sorted(needed - sure):
            if self.side is not Side.READER:
                yield f"{_field(at, name)}: is required, and was not"
            elif name in mine:
                yield f"{_field(at, name)}: may be missing, and never was"
        for name, field in mine.items():
            place = _field(at, name)
            if name in theirs:
                yield from self.compare(field, theirs[name], place)
                yield from self._default(field, theirs[name], place, given=name in sure | needed)
            elif outer.get("additionalProperties") is False:
                yield f"{place}: is not accepted any more"
        if self.side is Side.READER:
            yield from (f"{_field(at, name)}: is not written any more" for name in theirs if name not in mine)

    def _default(self, inner: Schema, outer: Schema, at: str, *, given: bool) -> Iterator[str]:
        meant, means = (_without_nothing(one.get("default")) for one in (inner, outer))
        if self.side is Side.WRITER and not given and meant != means:
            yield f"{at}: meant {inner.get('default')!r} where it was left out, and means {outer.get('default')!r}"

    def _other_fields(self, inner: Schema, outer: Schema, at: str) -> Iterator[str]:
        """Fields by any name, as in a table."""
        mine, theirs = inner.get("additionalProperties", True), outer.get("additionalProperties", True)
        if isinstance(theirs, Mapping):
            yield from self.compare(mine if isinstance(mine, Mapping) else {}, theirs, f"{at}.*")
        elif theirs is False and (isinstance(mine, Mapping) or (mine and self.side is Side.WRITER)):
            yield f"{at}.*: fields of other names are not accepted any more"
        if self.side is not Side.READER and "propertyNames" in outer:
            names = {"type": "string", **inner.get("propertyNames", {})}
            yield from self.compare(names, {"type": "string", **outer["propertyNames"]}, f"{at}.*")

    def _limits(self, inner: Schema, outer: Schema, at: str) -> Iterator[str]:
        for word in _LOWER:
            if word in outer and not _reaches(inner, word, outer[word], upper=False):
                yield f"{at}: {word} is {outer[word]}, and was {inner.get(word, 'none')}"
        for word in _UPPER:
            if word in outer and not _reaches(inner, word, outer[word], upper=True):
                yield f"{at}: {word} is {outer[word]}, and was {inner.get(word, 'none')}"
        if "pattern" in outer and inner.get("pattern") != outer["pattern"] and _listed(inner) is None:
            yield f"{at}: has to match {outer['pattern']}, and had to match {inner.get('pattern', 'nothing')}"

    def _may_grow(self, outer: Schema) -> bool:
        return self.side is Side.READER and bool(outer.get(OPEN))

    def _say(self, at: str, what: str) -> str:
        readers = self.side is Side.READER
        return (
            f"{at or 'record'}: {what} {'readers do not expect' if readers else 'is not accepted any more'}"
        )


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**root["$defs"][name], **beside}
    unknown = set(schema) - _KNOWN
    if unknown:
        raise ValueError(f"the comparison does not know {', '.join(sorted(unknown))}; teach it, or avoid it")
    return schema


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """What a schema may be, one by one and without references; a union within a union counts as one."""
    schema = _resolved(schema, root)
    listed: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    return [one for branch in listed for one in _alternatives(branch, root)] or [schema]


def _kind(schema: Schema) -> str | None:
    kind = _listed(schema.get("properties", {}).get("kind", {}))
    return str(kind[0]) if kind else None


def _listed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    listed: list[Any] | None = schema.get("enum")
    return listed


def _shape(schema: Schema) -> str:
    return str(schema.get("title") or schema.get("format") or schema.get("type") or "anything")


def _field(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _reaches(inner: Schema, word: str, bound: float, *, upper: bool) -> bool:
    """Whether the inner schema keeps a bound: by the same word, or by the stricter or plainer form of it."""
    sign = -1 if upper else 1
    if word in inner and sign * inner[word] >= sign * bound:
        return True
    other = {
        "minimum": "exclusiveMinimum",
        "exclusiveMinimum": "minimum",
        "maximum": "exclusiveMaximum",
        "exclusiveMaximum": "maximum",
    }.get(word)
    listed = _listed(inner)
    if listed is not None and word in ("minLength", "maxLength"):
        return all(sign * len(str(value)) >= sign * bound for value in listed)
    if other is None or other not in inner:
        return False
    past, limit = float(sign * inner[other]), sign * bound
    return past >= limit if other.startswith("exclusive") else past > limit


def _without_nothing(value: Any) -> Any:
    """A default without the fields that hold nothing: they are left out where it is written."""
    if isinstance(value, dict):
        return {key: _without_nothing(one) for key, one in value.items() if one is not None}
    return value
