"""One worked example of each kind of message: a proof at a made-up manufacturer, made with the platform's own writers.

Every organisation here is made up (여기 나오는 기관은 모두 가상입니다).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from infra.contracts import example_facts, example_measurements, example_requests
from infra.contracts.channels import MESSAGES
from infra.contracts.example_parties import LABELS, PAIRING, PLANT, STARTUP, TELEMETRY
from schemas.feeds import FeedEvaluation, FeedFact, FeedVerdict
from streams import topics
from streams.disclosure import evaluation_for, verdict_for
from streams.envelope import (
    EVALUATION,
    FACT,
    FEED,
    JSON,
    LABEL,
    REQUEST,
    VERDICT,
    Headers,
    RawRecord,
    headers,
)
from streams.envelope import PAIRING as PAIRING_TYPE
from streams.judgement import subject
from streams.ledger_codec import META, encode
from streams.refusals import rejected_message, replayed_message


@dataclass(frozen=True, kw_only=True)
class Example:
    """One message as it stands in its topic.

    Attributes:
        name: of its file, with its folder.
        message: the kind of message, as in the AsyncAPI document.
    """

    name: str
    message: str
    topic: str
    key: bytes
    value: bytes
    headers: Headers

    def record(self) -> RawRecord:
        """The message as a reader gets it."""
        return RawRecord(
            topic=self.topic,
            partition=0,
            offset=0,
            timestamp_ms=0,
            key=self.key,
            value=self.value,
            headers=tuple(self.headers),
        )

    def value_shown(self) -> Any:
        """The value as JSON: itself, or what an Arrow stream holds."""
        if self.content == JSON:
            return json.loads(self.value)
        if self.message in ("rejected", "replayed"):
            return self.value.decode()
        with pa.ipc.open_stream(self.value) as stream:
            batch = stream.read_next_batch()
        metadata = (batch.schema.metadata or {}).get(META)
        shown = {
            "arrow_columns": {field.name: str(field.type) for field in batch.schema},
            "rows": [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()],
        }
        return {**({"metadata": {"fieldproof": json.loads(metadata)}} if metadata else {}), **shown}

    @property
    def content(self) -> str:
        """The media type of the value."""
        return next(message.content for message in MESSAGES if message.name == self.message)

    def shown(self) -> dict[str, Any]:
        """The whole message as JSON."""
        return {
            "topic": self.topic,
            "key": self.key.decode(),
            "headers": {name: value.decode() for name, value in self.headers},
            "value": self.value_shown(),
        }


def _plain(value: Any) -> Any:
    """A value of a column as JSON; not-a-number becomes null."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


@cache
def examples() -> tuple[Example, ...]:
    """One of each kind of message, and of each kind of command, fact, label and ledger entry."""
    return (*_requests(), *_facts(), *_at_the_plant(), *_ledger(), *_results(), *_feed(), *_rejected())


def _requests() -> Iterator[Example]:
    for party, request in example_requests.requests():
        yield Example(
            name=f"requests/{request.command.kind}",
            message="request",
            topic=topics.requests(party),
            key=subject(request.command).encode(),
            value=request.to_json(),
            headers=headers(REQUEST, source=f"/parties/{party}", ident=request.id),
        )


def _facts() -> Iterator[Example]:
    for fact in example_facts.facts():
        yield Example(
            name=f"facts/{fact.body.kind}",
            message="fact",
            topic=topics.EVENTS,
            key=fact.subject.encode(),
            value=fact.to_json(),
            headers=headers(FACT, source="/control", ident=str(fact.number), at=fact.at),
        )
    pairing = example_facts.pairing()
    yield Example(
        name="pairing",
        message="pairing",
        topic=topics.pairings(PLANT),
        key=pairing.id.encode(),
        value=pairing.to_json(),
        headers=headers(PAIRING_TYPE, source="/control", ident=f"{pairing.id}-{pairing.fact}"),
    )


def _at_the_plant() -> Iterator[Example]:
    for name, message, kind, content, value, ident, beside in example_measurements.telemetry():
        yield Example(
            name=name,
            message=message,
            topic=topics.telemetry(PLANT) if message in TELEMETRY else topics.labels(PLANT),
            key=example_measurements.ASSET.encode(),
            value=value,
            headers=[*headers(kind, source=f"/plants/{PLANT}", ident=ident, content=content), *beside],
        )
    for ident, label in example_measurements.labels():
        yield Example(
            name=f"{LABELS}/{label.kind}",
            message="label",
            topic=topics.labels(PLANT),
            key=label.asset.encode(),
            value=label.to_json(),
            headers=headers(LABEL, source=f"/plants/{PLANT}", ident=ident),
        )


def _ledger() -> Iterator[Example]:
    for message, kind, source, ident, entry in example_measurements.entries():
        key, value, listed = encode(entry, source=source, ident=ident)
        yield Example(
            name=f"ledger/{kind}",
            message=message,
            topic=topics.ledger(PLANT),
            key=key,
            value=value,
            headers=listed,
        )


def _results() -> Iterator[Example]:
    source = f"/plants/{PLANT}/scorer"
    verdict = example_measurements.verdict()
    evaluation = example_measurements.evaluation(final=False)
    key = f"{PAIRING}/{verdict.candidate}"
    yield Example(
        name="evaluation",
        message="evaluation",
        topic=topics.evaluations(PLANT),
        key=key.encode(),
        value=evaluation.to_json(),
        headers=headers(
            EVALUATION, source=source, ident=f"{evaluation.ledger_offset}-{evaluation.candidate}"
        ),
    )
    yield Example(
        name="verdict",
        message="verdict",
        topic=topics.verdicts(PLANT),
        key=key.encode(),
        value=verdict.to_json(),
        headers=headers(VERDICT, source=source, ident=key),
    )


def _feed() -> Iterator[Example]:
    """What the start-up is told: of its consent, of its scores and of the verdict."""
    pairing, evaluation = example_facts.pairing(), example_measurements.evaluation(final=False)
    verdict = example_measurements.verdict()
    fact = next(one for one in example_facts.facts() if one.body.kind == "consent_given")
    told: tuple[tuple[str, FeedFact | FeedEvaluation | FeedVerdict | None], ...] = (
        (f"fact-{fact.number}", FeedFact(fact=fact)),
        (f"{evaluation.candidate}-{evaluation.ledger_offset}", evaluation_for(STARTUP, pairing, evaluation)),
        (f"{verdict.candidate}-verdict", verdict_for(STARTUP, pairing, verdict)),
    )
    for ident, item in told:
        if item is not None:
            yield Example(
                name=f"feed/{item.kind}",
                message="feed",
                topic=topics.results(STARTUP),
                key=PAIRING.encode(),
                value=item.to_json(),
                headers=headers(FEED, source="/control/feeds", ident=ident),
            )


def _rejected() -> Iterator[Example]:
    record, why = example_measurements.unreadable(topics.telemetry(PLANT))
    key, value, listed = rejected_message(record, why, source=example_measurements.RUNNER)
    yield Example(
        name="rejected",
        message="rejected",
        topic=topics.rejected(PLANT),
        key=key,
        value=value,
        headers=listed,
    )
    now = f"{record.topic}:{record.partition}:64"
    key, value, listed = replayed_message(record.origin, now, source=f"/plants/{PLANT}")
    yield Example(
        name="replayed",
        message="replayed",
        topic=topics.rejected(PLANT),
        key=key,
        value=value,
        headers=listed,
    )
