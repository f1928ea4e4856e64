"""A message that an agent was never handed is fetched again, once, before the process ends; one behind another agent's work is not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from infra import faust_worker as module
from infra.faust_worker import BEHIND_S, LOOK_S, WITHHELD_S, Intake


class Ended(Exception):
    """The process would have ended here."""


class Missing(Intake):
    """An agent that waits, and to which one message was not handed."""

    async def withheld(self, app: Any) -> dict[tuple[str, int], int]:
        return {("t", 0): 7}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, which passes in the sleeps of the watch; `then` is done after each."""
    now = SimpleNamespace(s=0.0, then=lambda: None, most_s=4 * BEHIND_S)

    async def sleep(seconds: float) -> None:
        now.s += seconds
        now.then()
        if now.s > now.most_s:
            raise TimeoutError

    def crash(error: BaseException) -> None:
        raise Ended from error

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.s)
    monkeypatch.setattr(module, "crash", crash)
    return now


def fetching(
    clock: SimpleNamespace, sought: list[float], *, rebalancing: bool = False, stands: bool = True
) -> Any:
    """An app whose consumer keeps when it was told to go back; whether a message stands where one seems to be missing."""

    async def holds(topic: str, partition: int, start: int, end: int) -> bool:
        assert (topic, partition, start, end) == ("t", 0, 7, 9)
        return stands

    async def seek_wait(places: dict[TP, int]) -> None:
        assert places == {TP("t", 0): 7}
        sought.append(clock.s)

    consumer = SimpleNamespace(seek_wait=seek_wait, reached=lambda place: 9)
    return SimpleNamespace(rebalancing=rebalancing, consumer=consumer, reading=SimpleNamespace(holds=holds))


def times(clock: SimpleNamespace, *beside: Intake) -> tuple[float, float]:
    """When the consumer was told to go back, and how much later the process ended."""
    sought: list[float] = []
    with pytest.raises(Ended):
        asyncio.run(Missing(prefix="t", waits=True).watch(fetching(clock, sought), *beside))
    (back,) = sought
    return back, clock.s - back


def test_a_message_that_is_withheld_is_fetched_again_soon_and_then_ends_the_process(
    clock: SimpleNamespace,
) -> None:
    for waited in times(clock):
        assert WITHHELD_S <= waited <= WITHHELD_S + 2 * LOOK_S


def test_it_is_as_soon_where_the_other_agents_wait_too(clock: SimpleNamespace) -> None:
    for waited in times(clock, Intake(prefix="u", waits=True)):
        assert waited <= WITHHELD_S + 2 * LOOK_S


@pytest.mark.parametrize("moves", [True, False])
def test_it_waits_while_another_agent_is_at_work_and_not_for_ever(
    clock: SimpleNamespace, moves: bool
) -> None:
    busy = Intake(prefix="u", waits=moves)

    def work() -> None:
        busy.asked += moves

    clock.then = work
    for waited in times(clock, busy):
        assert BEHIND_S <= waited <= BEHIND_S + 2 * LOOK_S


def test_the_time_begins_when_the_other_agents_have_done(clock: SimpleNamespace) -> None:
    busy = Intake(prefix="u")

    def work() -> None:
        busy.asked += clock.s < 4 * LOOK_S
        busy.waits = clock.s >= 5 * LOOK_S

    clock.then = work
    back, _ = times(clock, busy)
    assert 5 * LOOK_S < back <= 5 * LOOK_S + WITHHELD_S + LOOK_S


def test_a_message_that_comes_after_all_is_missed_anew_when_the_next_one_is(clock: SimpleNamespace) -> None:
    missing, sought = Missing(prefix="t", waits=True), []

    def comes() -> None:
        missing.asked += len(sought) == 1 and clock.s == sought[0] + LOOK_S

    clock.then = comes
    with pytest.raises(Ended):
        asyncio.run(missing.watch(fetching(clock, sought)))
    assert len(sought) == 2, "what was fetched again and came is no reason to end"


def test_it_goes_on_while_partitions_are_assigned_anew(clock: SimpleNamespace) -> None:
    sought: list[float] = []
    with pytest.raises(TimeoutError):
        asyncio.run(Missing(prefix="t", waits=True).watch(fetching(clock, sought, rebalancing=True)))
    assert not sought


def test_where_no_message_stands_none_is_missed(clock: SimpleNamespace) -> None:
    missing, sought = Missing(prefix="t", waits=True), []
    with pytest.raises(TimeoutError):
        asyncio.run(missing.watch(fetching(clock, sought, stands=False)))
    assert (sought, missing.given) == ([], {("t", 0): 9})


class Log:
    """A consumer of partitions of `t` and `u`: to where each is written, from where it is kept, and what is committed."""

    def __init__(self, *, written: int, kept: int = 0, committed: int | None = None) -> None:
        self._written, self._kept = written, kept
        self._committed_offset = {TP("t", 0): committed, TP("u", 0): None}
        self.asked = 0

    def assignment(self) -> set[TP]:
        return {TP("t", 0), TP("u", 0)}

    def reached(self, place: TP) -> int:
        return self._written

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        self.asked += 1
        return dict.fromkeys(places, self._kept)


@pytest.mark.parametrize(
    ("log", "given", "expected"),
    [
        (Log(written=0), 0, None),
        (Log(written=7), 7, None),
        (Log(written=8), 7, 7),
        (Log(written=8, committed=3), 0, 3),
        (Log(written=8, kept=5), 0, 5),
        (Log(written=8, kept=8), 0, None),
    ],
)
def test_what_is_written_kept_and_was_not_given_is_withheld(
    log: Log, given: int, expected: int | None
) -> None:
    intake = Intake(prefix="t", waits=True, given={("t", 0): given})
    app: Any = SimpleNamespace(consumer=log)
    assert asyncio.run(intake.withheld(app)) == ({} if expected is None else {("t", 0): expected})
    assert log.asked == (given < log.reached(TP("t", 0))), (
        "the broker is asked only where something seems to be missing"
    )
    intake.waits = False
    assert asyncio.run(intake.withheld(app)) == {}, "an agent at work has what comes next before it"
