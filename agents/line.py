"""The line of a plant: what it sends is taken message by message, until too much of it has to be rejected."""

from __future__ import annotations

import asyncio

from agents.ports import Board
from agents.reports import Reports
from schemas.pairing import Pairing
from schemas.parties import Plant
from schemas.rejected import Rejected, Rejections
from schemas.requests import ReportRejections
from streams.refusals import Recent


class Line:
    """What one worker takes from one topic of a plant.

    Where too much is rejected it stands, and control is told, which pauses the plant. It goes on where the plant's owner
    resumes it, and the count begins anew: what was rejected before does not stop it again.
    """

    def __init__(self, plant: Plant, topic: str, *, board: Board, reports: Reports) -> None:
        self._plant = plant
        self._topic = topic
        self._board = board
        self._reports = reports
        self._recent = Recent(plant.rejects)
        self._full: asyncio.Queue[Rejections] = asyncio.Queue()
        self._stopped = False
        self._paused = False
        self._goes = asyncio.Event()
        self._goes.set()
        board.on_change(self._look)

    def note(self, why: Rejected | None) -> None:
        """A message was taken; or rejected, for that reason."""
        self._recent.note(why)
        if not self._stopped and self._recent.too_many():
            self._stopped = True
            self._goes.clear()
            self._full.put_nowait(self._recent.told(self._topic))

    async def clear(self) -> None:
        """Wait while the line stands."""
        await self._goes.wait()

    async def run(self) -> None:
        """Tell control when the line has stopped; runs as long as the worker."""
        while True:
            rejections = await self._full.get()
            report = ReportRejections(plant=self._plant.id, rejections=rejections)
            await self._reports.tell_anew(report, f"rejections-{self._topic}")

    def _look(self, _: Pairing) -> None:
        """The plant may have been paused or resumed."""
        pairings = self._board.pairings.values()
        paused, held = any(one.paused for one in pairings), any(one.held for one in pairings)
        if self._paused and not paused:
            self._stopped = False
            self._recent = Recent(self._plant.rejects)
        self._paused = paused
        if held or self._stopped:
            self._goes.clear()
        else:
            self._goes.set()
