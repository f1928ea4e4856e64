"""Every kind of message and every channel of an installation, as clients have to know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from infra.contracts.compatibility import OPEN, Side
from schemas.rejected import Reason
from streams import envelope, topics
from streams.envelope import ARROW, FRAME_HEADER, IDENT_CHARS, JSON
from streams.label_codec import VALUE
from streams.refusals import REPLAYED_TO
from streams.topics import TopicSpec

Json = dict[str, Any]
Party = Literal["operator", "coordinator", "manufacturer", "startup", "platform"]

BYTES = "application/octet-stream"

#: What stands for a plant's and a party's name in an address.
PLANT, PARTY = "{plant}", "{party}"

PARTIES: dict[Party, str] = {
    "operator": "Runs the installation and registers organisations.",
    "coordinator": "Operates a programme: proposes pairings and decides with both sides.",
    "manufacturer": "Owns plants: sends telemetry and labels, and consents to agreements.",
    "startup": "Submits candidates, and consents to agreements.",
    "platform": "Control, and the runners, labels agent and scorer of each plant.",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of an Arrow payload; its name may be a pattern such as `{tag}`."""

    name: str
    type: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One kind of message.

    Attributes:
        name: in the document, such as `telemetry-frame`.
        type: the CloudEvents type, in `ce_type`.
        about: one line for people.
        side: whom a change of it must not break: those who write it to the platform, or those who read it.
        record: the record that is the value, or that stands in the metadata of an Arrow value.
        content: the media type of the value.
        columns: of an Arrow value.
        headers: beside the envelope's, by name: a schema, and whether it is always there.
    """

    name: str
    type: str
    about: str
    side: Side
    record: str | None = None
    content: str = JSON
    columns: tuple[Column, ...] = ()
    headers: dict[str, tuple[Json, bool]] = field(default_factory=dict)

    def headers_schema(self) -> Json:
        """The headers of such a message: each is UTF-8 text."""
        always: Json = {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_type": {"type": "string", "const": self.type},
            "ce_source": {
                "type": "string",
                "minLength": 1,
                "description": "Who made it, as a URI reference such as /plants/ansan-1.",
            },
            "ce_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": IDENT_CHARS,
                "description": "Unique within the source; sent again under the same id, it counts once.",
            },
            "content-type": {"type": "string", "const": self.content},
        }
        sometimes: Json = {
            "ce_time": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened; left out where the broker's append time is the clock.",
            }
        }
        for name, (schema, required) in self.headers.items():
            (always if required else sometimes)[name] = schema
        return {"type": "object", "properties": {**always, **sometimes}, "required": list(always)}


_TEXT: Json = {"type": "string"}
_TS = Column(name="ts", type="timestamp[us, UTC]", about="When the row was measured; never null.")
_TS_US = Column(name="ts_us", type="int64", about="Times of the rows, microseconds since 1970 in UTC.")

_REJECTED_HEADERS: dict[str, tuple[Json, bool]] = {
    "fp_topic": ({**_TEXT, "description": "The topic it came in on."}, True),
    "fp_partition": ({**_TEXT, "description": "Its partition, in decimal digits."}, True),
    "fp_offset": ({**_TEXT, "description": "Its offset, in decimal digits."}, True),
    "fp_bytes": (
        {**_TEXT, "description": "Its size in decimal digits; the value is cut off where that is larger."},
        False,
    ),
    "fp_reason": ({**_TEXT, "enum": list(get_args(Reason)), OPEN: True}, True),
    "fp_detail": (
        {**_TEXT, "description": "What is wrong and what to do about it; up to 2000 characters."},
        True,
    ),
}

_FRAME_HEADERS: dict[str, tuple[Json, bool]] = {
    FRAME_HEADER: (
        {
            **_TEXT,
            "maxLength": IDENT_CHARS,
            "description": "The ce_id of the telemetry frame whose rows it labels, position by position; "
            "without it labels are joined by time.",
        },
        False,
    )
}

MESSAGES = (
    Message(
        name="telemetry-frame",
        type=envelope.FRAME,
        about="A frame: rows of one asset, one Arrow IPC stream with one record batch.",
        side=Side.WRITER,
        content=ARROW,
        columns=(
            _TS,
            Column(
                name="{tag}",
                type="float, integer, bool, string or timestamp",
                about="One column a tag, by the tag's name; null is missing. What a candidate is given are numbers.",
            ),
        ),
    ),
    Message(
        name="telemetry-rows",
        type=envelope.ROWS,
        about="The same as JSON: one row, or a list of rows.",
        side=Side.WRITER,
        record="telemetry-rows",
    ),
    Message(
        name="label",
        type=envelope.LABEL,
        about="A label, its withdrawal, or a watermark.",
        side=Side.WRITER,
        record="label",
    ),
    Message(
        name="label-frame",
        type=envelope.LABEL_FRAME,
        about="Many point labels of one asset at once.",
        side=Side.WRITER,
        content=ARROW,
        columns=(
            _TS,
            Column(
                name=VALUE,
                type="string, bool or number",
                about="The label of the row; null where it has none.",
            ),
        ),
        headers=_FRAME_HEADERS,
    ),
    Message(name="request", type=envelope.REQUEST, about="A request.", side=Side.WRITER, record="request"),
    Message(name="fact", type=envelope.FACT, about="A fact.", side=Side.READER, record="fact"),
    Message(
        name="pairing",
        type=envelope.PAIRING,
        about="A pairing as it stands; the last of each key holds.",
        side=Side.READER,
        record="pairing",
    ),
    Message(
        name="ledger-entry",
        type=envelope.LEDGER_ENTRY,
        about="A ledger entry without rows.",
        side=Side.READER,
        record="ledger-entry",
    ),
    Message(
        name="ledger-outcome",
        type=envelope.LEDGER_OUTCOME,
        about="What became of one frame, with its answers.",
        side=Side.READER,
        record="ledger-outcome",
        content=ARROW,
        columns=(
            _TS_US,
            Column(
                name="answer_{i}",
                type="float64",
                about="Answers of the i-th subject of the deployment, as codes; not-a-number where there is none.",
            ),
            Column(
                name="score_{i}",
                type="float64",
                about="Scores of the i-th subject, where it gives one beside each answer; not-a-number where there is none.",
            ),
            Column(
                name="slice_{i}",
                type="int8",
                about="The part that each row is in, of the i-th slice of the agreement that is not by asset; -1 where it is not known.",
            ),
        ),
    ),
    Message(
        name="ledger-labels",
        type=envelope.LEDGER_LABELS,
        about="Many point labels of one pairing.",
        side=Side.READER,
        record="ledger-labels",
        content=ARROW,
        columns=(
            _TS_US,
            Column(name="code", type="float64", about="The label's code; not-a-number where a row has none."),
        ),
    ),
    Message(
        name="evaluation",
        type=envelope.EVALUATION,
        about="Running scores of one candidate or baseline.",
        side=Side.READER,
        record="evaluation",
    ),
    Message(
        name="verdict",
        type=envelope.VERDICT,
        about="The end of a candidate's proof.",
        side=Side.READER,
        record="verdict",
    ),
    Message(
        name="feed",
        type=envelope.FEED,
        about="What a party may see of a fact, an evaluation or a verdict.",
        side=Side.READER,
        record="feed",
    ),
    Message(
        name="rejected",
        type=envelope.REJECTED,
        about="A message that could not be taken: its original bytes, and in the headers where it stood and why.",
        side=Side.READER,
        content=BYTES,
        headers=_REJECTED_HEADERS,
    ),
    Message(
        name="replayed",
        type=envelope.REPLAYED,
        about="A rejected message was sent again by its plant. Without a value.",
        side=Side.READER,
        content=BYTES,
        headers={
            REPLAYED_TO: ({**_TEXT, "description": "Where it stands now: topic:partition:offset."}, True)
        },
    ),
)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One kind of topic.

    Attributes:
        name: in the document.
        address: the topic, with `{plant}` or `{party}` where it has one of its own.
        about: for people.
        key: what the key of its messages is, as UTF-8.
        messages: names of what travels there.
        writers, readers: kinds of party.
    """

    name: str
    address: str
    about: str
    key: str
    messages: tuple[str, ...]
    writers: tuple[Party, ...]
    readers: tuple[Party, ...]

    def specs(self) -> tuple[TopicSpec, TopicSpec]:
        """The topic for a plant of 1 and of 2 partitions; they are the same where all plants' are."""
        declared = [
            {
                spec.name: spec
                for spec in (
                    *topics.of_installation(),
                    *topics.of_organisation(PARTY),
                    *topics.of_plant(PLANT, n),
                )
            }
            for n in (1, 2)
        ]
        return declared[0][self.address], declared[1][self.address]


CHANNELS = (
    Channel(
        name="requests",
        address=topics.requests(PARTY),
        about="Where a party asks. Who asked is the topic, never a name in the body; a plant's workers ask on the "
        f"topic of the plant's name, the installation's operator on {topics.requests(topics.OPERATOR)}.",
        key="what the request is about: the organisation, programme, plant, need or pairing",
        messages=("request",),
        writers=("operator", "coordinator", "manufacturer", "startup", "platform"),
        readers=("platform",),
    ),
    Channel(
        name="events",
        address=topics.EVENTS,
        about="What control has decided. A request is answered by the fact with its party and its id; those who "
        "are not to see everything find it in their results.",
        key="what the fact is about: the organisation, programme, plant, need or pairing",
        messages=("fact",),
        writers=("platform",),
        readers=("operator", "coordinator", "platform"),
    ),
    Channel(
        name="results",
        address=topics.results(PARTY),
        about="What a party may see of its pairings, as far and as often as the agreement discloses it.",
        key="what it is about: mostly the pairing",
        messages=("feed",),
        writers=("platform",),
        readers=("coordinator", "manufacturer", "startup"),
    ),
    Channel(
        name="pairings",
        address=topics.pairings(PLANT),
        about="The present state of a plant's pairings: what runs, and from where.",
        key="pairing",
        messages=("pairing",),
        writers=("platform",),
        readers=("manufacturer", "platform"),
    ),
    Channel(
        name="telemetry",
        address=topics.telemetry(PLANT),
        about="What a plant's machines measured, in the order of each machine's time.",
        key="asset",
        messages=("telemetry-frame", "telemetry-rows"),
        writers=("manufacturer",),
        readers=("manufacturer", "platform"),
    ),
    Channel(
        name="labels",
        address=topics.labels(PLANT),
        about="The truth about a plant's machines, told after the fact.",
        key="asset",
        messages=("label", "label-frame"),
        writers=("manufacturer",),
        readers=("manufacturer", "platform"),
    ),
    Channel(
        name="ledger",
        address=topics.ledger(PLANT),
        about="The ordered log from which every score is computed.",
        key="pairing",
        messages=("ledger-entry", "ledger-outcome", "ledger-labels"),
        writers=("platform",),
        readers=("manufacturer", "platform"),
    ),
    Channel(
        name="evaluations",
        address=topics.evaluations(PLANT),
        about="Running scores.",
        key="pairing/candidate, or pairing/baseline",
        messages=("evaluation",),
        writers=("platform",),
        readers=("coordinator", "manufacturer"),
    ),
    Channel(
        name="verdicts",
        address=topics.verdicts(PLANT),
        about="Verdicts, one a candidate; the last of each key holds.",
        key="pairing/candidate",
        messages=("verdict",),
        writers=("platform",),
        readers=("coordinator", "manufacturer"),
    ),
    Channel(
        name="rejected",
        address=topics.rejected(PLANT),
        about="What could not be read or taken. Several workers may reject one message: under one key, counted once.",
        key="where the original stands: topic:partition:offset",
        messages=("rejected", "replayed"),
        writers=("platform", "manufacturer"),
        readers=("manufacturer",),
    ),
)
