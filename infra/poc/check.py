"""What must agree across the files of a folder: who is who, and which assets and tags there are.

Works on the documents, not on records, so that a slip in one file hides none in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.poc.record_reading import did_you_mean, listed, value_at
from infra.poc.yaml_document import Document, Keys, Problem
from infra.words.language import Phrase
from schemas.parties import Role
from streams.topics import OPERATOR


@dataclass(frozen=True, kw_only=True)
class Raw:
    """The documents of a folder."""

    organisations: Document
    programme: Document
    plant: Document
    need: Document
    pairing: Document
    agreements: tuple[Document, ...]


#: Where in a document a name stands, by the name; the first of each.
Names = Mapping[str, Keys]


def items(document: Document) -> list[Keys]:
    """The places of the records in a file that holds one or a list of them."""
    if not document.readable:
        return []
    return [(index,) for index in range(len(document.data))] if isinstance(document.data, list) else [()]


def folder_problems(raw: Raw) -> list[Problem]:
    """Everything that one file says against another; nothing is compared with a file that cannot be read."""
    return [
        *_ids(raw),
        *_programme(raw),
        *_plant(raw),
        *_needs(raw),
        *_pairings(raw),
        *(problem for agreement in raw.agreements for problem in _agreement(agreement, raw.plant)),
    ]


def _ids(raw: Raw) -> Iterator[Problem]:
    """Ids given twice, and ids that would share a topic."""
    for document in (raw.organisations, raw.need, raw.pairing):
        yield from _twice(document, [(*keys, "id") for keys in items(document)])
    organisations = _names(raw.organisations, [(*keys, "id") for keys in items(raw.organisations)])
    if OPERATOR in organisations:
        yield raw.organisations.problem(
            organisations[OPERATOR],
            Phrase(
                f"{OPERATOR!r} is the installation's own; choose another id",
                f"{OPERATOR!r}은(는) 시스템이 쓰는 ID입니다. 다른 ID를 쓰세요.",
            ),
        )
    for keys, name in _texts(raw.plant, [(*_top(raw.plant), "id")]):
        if name in organisations or name == OPERATOR:
            yield raw.plant.problem(
                keys,
                Phrase(
                    f"{name!r} is already the id of an organisation; choose another",
                    f"{name!r}은(는) 이미 기관의 ID입니다. 다른 ID를 쓰세요.",
                ),
            )


def _twice(document: Document, places: list[Keys]) -> Iterator[Problem]:
    """Names at these places that stood at an earlier one."""
    first: dict[str, Keys] = {}
    for keys, name in _texts(document, places):
        if name in first:
            line = document.values[first[name]].line
            message = Phrase(
                f"{name!r} is already on line {line}; choose another name, or remove one of them",
                f"{name!r}이(가) {line}번째 줄에 이미 있습니다. 다른 이름을 쓰거나 하나를 지우세요.",
            )
            yield document.problem(keys, message)
        first.setdefault(name, keys)


def _programme(raw: Raw) -> Iterator[Problem]:
    top = _top(raw.programme)
    operators = value_at(raw.programme.data, (*top, "operators"))
    for index in range(len(operators) if isinstance(operators, list) else 0):
        yield from _role(raw, raw.programme, (*top, "operators", index), Role.COORDINATOR)
    starts, ends = (value_at(raw.programme.data, (*top, name)) for name in ("starts", "ends"))
    if isinstance(starts, str) and isinstance(ends, str) and len(starts) == len(ends) == 10 and ends < starts:
        yield raw.programme.problem(
            (*top, "ends"), Phrase(f"lies before starts ({starts})", f"시작일({starts})보다 앞섭니다.")
        )


def _plant(raw: Raw) -> Iterator[Problem]:
    yield from _role(raw, raw.plant, (*_top(raw.plant), "owner"), Role.MANUFACTURER)
    for listing in ("assets", "tags"):
        yield from _twice(raw.plant, _listed_names(raw.plant, listing))


def _needs(raw: Raw) -> Iterator[Problem]:
    programme = _names(raw.programme, [(*_top(raw.programme), "id")])
    plant = _names(raw.plant, [(*_top(raw.plant), "id")])
    for keys in items(raw.need):
        yield from _known(raw.need, (*keys, "programme"), programme, raw.programme.file)
        yield from _known(raw.need, (*keys, "plant"), plant, raw.plant.file)


def _pairings(raw: Raw) -> Iterator[Problem]:
    needs = _names(raw.need, [(*keys, "id") for keys in items(raw.need)])
    for keys in items(raw.pairing):
        yield from _known(raw.pairing, (*keys, "need"), needs, raw.need.file)
        yield from _role(raw, raw.pairing, (*keys, "startup"), Role.STARTUP)


def _agreement(agreement: Document, plant: Document) -> Iterator[Problem]:
    for inner, listing in (("assets", "assets"), ("inputs", "tags")):
        known = _names(plant, _listed_names(plant, listing))
        keys = (*_top(agreement), inner)
        places: list[Keys] = [(*keys, index) for index in range(_length(agreement, keys))]
        yield from _twice(agreement, places)
        for place in places:
            yield from _known(agreement, place, known, plant.file)


def _listed_names(document: Document, listing: str) -> list[Keys]:
    """The places of the names of a list's records."""
    keys = (*_top(document), listing)
    return [(*keys, index, "name") for index in range(_length(document, keys))]


def _role(raw: Raw, document: Document, keys: Keys, role: Role) -> Iterator[Problem]:
    """The organisation named at a place must be there and hold the role."""
    known = _names(raw.organisations, [(*item, "id") for item in items(raw.organisations)])
    unknown = list(_known(document, keys, known, raw.organisations.file))
    yield from unknown
    for _, name in _texts(document, [keys] if not unknown and known else []):
        roles = value_at(raw.organisations.data, (*known[name][:-1], "roles"))
        # A role that is misspelt there may be this one.
        if isinstance(roles, list) and roles and role not in roles and set(map(str, roles)) <= set(Role):
            line = raw.organisations.values[known[name]].line
            message = Phrase(
                f"{name!r} has no role {role}; add it to its roles ({raw.organisations.file}:{line})",
                f"{name!r}에 {role} 역할이 없습니다. {raw.organisations.file}:{line}의 roles에 추가하세요.",
            )
            yield document.problem(keys, message)


def _known(document: Document, keys: Keys, known: Names, file: str) -> Iterator[Problem]:
    """The name at a place must be one of the known; without any to compare with nothing is said."""
    for _, name in _texts(document, [keys] if known else []):
        if name not in known:
            message = Phrase(f"{name!r} is not in {file}", f"{name!r}이(가) {file}에 없습니다.")
            close = did_you_mean(name, known)
            there = Phrase(f" (there: {listed(known)})", f" (있는 것: {listed(known)})")
            yield document.problem(keys, message + close + there)


def _top(document: Document) -> Keys:
    """Where the record of a file with one record stands: at the top, or alone in a list."""
    return (0,) if isinstance(document.data, list) and len(document.data) == 1 else ()


def _length(document: Document, keys: Keys) -> int:
    found = value_at(document.data, keys)
    return len(found) if isinstance(found, list) else 0


def _texts(document: Document, places: list[Keys]) -> Iterator[tuple[Keys, str]]:
    """The texts that stand at these places; others are for the records to complain about."""
    for keys in places:
        found: Any = value_at(document.data, keys)
        if isinstance(found, str) and found:
            yield keys, found.strip()


def _names(document: Document, places: list[Keys]) -> dict[str, Keys]:
    names: dict[str, Keys] = {}
    for keys, name in _texts(document, places):
        names.setdefault(name, keys)
    return names
