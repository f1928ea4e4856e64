"""Records read from a document: what the schema complains about becomes a problem at its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.poc.yaml_document import Document, Keys, Problem
from infra.words.language import NOTHING, Phrase
from schemas.base import Record

R = TypeVar("R", bound=Record)


def read_record(model: type[R], document: Document, keys: Keys = ()) -> tuple[R | None, list[Problem]]:
    """The record at a place of a document, or everything that is wrong with it."""
    data = value_at(document.data, keys)
    if not isinstance(data, dict):
        fields = ", ".join(name for name, info in model.model_fields.items() if info.is_required())
        message = Phrase(
            f"fields are expected here, one `name: value` a line: {fields}",
            f"여기에는 `이름: 값` 항목이 필요합니다: {fields}",
        )
        return None, [document.problem(keys, message)]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        details = [one for one in error.errors(include_url=False) if not _echo(data, one)]
        return None, _once(_problem(model, document, keys, one) for one in details)


def value_at(data: Any, keys: Keys) -> Any:
    """The value at a place, or None where the data have no such place."""
    for key in keys:
        in_list = isinstance(data, list) and isinstance(key, int) and key < len(data)
        if not in_list and not (isinstance(data, dict) and key in data):
            return None
        data = data[key]
    return data


def did_you_mean(name: str, known: Iterable[str]) -> Phrase:
    """A suggestion where one of the known names is close, nothing otherwise."""
    names = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if not close:
        return NOTHING
    return Phrase(f"; did you mean `{names[close[0]]}`?", f" `{names[close[0]]}`을(를) 쓰려고 하셨나요?")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, not more than a reader takes in."""
    every = list(names)
    return ", ".join(every[:most]) + (f", … ({len(every)})" if len(every) > most else "")


def _echo(data: Any, detail: ErrorDetails) -> bool:
    """Whether a list is called too short only because what stands in it was refused."""
    return detail["type"] == "too_short" and bool(value_at(data, detail["loc"]))


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """One problem a place: a value that may be of several types is complained about once for each."""
    return list({(one.line, one.column, one.path): one for one in problems}.values())


def _problem(model: type[Record], document: Document, base: Keys, detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    keys = _within(document, (*base, *detail["loc"]), missing=kind == "missing")
    if kind == "term":
        said = detail["ctx"]
        keys = (*keys, *said["keys"])
        whole = isinstance(value_at(document.data, keys), (dict, list))
        return document.problem(keys, Phrase(said["en"], said["ko"]), at_name=whole)
    if kind == "value_error":
        keys = _blamed(document.data, keys, detail["msg"])
    if kind == "extra_forbidden":
        name = str(keys[-1])
        allowed = _fields_at(model, keys[len(base) : -1])
        message = Phrase("is no field here", "여기에 없는 항목입니다.") + did_you_mean(name, allowed)
        if allowed:
            message += Phrase(f" (fields: {listed(allowed)})", f" (항목: {listed(allowed)})")
        return document.problem(keys, message, at_name=True)
    return document.problem(keys, _words(document, keys, detail))


def _within(document: Document, loc: Keys, *, missing: bool) -> Keys:
    """The part of pydantic's location that the document has: what follows names alternatives of a type."""
    for size in range(len(loc), 0, -1):
        if loc[:size] in document.values:
            return loc[: size + 1] if missing else loc[:size]
    return loc[:1] if missing else ()


def _fields_at(model: type[Record], keys: Keys) -> list[str]:
    record: type[Record] | None = model
    for key in keys:
        if record is None or isinstance(key, int):
            continue
        info = record.model_fields.get(key)
        record = _record_in(info.annotation) if info is not None else None
    return list(record.model_fields) if record is not None else []


def _record_in(annotation: Any) -> type[Record] | None:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _record_in(inner)) is not None), None)


#: Which field a sentence of the records' own checks is about.
_BLAME: tuple[tuple[str, tuple[Keys, ...]], ...] = (
    (r"^metric ", (("acceptance", "metric"),)),
    (r"the threshold is given as", (("acceptance", "at_least"), ("acceptance", "at_most"))),
    (r"exactly one of at_least and at_most", (("at_most",), ("at_least",))),
    (r"absent_means", (("labels", "absent_means"),)),
    (r"classes$|classes:|classes through|has two classes|no classes", (("classes",), ("task",))),
)


def _blamed(data: Any, keys: Keys, said: str) -> Keys:
    """The nearest place to what a check of a whole record complains about."""
    said = said.removeprefix("Value error, ")
    twice = re.match(r"(asset|tag|input|baseline) named twice: ([^,]+)", said)
    if twice:
        inner: Keys = (f"{twice[1]}s",)
        names = [_name(item) for item in value_at(data, (*keys, *inner)) or ()]
        again = [index for index, name in enumerate(names) if name == twice[2] and name in names[:index]]
        return (*keys, *inner, *again[:1])
    if re.search(r"is none of the classes|is no number", said):
        for index, baseline in enumerate(value_at(data, (*keys, "baselines")) or ()):
            if isinstance(baseline, dict) and said.startswith(repr(baseline.get("answer"))):
                return (*keys, "baselines", index, "answer")
    for pattern, places in _BLAME:
        if re.search(pattern, said):
            for inner in places:
                if value_at(data, (*keys, *inner)) is not None:
                    return (*keys, *inner)
    return keys


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else item


def _words(document: Document, keys: Keys, detail: ErrorDetails) -> Phrase:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return Phrase(
            f"is missing; add `{keys[-1]}: …`", f"항목이 없습니다. `{keys[-1]}: …`을(를) 추가하세요."
        )
    if value_at(document.data, keys) is None and keys in document.values:
        return Phrase(
            "has no value; write one after the colon, or remove the line",
            "값이 비어 있습니다. 콜론 뒤에 값을 쓰거나 줄을 지우세요.",
        )
    if kind == "string_type" and keys in document.typed:
        typed = document.typed[keys]
        return Phrase(
            f'is read as a {_kind_of(document, keys)}, and text is expected; write it in quotes: "{typed}"',
            f'글자 값이 필요합니다. 따옴표로 감싸세요: "{typed}"',
        )
    if kind == "string_pattern_mismatch":
        return _pattern_words(str(detail.get("input")), str(context.get("pattern", "")))
    if kind in ("enum", "literal_error"):
        expected = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        found = str(detail.get("input"))
        return Phrase(
            f"{found!r} is none of {', '.join(expected)}",
            f"{found!r}은(는) 쓸 수 없습니다. 가능한 값: {', '.join(expected)}.",
        ) + did_you_mean(found, expected)
    if kind == "value_error":
        said = detail["msg"].removeprefix("Value error, ")
        return Phrase(said, f"값을 확인하세요: {said}")
    return _plain_words(kind, context, detail["msg"])


def _kind_of(document: Document, keys: Keys) -> str:
    return "true/false value" if isinstance(value_at(document.data, keys), bool) else "number"


def _pattern_words(found: str, pattern: str) -> Phrase:
    if pattern.startswith("^[a-z0-9]"):
        fixed = re.sub(r"[^a-z0-9]+", "-", found.lower()).strip("-")[:63].strip("-") or "pump-2026-01"
        return Phrase(
            f"{found!r} is no id: use small letters, digits and hyphens, at most 63, such as `{fixed}`",
            f"{found!r}은(는) ID로 쓸 수 없습니다. "
            f"영문 소문자·숫자·하이픈(63자 이하)만 쓰세요. 예: `{fixed}`",
        )
    fixed = re.sub(r"[\s/]+", "-", found.strip())
    return Phrase(
        f"{found!r} has a space or a slash; write it without, such as `{fixed}`",
        f"{found!r}에 공백이나 빗금(/)이 있습니다. 빼고 쓰세요. 예: `{fixed}`",
    )


def _plain_words(kind: str, context: dict[str, Any], said: str) -> Phrase:
    for start, phrase in _PLAIN.items():
        if kind.startswith(start):
            return phrase
    if kind in _BOUNDS:
        en, ko, key = _BOUNDS[kind]
        return Phrase(f"must be {en} {context.get(key)}", f"{context.get(key)} {ko}이어야 합니다.")
    if kind == "string_too_long":
        return Phrase(
            f"is too long; at most {context.get('max_length')} characters",
            f"너무 깁니다. {context.get('max_length')}자 이하로 쓰세요.",
        )
    return Phrase(said[:1].lower() + said[1:], f"값을 확인하세요: {said}")


_LIST = Phrase(
    "a list is expected: one `- value` a line, or [a, b]",
    "목록이 필요합니다: 한 줄에 `- 값` 하나씩, 또는 [a, b]",
)
_TEXT = Phrase("a text is expected here", "글자 값이 필요합니다.")
_PLAIN = {
    "string_too_short": Phrase("is empty; write a text", "비어 있습니다. 값을 쓰세요."),
    "string": _TEXT,
    "too_short": Phrase("the list is empty; give at least one", "목록이 비어 있습니다. 하나 이상 쓰세요."),
    "tuple_type": _LIST,
    "list_type": _LIST,
    "model": Phrase(
        "fields are expected here, one `name: value` a line, indented", "들여쓴 `이름: 값` 항목이 필요합니다."
    ),
    "int": Phrase("a whole number is expected", "정수가 필요합니다."),
    "float": Phrase("a number is expected", "숫자가 필요합니다."),
    "finite_number": Phrase("a finite number is expected", "유한한 숫자가 필요합니다."),
    "bool": Phrase("true or false is expected", "true 또는 false가 필요합니다."),
    "date": Phrase("a date such as 2026-03-01 is expected", "2026-03-01과 같은 날짜가 필요합니다."),
}
_BOUNDS = {
    "greater_than": ("more than", "초과", "gt"),
    "greater_than_equal": ("at least", "이상", "ge"),
    "less_than": ("less than", "미만", "lt"),
    "less_than_equal": ("at most", "이하", "le"),
}
