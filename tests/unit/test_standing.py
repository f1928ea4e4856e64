"""When a candidate's process is started again, and when it is suspended."""

from __future__ import annotations

from collections.abc import Iterable

from infra.sandbox.standing import MAKING_GOOD, MOST_ENDS, MOST_LOADS, Backoff, Standing


def after(events: Iterable[str]) -> Standing:
    standing = Standing()
    for event in events:
        standing = getattr(standing, event)()
        if standing.lost:
            break
    return standing


def test_each_end_in_a_row_is_waited_for_twice_as_long_up_to_a_limit() -> None:
    backoff = Backoff(first_s=1, most_s=5)
    assert [backoff.delay_s(failures) for failures in range(6)] == [0, 0, 1, 2, 4, 5]
    assert backoff.delay_s(10_000) == 5


def test_one_whose_process_only_ends_is_suspended() -> None:
    assert not after(["ended"] * (MOST_ENDS - 1)).lost
    assert after(["ended"] * MOST_ENDS).lost
    assert after(["ended"] * MOST_ENDS).faults == MOST_ENDS


def test_answers_make_ends_good() -> None:
    assert after(["ended"] * 3 + ["answered"] * (MAKING_GOOD - 1)).ends == 3
    assert after(["ended"] * 3 + ["answered"] * MAKING_GOOD).ends == 2
    assert after(["ended"] * 3 + ["answered"] * 3 * MAKING_GOOD) == Standing()
    assert after(["answered"] * 1000 + ["ended"] * MOST_ENDS).lost


def test_one_that_dies_of_every_other_frame_is_suspended() -> None:
    # A frame that kills its process is tried twice.
    assert after(["ended", "ended", "answered"] * 100).lost


def test_one_that_dies_of_one_frame_in_twenty_two_stays() -> None:
    assert not after((["ended", "ended"] + ["answered"] * 21) * 1000).lost


def test_one_that_cannot_be_loaded_is_suspended_and_a_load_makes_it_good() -> None:
    assert after(["unloadable"] * MOST_LOADS).lost
    assert after(["unloadable"] * MOST_LOADS).faults == MOST_LOADS
    assert after((["unloadable"] * (MOST_LOADS - 1) + ["loaded"]) * 10) == Standing()


def test_loads_do_not_make_ends_good() -> None:
    assert after(["ended", "loaded"] * MOST_ENDS).lost
