"""A message that an agent was never handed ends the process; one that only stands behind another agent's work does not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

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
    now = SimpleNamespace(s=0.0, then=lambda: None, most_s=3 * BEHIND_S)

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


def ended_s(clock: SimpleNamespace, *beside: Intake) -> float:
    """When the process ended."""
    app: Any = SimpleNamespace(rebalancing=False)
    with pytest.raises(Ended):
        asyncio.run(Missing(prefix="t", waits=True).watch(app, *beside))
    return float(clock.s)


def test_a_message_that_is_withheld_ends_the_process_soon(clock: SimpleNamespace) -> None:
    assert WITHHELD_S <= ended_s(clock) <= WITHHELD_S + 2 * LOOK_S


def test_it_ends_as_soon_where_the_other_agents_wait_too(clock: SimpleNamespace) -> None:
    assert ended_s(clock, Intake(prefix="u", waits=True)) <= WITHHELD_S + 2 * LOOK_S


@pytest.mark.parametrize("moves", [True, False])
def test_it_goes_on_while_another_agent_is_at_work_and_not_for_ever(
    clock: SimpleNamespace, moves: bool
) -> None:
    busy = Intake(prefix="u", waits=moves)

    def work() -> None:
        busy.asked += moves

    clock.then = work
    assert BEHIND_S <= ended_s(clock, busy) <= BEHIND_S + 2 * LOOK_S


def test_it_goes_on_while_partitions_are_assigned_anew(clock: SimpleNamespace) -> None:
    app: Any = SimpleNamespace(rebalancing=True)
    with pytest.raises(TimeoutError):
        asyncio.run(Missing(prefix="t", waits=True).watch(app))
