"""Checks a JSON value against a JSON Schema, as far as the contract documents use the language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_SILENT = {
    "title",
    "description",
    "default",
    "discriminator",
    "x-open",
    "$schema",
    "$id",
    "$defs",
    "format",
    "items",
}
_SILENT |= {"properties", "additionalProperties", "propertyNames", "pattern"}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """What of a value the schema does not allow; fields that it does not name are violations too."""
    return list(_violations(value, schema, root, "value"))


def _violations(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for word, wanted in schema.items():
        match word:
            case "$ref":
                yield from _violations(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, at)
            case "anyOf" | "oneOf":
                found = [list(_violations(value, branch, root, at)) for branch in wanted]
                fits = sum(not one for one in found)
                if not fits or (word == "oneOf" and fits > 1):
                    yield f"{at}: fits {fits} of {len(wanted)}: {min(found, key=len)}"
            case "type":
                if not _is(value, wanted):
                    yield f"{at}: {value!r} is no {wanted}"
            case "const" | "enum":
                if value not in ([wanted] if word == "const" else wanted):
                    yield f"{at}: {value!r} is not {wanted}"
            case "required":
                yield from (f"{at}.{name}: is missing" for name in wanted if name not in value)
            case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
                if not _within(value, word, wanted):
                    yield f"{at}: {value} breaks {word} {wanted}"
            case "minLength" | "minItems" | "minProperties" | "maxLength" | "maxItems" | "maxProperties":
                if (len(value) < wanted) if word.startswith("min") else (len(value) > wanted):
                    yield f"{at}: breaks {word} {wanted}"
            case _:
                assert word in _SILENT, f"unknown keyword {word}"
    yield from _inside(value, schema, root, at)


def _inside(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, dict) and schema.get("type") == "object":
        named, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, part in value.items():
            if name in named:
                yield from _violations(part, named[name], root, f"{at}.{name}")
            elif isinstance(others, dict):
                yield from _violations(part, others, root, f"{at}.{name}")
            elif others is not True:
                yield f"{at}.{name}: is not in the schema"
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _violations(part, schema.get("items", {}), root, f"{at}[{index}]")
    if isinstance(value, str):
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            yield f"{at}: {value!r} does not match {schema['pattern']}"
        if schema.get("format") == "date-time":
            assert datetime.fromisoformat(value).tzinfo is not None
        if schema.get("format") == "date":
            date.fromisoformat(value)


def _is(value: Any, wanted: str) -> bool:
    if wanted in ("integer", "number"):
        return not isinstance(value, bool) and isinstance(value, int if wanted == "integer" else (int, float))
    return isinstance(value, _TYPES[wanted])


def _within(value: float, word: str, bound: float) -> bool:
    return {
        "minimum": value >= bound,
        "exclusiveMinimum": value > bound,
        "maximum": value <= bound,
        "exclusiveMaximum": value < bound,
    }[word]
