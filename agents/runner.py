"""The runner: gives a deployment every frame that is due for it, and appends what became of it to the ledger.

Three steps in a row, each in the order of the log: frames are read and handed to the predictor, up to a window ahead;
outcomes are queued for the ledger; frames are acknowledged once the ledger has their outcome. Frames that are not due are
acknowledged with the next outcome of their partition, which covers their offsets, or with a bare range when there is none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from agents.acknowledge import InOrder
from agents.line import Line
from agents.ports import Board, Crash, Log, Sender, or_crash
from agents.reports import Reports
from agents.room import Room
from models.baselines import rows_before
from models.contract import WINDOW, Failed, Predicted, Predictor
from schemas.faults import Fault
from schemas.ledger import Covered, Ended, Outcome, Started
from schemas.pairing import Deployment, Pairing
from schemas.parties import Plant
from schemas.rejected import Rejected
from schemas.requests import ReportStarted, ReportSuspended
from streams import topics
from streams.context import Context
from streams.drift import histograms
from streams.envelope import Headers, RawRecord
from streams.frames import Frame, Selected, decode_frame, select
from streams.ledger_codec import Entry, OutcomeRows, encode
from streams.refusals import rejected_message
from streams.slices import codes_of

#: What the frames between the broker and the ledger may hold together, in bytes; `WINDOW` bounds their number.
WINDOW_BYTES = 32 * topics.FRAME_BYTES

#: Seconds after which offsets that were passed are told to the ledger although no due frame follows.
FLUSH_S = 0.5

#: Messages that were passed and are not acknowledged yet, in one partition: they are held in memory.
MOST_PASSED = 128

#: Bytes around a message that stands alone in its batch, at most.
FRAMING = 128

#: Offsets read at a time when the rows before a frame are fetched again.
CONTEXT_BLOCK = 512

NO_TIMES = np.empty(0, dtype=np.int64)
NO_ANSWERS = np.empty((0, 0))


class Arrival(Protocol):
    """A telemetry message as the runner takes it: what it holds, and how to say that it is done."""

    @property
    def record(self) -> RawRecord: ...

    def ack(self) -> bool: ...


@dataclass(kw_only=True)
class Lane:
    """One telemetry partition: the offsets passed since its last outcome, which were not due, and the rows before."""

    first: int
    context: Context
    passed: list[Arrival] = field(default_factory=list)
    #: Rejections of what was passed, on their way to the broker.
    sent: list[Awaitable[object]] = field(default_factory=list)
    #: When the first of what was passed came.
    since: float = 0.0

    def clear(self, last: int) -> tuple[list[Arrival], list[Awaitable[object]]]:
        """Hand over what was passed, because an outcome covers it up to `last`."""
        passed, sent = self.passed, self.sent
        self.first, self.passed, self.sent = last + 1, [], []
        return passed, sent


@dataclass(frozen=True, kw_only=True)
class Work:
    """Messages to acknowledge once what they became, and what was sent before, is with the broker."""

    arrivals: list[Arrival]
    sent: list[Awaitable[object]]
    answer: Awaitable[list[Message]]
    #: What it holds of the room, in bytes.
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to send."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes that it takes at most, with what the broker writes around it."""
        told = sum(len(name) + len(value) + 10 for name, value in self.headers)
        return len(self.key) + len(self.value) + told + FRAMING


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a runner runs."""

    pairing: Pairing
    deployment: Deployment
    plant: Plant
    #: How the candidate's code is held; recorded in every evaluation.
    sandbox: str

    @property
    def source(self) -> str:
        """The CloudEvents source of what it writes."""
        return f"/plants/{self.plant.id}/runners/{self.deployment.id}"

    def started(self) -> Started:
        """The ledger entry that has to stand before every outcome."""
        return Started(
            pairing=self.pairing.id,
            deployment=self.deployment.id,
            plant=self.plant.id,
            startup=self.pairing.startup,
            subjects=self.deployment.subjects,
            baseline=self.deployment.candidate is None,
            phase=self.deployment.phase,
            agreement=self.pairing.agreement,
            agreement_digest=self.pairing.agreement_digest,
            starts=self.deployment.starts,
            sandbox=self.sandbox,
            simulated=self.pairing.simulated,
            **self._of_the_decision(),
        )

    def _of_the_decision(self) -> dict[str, Any]:
        """What a trial's decision takes from before it: the slot, and what the rehearsal found."""
        if self.pairing.agreement.decision is None or self.deployment.phase != "trial":
            return {}
        candidate, rehearsal = self.deployment.candidate, self.pairing.rehearsal
        found: dict[str, Any] = {} if candidate is None else {"slot": self.pairing.slot(candidate.id)}
        if rehearsal is not None:
            checked = rehearsal.units.passed if rehearsal.units is not None else None
            found |= {"constant": rehearsal.constant, "units_checked": checked}
        return found


class Runner:
    """One deployment at work."""

    def __init__(
        self,
        assignment: Assignment,
        *,
        predictor: Predictor,
        sender: Sender,
        log: Log,
        board: Board,
        reports: Reports,
        crash: Crash,
    ) -> None:
        self._assignment = assignment
        self._predictor = predictor
        self._sender = sender
        self._log = log
        self._board = board
        self._crash = crash
        self._reports = reports
        plant = assignment.plant
        self._line = Line(plant, topics.telemetry(plant.id), board=board, reports=reports)
        #: The largest message that the ledger takes; as it is set up, where that is known.
        self.ledger_bytes = topics.WRITTEN_BYTES
        self._to_report: asyncio.Queue[ReportStarted | ReportSuspended] = asyncio.Queue()
        candidate = assignment.deployment.candidate
        self._context_rows = (
            candidate.context_rows if candidate else rows_before(assignment.pairing.agreement)
        )
        # One deployment tells how the inputs are spread: the baselines, or without them every candidate.
        agreement = assignment.pairing.agreement
        self._told_tags = agreement.inputs if candidate is None or not agreement.baselines else ()
        self._tags = tuple(tag.name for tag in assignment.plant.tags)
        self._known = {asset.name for asset in assignment.plant.assets}
        self._agreed = set(assignment.pairing.agreement.assets)
        self._lanes: dict[int, Lane] = {}
        self._work: asyncio.Queue[Work] = asyncio.Queue(maxsize=WINDOW)
        self._room = Room(WINDOW_BYTES)
        #: Held from closing a range of offsets until its work is queued: a full queue lets the last comer in first.
        self._order = asyncio.Lock()
        self._acknowledge = InOrder(window=WINDOW, crash=crash)

    # --- life -----------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Tell the ledger that the deployment runs, before any of its outcomes."""
        await self._append(self._assignment.started(), "started")
        if self._assignment.deployment.candidate is None:
            await self._reports.tell(self._started(0), f"started-{self._assignment.deployment.id}")
        until = self._until()
        if until is not None:
            await self._end(until)

    async def background(self) -> None:
        """Everything beside the reading of frames; runs as long as the runner."""
        await asyncio.gather(
            self._write(),
            self._acknowledge.run(),
            self._flush(),
            self._watch(),
            self._report(),
            self._line.run(),
        )

    def loaded(self, wall_ns: int) -> None:
        """The candidate's model was loaded, which control is told."""
        self._to_report.put_nowait(self._started(wall_ns // 1_000_000))

    def suspended(self, last: Failed, faults: int) -> None:
        """The candidate is given no frames any more, after so many faults in a row; control is told."""
        fault = Fault(kind=last.kind, exception=last.exception, where=last.where, count=faults)
        assignment = self._assignment
        self._to_report.put_nowait(
            ReportSuspended(pairing=assignment.pairing.id, deployment=assignment.deployment.id, fault=fault)
        )

    def moved(self) -> None:
        """The partitions are being assigned anew: what was passed belongs to whoever gets them."""
        self._lanes.clear()

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take telemetry in, message by message."""
        async for arrival in arrivals:
            await or_crash(self.take(arrival), self._crash)

    def _started(self, load_ms: int) -> ReportStarted:
        assignment = self._assignment
        return ReportStarted(
            pairing=assignment.pairing.id,
            deployment=assignment.deployment.id,
            sandbox=assignment.sandbox,
            load_ms=load_ms,
        )

    async def _report(self) -> None:
        while True:
            report = await self._to_report.get()
            await self._reports.tell_anew(report, f"{report.kind}-{report.deployment}")

    # --- one message ----------------------------------------------------------------------------------------------

    async def take(self, arrival: Arrival) -> None:
        """Decide whether a message is due, and have it answered if so."""
        await self._line.clear()
        record = arrival.record
        lane = self._lanes.get(record.partition)
        if lane is None:
            lane = Lane(first=record.offset, context=await self._recall(record))
            self._lanes[record.partition] = lane
        asset = (record.key or b"").decode(errors="replace")
        if not self._due(record, asset):
            await self._pass(lane, arrival, asset)
            return
        size = len(record.value or b"")
        await self._room.enter(size)
        async with self._order:
            first = lane.first
            passed, sent = lane.clear(record.offset)
            answer = asyncio.ensure_future(self._answer(record, asset, first, lane.context))
            await self._work.put(Work(arrivals=[*passed, arrival], sent=sent, answer=answer, size=size))

    async def _pass(self, lane: Lane, arrival: Arrival, asset: str) -> None:
        record = arrival.record
        if asset not in self._known:
            why = Rejected(
                reason="unknown_asset", detail=f"{self._assignment.plant.id} has no asset {asset!r}"
            )
            self._line.note(why)
            lane.sent.append(await self._send(self._rejection(record, why)))
        if not lane.passed:
            lane.since = time.monotonic()
        lane.passed.append(arrival)
        if len(lane.passed) >= MOST_PASSED:
            await self._cover(record.partition, lane)

    def _due(self, record: RawRecord, asset: str) -> bool:
        start = self._assignment.deployment.starts.get(record.partition, 0)
        until = self._until()
        within = record.offset >= start and (until is None or record.offset < until.get(record.partition, 0))
        return within and asset in self._agreed

    def _until(self) -> dict[int, int] | None:
        pairing = self._board.pairings.get(self._assignment.pairing.id)
        deployment = pairing.deployment(self._assignment.deployment.id) if pairing is not None else None
        return deployment.until if deployment is not None else self._assignment.deployment.until

    async def _answer(self, record: RawRecord, asset: str, first: int, before: Context) -> list[Message]:
        frame = decode_frame(record, tags=self._tags)
        if isinstance(frame, Rejected):
            self._line.note(frame)
            unread = frame.rows == 0
            entry = self._refused(record, asset, first, frame, result="unreadable" if unread else "refused")
            return [self._rejection(record, frame), self._message(entry, record)]
        chosen = select(frame, self._assignment.pairing.agreement.inputs)
        self._line.note(chosen if isinstance(chosen, Rejected) else None)
        if isinstance(chosen, Rejected):
            entry = self._refused(record, asset, first, chosen, result="refused")
            return [self._rejection(record, chosen), self._message(entry, record)]
        # Nothing is awaited before this call: frames reach the predictor in the order of the log.
        context, n_context = before.before(asset)
        before.add(asset, chosen.batch)
        answer = await self._ask(asset, chosen, frame.rows, context, n_context)
        outcome = self._message(self._outcome(record, frame, chosen, first, answer), record)
        if outcome.size <= self.ledger_bytes:
            return [outcome]
        # Refused by the broker, it would stop the line for ever.
        detail = f"its outcome of {outcome.size} bytes does not fit into the ledger, which takes {self.ledger_bytes}; send fewer rows a frame"
        large = Rejected(reason="too_large", detail=detail, rows=frame.rows)
        entry = self._refused(record, asset, first, large, result="refused")
        return [self._rejection(record, large), self._message(entry, record)]

    async def _ask(
        self, asset: str, chosen: Selected, rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        return await self._predictor.predict(asset, chosen.payload, rows, context, n_context)

    # --- what goes to the ledger ----------------------------------------------------------------------------------

    def _outcome(
        self, record: RawRecord, frame: Frame, chosen: Selected, first: int, answer: Predicted | Failed
    ) -> OutcomeRows:
        codes = self._codes(frame, chosen)
        meta = Outcome(
            pairing=self._assignment.pairing.id,
            deployment=self._assignment.deployment.id,
            partition=record.partition,
            first=first,
            last=record.offset,
            asset=frame.asset,
            frame=frame.ident,
            appended_ms=record.timestamp_ms,
            rows=frame.rows,
            result="failed" if isinstance(answer, Failed) else "answered",
            cpu_us=answer.cpu_ns // 1000,
            wall_us=answer.wall_ns // 1000,
            peak_kb=answer.max_rss_kb,
            histograms=histograms(chosen.batch, self._told_tags) or None,
        )
        if isinstance(answer, Failed):
            why = {"failure": answer.kind, "exception": answer.exception, "where": answer.where}
            meta = meta.model_copy(update={**why, "detail": answer.text[:500]})
            # When its rows were is told all the same: an event that got no answer was missed.
            return OutcomeRows(
                meta=meta, times_us=frame.times(), answers=np.empty((0, frame.rows)), codes=codes
            )
        subjects = len(self._assignment.deployment.subjects)
        answers, scores = answer.columns[:subjects], answer.columns[subjects:]
        return OutcomeRows(
            meta=meta,
            times_us=frame.times(),
            answers=answers,
            scores=scores if len(scores) else None,
            codes=codes,
        )

    def _codes(self, frame: Frame, chosen: Selected) -> np.ndarray | None:
        """The part of each agreed slice that each row is in; None where none is agreed."""
        slices = self._assignment.pairing.agreement.slices
        zone = self._assignment.plant.time_zone
        return codes_of(chosen.batch, frame.times(), slices, zone) if slices else None

    def _refused(
        self, record: RawRecord, asset: str, first: int, why: Rejected, *, result: Any
    ) -> OutcomeRows:
        meta = Outcome(
            pairing=self._assignment.pairing.id,
            deployment=self._assignment.deployment.id,
            partition=record.partition,
            first=first,
            last=record.offset,
            asset=asset,
            frame=record.ident,
            appended_ms=record.timestamp_ms,
            rows=why.rows,
            result=result,
            detail=why.detail[:500],
        )
        return OutcomeRows(meta=meta, times_us=NO_TIMES, answers=NO_ANSWERS)

    def _message(self, entry: Entry, record: RawRecord) -> Message:
        key, value, headers = encode(
            entry, source=self._assignment.source, ident=f"{record.partition}-{record.offset}"
        )
        return Message(topic=topics.ledger(self._assignment.plant.id), key=key, value=value, headers=headers)

    def _rejection(self, record: RawRecord, why: Rejected) -> Message:
        key, value, headers = rejected_message(record, why, source=self._assignment.source)
        return Message(
            topic=topics.rejected(self._assignment.plant.id), key=key, value=value, headers=headers
        )

    async def _append(self, entry: Entry, ident: str) -> None:
        key, value, headers = encode(entry, source=self._assignment.source, ident=ident)
        message = Message(
            topic=topics.ledger(self._assignment.plant.id), key=key, value=value, headers=headers
        )
        await (await self._send(message))

    async def _send(self, message: Message) -> Awaitable[object]:
        return await self._sender.send(message.topic, message.key, message.value, message.headers)

    # --- background -----------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Queue outcomes for the ledger in order; the broker has them in that order too."""
        while True:
            work = await self._work.get()
            try:
                sent = [await self._send(message) for message in await work.answer]
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._crash(error)
            written = asyncio.gather(*work.sent, *sent)
            written.add_done_callback(partial(self._written, work.size))
            await self._acknowledge.put(work.arrivals, written)

    def _written(self, size: int, _: object) -> None:
        self._room.leave(size)

    async def _flush(self) -> None:
        """Cover offsets that were passed when no due frame has followed for a while."""
        while True:
            await asyncio.sleep(FLUSH_S)
            now = time.monotonic()
            for partition, lane in list(self._lanes.items()):
                if lane.passed and now - lane.since >= FLUSH_S:
                    await self._cover(partition, lane)

    async def _cover(self, partition: int, lane: Lane) -> None:
        async with self._order:
            if not lane.passed:
                return
            first, end = lane.first, lane.passed[-1].record
            arrivals, sent = lane.clear(end.offset)
            covered = Covered(
                pairing=self._assignment.pairing.id,
                deployment=self._assignment.deployment.id,
                partition=partition,
                first=first,
                last=end.offset,
            )
            ready: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
            ready.set_result([self._message(covered, end)])
            await self._work.put(Work(arrivals=arrivals, sent=sent, answer=ready))

    async def _watch(self) -> None:
        """Tell the ledger when the deployment's end is fixed."""
        changed = asyncio.Event()
        self._board.on_change(lambda pairing: changed.set())
        while True:
            await changed.wait()
            changed.clear()
            until = self._until()
            if until is not None:
                await self._end(until)
                return

    async def _end(self, until: dict[int, int]) -> None:
        ended = Ended(
            pairing=self._assignment.pairing.id, deployment=self._assignment.deployment.id, until=until
        )
        await self._append(ended, "ended")

    # --- context --------------------------------------------------------------------------------------------------

    async def _recall(self, record: RawRecord) -> Context:
        """The rows before the first frame of a partition, read again, never across the start of the deployment."""
        context = Context(rows=self._context_rows)
        start = self._assignment.deployment.starts.get(record.partition, 0)
        topic = topics.telemetry(self._assignment.plant.id)
        missing = dict.fromkeys(self._agreed, self._context_rows)
        found: list[tuple[str, Selected]] = []
        end = record.offset
        while end > start and any(count > 0 for count in missing.values()):
            begin = max(start, end - CONTEXT_BLOCK)
            for one in reversed(await self._log.read(topic, record.partition, begin, end)):
                # Of an asset whose rows are there already, nothing earlier is looked at or kept.
                if missing.get((one.key or b"").decode(errors="replace"), 0) > 0:
                    seen = self._seen(one)
                    if seen is not None:
                        found.append(seen)
                        missing[seen[0]] -= seen[1].batch.num_rows
            end = begin
        for asset, chosen in reversed(found):
            context.add(asset, chosen.batch)
        return context

    def _seen(self, record: RawRecord) -> tuple[str, Selected] | None:
        """What the candidate was given of a message; None where it was given nothing."""
        frame = decode_frame(record, tags=self._tags)
        if isinstance(frame, Rejected) or frame.asset not in self._agreed:
            return None
        chosen = select(frame, self._assignment.pairing.agreement.inputs)
        return None if isinstance(chosen, Rejected) else (frame.asset, chosen)
