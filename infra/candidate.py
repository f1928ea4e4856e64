"""A candidate that is kept running: its child is started again when it has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from infra.sandbox import ChildSpec, Loaded, Sandbox
from infra.sandbox_command import Level
from models.contract import Failed, Predicted

#: How often a frame is handed over again because a child ended before its turn, for each place in the window.
_TURNS_MISSED = 2


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before the n-th start in a row: at once, then `first_s`, doubling up to `most_s`."""

    first_s: float = 1
    most_s: float = 30

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        if failures <= 1:
            return 0
        return min(self.first_s * 2.0 ** min(failures - 2, 30), self.most_s)


class Candidate:
    """A `Predictor` over one child after another.

    A death that no limit caused is tried once more for the same frame. A model that cannot be loaded is not
    loaded again before its back-off has passed; frames fail with the reason meanwhile.
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
        self._unloadable: Failed | None = None
        self._reload_at = 0.0
        self._load_failures = 0
        #: Children that have ended since the last prediction.
        self._ends = 0
        self._closed = False

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
            return await self._load()

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame (see `models.contract.Predictor`).

        Raises:
            SandboxUnavailable: the sandbox itself does not work here.
        """
        died = missed = 0
        while True:
            child = await self._running()
            if isinstance(child, Failed):
                return child
            answer = await child.predict(asset, payload, n_rows, context, n_context)
            if isinstance(answer, Predicted):
                self._ends = 0
                return answer
            if not answer.begun and missed < _TURNS_MISSED * self._spec.window:
                missed += 1
            elif answer.kind == "died" and not died:
                died = 1
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
            if self._unloadable is not None and self._monotonic() < self._reload_at:
                return self._unloadable
            if self._child is not None:
                self._ends += 1
                await self._sleep(self._restarts.delay_s(self._ends))
            loaded = await self._load()
            if isinstance(loaded, Failed):
                return loaded
            assert self._child is not None
            return self._child

    async def _load(self) -> Loaded | Failed:
        """Start a child; a death while loading that no limit caused is tried once more."""
        loaded = await self._load_once()
        if isinstance(loaded, Failed) and loaded.kind == "died":
            loaded = await self._load_once()
        if isinstance(loaded, Failed):
            self._load_failures += 1
            self._reload_at = self._monotonic() + self._reloads.delay_s(self._load_failures + 1)
            self._unloadable = replace(loaded, text=f"the model cannot be loaded: {loaded.text}")
            return self._unloadable
        self._unloadable = None
        self._load_failures = 0
        return loaded

    async def _load_once(self) -> Loaded | Failed:
        await self._drop()
        child = Sandbox(self._spec, level=self._level)
        loaded = await child.start()
        if isinstance(loaded, Loaded):
            self._child = child
        return loaded

    async def _drop(self) -> None:
        if self._child is not None:
            await self._child.close()
            self._child = None
