"""Records as they stand in topics: what is written can be read again."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import get_args

import pytest

from schemas import agreement, base, evaluation, events, labels, ledger, pairing, parties, requests, telemetry

RECORDS = sorted(
    {
        record
        for module in (agreement, evaluation, events, labels, ledger, pairing, parties, requests, telemetry)
        for _, record in inspect.getmembers(module, inspect.isclass)
        if issubclass(record, base.Record)
    },
    key=lambda record: record.__name__,
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_what_may_be_missing_may_be_left_out(record: type[base.Record]) -> None:
    """JSON leaves out what is None, such as the value of a verdict where no row was scored."""
    asked = {
        name
        for name, field in record.model_fields.items()
        if NoneType in get_args(field.annotation) and field.is_required()
    }
    assert asked == set()
