"""How much an Arrow stream holds once it is open, read off its messages before any of it is decompressed.

Formats: https://arrow.apache.org/docs/format/Columnar.html (encapsulated messages, compressed buffers) and the tables of
`Message.fbs`, which are FlatBuffers: a table begins with the distance back to its vtable, and that lists where its fields are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

#: Fields of the tables `Message` and `RecordBatch`, by their place in the vtable.
_HEADER = 2
_BUFFERS, _COMPRESSION = 2, 3
#: Length of a buffer that was left as it is.
_AS_IT_IS = -1


def opened_bytes(value: bytes) -> int:
    """Bytes of all buffers of a stream's record batches, compressed ones at the length that they declare.

    A buffer that declares less than it holds cannot be opened: what is decompressed is written into that much memory.

    Raises:
        pa.ArrowException, OSError: it is no Arrow stream.
        ValueError, struct.error: its messages are not those of a frame.
    """
    return sum(sum(_lengths(message)) for message in _messages(value))


def _messages(value: bytes) -> Iterator[pa.ipc.Message]:
    for message in pa.ipc.MessageReader.open_stream(value):
        if message.type not in ("schema", "record batch"):
            raise ValueError(f"the stream holds a {message.type}")
        if message.type == "record batch":
            yield message


def _lengths(message: pa.ipc.Message) -> Iterator[int]:
    meta, body = message.metadata.to_pybytes(), memoryview(message.body or b"")
    batch = _at(meta, _field(meta, _at(meta, 0), _HEADER))
    if not _field(meta, batch, _COMPRESSION):
        yield len(body)
        return
    vector = _at(meta, _field(meta, batch, _BUFFERS))
    (count,) = struct.unpack_from("<I", meta, vector)
    for i in range(count):
        offset, length = struct.unpack_from("<qq", meta, vector + 4 + 16 * i)
        declared = struct.unpack_from("<q", body, offset)[0] if length else _AS_IT_IS
        if declared < _AS_IT_IS or length < 0 or offset < 0:
            raise ValueError("a buffer declares a negative length")
        yield length if declared == _AS_IT_IS else declared


def _at(meta: bytes, place: int) -> int:
    """Where the offset at a place leads."""
    return place + int(struct.unpack_from("<I", meta, place)[0])


def _field(meta: bytes, table: int, number: int) -> int:
    """The place of a table's field; 0 where the table has none."""
    vtable = table - struct.unpack_from("<i", meta, table)[0]
    (size,) = struct.unpack_from("<H", meta, vtable)
    if 4 + 2 * number >= size:
        return 0
    (distance,) = struct.unpack_from("<H", meta, vtable + 4 + 2 * number)
    return table + distance if distance else 0
