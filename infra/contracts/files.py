"""The contract documents as files: what they hold now, and the frozen copy of the last version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from infra.contracts import asyncapi
from infra.contracts.channels import CHANNELS, MESSAGES
from infra.contracts.compatibility import Side, breaking_changes
from infra.contracts.examples import examples
from infra.contracts.record_schemas import RECORDS, Definitions, RecordType, definitions

Json = dict[str, Any]

#: Version of the contracts: the first number goes up when a change breaks somebody, the second when something is added.
VERSION = "3.0.0"

DOCS = Path(__file__).parents[2] / "docs"

#: Whole folders of generated files, below the documents.
SCHEMAS, EXAMPLES, LAST = Path("schemas"), Path("examples"), Path("contracts/last")
ASYNCAPI = Path("asyncapi.yaml")
MESSAGE_TABLE = SCHEMAS / "messages.json"


def _of(direction: str) -> tuple[RecordType, ...]:
    return tuple(record for record in RECORDS if record.direction == direction)


def _definitions() -> tuple[Definitions, Definitions]:
    return definitions("accepted", _of("accepted")), definitions("written", _of("written"))


def schemas() -> dict[str, Json]:
    """The schema of each record, by its name."""
    accepted, written = _definitions()
    return {
        record.name: (accepted if record.direction == "accepted" else written).document(record)
        for record in RECORDS
    }


def message_table() -> Json:
    """Each CloudEvents type: where it travels, what its value is, and what its headers are."""
    table = {
        message.type: {
            "address": next(one.address for one in CHANNELS if message.name in one.messages),
            "key": next(one.key for one in CHANNELS if message.name in one.messages),
            "content": message.content,
            "record": message.record,
            "columns": {column.name: column.type for column in message.columns},
            "headers": message.headers_schema(),
        }
        for message in MESSAGES
    }
    return {"version": VERSION, "messages": table}


def generated() -> dict[Path, str]:
    """Every generated file, by its path below the documents."""
    files = {ASYNCAPI: _asyncapi(VERSION)}
    files |= {SCHEMAS / f"{name}.schema.json": _json(schema) for name, schema in schemas().items()}
    files[MESSAGE_TABLE] = _json(message_table())
    files |= {EXAMPLES / f"{example.name}.json": _json(example.shown()) for example in examples()}
    return files


@cache
def _asyncapi(version: str) -> str:
    accepted, written = _definitions()
    return asyncapi.text(asyncapi.document(version, accepted=accepted, written=written))


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def stale(docs: Path = DOCS) -> list[Path]:
    """Generated files that are missing, differ from the models, or are left over."""
    wanted = generated()
    there = {ASYNCAPI} | {
        path.relative_to(docs)
        for folder in (SCHEMAS, EXAMPLES)
        for path in (docs / folder).rglob("*")
        if path.is_file()
    }
    return sorted(
        path
        for path in wanted.keys() | there
        if path not in wanted
        or not (docs / path).is_file()
        or (docs / path).read_bytes() != wanted[path].encode()
    )


def write(docs: Path = DOCS) -> list[Path]:
    """Bring every generated file up to date; gives those that changed."""
    changed = stale(docs)
    wanted = generated()
    for path in changed:
        if path in wanted:
            (docs / path).parent.mkdir(parents=True, exist_ok=True)
            (docs / path).write_bytes(wanted[path].encode())
        else:
            (docs / path).unlink()
    return changed


def freeze(docs: Path = DOCS) -> list[str]:
    """Make the present contracts the last version, unless they break it; gives what they break.

    A version whose first number is higher than the last one's may break it.
    """
    last = docs / LAST
    found = broken(docs) if last.is_dir() else []
    if found and _major(VERSION) <= _major(_read(last / MESSAGE_TABLE.name)["version"]):
        return found
    write(docs)
    shutil.rmtree(last, ignore_errors=True)
    shutil.copytree(docs / SCHEMAS, last)
    return []


def _major(version: str) -> int:
    return int(version.split(".", maxsplit=1)[0])


def _read(path: Path) -> Json:
    made: Json = json.loads(path.read_bytes())
    return made


def broken(docs: Path = DOCS) -> list[str]:
    """What the present models and messages break of the last version: `record: place: what`."""
    last = docs / LAST
    return [*_broken_records(last), *broken_messages(_read(last / MESSAGE_TABLE.name), message_table())]


def _broken_records(last: Path) -> Iterator[str]:
    now = schemas()
    names = {path.name.removesuffix(".schema.json") for path in last.glob("*.schema.json")}
    yield from (f"{name}: there is no such record any more" for name in sorted(names - now.keys()))
    readable = definitions("accepted", _of("written"))
    for record in RECORDS:
        path = last / f"{record.name}.schema.json"
        if not path.is_file():
            continue
        old = _read(path)
        if record.direction == "accepted":
            found = breaking_changes(old, now[record.name], Side.WRITER)
        else:
            found = [
                *breaking_changes(old, now[record.name], Side.READER),
                *(
                    f"{one} (in what is kept)"
                    for one in breaking_changes(old, readable.document(record), Side.KEEPER)
                ),
            ]
        yield from (f"{record.name}: {one}" for one in found)


def broken_messages(old: Json, new: Json) -> Iterator[str]:
    """What changed in where messages travel and how they are wrapped, and breaks somebody."""
    sides = {message.type: message.side for message in MESSAGES}
    for kind, before in old["messages"].items():
        after = new["messages"].get(kind)
        if after is None:
            yield f"{kind}: there is no such message any more"
            continue
        for what in ("address", "key", "content", "record"):
            if before[what] != after[what]:
                yield f"{kind}: its {what} was {before[what]!r} and is {after[what]!r}"
        for column, type_ in before["columns"].items():
            if after["columns"].get(column) != type_:
                yield f"{kind}: its column {column} was {type_} and is {after['columns'].get(column, 'gone')}"
        side = sides.get(kind, Side.READER)
        yield from (
            f"{kind}: header {one}" for one in breaking_changes(before["headers"], after["headers"], side)
        )
