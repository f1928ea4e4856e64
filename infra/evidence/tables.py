"""Tables of a bundle, as Parquet: messages of a topic, the chain of the ledger, losses unit by unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.envelope import RawRecord

#: Messages in a row group.
GROUP = 500

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
    with pq.ParquetWriter(path, MESSAGES, compression="zstd") as writer:
        remaining = iter(records)
        while block := list(islice(remaining, GROUP)):
            writer.write_table(pa.Table.from_pylist([_row(one) for one in block], schema=MESSAGES))
            count += len(block)
    return count


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
    with _opened(path, MESSAGES) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield RawRecord(
                    topic=topic,
                    partition=row["partition"],
                    offset=row["offset"],
                    timestamp_ms=row["appended_ms"],
                    key=row["key"],
                    value=row["value"],
                    headers=tuple((one["name"], one["value"]) for one in row["headers"] or ()),
                )


def write_table(path: Path, schema: pa.Schema, columns: Sequence[Any]) -> None:
    """Write one table of columns."""
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read one table.

    Raises:
        ValueError: the file is no such table.
    """
    with _opened(path, schema) as file:
        return file.read()


def _opened(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is no Parquet file: {error}") from error
    if not file.schema_arrow.equals(schema):
        raise ValueError(f"{path.name} has other columns than it should")
    return file
