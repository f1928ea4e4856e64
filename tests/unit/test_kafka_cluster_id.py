"""The id of an embedded cluster."""

from __future__ import annotations

from uuid import UUID

from infra.kafka.broker import new_cluster_id


def test_no_cluster_id_looks_like_an_option_to_kafkas_tools() -> None:
    drawn = iter([UUID(bytes=bytes([0xF8, *range(15)])), UUID(bytes=bytes([0x12, *range(15)]))])
    found = new_cluster_id(lambda: next(drawn))
    assert found.startswith("E") and len(found) == 22
