"""Room for what is in hand, bounded in bytes."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from agents.room import Room
from tests.unit.twins import settle, until

MOST = 100


@given(st.lists(st.integers(0, 250), max_size=30))
def test_no_more_is_held_than_fits_unless_one_is_alone_and_all_come_in_in_order(sizes: list[int]) -> None:
    async def scenario() -> None:
        room, inside, order = Room(MOST), list[int](), list[int]()

        async def enter() -> None:
            for number, size in enumerate(sizes):
                await room.enter(size)
                order.append(number)
                inside.append(size)
                assert room.held == sum(inside)
                # What takes nothing is beside whatever is there.
                assert room.held <= MOST or len([one for one in inside if one]) == 1

        entering = asyncio.ensure_future(enter())
        while not entering.done() or inside:
            await asyncio.sleep(0)
            if inside:
                room.leave(inside.pop(0))
        await entering
        assert order == list(range(len(sizes)))
        assert room.held == 0

    asyncio.run(scenario())


def test_who_does_not_fit_waits_until_enough_has_left() -> None:
    async def scenario() -> None:
        room = Room(MOST)
        await room.enter(60)
        await room.enter(40)
        waiting = asyncio.ensure_future(room.enter(50))
        room.leave(40)
        await settle()
        assert not waiting.done()
        room.leave(60)
        await until(waiting.done)
        assert room.held == 50

    asyncio.run(scenario())
