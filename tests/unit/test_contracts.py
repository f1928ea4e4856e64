"""The contract documents: fresh, complete, true of what is really sent, and kept to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from infra.contracts import asyncapi, files
from infra.contracts.channels import CHANNELS, MESSAGES, PARTIES, PARTY, PLANT
from infra.contracts.compatibility import Side
from infra.contracts.examples import Example, examples
from infra.contracts.record_schemas import GROWING, OPEN, RECORDS, definitions
from schemas import events, feeds, labels, ledger, requests
from schemas.evaluation import Evaluation, Verdict
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from streams import envelope, topics
from streams.envelope import ARROW, JSON
from streams.frames import decode_frame
from streams.label_codec import decode_label
from streams.ledger_codec import decode
from tests.unit.schema_check import violations

EXAMPLES = list(examples())
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(files.generated()[files.ASYNCAPI])
SCHEMAS = files.schemas()


def _each(examples: list[Example]) -> Any:
    return pytest.mark.parametrize("example", examples, ids=lambda example: example.name)


# --- fresh ------------------------------------------------------------------------------------------------------------


def test_the_documents_are_those_of_the_models() -> None:
    stale = [str(path) for path in files.stale()]
    assert not stale, f"out of date, run `make contracts` and commit: {', '.join(stale)}"


def test_nothing_breaks_a_reader_or_a_writer_of_the_last_version() -> None:
    broken = files.broken()
    assert not broken, "docs/contracts.md says what to do about:\n" + "\n".join(broken)


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    assert files.write(tmp_path)
    assert files.write(tmp_path) == []


def test_a_file_that_nothing_makes_any_more_is_removed(tmp_path: Path) -> None:
    files.write(tmp_path)
    left = tmp_path / files.EXAMPLES / "requests" / "open_pairing.json"
    left.write_text("{}")
    assert files.stale(tmp_path) == [left.relative_to(tmp_path)]
    files.write(tmp_path)
    assert not left.exists()


def test_a_file_edited_by_hand_is_stale(tmp_path: Path) -> None:
    files.write(tmp_path)
    path = tmp_path / files.ASYNCAPI
    path.write_text(path.read_text() + "\n")
    assert files.stale(tmp_path) == [files.ASYNCAPI]


def test_a_break_is_not_frozen_under_the_same_first_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.freeze(tmp_path) == []
    path = tmp_path / files.LAST / "verdict.schema.json"
    frozen = json.loads(path.read_text())
    verdict = frozen["$defs"]["Verdict"]
    verdict["properties"]["jury"] = {"type": "string"}
    verdict["required"].append("jury")
    path.write_text(json.dumps(frozen))
    assert [one for one in files.freeze(tmp_path) if "jury: is not written any more" in one]
    assert "jury" in path.read_text()
    monkeypatch.setattr(files, "VERSION", f"{int(files.VERSION.split('.')[0]) + 1}.0.0")
    assert files.freeze(tmp_path) == []
    assert "jury" not in path.read_text()


def test_a_record_that_is_gone_breaks_somebody(tmp_path: Path) -> None:
    files.freeze(tmp_path)
    (tmp_path / files.LAST / "permit.schema.json").write_text("{}")
    assert files.broken(tmp_path) == ["permit: there is no such record any more"]


# --- the AsyncAPI document --------------------------------------------------------------------------------------------


def _resolve(reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        assert step in found, f"{reference} leads nowhere"
        found = found[step]
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for part in value.values() for one in _references(part)]
    if isinstance(value, list):
        return [one for part in value for one in _references(part)]
    return []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    listed = _references(DOCUMENT)
    assert len(listed) > 100
    for reference in listed:
        _resolve(reference)


def test_every_part_of_the_document_is_used() -> None:
    used = set(_references(DOCUMENT))
    for kind in ("messages", "schemas"):
        unused = [name for name in DOCUMENT["components"][kind] if f"#/components/{kind}/{name}" not in used]
        # The agreement travels inside requests and facts; as a record of its own it is for files and hashes.
        assert unused == (["accepted.agreement"] if kind == "schemas" else [])


def test_the_document_has_the_parts_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    for server in DOCUMENT["servers"].values():
        assert server.keys() >= {"host", "protocol"}
    for channel in DOCUMENT["channels"].values():
        assert channel.keys() >= {"address", "messages", "bindings"}
        named = {part.split("}")[0] for part in channel["address"].split("{")[1:]}
        assert named == set(channel.get("parameters", {}))
    for message in DOCUMENT["components"]["messages"].values():
        assert message.keys() >= {"name", "contentType", "headers", "payload", "bindings"}
        assert message["bindings"]["kafka"]["key"]["type"] == "string"


def test_operations_send_or_receive_messages_of_their_channel() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert "address" in _resolve(operation["channel"]["$ref"])
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/"), name
    assert {operation["tags"][0]["name"] for operation in DOCUMENT["operations"].values()} == set(PARTIES)


def test_every_channel_has_somebody_who_writes_and_somebody_who_reads() -> None:
    for channel in CHANNELS:
        assert channel.writers and channel.readers, channel.name


def test_every_topic_of_an_installation_is_a_channel() -> None:
    declared = {
        spec
        for listed in (
            topics.of_installation(),
            topics.of_party(PARTY),
            topics.of_organisation(PARTY),
            topics.of_plant(PLANT, 1),
        )
        for spec in (one.name for one in listed)
    }
    asked = {topics.requests(topics.OPERATOR), topics.requests(PLANT)}
    assert {channel.address for channel in CHANNELS} == declared - asked


def test_a_channel_says_how_its_topic_is_kept() -> None:
    kafka = DOCUMENT["channels"]["verdicts"]["bindings"]["kafka"]
    assert kafka["partitions"] == 1
    assert kafka["topicConfiguration"]["cleanup.policy"] == ["compact"]
    telemetry = DOCUMENT["channels"]["telemetry"]["bindings"]["kafka"]
    assert "partitions" not in telemetry
    assert telemetry["topicConfiguration"]["retention.ms"] == 90 * topics.DAY_MS
    assert telemetry["topicConfiguration"]["message.timestamp.type"] == "LogAppendTime"


def test_every_kind_of_message_of_the_envelope_is_documented_once() -> None:
    sent = {
        value
        for name, value in vars(envelope).items()
        if name.isupper() and isinstance(value, str) and value.startswith("fieldproof.")
    }
    assert sorted(message.type for message in MESSAGES) == sorted(sent)
    assert sorted(name for channel in CHANNELS for name in channel.messages) == sorted(
        message.name for message in MESSAGES
    )


def test_every_record_has_a_schema_in_the_document() -> None:
    for record in RECORDS:
        assert f"{record.direction}.{record.name}" in DOCUMENT["components"]["schemas"]
    assert {message.record for message in MESSAGES} - {None} == {record.name for record in RECORDS} - {
        "agreement"
    }


def test_the_document_is_written_without_anchors() -> None:
    written = asyncapi.text(DOCUMENT)
    assert "&id" not in written and YAML(typ="safe").load(written) == DOCUMENT


# --- the schemas ------------------------------------------------------------------------------------------------------


def test_what_may_grow_is_marked_in_the_schemas() -> None:
    parts = definitions("written").parts
    for name in GROWING:
        model, _, field = name.partition(".")
        # A name that two modules use has its module's before it.
        places = [
            part["properties"][field] if field else part
            for title, part in parts.items()
            if title.endswith(model) and (not field or field in part.get("properties", {}))
        ]
        assert any(place.get(OPEN) or place.get("items", {}).get(OPEN) for place in places), name


def test_comments_in_the_models_describe_the_fields() -> None:
    covers = SCHEMAS["ledger-outcome"]["$defs"]["LedgerOutcome"]["properties"]["first"]["description"]
    assert covers.startswith("The offsets that it covers")


def test_a_field_that_holds_nothing_may_be_missing_where_it_is_written() -> None:
    verdict = SCHEMAS["verdict"]["$defs"]["Verdict"]
    assert "value" not in verdict["required"]
    assert verdict["properties"]["value"]["type"] == "number"
    # It has a default, so a reader always finds it.
    assert "guarantee" in verdict["required"]


# --- the examples -----------------------------------------------------------------------------------------------------


def test_every_kind_of_record_has_its_example() -> None:
    def kinds(union: Any) -> set[str]:
        return {one.model_fields["kind"].default for one in get_args(get_args(union)[0])}

    wanted = (
        {f"requests/{kind}" for kind in kinds(requests.Command)}
        | {f"facts/{kind}" for kind in kinds(events.Body)}
        | {f"labels/{kind}" for kind in kinds(labels.LabelRecord)}
        | {f"feed/{kind}" for kind in kinds(feeds.FeedItem)}
        | {f"ledger/{kind}" for kind in kinds(ledger.PlainEntry) | {"outcome", "label_frame"}}
    )
    names = [example.name for example in EXAMPLES]
    assert len(set(names)) == len(names)
    assert wanted - set(names) == set(), "add the example in infra/contracts/example_*.py"
    assert {example.message for example in EXAMPLES} == {message.name for message in MESSAGES}


@_each(EXAMPLES)
def test_an_example_travels_where_its_message_does(example: Example) -> None:
    channel = next(one for one in CHANNELS if example.message in one.messages)
    prefix = channel.address.partition("{")[0]
    assert example.topic.startswith(prefix)
    assert example.key


@_each(EXAMPLES)
def test_the_headers_of_an_example_are_as_documented(example: Example) -> None:
    schema = next(message for message in MESSAGES if message.name == example.message).headers_schema()
    assert violations(example.shown()["headers"], schema, schema) == []
    assert set(dict(example.headers)) <= set(schema["properties"])


@_each([example for example in EXAMPLES if example.content == JSON])
def test_an_example_is_as_its_schema_says(example: Example) -> None:
    message = next(one for one in MESSAGES if one.name == example.message)
    schema = SCHEMAS[str(message.record)]
    assert violations(example.shown()["value"], schema, schema) == []


@_each([example for example in EXAMPLES if example.content == ARROW])
def test_an_arrow_example_has_the_documented_columns(example: Example) -> None:
    message = next(one for one in MESSAGES if one.name == example.message)
    shown = example.value_shown()
    fixed = {column.name for column in message.columns if "{" not in column.name}
    assert fixed <= set(shown["arrow_columns"])
    if message.record is not None:
        schema = SCHEMAS[message.record]
        assert violations(shown["metadata"]["fieldproof"], schema, schema) == []
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


READERS: dict[str, Any] = {
    "request": lambda record: requests.Request.model_validate_json(record.value),
    "fact": lambda record: events.Fact.model_validate_json(record.value),
    "pairing": lambda record: Pairing.model_validate_json(record.value),
    "evaluation": lambda record: Evaluation.model_validate_json(record.value),
    "verdict": lambda record: Verdict.model_validate_json(record.value),
    "feed": lambda record: feeds.FEED_ITEM.validate_json(record.value),
    "telemetry-frame": decode_frame,
    "telemetry-rows": decode_frame,
    "label": decode_label,
    "label-frame": decode_label,
    "ledger-entry": decode,
    "ledger-outcome": decode,
    "ledger-labels": decode,
}


@_each([example for example in EXAMPLES if example.message not in ("rejected", "replayed")])
def test_the_platform_can_read_an_example(example: Example) -> None:
    assert not isinstance(READERS[example.message](example.record()), Rejected)


def test_the_scores_of_the_example_keep_the_law_of_counts() -> None:
    for example in EXAMPLES:
        if example.name == "evaluation":
            assert Evaluation.model_validate_json(example.value).counts.hold()


# --- messages ---------------------------------------------------------------------------------------------------------


def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(files.message_table()))
    return table


def test_a_message_that_is_gone_breaks_its_readers() -> None:
    new = _table()
    del new["messages"][envelope.VERDICT]
    assert list(files.broken_messages(_table(), new)) == [
        "fieldproof.verdict: there is no such message any more"
    ]


@pytest.mark.parametrize(("what", "value"), [("address", "fp.facts"), ("key", "party"), ("content", ARROW)])
def test_a_message_that_travels_otherwise_breaks_somebody(what: str, value: str) -> None:
    new = _table()
    new["messages"][envelope.FACT][what] = value
    found = list(files.broken_messages(_table(), new))
    assert len(found) == 1 and f"its {what} was" in found[0]


def test_a_header_that_senders_need_now_breaks_them() -> None:
    new = _table()
    headers = new["messages"][envelope.REQUEST]["headers"]
    headers["properties"]["fp_signature"] = {"type": "string"}
    headers["required"].append("fp_signature")
    assert list(files.broken_messages(_table(), new)) == [
        "fieldproof.request: header fp_signature: is required, and was not"
    ]


def test_a_column_that_changes_its_type_breaks_somebody() -> None:
    new = _table()
    new["messages"][envelope.LEDGER_LABELS]["columns"]["code"] = "int32"
    assert list(files.broken_messages(_table(), new)) == [
        "fieldproof.ledger.labels: its column code was float64 and is int32"
    ]


def test_every_message_has_somebody_whom_a_change_must_not_break() -> None:
    written = {record.name for record in RECORDS if record.direction == "written"}
    for message in MESSAGES:
        reads = message.record in written or message.name in ("rejected", "replayed")
        assert message.side is (Side.READER if reads else Side.WRITER), message.name
