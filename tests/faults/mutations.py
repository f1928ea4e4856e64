"""Messages that nobody should send: valid ones, damaged in every way that a topic lets through. One seed drives every choice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from streams.arrow_size import opened_bytes
from streams.envelope import ARROW, JSON, Headers
from streams.frames import TS, TS_TYPE


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message as it is sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    #: How it was damaged, for the words of a failure.
    how: str = "as it is"


Mutator = Callable[[random.Random, Sent], Sent]

NUMBERS: tuple[Any, ...] = (
    0, -1, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**400, 1e308, -1e308, 5e-324, 0.1, True, float("nan"), float("inf"),
)  # fmt: skip
TEXTS = (
    "",
    " ",
    "\x00",
    "\ud800",
    "ㄱ" * 300,
    "x" * 70_000,
    "../..",
    "fp.events",
    "NaN",
    "1",
    "\u202e",
    "null",
)


def mutated(rng: random.Random, sent: Sent) -> Sent:
    """The same message, damaged once or twice."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        kinds = [*ANY, *ANY_VALUE]
        if _is_json(sent.value):
            kinds += AS_JSON * 3
        if (sent.value or b"")[:4] == b"\xff\xff\xff\xff":
            kinds += AS_ARROW * 3
        chosen = rng.choice(kinds)
        found = chosen(rng, sent)
        sent = replace(found, how=f"{sent.how}, {chosen.__name__}")
    return sent


def _is_json(value: bytes | None) -> bool:
    return (value or b"")[:1] in (b"{", b"[")


# --- envelope -----------------------------------------------------------------------------------------------------------


def key(rng: random.Random, sent: Sent) -> Sent:
    return replace(
        sent, key=rng.choice([None, b"", b"m9", b"\xff\xfe", b"k" * 70_000, b"m1/m2", "설비 1".encode()])
    )


def no_headers(rng: random.Random, sent: Sent) -> Sent:
    return replace(sent, headers=rng.sample(sent.headers, rng.randrange(len(sent.headers) + 1)))


def header(rng: random.Random, sent: Sent) -> Sent:
    name = rng.choice(
        [
            *(one for one, _ in sent.headers),
            "fp_frame",
            "fp_replayed_from",
            "ce_type",
            "ce_id",
            "x" * 3000,
            "",
        ]
    )
    told = rng.choice(
        [
            b"",
            b"\xff\xfe",
            b"y" * 50_000,
            b"1",
            ARROW.encode(),
            JSON.encode(),
            b"text/csv",
            f"{sent.topic}:0:0".encode(),
        ]
    )
    others = [one for one in sent.headers if one[0] != name or rng.random() < 0.5]
    return replace(sent, headers=[*others, (name, told)])


def codec(rng: random.Random, sent: Sent) -> Sent:
    """The other kind of content is announced."""
    other = ARROW if _is_json(sent.value) else JSON
    kept = [one for one in sent.headers if one[0] != "content-type"]
    return replace(sent, headers=[*kept, ("content-type", other.encode())])


def of_another_topic(rng: random.Random, sent: Sent) -> Sent:
    kinds = [
        b"fieldproof.request",
        b"fieldproof.ledger.outcome",
        b"fieldproof.ledger.labels",
        b"fieldproof.label",
    ]
    kept = [one for one in sent.headers if one[0] != "ce_type"]
    return replace(sent, headers=[*kept, ("ce_type", rng.choice(kinds))])


ANY: list[Mutator] = [key, no_headers, header, codec, of_another_topic]


# --- bytes --------------------------------------------------------------------------------------------------------------


def flips(rng: random.Random, sent: Sent) -> Sent:
    value = bytearray(sent.value or b"\x00")
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(len(value)) if value else 0
        value[at : at + 1] = bytes([(value[at] if value else 0) ^ (1 << rng.randrange(8))])
    return replace(sent, value=bytes(value))


def words(rng: random.Random, sent: Sent) -> Sent:
    """Four or eight bytes become a number at the edge: lengths and offsets of a binary format."""
    value = bytearray(sent.value or b"\x00" * 16)
    at, size = rng.randrange(len(value)), rng.choice((4, 8))
    number = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)) % 2 ** (8 * size)
    value[at : at + size] = number.to_bytes(size, "little")
    return replace(sent, value=bytes(value))


def cut(rng: random.Random, sent: Sent) -> Sent:
    value = sent.value or b""
    return replace(sent, value=value[: rng.randrange(len(value) + 1)])


def middle(rng: random.Random, sent: Sent) -> Sent:
    value = sent.value or b""
    at = rng.randrange(len(value) + 1)
    junk = rng.choice((rng.randbytes(rng.randrange(40)), value[:at], b""))
    return replace(sent, value=value[:at] + junk + value[at + rng.randrange(20) :])


def nothing(rng: random.Random, sent: Sent) -> Sent:
    return replace(sent, value=rng.choice((None, b"", b"\x00", rng.randbytes(rng.randrange(2000)))))


def oversized(rng: random.Random, sent: Sent) -> Sent:
    filler = rng.choice((b" ", b"\x00", b"[", b'{"a":'))
    times = rng.choice((1_200_000, 70_000)) // len(filler)
    return replace(sent, value=rng.choice((filler * times, (sent.value or b"") + filler * times)))


ANY_VALUE: list[Mutator] = [flips, words, cut, middle, nothing]
#: Rare, because they are large.
LARGE: list[Mutator] = [oversized]


# --- JSON ---------------------------------------------------------------------------------------------------------------


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, one in items:
        yield from _places(one, (*path, name))


def _changed(rng: random.Random, sent: Sent, change: Callable[[Any], Any]) -> Sent:
    """One place of the JSON document changed."""
    try:
        data = json.loads(sent.value or b"")
    except (ValueError, RecursionError):
        return flips(rng, sent)
    path = rng.choice(list(_places(data)))
    if not path:
        data = change(data)
    else:
        inner = data
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = change(inner[path[-1]])
    return replace(
        sent, value=json.dumps(data, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    )


def number(rng: random.Random, sent: Sent) -> Sent:
    return _changed(rng, sent, lambda _: rng.choice(NUMBERS))


def text(rng: random.Random, sent: Sent) -> Sent:
    return _changed(rng, sent, lambda _: rng.choice(TEXTS))


def shape(rng: random.Random, sent: Sent) -> Sent:
    return _changed(
        rng, sent, lambda old: rng.choice((None, [], {}, [old], {"a": old}, [old] * 3, {"kind": "point"}))
    )


def field_added(rng: random.Random, sent: Sent) -> Sent:
    return _changed(rng, sent, lambda old: {**old, "extra": 1} if isinstance(old, dict) else [old])


def field_gone(rng: random.Random, sent: Sent) -> Sent:
    def without(old: Any) -> Any:
        if isinstance(old, dict) and old:
            gone = rng.choice(sorted(old))
            return {name: one for name, one in old.items() if name != gone}
        return None

    return _changed(rng, sent, without)


def deep(rng: random.Random, sent: Sent) -> Sent:
    depth, mark = rng.choice((60, 1500, 60_000)), "@@deep@@"
    opened = "[" * depth + "]" * depth if rng.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth
    marked = _changed(rng, sent, lambda _: mark)
    return replace(marked, value=(marked.value or b"").replace(f'"{mark}"'.encode(), opened.encode()))


def endless_number(rng: random.Random, sent: Sent) -> Sent:
    marked = _changed(rng, sent, lambda _: "@@number@@")
    digits = rng.choice(
        (b"1" * 5000, b"1e400", b"-1e999999", b"0." + b"0" * 5000 + b"1", b"Infinity", b"NaN", b"01")
    )
    return replace(marked, value=(marked.value or b"").replace(b'"@@number@@"', digits))


AS_JSON: list[Mutator] = [number, text, shape, field_added, field_gone, deep, endless_number]


# --- Arrow --------------------------------------------------------------------------------------------------------------


def _batch(sent: Sent) -> pa.RecordBatch:
    try:
        with pa.ipc.open_stream(sent.value or b"") as reader:
            # What opens to a lot is not damaged any further.
            assert opened_bytes(sent.value or b"") < 1_000_000
            batch = reader.read_next_batch()
        batch.validate(full=True)
        assert batch.schema.names
        return batch
    except Exception:
        return pa.RecordBatch.from_pydict({TS: pa.array([0, 1]).cast(TS_TYPE), "x": pa.array([0.5, 1.5])})


def _stream(batches: list[pa.RecordBatch], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        for one in batches:
            out.write_batch(one)
    return bytes(sink.getvalue())


def _of(columns: list[tuple[str, pa.Array]], metadata: Any = None) -> pa.RecordBatch:
    fields = [pa.field(name, one.type) for name, one in columns]
    return pa.RecordBatch.from_arrays(
        [one for _, one in columns], schema=pa.schema(fields, metadata=metadata)
    )


def columns(rng: random.Random, sent: Sent) -> Sent:
    """Columns gone, twice, renamed or of another type."""
    batch = _batch(sent)
    n = batch.num_rows
    listed = list(zip(batch.schema.names, batch.columns, strict=True))
    at = rng.randrange(len(listed))
    name = listed[at][0]
    others: list[pa.Array] = [
        pa.array([1] * n, type=pa.int8()),
        pa.array(["x"] * n),
        pa.array(["x"] * n).dictionary_encode(),
        pa.array([[1.0]] * n),
        pa.array([{"a": 1}] * n),
        pa.array([None] * n),
        pa.array([None] * n, type=pa.float64()),
        pa.array([0] * n, type=pa.int64()).cast(pa.timestamp("ns")),
        pa.array([0] * n, type=pa.int64()).cast(pa.timestamp("us", tz="Asia/Seoul")),
        pa.array([2**63 - 1] * n, type=pa.int64()).cast(TS_TYPE),
        pa.array([-(2**63)] * n, type=pa.int64()).cast(TS_TYPE),
        pa.array([b"x"] * n, type=pa.binary()),
        pa.array([True] * n),
        pa.array([2**64 - 1] * n, type=pa.uint64()),
        pa.array([1.5] * n, type=pa.float16()),
        pa.array([1] * n, type=pa.decimal128(20, 3)),
    ]
    change = rng.randrange(4)
    if change == 0 and len(listed) > 1:
        del listed[at]
    elif change == 1:
        listed.append(listed[at])
    elif change == 2:
        listed[at] = (rng.choice(["", "y", "ts", "secret", "x" * 5000]), listed[at][1])
    else:
        listed[at] = (name, rng.choice(others))
    return replace(sent, value=_stream([_of(listed, batch.schema.metadata)]))


def odd_numbers(rng: random.Random, sent: Sent) -> Sent:
    batch = _batch(sent)
    odd = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, -0.0, None]
    listed = [
        (name, pa.array([rng.choice(odd) for _ in range(batch.num_rows)], type=pa.float64()) if pa.types.is_float64(one.type) else one)
        for name, one in zip(batch.schema.names, batch.columns, strict=True)
    ]  # fmt: skip
    return replace(sent, value=_stream([_of(listed, batch.schema.metadata)]))


def odd_times(rng: random.Random, sent: Sent) -> Sent:
    batch = _batch(sent)
    times = rng.choice(
        (
            np.full(batch.num_rows, 2**63 - 1),
            np.full(batch.num_rows, -(2**63)),
            np.linspace(-9e18, 9e18, batch.num_rows).astype(np.int64),
            np.zeros(batch.num_rows, dtype=np.int64),
            np.arange(batch.num_rows)[::-1],
        )
    )
    listed = [
        (name, pa.array(times, type=pa.int64()).cast(one.type) if pa.types.is_timestamp(one.type) else one)
        for name, one in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return replace(sent, value=_stream([_of(listed, batch.schema.metadata)]))


def rows(rng: random.Random, sent: Sent) -> Sent:
    """No rows, two batches, no batch, or the file format."""
    batch = _batch(sent)
    change = rng.randrange(4)
    if change == 0:
        return replace(sent, value=_stream([batch.slice(0, 0)]))
    if change == 1:
        return replace(sent, value=_stream([batch, batch]))
    sink = pa.BufferOutputStream()
    if change == 2:
        with pa.ipc.new_stream(sink, batch.schema):
            pass
    else:
        with pa.ipc.new_file(sink, batch.schema) as out:
            out.write_batch(batch)
    return replace(sent, value=bytes(sink.getvalue()))


def compressed(rng: random.Random, sent: Sent) -> Sent:
    """Compressed as it is, which is allowed, and damaged afterwards as often as not."""
    packed = replace(sent, value=_stream([_batch(sent)], compression=rng.choice(("zstd", "lz4"))))
    return rng.choice((flips, words, cut, lambda _, one: one))(rng, packed)


def bomb(rng: random.Random, sent: Sent) -> Sent:
    """A few kilobytes that open to hundreds of megabytes."""
    return replace(sent, value=_bomb(rng.choice((100_000, 4_000_000, 20_000_000))))


_BOMBS: dict[int, bytes] = {}


def _bomb(count: int) -> bytes:
    if count not in _BOMBS:
        zeros = pa.array(np.zeros(count, dtype=np.int64))
        _BOMBS[count] = _stream(
            [_of([(TS, zeros.cast(TS_TYPE)), ("x", zeros.cast(pa.float64()))])], compression="zstd"
        )
    return _BOMBS[count]


AS_ARROW: list[Mutator] = [columns, odd_numbers, odd_times, rows, compressed, bomb]
