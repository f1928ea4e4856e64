"""A candidate that is kept running: its child is started again when it has ended, until it is suspended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from infra.sandbox.command import Level
from infra.sandbox.host import Loaded, Sandbox, SandboxUnavailable
from infra.sandbox.spec import ChildSpec
from infra.sandbox.standing import Backoff, Standing
from models.contract import Failed, Predicted

#: How often a frame is handed over again because a child ended before its turn, for each place in the window.
_TURNS_MISSED = 2


class Candidate:
    """A `Predictor` over one child after another.

    A death that no limit caused is tried once more for the same frame. A model that cannot be loaded is not
    loaded again before its back-off has passed; frames fail with the reason meanwhile. After repeated faults
    (`infra.sandbox.standing`) it is suspended: no child is started any more and every frame fails at once.

    Once a child has ended, another one is kept warm: its libraries imported, none of the candidate's code run.
    Not before: a warm process takes as much memory as half a candidate, and most never end.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        level: Level,
        restarts: Backoff = Backoff(),
        reloads: Backoff = Backoff(first_s=60, most_s=600),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spec = spec
        self._level: Level = level
        self._restarts = restarts
        self._reloads = reloads
        self._monotonic = monotonic
        self._sleep = sleep
        self._starting = asyncio.Lock()
        self._child: Sandbox | None = None
        self._spare: asyncio.Task[Sandbox | None] | None = None
        self._standing = Standing()
        #: Why frames are not given to a child: its model cannot be loaded for now, or it is suspended.
        self._refusal: Failed | None = None
        self._reload_at = 0.0
        self._suspended = False
        self._closed = False
        #: Called with the nanoseconds that it took whenever the model has been loaded.
        self.on_loaded: Callable[[int], None] = lambda wall_ns: None
        #: Called once, with the last fault and the number of faults, when the candidate is suspended.
        self.on_suspended: Callable[[Failed, int], None] = lambda cause, faults: None

    @property
    def pid(self) -> int:
        """The present child's process, 0 if there is none."""
        return self._child.pid if self._child is not None else 0

    async def start(self) -> Loaded | Failed:
        """Load the model, so that the first frame need not wait for it.

        Raises:
            SandboxUnavailable: the sandbox itself does not work here.
        """
        async with self._starting:
            return self._refusal if self._suspended and self._refusal is not None else await self._load()

    async def suspend(self) -> None:
        """Start no child any more, as after repeated faults; nobody is told."""
        async with self._starting:
            await self._give_up("it was suspended after repeated faults")

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame (see `models.contract.Predictor`).

        Raises:
            SandboxUnavailable: the sandbox itself does not work here.
        """
        died: Failed | None = None
        missed = 0
        while True:
            child = await self._running()
            if isinstance(child, Failed):
                return died or child
            answer = await child.predict(asset, payload, n_rows, context, n_context)
            if isinstance(answer, Predicted):
                self._standing = self._standing.answered()
                return answer
            if not answer.begun and missed < _TURNS_MISSED * self._spec.window:
                missed += 1
            elif answer.kind == "died" and died is None:
                died = answer
            else:
                return replace(answer, begun=True)

    async def close(self) -> None:
        """End the child; frames that are open fail."""
        self._closed = True
        async with self._starting:
            await self._drop()

    async def _running(self) -> Sandbox | Failed:
        """The child, started if need be; or why there is none."""
        if self._child is not None and not self._child.ended:
            return self._child
        async with self._starting:
            if self._closed:
                return Failed(kind="died", text="the candidate was closed")
            if self._child is not None and not self._child.ended:
                return self._child
            if self._child is not None:
                await self._mourn(self._child)
            if self._refusal is not None and (self._suspended or self._monotonic() < self._reload_at):
                return self._refusal
            loaded = await self._load()
            if isinstance(loaded, Failed):
                return loaded
            assert self._child is not None
            return self._child

    async def _mourn(self, child: Sandbox) -> None:
        """Count the end of a child, and wait before the next one."""
        await child.close()
        self._child = None
        self._standing = self._standing.ended()
        assert child.failure is not None
        if self._standing.lost:
            await self._suspend(child.failure)
        else:
            await self._sleep(self._restarts.delay_s(self._standing.ends))

    async def _load(self) -> Loaded | Failed:
        """Start a child; a death while loading that no limit caused is tried once more."""
        loaded = await self._load_once()
        if isinstance(loaded, Failed) and loaded.kind == "died":
            loaded = await self._load_once()
        if isinstance(loaded, Loaded):
            self._standing = self._standing.loaded()
            self._refusal = None
            if self._standing.ends:
                self._spare = asyncio.create_task(self._warmed())
            self.on_loaded(loaded.wall_ns)
            return loaded
        self._standing = self._standing.unloadable()
        self._reload_at = self._monotonic() + self._reloads.delay_s(self._standing.loads + 1)
        # What the load cost is not what a frame costs that is answered with it.
        text = f"the model cannot be loaded: {loaded.text}"
        refusal = Failed(kind=loaded.kind, text=text, exception=loaded.exception, where=loaded.where)
        self._refusal = refusal
        if self._standing.lost:
            await self._suspend(refusal)
        return refusal

    async def _load_once(self) -> Loaded | Failed:
        spare, self._spare = self._spare, None
        child = await spare if spare is not None else None
        if child is None:
            child = Sandbox(self._spec, level=self._level)
            loaded = await child.start()
        else:
            loaded = await child.load()
        if isinstance(loaded, Loaded):
            self._child = child
        return loaded

    async def _warmed(self) -> Sandbox | None:
        child = Sandbox(self._spec, level=self._level)
        try:
            return child if await child.warm() is None else None
        except SandboxUnavailable:
            # If that lasts, the next start tells.
            return None

    async def _suspend(self, cause: Failed) -> None:
        faults = self._standing.faults
        await self._give_up(f"suspended after {faults} faults, the last of them: {cause.text}")
        self.on_suspended(cause, faults)

    async def _give_up(self, text: str) -> None:
        self._suspended = True
        self._refusal = Failed(kind="suspended", text=text)
        await self._drop()

    async def _drop(self) -> None:
        """End the child and the spare."""
        child, self._child = self._child, None
        spare, self._spare = self._spare, None
        if child is not None:
            await child.close()
        if spare is not None:
            spare.cancel()
            await asyncio.wait([spare])
            warm = None if spare.cancelled() else spare.result()
            if warm is not None:
                await warm.close()
