"""In-memory twins of the world that the agents live in: a broker, pairings on a board, a state file, a candidate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

import numpy as np

from agents.scorer import Kept
from models.contract import Failed, Predicted
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.base import Offsets
from schemas.pairing import Candidate, Deployment, Pairing, Phase
from schemas.parties import Asset, Plant, Tag
from streams.envelope import ARROW, JSON, LABEL, Headers, RawRecord, headers
from streams.frames import encode_frame
from streams.tally import Noise
from streams.topics import TopicSpec

PLANT = "plant-1"
PAIRING = "pump-2026-01"
CANDIDATE = f"{PAIRING}/t2q-v1"
DAY_MS = 24 * 60 * 60 * 1000


class BrokenWorld(Exception):
    """What a twin raises where the real thing would."""


class Crashed(Exception):
    """The process would have ended here."""


@dataclass
class Crash:
    """Remembers why the process ended, and ends whatever called it."""

    errors: list[BaseException] = field(default_factory=list)

    def __call__(self, error: BaseException) -> NoReturn:
        self.errors.append(error)
        raise Crashed from error


class Broker:
    """Topics in memory; a `Sender` and a `Log`. What is sent is there at once, unless it is held back."""

    def __init__(self, *, now_ms: Callable[[], int] = lambda: 0) -> None:
        self.topics: dict[str, list[RawRecord]] = {}
        self.now_ms = now_ms
        #: Topics whose messages the broker refuses.
        self.refuses: set[str] = set()
        #: Messages that are sent and not with the broker yet, where they are held back.
        self.held: list[asyncio.Future[object]] | None = None
        self.reads: list[tuple[str, int, int]] = []

    def append(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes = b"",
        listed: Headers | None = None,
        at_ms: int | None = None,
    ) -> RawRecord:
        """Put a message into partition 0."""
        there = self.topics.setdefault(topic, [])
        record = RawRecord(
            topic=topic,
            partition=0,
            offset=len(there),
            timestamp_ms=self.now_ms() if at_ms is None else at_ms,
            key=key,
            value=value,
            headers=tuple(listed or ()),
        )
        there.append(record)
        return record

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        sent: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if topic in self.refuses:
            sent.set_exception(BrokenWorld(f"{topic} is closed"))
            return sent
        self.append(topic, value, key=key, listed=headers)
        if self.held is None:
            sent.set_result(None)
        else:
            self.held.append(sent)
        return sent

    def release(self, count: int | None = None) -> None:
        """Let held messages through, the oldest first."""
        assert self.held is not None
        for sent in self.held[:count]:
            sent.set_result(None)
        del self.held[:count]

    async def ends(self, topic: str) -> Offsets:
        return {0: len(self.topics.get(topic, []))}

    async def read(self, topic: str, partition: int, start: int, end: int) -> Sequence[RawRecord]:
        if topic in self.refuses:
            raise BrokenWorld(f"{topic} cannot be read")
        self.reads.append((topic, start, end))
        return [one for one in self.topics.get(topic, []) if start <= one.offset < end]

    def of(self, topic: str) -> list[RawRecord]:
        """What stands in a topic."""
        return self.topics.get(topic, [])


@dataclass
class Arrived:
    """A message as an agent takes it; remembers when it was acknowledged."""

    record: RawRecord
    done: list[int]

    def ack(self) -> bool:
        self.done.append(self.record.offset)
        return True


def arrivals_of(records: Iterable[RawRecord], done: list[int]) -> AsyncIterator[Arrived]:
    """A stream that ends."""

    async def stream() -> AsyncIterator[Arrived]:
        for record in records:
            yield Arrived(record, done)

    return stream()


class Tail:
    """A topic of the twin broker, read as it grows; a `Tail`."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker, self.topic = broker, topic
        self.position = 0

    async def new(self) -> Sequence[RawRecord]:
        there = self.broker.of(self.topic)[self.position :]
        self.position += len(there)
        return there


class Board:
    """Pairings, changed by the test; a `Board`."""

    def __init__(self, *pairings: Pairing) -> None:
        self._pairings = {one.id: one for one in pairings}
        self._listeners: list[Callable[[Pairing], None]] = []

    @property
    def pairings(self) -> Mapping[str, Pairing]:
        return self._pairings

    def on_change(self, listener: Callable[[Pairing], None]) -> None:
        self._listeners.append(listener)
        for one in list(self._pairings.values()):
            listener(one)

    def show(self, pairing: Pairing) -> None:
        """A pairing appears, or has changed."""
        self._pairings[pairing.id] = pairing
        for listener in self._listeners:
            listener(pairing)


@dataclass
class MemoryState:
    """What a state file would hold; a `State`. A copy of it is an older file."""

    position: int = 0
    entries: dict[int, RawRecord] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    broken: bool = False

    def load(self, partition: int) -> Kept:
        return Kept(
            position=self.position,
            entries=[self.entries[offset] for offset in sorted(self.entries)],
            noise=dict(self.noise),
            closed=frozenset(self.closed),
        )

    def save(
        self,
        partition: int,
        *,
        position: int,
        counted: Sequence[RawRecord],
        noise: dict[str, Noise],
        closed: Iterable[str],
    ) -> None:
        if self.broken:
            raise OSError("no space left on device")
        self.position, self.noise = position, dict(noise)
        self.entries.update({one.offset: one for one in counted})
        self.closed.update(closed)
        self.entries = {k: v for k, v in self.entries.items() if (v.key or b"").decode() not in self.closed}


class Topics:
    """Remembers which topics were made; a `TopicMaker`."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def ensure(self, specs: Sequence[TopicSpec]) -> None:
        self.made += [spec.name for spec in specs if spec.name not in self.made]


@dataclass
class Asked:
    """One question to a predictor."""

    asset: str
    payload: bytes
    n_rows: int
    context: bytes | None
    n_context: int
    answer: asyncio.Future[Predicted | Failed]

    def answers(self, *values: float) -> None:
        """Answer every row alike, with a score where two values are given."""
        columns = np.repeat(np.array(values or (1.0,))[:, None], self.n_rows, axis=1)
        self.answer.set_result(Predicted(columns=columns, cpu_ns=2000, wall_ns=3000, max_rss_kb=1))

    def fails(self, kind: str = "error") -> None:
        self.answer.set_result(Failed(kind=kind, text="it did not work"))  # type: ignore[arg-type]


class Model:
    """A predictor that answers at once, or when the test says so."""

    def __init__(self, *, at_once: float | None = 1.0) -> None:
        self.at_once = at_once
        self.asked: list[Asked] = []

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        answer: asyncio.Future[Predicted | Failed] = asyncio.get_running_loop().create_future()
        asked = Asked(asset, bytes(payload), n_rows, context, n_context, answer)
        self.asked.append(asked)
        if self.at_once is not None:
            asked.answers(self.at_once)
        return await answer


async def until(holds: Callable[[], object], *, turns: int = 5000) -> None:
    """Let the agents work until something holds; a test that waits in vain fails here."""
    for turn in range(turns):
        if holds():
            return
        await asyncio.sleep(0 if turn % 50 else 0.001)
    raise AssertionError("what was waited for did not happen")


async def settle(turns: int = 200) -> None:
    """Let the agents do whatever they can do without anything from outside."""
    for _ in range(turns):
        await asyncio.sleep(0)


# --- what is in the world -------------------------------------------------------------------------------------------


def an_agreement(*, absent: str = "unlabelled", deadline_days: float = 1, min_rows: int = 1) -> Agreement:
    return Agreement(
        task=Task.ANOMALY,
        assets=("pump-1", "pump-2"),
        inputs=("Pressure", "Current"),
        labels=LabelRule(deadline_days=deadline_days, absent_means=absent),  # type: ignore[arg-type]
        baselines=(Baseline(name="always-normal", answer="normal"),),
        acceptance=Acceptance(metric="accuracy", at_least=0.5, min_rows=min_rows),
    )


def a_plant() -> Plant:
    return Plant(
        id=PLANT,
        name="Ansan 1",
        owner="maker",
        assets=(Asset(name="pump-1"), Asset(name="pump-2"), Asset(name="pump-3")),
        tags=(Tag(name="Pressure"), Tag(name="Current"), Tag(name="Operator")),
    )


def a_candidate(*, ident: str = "t2q-v1", context_rows: int = 0) -> Candidate:
    return Candidate(
        id=ident,
        startup="startup-1",
        model=ident.rsplit("-", 1)[0],
        version="1",
        digest="0" * 64,
        context_rows=context_rows,
    )


def a_deployment(*, start: int = 0, until: int | None = None, context_rows: int = 0) -> Deployment:
    return Deployment(
        id=CANDIDATE,
        subjects=("t2q-v1",),
        candidate=a_candidate(context_rows=context_rows),
        starts={0: start},
        until=None if until is None else {0: until},
    )


def a_pairing(
    *deployments: Deployment,
    ident: str = PAIRING,
    phase: Phase = Phase.RUNNING,
    agreed: Agreement | None = None,
    labels_from: int = 0,
    fact: int = 5,
) -> Pairing:
    agreed = agreed or an_agreement()
    return Pairing(
        id=ident,
        programme="programme-1",
        need="need-1",
        plant=PLANT,
        manufacturer="maker",
        startup="startup-1",
        coordinators=("city",),
        agreement=agreed,
        agreement_digest=agreed.digest(),
        phase=phase,
        since=datetime(2026, 3, 2, tzinfo=UTC),
        why="the trial runs",
        telemetry_from={0: 0},
        labels_from={0: labels_from},
        deployments=deployments or (a_deployment(),),
        trials=1,
        fact=fact,
    )


def ended(pairing: Pairing, at: int) -> Pairing:
    """The same pairing after its trial has ended."""
    deployments = tuple(one.model_copy(update={"until": {0: at}}) for one in pairing.deployments)
    return pairing.model_copy(
        update={"deployments": deployments, "phase": Phase.CLOSING, "fact": pairing.fact + 1}
    )


def frame_bytes(start: int, rows: int = 2) -> bytes:
    """Rows one second apart, whose pressure is their number."""
    times = (start + np.arange(rows)) * 1_000_000
    return encode_frame(times, {"Pressure": start + np.arange(rows, dtype=float), "Current": np.zeros(rows)})


def arrow(ident: str) -> Headers:
    return headers("fieldproof.telemetry.frame", source="/plants/plant-1", ident=ident, content=ARROW)


def json_label(ident: str) -> Headers:
    return headers(LABEL, source="/plants/plant-1", ident=ident, content=JSON)
