"""Every topic of an installation, declared once: name, partitions, retention, compaction, clock."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 24 * 60 * 60 * 1000

#: The largest frame, in bytes, and what a topic accepts that a party writes: a frame with its headers.
FRAME_BYTES = 1024 * 1024
MESSAGE_BYTES = 2 * FRAME_BYTES

#: What a topic accepts that workers write. It has to hold whatever they make of any message that a party can send: one
#: that did not fit would stop its worker for ever.
WRITTEN_BYTES = 8 * FRAME_BYTES

EVENTS = "fp.events"

#: The party of an installation's operator: the one that registers organisations.
OPERATOR = "operator"


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """A topic as it has to be."""

    name: str
    partitions: int
    config: dict[str, str]


def requests(party: str) -> str:
    """Where a party asks; who writes there is that party."""
    return f"fp.requests.{party}"


def results(party: str) -> str:
    """What a party may see of its pairings."""
    return f"fp.results.{party}"


def pairings(plant: str) -> str:
    """The present state of a plant's pairings."""
    return f"fp.pairings.{plant}"


def telemetry(plant: str) -> str:
    """Frames of a plant's machines."""
    return f"fp.telemetry.{plant}"


def labels(plant: str) -> str:
    """Labels, watermarks and corrections of a plant."""
    return f"fp.labels.{plant}"


def ledger(plant: str) -> str:
    """The ledger of a plant's pairings."""
    return f"fp.ledger.{plant}"


def evaluations(plant: str) -> str:
    """Running scores."""
    return f"fp.evaluations.{plant}"


def verdicts(plant: str) -> str:
    """Verdicts, one a candidate."""
    return f"fp.verdicts.{plant}"


def rejected(plant: str) -> str:
    """What could not be read, with its original bytes."""
    return f"fp.rejected.{plant}"


def _spec(
    name: str,
    partitions: int,
    *,
    days: int | None,
    size: int = WRITTEN_BYTES,
    compacted: bool = False,
    append: bool = False,
) -> TopicSpec:
    config = {
        "cleanup.policy": "compact" if compacted else "delete",
        "retention.ms": "-1" if days is None else str(days * DAY_MS),
        "max.message.bytes": str(size),
    }
    if append:
        # Deadlines are read off the broker's clock, which no sender can set.
        config["message.timestamp.type"] = "LogAppendTime"
    return TopicSpec(name=name, partitions=partitions, config=config)


def of_installation() -> tuple[TopicSpec, ...]:
    """The topics that every installation has."""
    return (_spec(EVENTS, 1, days=None), *of_party(OPERATOR))


def of_party(party: str) -> tuple[TopicSpec, ...]:
    """The topic in which a party asks: an organisation, or a plant's workers."""
    return (_spec(requests(party), 1, days=365, size=MESSAGE_BYTES),)


def of_organisation(party: str) -> tuple[TopicSpec, ...]:
    """The topics of one organisation: where it asks, and its feed."""
    return (*of_party(party), _spec(results(party), 1, days=None))


def of_plant(plant: str, partitions: int) -> tuple[TopicSpec, ...]:
    """The topics of one plant; `partitions` is for telemetry and labels."""
    return (
        *of_party(plant),
        _spec(telemetry(plant), partitions, days=90, size=MESSAGE_BYTES, append=True),
        _spec(labels(plant), partitions, days=365, size=MESSAGE_BYTES, append=True),
        _spec(ledger(plant), 1, days=None, append=True),
        _spec(pairings(plant), 1, days=None, compacted=True),
        _spec(evaluations(plant), 1, days=None),
        _spec(verdicts(plant), 1, days=None, compacted=True),
        _spec(rejected(plant), 1, days=90),
    )
