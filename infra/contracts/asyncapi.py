"""The AsyncAPI 3 document: channels, operations and messages of an installation."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from infra.contracts.channels import CHANNELS, MESSAGES, PARTIES, PLANT, Channel, Message, Party
from infra.contracts.compatibility import Side
from infra.contracts.record_schemas import Definitions
from streams.envelope import ARROW, JSON

Json = dict[str, Any]

_BINDING = "0.5.0"
_NUMBERS = frozenset({"retention.ms", "max.message.bytes"})

_ABOUT = """\
Proofs of concept of industrial AI on live factory data (실증). Every message is a Kafka record with a CloudEvents 1.0
envelope in binary mode: attributes are headers named ce_…, the value is the data. Generated from the platform's own
models by `make contracts`. How to write a client: contracts.md, beside this file.
"""


def document(version: str, *, accepted: Definitions, written: Definitions) -> Json:
    """The whole document as plain values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Fieldproof",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": name, "description": about} for name, about in PARTIES.items()],
        },
        "defaultContentType": JSON,
        "servers": {
            "installation": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The brokers of an installation; a plant may have its own for the topics named after it.",
                "variables": {
                    "bootstrap": {"description": "What is given to the platform as KAFKA_BOOTSTRAP_SERVERS."}
                },
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(operation for channel in CHANNELS for operation in _operations(channel)),
        "components": {
            "messages": {message.name: _message(message) for message in MESSAGES},
            "schemas": {**_schemas("accepted", accepted), **_schemas("written", written), **_headers()},
        },
    }


def text(made: Json) -> str:
    """The document as YAML."""
    yaml = YAML()
    # Folded lines would change with a word: every text stays on its line.
    yaml.width = 100_000
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda *_: True
    out = io.StringIO()
    out.write("# Generated from the models by `make contracts`; changes made here are lost.\n")
    yaml.dump(_as_blocks(made), out)
    return out.getvalue()


def _as_blocks(value: Any) -> Any:
    """Texts of several lines as they are read."""
    if isinstance(value, dict):
        return {key: _as_blocks(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_blocks(one) for one in value]
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value


def _channel(channel: Channel) -> Json:
    made: Json = {
        "address": channel.address,
        "description": channel.about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
    }
    for name, about in (("plant", "The plant's identifier."), ("party", "The party's identifier.")):
        if f"{{{name}}}" in channel.address:
            made["parameters"] = {name: {"description": about}}
    made["bindings"] = {"kafka": _topic(channel)}
    return made


def _topic(channel: Channel) -> Json:
    spec, wider = channel.specs()
    config: Json = {key: int(value) if key in _NUMBERS else value for key, value in spec.config.items()}
    config["cleanup.policy"] = [spec.config["cleanup.policy"]]
    made: Json = {"topicConfiguration": config, "bindingVersion": _BINDING}
    if spec.partitions == wider.partitions:
        return {"partitions": spec.partitions, **made}
    return {
        **made,
        "x-partitions": f"as many as the plant {PLANT} was admitted with; never changed afterwards",
    }


def _operations(channel: Channel) -> list[tuple[str, Json]]:
    sides: list[tuple[str, str, Party]] = [
        *(("send", "sends", party) for party in channel.writers),
        *(("receive", "reads", party) for party in channel.readers),
    ]
    return [
        (
            f"{party}-{verb}-{channel.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "summary": f"A {party} {verb} {channel.address}."
                if party != "platform"
                else "The platform's own part.",
                "tags": [{"name": party}],
                "messages": [
                    {"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in channel.messages
                ],
            },
        )
        for action, verb, party in sides
    ]


def _message(message: Message) -> Json:
    channel = next(one for one in CHANNELS if message.name in one.messages)
    return {
        "name": message.type,
        "title": message.name.replace("-", " "),
        "summary": message.about,
        "contentType": message.content,
        "headers": {"$ref": f"#/components/schemas/headers.{message.name}"},
        "payload": _payload(message),
        "bindings": {
            "kafka": {"key": {"type": "string", "description": channel.key}, "bindingVersion": _BINDING}
        },
    }


def _payload(message: Message) -> Json:
    record = None
    if message.record is not None:
        direction = "accepted" if message.side is Side.WRITER else "written"
        record = {"$ref": f"#/components/schemas/{direction}.{message.record}"}
    if message.content == JSON and record is not None:
        return record
    made: Json = {"type": "string", "format": "binary"}
    if message.content == ARROW:
        made["description"] = "One complete Arrow IPC stream with one record batch of these columns."
        made["x-arrow-columns"] = [
            {"name": column.name, "type": column.type, "description": column.about}
            for column in message.columns
        ]
        if record is not None:
            made["x-arrow-metadata"] = {"fieldproof": record}
    else:
        made["description"] = "The bytes of the original message's value."
    return made


def _headers() -> Json:
    return {f"headers.{message.name}": message.headers_schema() for message in MESSAGES}


def _schemas(direction: str, made: Definitions) -> Json:
    """Records under `<direction>.<record>`, the models they are made of under `<direction>.<Model>`."""
    return {
        f"{direction}.{name}": _as_component(schema, direction)
        for name, schema in (*made.roots.items(), *sorted(made.parts.items()))
    }


def _as_component(schema: Any, direction: str) -> Any:
    """A schema as AsyncAPI has it: its references into the components, its discriminator by name alone."""
    if isinstance(schema, list):
        return [_as_component(value, direction) for value in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _as_component(value, direction) for key, value in schema.items()}
    if isinstance(schema.get("$ref"), str):
        made["$ref"] = schema["$ref"].replace("#/$defs/", f"#/components/schemas/{direction}.")
    if isinstance(schema.get("discriminator"), dict):
        made["discriminator"] = schema["discriminator"]["propertyName"]
    return made
