"""Tables of a bundle, as Parquet: messages of a topic, the chain of the ledger, losses unit by unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.envelope import RawRecord
from streams.topics import WRITTEN_BYTES

#: Messages in a row group, and their bytes; rows in one of numbers. Groups are read one at a time.
GROUP, GROUP_BYTES = 500, 32 * 1024**2
ROWS = 100_000
#: What a group may open to at most, in bytes, by what its file says: a message more than is written.
_OPENED = 2 * (GROUP_BYTES + WRITTEN_BYTES)

_MESSAGES: list[pa.Field[Any]] = [
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("appended_ms", pa.int64(), nullable=False),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
]
MESSAGES = pa.schema(_MESSAGES)

#: Of each entry that counted, in their order.
_CHAIN: list[pa.Field[Any]] = [
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("sha256", pa.binary(32), nullable=False),
]
CHAIN = pa.schema(_CHAIN)

#: Of each unit, candidate and rival: losses of labelled rows, and the gain with missing labels at their worst and best;
#: all in millionths.
_LOSSES: list[pa.Field[Any]] = [
    pa.field("candidate", pa.string(), nullable=False),
    pa.field("rival", pa.string(), nullable=False),
    pa.field("place", pa.int64(), nullable=False),
    pa.field("candidate_loss", pa.int64(), nullable=False),
    pa.field("rival_loss", pa.int64(), nullable=False),
    pa.field("gain_low", pa.int64(), nullable=False),
    pa.field("gain_high", pa.int64(), nullable=False),
    pa.field("dropped", pa.bool_(), nullable=False),
    pa.field("events", pa.int64(), nullable=False),
    pa.field("unlabelled", pa.bool_(), nullable=False),
]
LOSSES = pa.schema(_LOSSES)


def write_messages(path: Path, records: Iterable[RawRecord]) -> int:
    """Write messages as they are, a few hundred at a time; gives how many there were."""
    count = 0
    with pq.ParquetWriter(path, MESSAGES, compression="zstd", use_dictionary=False) as writer:
        for block in _blocks(records):
            writer.write_table(pa.Table.from_pylist([_row(one) for one in block], schema=MESSAGES))
            count += len(block)
    return count


def _blocks(records: Iterable[RawRecord]) -> Iterator[list[RawRecord]]:
    block: list[RawRecord] = []
    size = 0
    for record in records:
        block.append(record)
        size += len(record.value or b"")
        if len(block) == GROUP or size > GROUP_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _row(record: RawRecord) -> dict[str, Any]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "appended_ms": record.timestamp_ms,
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers],
    }


def read_messages(path: Path, topic: str) -> Iterator[RawRecord]:
    """The messages of a table, as they were.

    Raises:
        ValueError: the file is no such table.
    """
    for group in read_groups(path, MESSAGES, most=GROUP):
        for row in group.to_pylist():
            yield RawRecord(
                topic=topic,
                partition=row["partition"],
                offset=row["offset"],
                timestamp_ms=row["appended_ms"],
                key=row["key"],
                value=row["value"],
                headers=tuple((one["name"], one["value"] or b"") for one in row["headers"] or () if one),
            )


def write_table(path: Path, schema: pa.Schema, columns: Sequence[Any]) -> None:
    """Write one table of columns."""
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=ROWS)


def count_rows(path: Path, schema: pa.Schema) -> int:
    """How many rows a table says that it has.

    Raises:
        ValueError: the file is no such table.
    """
    with _opened(path, schema) as file:
        return int(file.metadata.num_rows)


def read_groups(path: Path, schema: pa.Schema, *, most: int = ROWS) -> Iterator[pa.Table]:
    """The row groups of a table, one at a time.

    Raises:
        ValueError: the file is no such table, or opens to more than one that was written here.
    """
    try:
        with _opened(path, schema) as file:
            for number in range(file.num_row_groups):
                _look_at(file.metadata.row_group(number), path.name, most)
                group = file.read_row_group(number)
                group.validate(full=True)
                yield group
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _look_at(group: pq.RowGroupMetaData, name: str, most: int) -> None:
    """Refuse what would fill the memory before it is opened: tables are written here without dictionaries."""
    columns = [group.column(number) for number in range(group.num_columns)]
    packed = any("DICTIONARY" in one for column in columns for one in column.encodings)
    if packed or group.num_rows > most or group.total_byte_size > _OPENED:
        raise ValueError(f"{name} is not written as evidence is: a part of it opens to too much")


def _opened(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is no Parquet file: {error}") from error
    if not file.schema_arrow.equals(schema):
        file.close()
        raise ValueError(f"{path.name} has other columns than it should")
    return file
