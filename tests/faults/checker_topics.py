"""What stands in the topics of a plant, read with a plain consumer, and written down to be looked at again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

#: The topics of a plant, by what they hold; `events` is the installation's.
KINDS = ("telemetry", "labels", "ledger", "evaluations", "verdicts")

Offsets = Mapping[int, int]
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as the broker holds it."""

    partition: int
    offset: int
    at_ms: int
    key: str | None
    value: bytes
    headers: Mapping[str, str]

    @property
    def place(self) -> tuple[int, int]:
        return self.partition, self.offset

    def json(self) -> Any:
        return json.loads(self.value)

    def first_of(self, topic: str) -> Message:
        """The message at the place where it stood first: one that was rejected may have been sent again."""
        place = self.headers.get("fp_replayed_from", "").split(":")
        again = place[:-1] == [topic, str(self.partition)] and place[-1].isdecimal()
        return replace(self, offset=min(int(place[-1]), self.offset)) if again else self


@dataclass(frozen=True, kw_only=True)
class Records:
    """Messages of each topic, by partition and offset."""

    plant: str
    telemetry: list[Message] = field(default_factory=list)
    labels: list[Message] = field(default_factory=list)
    ledger: list[Message] = field(default_factory=list)
    evaluations: list[Message] = field(default_factory=list)
    verdicts: list[Message] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)

    def but(self, **lists: list[Message]) -> Records:
        """A copy in which some topics hold something else."""
        return replace(self, **lists)

    def save(self, path: Path) -> None:
        """Write everything down, one JSON line a message."""
        with path.open("w") as sink:
            sink.write(json.dumps({"plant": self.plant}) + "\n")
            for kind in (*KINDS, "events"):
                for one in getattr(self, kind):
                    line = {**vars(one), "topic": kind, "value": base64.b64encode(one.value).decode()}
                    sink.write(json.dumps(line) + "\n")

    @classmethod
    def load(cls, path: Path) -> Records:
        """Read what `save` has written."""
        first, *lines = path.read_text().splitlines()
        lists: dict[str, list[Message]] = {kind: [] for kind in (*KINDS, "events")}
        for line in lines:
            told = json.loads(line)
            into = lists[told.pop("topic")]
            into.append(Message(**{**told, "value": base64.b64decode(told["value"])}))
        return cls(plant=json.loads(first)["plant"], **lists)


def read(bootstrap: str, plant: str, starts: Mapping[str, Offsets] | None = None) -> Records:
    """Everything that stands in a plant's topics now, or from the given offsets on, by kind of topic."""
    names = {kind: f"fp.{kind}.{plant}" for kind in KINDS} | {"events": "fp.events"}
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    try:
        found = {kind: _read(consumer, topic, (starts or {}).get(kind, {})) for kind, topic in names.items()}
    finally:
        consumer.close()
    return Records(plant=plant, **found)


def ends(bootstrap: str, plant: str) -> dict[str, dict[int, int]]:
    """The next offsets of a plant's topics, to read from later on; facts are always read in whole."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
    try:
        found = {}
        for kind in KINDS:
            places = _places(consumer, f"fp.{kind}.{plant}")
            found[kind] = {one.partition: end for one, end in consumer.end_offsets(places).items()}
        return found
    finally:
        consumer.close()


def _places(consumer: Any, topic: str) -> list[TopicPartition]:
    consumer.topics()
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def _read(consumer: Any, topic: str, starts: Offsets) -> list[Message]:
    places = _places(consumer, topic)
    consumer.assign(places)
    stops = consumer.end_offsets(places)
    begins = consumer.beginning_offsets(places)
    for place in places:
        consumer.seek(place, max(begins[place], starts.get(place.partition, 0)))
    found: list[Message] = []
    while any(consumer.position(place) < stops[place] for place in places):
        for records in consumer.poll(timeout_ms=500).values():
            found += [_message(record) for record in records]
    return sorted(found, key=lambda one: one.place)


def _message(record: Any) -> Message:
    return Message(
        partition=record.partition,
        offset=record.offset,
        at_ms=record.timestamp,
        key=None if record.key is None else record.key.decode(errors="replace"),
        value=record.value or b"",
        headers={name: bytes(value or b"").decode(errors="replace") for name, value in record.headers or ()},
    )
