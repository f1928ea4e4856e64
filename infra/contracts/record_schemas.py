"""JSON Schemas (2020-12) of every record, made from the models: what is accepted, and what is written."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from infra.contracts.compatibility import OPEN
from schemas.agreement import Agreement
from schemas.evaluation import Evaluation, Verdict
from schemas.events import Fact
from schemas.feeds import FeedItem
from schemas.labels import LabelRecord
from schemas.ledger import LabelFrame, PlainEntry
from schemas.ledger import Outcome as LedgerOutcome
from schemas.pairing import Pairing
from schemas.requests import Request
from schemas.telemetry import JsonRow

Direction = Literal["accepted", "written"]
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RecordType:
    """A record that travels as JSON.

    Attributes:
        name: of its schema's file.
        type: the model, or a union of models.
        direction: whether parties write it and the platform accepts it, or the platform writes it.
        about: one line for people.
    """

    name: str
    type: Any
    direction: Direction
    about: str


RECORDS = (
    RecordType(name="request", type=Request, direction="accepted", about="A request of a party to control."),
    RecordType(
        name="label",
        type=LabelRecord,
        direction="accepted",
        about="The truth about a machine: a label, its withdrawal, or a watermark.",
    ),
    RecordType(
        name="telemetry-rows",
        type=JsonRow | list[JsonRow],
        direction="accepted",
        about="Rows of one asset, for sources that cannot write Arrow.",
    ),
    RecordType(
        name="agreement",
        type=Agreement,
        direction="accepted",
        about="The protocol of a proof. It travels inside requests and facts; both sides consent to its hash.",
    ),
    RecordType(
        name="fact",
        type=Fact,
        direction="written",
        about="A fact: what control has decided, numbered without a gap.",
    ),
    RecordType(name="pairing", type=Pairing, direction="written", about="A pairing as it stands now."),
    RecordType(
        name="ledger-entry",
        type=PlainEntry,
        direction="written",
        about="A ledger entry without rows of its own.",
    ),
    RecordType(
        name="ledger-outcome",
        type=LedgerOutcome,
        direction="written",
        about="What became of one frame: the JSON in the metadata `fieldproof` of an Arrow stream.",
    ),
    RecordType(
        name="ledger-labels",
        type=LabelFrame,
        direction="written",
        about="Many point labels of one pairing: the JSON in the metadata `fieldproof` of an Arrow stream.",
    ),
    RecordType(
        name="evaluation",
        type=Evaluation,
        direction="written",
        about="Running scores of one candidate or baseline.",
    ),
    RecordType(
        name="feed",
        type=FeedItem,
        direction="written",
        about="What a party may see: a fact, an evaluation or a verdict, as far as the agreement discloses it.",
    ),
    RecordType(name="verdict", type=Verdict, direction="written", about="The end of a candidate's proof."),
)

#: Values and kinds that may grow within a version, by class or by class and field. Every other set is closed: a
#: reader may rely on it. Ledger entries are closed, since a fold that leaves one out gives other numbers; the kind of a
#: failure changes none of them.
GROWING = frozenset(
    {
        "Task",
        "Phase",
        "Role",
        "Fact.body",
        "Fault.kind",
        "Outcome.failure",
        "FeedVerdict.guarantee",
        "Ratio.guarantee",
        "Standing.guarantee",
        "Verdict.guarantee",
        "FollowUpRecorded.outcome",
        "Baseline.kind",
        "DecisionUnit.kind",
        "Decision.loss",
        "Disclosed.what",
        "Disclosed.every",
    }
)

_FIELD = re.compile(r"    (\w+):")


def field_comments(model: type[BaseModel]) -> dict[str, str]:
    """What the `#:` comments above a model's fields say, by field."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(model).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            above.append(text.removeprefix("#:").strip())
            continue
        field = _FIELD.match(line)
        if field and above:
            found[field[1]] = " ".join(above)
        above = []
    return found


class RecordSchema(GenerateJsonSchema):
    """Pydantic's schema, with comments as descriptions, and what is written as it is really written."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles made of field names say nothing."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        """The schema of one model."""
        made = super().model_schema(schema)
        model = schema["cls"]
        fields: Json = made.get("properties", {})
        for name, text in field_comments(model).items():
            fields[name].setdefault("description", text)
        for name, field in fields.items():
            if f"{model.__name__}.{name}" in GROWING:
                _listing(field)[OPEN] = True
        # Where it may be left out, it is no mark of the record but one of its terms.
        if "kind" in fields and "anyOf" not in fields["kind"]:
            fields["kind"].pop("default", None)
            made["required"] = list(dict.fromkeys(["kind", *made.get("required", ())]))
        if self.mode == "serialization":
            _as_written(made)
        return made

    def enum_schema(self, schema: core_schema.EnumSchema) -> Json:
        """The schema of one enumeration."""
        made = super().enum_schema(schema)
        if schema["cls"].__name__ in GROWING:
            made[OPEN] = True
        return made


def _listing(field: Json) -> Json:
    """The part of a field's schema that lists its values: of a list its items, of an optional field what it may hold."""
    parts = (field, field.get("items", {}), *field.get("anyOf", ()))
    return next((one for one in parts if "enum" in one), field)


def _as_written(made: Json) -> None:
    """Every field stands in what is written, also where it has its default; only what holds nothing is left out."""
    fields = made.get("properties", {})
    optional = set()
    for name, field in fields.items():
        branches = field.get("anyOf", [])
        kept = [branch for branch in branches if branch != {"type": "null"}]
        if len(kept) < len(branches):
            optional.add(name)
            del field["anyOf"]
            field.update(kept[0] if len(kept) == 1 else {"anyOf": kept})
        field.pop("default", None)
    made["required"] = [name for name in fields if name not in optional]
    # Readers ignore fields that they do not know, so that a later version may add some.
    made.pop("additionalProperties", None)


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Schemas of one direction.

    Attributes:
        roots: by the record's name; their references point into `parts`.
        parts: the models they are made of, by name.
    """

    roots: dict[str, Json]
    parts: dict[str, Json]

    def document(self, record: RecordType) -> Json:
        """The schema of one record, complete in itself."""
        root = self.roots[record.name]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:fieldproof:schema:{record.name}",
            "description": record.about,
            **root,
            "$defs": {name: self.parts[name] for name in sorted(self._parts_of(root))},
        }

    def _parts_of(self, root: Json) -> set[str]:
        found: set[str] = set()
        waiting = list(references(root))
        while waiting:
            name = waiting.pop().removeprefix("#/$defs/")
            if name not in found:
                found.add(name)
                waiting += references(self.parts[name])
        return found


def references(schema: object) -> Iterator[str]:
    """Every reference in a schema, those of a discriminator's mapping included."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value
            elif key == "mapping":
                yield from value.values()
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


@cache
def definitions(direction: Direction, records: tuple[RecordType, ...] = RECORDS) -> Definitions:
    """The schemas of these records as they are accepted, or as they are written."""
    mode: Literal["validation", "serialization"] = (
        "validation" if direction == "accepted" else "serialization"
    )
    made, described = TypeAdapter.json_schemas(
        [(record.name, mode, TypeAdapter(record.type)) for record in records], schema_generator=RecordSchema
    )
    parts = {_short(name): _renamed(part) for name, part in described.get("$defs", {}).items()}
    return Definitions(roots={name: _renamed(root) for (name, _), root in made.items()}, parts=parts)


def _short(name: str) -> str:
    """`LedgerOutcome` for what is called Outcome in two modules, and `schemas__ledger__Outcome` by pydantic."""
    *modules, plain = name.split("__")
    return f"{modules[-1].title()}{plain}" if modules else plain


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _renamed(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(value) for value in schema]
    if isinstance(schema, str) and schema.startswith("#/$defs/"):
        return f"#/$defs/{_short(schema.removeprefix('#/$defs/'))}"
    return schema
