"""What answering cost, in whole numbers that add up in any order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemas.ledger import Outcome
from streams.buckets import bucket_of, upper_end
from streams.service import ServiceTally
from streams.tally import MOST_FAULTS, Tally
from tests.unit.ledger_examples import outcome


def asked(wall_us: int, *, rows: int = 10, cpu_us: int = 0, peak_kb: int = 0, **more: object) -> Outcome:
    measured = {"wall_us": wall_us, "cpu_us": cpu_us, "peak_kb": peak_kb, "rows": rows, **more}
    return outcome(0, answers=[0.0]).meta.model_copy(update=measured)


@given(st.integers(0, 2**40))
def test_a_bucket_holds_its_values_to_within_an_eighth(value: int) -> None:
    end = upper_end(bucket_of(value))
    assert value <= end <= value + value // 8
    assert bucket_of(end) == bucket_of(value) < bucket_of(end + 1)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=200))
def test_quantiles_are_those_of_the_sorted_times_to_within_an_eighth(times: list[int]) -> None:
    tally = ServiceTally()
    for one in times:
        tally.count(asked(one), 1)
    told = tally.told()
    assert told is not None
    for percent, found in ((50, told.p50_us), (95, told.p95_us), (99, told.p99_us)):
        exact = sorted(times)[-(-len(times) * percent // 100) - 1]
        assert exact <= found <= exact + exact // 8


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_what_is_taken_out_was_never_there(times: list[int], dice: Random) -> None:
    one, other = ServiceTally(), ServiceTally()
    for time in times:
        one.count(asked(time), 1)
    mixed = [*times, 77]
    dice.shuffle(mixed)
    for time in mixed:
        other.count(asked(time), 1)
    other.count(asked(77), -1)
    assert one.told() == other.told()


def test_cpu_time_is_told_for_a_thousand_rows_and_memory_at_its_peak() -> None:
    tally = ServiceTally()
    tally.count(asked(5, rows=400, cpu_us=1_000, peak_kb=100_000), 1)
    tally.count(asked(5, rows=100, cpu_us=4_000, peak_kb=90_000), 1)
    told = tally.told()
    assert told is not None
    assert (told.cpu_us_per_1000_rows, told.peak_mb) == (10_000, 98)


def test_frames_that_a_suspended_candidate_was_not_asked_cost_nothing() -> None:
    tally = Tally()
    tally.count(asked(0, result="failed", failure="suspended"), 1)
    assert tally.service.told() is None
    assert tally.failed_by_kind == {"suspended": 10}


def test_a_candidate_cannot_tell_much_by_the_places_where_it_fails() -> None:
    tally = Tally()
    for line in range(1000):
        tally.count(asked(1, result="failed", failure="error", where=f"model.py:{line}"), 1)
    tally.count(asked(1, result="failed", failure="error", where="model.py:3"), 1)
    found = tally.faults()
    assert len(found) == MOST_FAULTS
    assert (found[0].where, found[0].count) == ("model.py:3", 2)
    assert tally.failed_by_kind == {"error": 10_010}
