"""The scorer: folds a plant's ledger into evaluations, and closes a pairing when nothing is open any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agents.audit import DIFFERS, uneven, unfilled
from agents.decisions import evidence
from agents.labels import Labels
from agents.ports import Board, Crash, Log, Sender, put
from agents.reports import Reports
from agents.runner import Arrival
from agents.scores import digest_of, evaluations, new_book, read_entry, verdicts_of
from models.rehearsal import Evidence, rehearsed
from schemas.base import Offsets
from schemas.evaluation import Evaluation, Verdict
from schemas.ledger import Closed, Tick
from schemas.pairing import ENDED, Pairing, Phase
from schemas.rejected import Rejected
from schemas.requests import EndRehearsal, ReportAudit, ReportConclusion, ReportEnded, ReportRehearsal
from streams import topics
from streams.envelope import EVALUATION, VERDICT, RawRecord, headers
from streams.ledger import Book
from streams.ledger_codec import encode
from streams.refusals import rejected_message
from streams.run import Run
from streams.tally import Noise

log = logging.getLogger(__name__)

#: Entries folded before the state is written down, and how long the first of them waits, in seconds.
BATCH = 512
WAIT_S = 0.1

#: How long more of them are waited for once one is there, in seconds.
GATHER_S = 0.02

#: Entries read at a time when a range is folded again.
BLOCK = 5000

#: Seconds between looks at what could be closed or whose deadline has passed.
LOOK_S = 0.25

#: Milliseconds from one word about silent partitions to the next, while units wait for it.
PASSED_MS = 5000

#: At most one evaluation a candidate in so many seconds.
CADENCE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the state file holds of one ledger partition."""

    #: The next offset to be folded.
    position: int
    #: Entries of open pairings that counted, in order: offset and record.
    entries: Sequence[RawRecord]
    #: Duplicates and gaps seen, by deployment; they are not among the entries.
    noise: dict[str, Noise]
    #: Pairings that are closed.
    closed: frozenset[str]


class State(Protocol):
    """The scorer's state on disk: a cache of the fold, written in one transaction with the folded offset."""

    def load(self, partition: int) -> Kept: ...

    def save(
        self,
        partition: int,
        *,
        position: int,
        counted: Sequence[RawRecord],
        noise: dict[str, Noise],
        closed: Iterable[str],
    ) -> None: ...


@dataclass(kw_only=True)
class Folded:
    """One ledger partition as far as it is folded."""

    partition: int
    position: int = 0
    books: dict[str, Book] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    counted: list[RawRecord] = field(default_factory=list)
    #: The position that the state file holds, and how many pairings it knows to be closed.
    saved: int = 0
    saved_closed: int = 0
    last_ms: int = 0

    def take(self, record: RawRecord) -> Rejected | str | None:
        """Fold one record; gives the pairing that it closed, or why it cannot be read."""
        if record.offset < self.position:
            return None
        self.position = record.offset + 1
        self.last_ms = record.timestamp_ms
        read = read_entry(record)
        if isinstance(read, Rejected):
            return read
        pairing, entry = read
        if pairing in self.closed:
            return None
        book = self.books.setdefault(pairing, new_book(pairing))
        digest = digest_of(record)
        if book.fold(entry, offset=record.offset, digest=digest, at_ms=record.timestamp_ms):
            self.counted.append(record)
            self.changed.add(pairing)
        return pairing if book.closed else None

    def forget(self, pairing: str) -> None:
        """Let go of a pairing of which nothing more is folded."""
        self.closed.add(pairing)
        self.changed.discard(pairing)
        self.books.pop(pairing, None)

    def noise(self) -> dict[str, Noise]:
        """Duplicates and gaps seen, by deployment."""
        return {name: run.tally.noise for book in self.books.values() for name, run in book.runs.items()}

    def restore(self, kept: Kept) -> None:
        """Fold again what the state file holds."""
        self.closed |= kept.closed
        self.saved_closed = len(self.closed)
        for record in kept.entries:
            self.take(record)
        for book in self.books.values():
            for name, run in book.runs.items():
                run.tally.hear(kept.noise.get(name, Noise()))
        self.position = self.saved = max(self.position, kept.position)
        self.counted.clear()


class Scorer:
    """The scores of one plant."""

    def __init__(
        self,
        plant: str,
        *,
        sender: Sender,
        log: Log,
        board: Board,
        labels: Labels,
        state: State,
        crash: Crash,
        now_ms: Callable[[], int],
    ) -> None:
        self._plant = plant
        self._sender = sender
        self._log = log
        self._board = board
        self._labels = labels
        self._state = state
        self._crash = crash
        self._now_ms = now_ms
        self._reports = Reports(plant, sender=sender, source=f"/plants/{plant}/scorer", now_ms=now_ms)
        self._queue: asyncio.Queue[Arrival] = asyncio.Queue(maxsize=BATCH)
        self._partitions: dict[int, Folded] = {}
        self._assigned: frozenset[int] = frozenset()
        self._published: dict[str, float] = {}
        self._closing: set[str] = set()
        #: Evaluations of late whose rows do not add up, in words.
        self._uneven: dict[str, tuple[str, ...]] = {}
        #: The alarms that control was told by this process last.
        self._alarmed: dict[str, tuple[str, ...]] = {}
        #: What control was told by this process.
        self._told: set[str] = set()
        #: The last tick of each pairing that is in the ledger, folded or not.
        self._ticked: dict[str, int] = {}
        #: For each pairing, a moment and the ends of the labels then, which the ledger has yet to reach.
        self._awaited: dict[str, tuple[int, Offsets]] = {}
        self._looked = 0.0

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take ledger entries in; they are folded and acknowledged by `background`."""
        async for arrival in arrivals:
            await self._queue.put(arrival)

    def moved(self) -> None:
        """The partitions are being assigned anew: the state is opened again where it is needed."""
        self._partitions.clear()
        self._assigned = frozenset()

    def assigned(self, partitions: Iterable[int]) -> None:
        """These partitions are this worker's now: deadlines pass and pairings close also while no entry comes."""
        self._assigned = frozenset(partitions)

    async def background(self) -> None:
        """Fold, write down, publish, acknowledge; a broken world ends the process instead."""
        try:
            while True:
                arrivals = await self._batch()
                await self._resume()
                await self._fold(arrivals)
                await self._publish()
                await self._tick_and_close()
                self._save()
                for arrival in arrivals:
                    arrival.ack()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._crash(error)

    async def _batch(self) -> list[Arrival]:
        try:
            found = [await asyncio.wait_for(self._queue.get(), WAIT_S)]
        except TimeoutError:
            return []
        await asyncio.sleep(GATHER_S)
        while len(found) < BATCH and not self._queue.empty():
            found.append(self._queue.get_nowait())
        return found

    # --- folding --------------------------------------------------------------------------------------------------

    async def _fold(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            record = arrival.record
            folded = self._partitions.get(record.partition)
            if folded is None:
                folded = self._open(record.partition)
            if record.offset > folded.position:
                await self._catch_up(folded, record.offset)
            await self._take(folded, record)

    async def _resume(self) -> None:
        """Open partitions that have just been assigned, as far as their ledger goes."""
        new = self._assigned - set(self._partitions)
        if not new:
            return
        ends = await self._log.ends(topics.ledger(self._plant))
        for partition in sorted(new):
            await self._catch_up(self._open(partition), ends[partition])

    def _open(self, partition: int) -> Folded:
        folded = Folded(partition=partition)
        folded.restore(self._state.load(partition))
        self._partitions[partition] = folded
        return folded

    async def _catch_up(self, folded: Folded, end: int) -> None:
        """The state file is missing or older than what is acknowledged: read what it has not seen."""
        topic = topics.ledger(self._plant)
        while folded.position < end:
            block = min(folded.position + BLOCK, end)
            for record in await self._log.read(topic, folded.partition, folded.position, block):
                await self._take(folded, record)
            folded.position = block

    async def _take(self, folded: Folded, record: RawRecord) -> None:
        result = folded.take(record)
        if isinstance(result, Rejected):
            key, value, listed = rejected_message(record, result, source=f"/plants/{self._plant}/scorer")
            await put(self._sender, topics.rejected(self._plant), key, value, listed)
        elif result is not None and self._erased(result):
            # Folded anew from what is left of it, it would come to other numbers than those that were published.
            folded.forget(result)
        elif result is not None:
            await self._conclude(folded, result, record)

    def _erased(self, name: str) -> bool:
        """Whether the ledger of a pairing is being deleted."""
        pairing = self._board.pairings.get(name)
        return pairing is not None and "ledger" in pairing.erasing

    def _save(self) -> None:
        for folded in self._partitions.values():
            if folded.position > folded.saved or len(folded.closed) > folded.saved_closed:
                self._state.save(
                    folded.partition,
                    position=folded.position,
                    counted=folded.counted,
                    noise=folded.noise(),
                    closed=folded.closed,
                )
                folded.counted = []
                folded.saved, folded.saved_closed = folded.position, len(folded.closed)

    # --- publishing -----------------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        now = time.monotonic()
        for folded in list(self._partitions.values()):
            for pairing in sorted(folded.changed):
                if now - self._published.get(pairing, -CADENCE_S) < CADENCE_S:
                    continue
                folded.changed.discard(pairing)
                if pairing not in folded.books or self._erased(pairing):
                    continue
                self._published[pairing] = now
                found = evaluations(
                    folded.books[pairing],
                    partition=folded.partition,
                    offset=folded.position - 1,
                    at_ms=folded.last_ms,
                    final=False,
                )
                self._uneven[pairing] = uneven(found)
                for evaluation in found:
                    await self._send_evaluation(evaluation)

    async def _send_evaluation(self, evaluation: Evaluation) -> None:
        ident = f"{evaluation.ledger_offset}-{evaluation.candidate}"
        listed = headers(EVALUATION, source=f"/plants/{self._plant}/scorer", ident=ident)
        key = f"{evaluation.pairing}/{evaluation.candidate}".encode()
        await put(self._sender, topics.evaluations(self._plant), key, evaluation.to_json(), listed)

    # --- closing --------------------------------------------------------------------------------------------------

    async def _tick_and_close(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        for folded in list(self._partitions.values()):
            for name, book in list(folded.books.items()):
                pairing = self._board.pairings.get(name)
                if pairing is None or name in self._closing:
                    continue
                if pairing.phase in ENDED or self._erased(name):
                    # Broken off, or its ledger deleted: there will be no verdict, and nothing more is folded.
                    folded.forget(name)
                    continue
                book.settle()
                await self._audit(folded, pairing, book)
                await self._tick(book)
                await self._finish(pairing, book)

    async def _finish(self, pairing: Pairing, book: Book) -> None:
        """Close a trial, or report on a rehearsal, once nothing of it is open."""
        await self._report_ends(pairing, book)
        present = tuple(one.id for one in pairing.present())
        ready = pairing.phase is Phase.CLOSING and book.ready_to_close(set(present))
        # A correction that was sent before the close counts, also while it is still on its way.
        if ready and await self._labels_told(pairing.id) is not None:
            self._closing.add(pairing.id)
            await self._append(Closed(pairing=pairing.id, deployments=present), "closed")
        if pairing.phase is Phase.REHEARSING and present:
            await self._look_at_rehearsal(pairing, book)

    async def _audit(self, folded: Folded, pairing: Pairing, book: Book) -> None:
        """Tell control when something is missing from the ledger, and when it is there again."""
        present = [book.runs[one.id] for one in pairing.present() if one.id in book.runs]
        told = self._alarmed.get(pairing.id, pairing.alarms)
        found = (*unfilled(present, at_ms=self._now_ms()), *self._uneven.get(pairing.id, ()))
        if found == told:
            return
        if not await self._folded_all(folded):
            # What fills a gap may stand behind what is folded: only the ledger's own time counts.
            found = (*unfilled(present, at_ms=folded.last_ms), *self._uneven.get(pairing.id, ()))
        if found != told:
            self._alarmed[pairing.id] = found
            told_as = logging.ERROR if found else logging.WARNING
            log.log(told_as, "audit: %s", "; ".join(found) or "whole again", extra={"pairing": pairing.id})
            await self._reports.tell_anew(
                ReportAudit(pairing=pairing.id, alarms=found), f"audit-{pairing.id}"
            )

    async def _folded_all(self, folded: Folded) -> bool:
        ends = await self._log.ends(topics.ledger(self._plant))
        return folded.position >= ends[folded.partition]

    async def _report_ends(self, pairing: Pairing, book: Book) -> None:
        """Tell that a deployment has answered everything that was due for it."""
        for one in pairing.present():
            run = book.runs.get(one.id)
            if one.until is not None and one.ended is None and run is not None and run.complete():
                await self._tell(ReportEnded(pairing=pairing.id, deployment=one.id), f"ended-{one.id}")

    async def _look_at_rehearsal(self, pairing: Pairing, book: Book) -> None:
        """End a rehearsal that has seen the agreed rows, and report on one that has ended."""
        present = pairing.present()
        told = f"{pairing.id}.rehearsal-{pairing.rehearsals}"
        runs = [book.runs.get(one.id) for one in present]
        wanted = pairing.agreement.phases.rehearsal_rows
        if not pairing.rehearsed():
            full = all(run is not None and run.tally.rows_in >= wanted for run in runs)
            if wanted and full and any(one.candidate for one in present):
                await self._tell(EndRehearsal(pairing=pairing.id), f"{told}-full")
        elif told not in self._told and book.ready_to_close({one.id for one in present}):
            standings = [one for run in runs if run is not None for one in run.standings()]
            found = await self._evidence(book, runs)
            rehearsal = rehearsed(standings, pairing.agreement, found)
            report = ReportRehearsal(pairing=pairing.id, rehearsal=rehearsal)
            await self._tell(report, told)

    async def _evidence(self, book: Book, runs: Sequence[Run | None]) -> Evidence | None:
        """What a rehearsal says about the decision; beside the event loop, which goes on."""
        trusted = next((run.started for run in runs if run is not None and run.started.baseline), None)
        return None if trusted is None else await asyncio.to_thread(evidence, book, trusted)

    async def _tell(self, command: EndRehearsal | ReportEnded | ReportRehearsal, what: str) -> None:
        """Report to control, once."""
        if what not in self._told:
            self._told.add(what)
            await self._reports.tell(command, what)

    async def _tick(self, book: Book) -> None:
        """Tell the ledger that time has passed, once every label appended before stands in it.

        Deadlines pass by it. And units of several partitions come into their order: one that is silent says nothing of
        the time up to which it is.
        """
        last, deadline = self._ticked.get(book.pairing, 0), book.next_deadline_ms()
        due = deadline is not None and last <= deadline < self._now_ms()
        if not due and not (book.units_wait() and self._now_ms() - last >= PASSED_MS):
            return
        at_ms = await self._labels_told(book.pairing)
        if at_ms is not None and at_ms > (deadline if due and deadline is not None else last):
            telemetry = await self._log.ends(topics.telemetry(self._plant)) if book.units else None
            tick = Tick(pairing=book.pairing, at_ms=at_ms, telemetry=telemetry)
            await self._append(tick, f"tick-{at_ms}")
            self._ticked[book.pairing] = at_ms

    async def _labels_told(self, pairing: str) -> int | None:
        """A moment of late before which every label stands in the ledger; None while some are on their way."""
        if pairing not in self._awaited:
            self._awaited[pairing] = self._now_ms(), await self._log.ends(topics.labels(self._plant))
        at_ms, ends = self._awaited[pairing]
        if not self._labels.taken(pairing, ends):
            return None
        del self._awaited[pairing]
        return at_ms

    async def _append(self, entry: Closed | Tick, ident: str) -> None:
        key, value, listed = encode(entry, source=f"/plants/{self._plant}/scorer", ident=ident)
        await put(self._sender, topics.ledger(self._plant), key, value, listed)

    async def _conclude(self, folded: Folded, name: str, record: RawRecord) -> None:
        """Fold the closed range again from its start, and publish what both folds agree on."""
        book = folded.books[name]
        running = evaluations(
            book, partition=folded.partition, offset=record.offset, at_ms=record.timestamp_ms, final=True
        )
        fresh = await self._again(book, record, folded.partition)
        again = evaluations(
            fresh, partition=folded.partition, offset=record.offset, at_ms=record.timestamp_ms, final=True
        )
        equal = [one.to_json() for one in running] == [one.to_json() for one in again]
        if not equal:
            log.error(DIFFERS, extra={"pairing": name})
        pairing = self._board.pairings.get(name)
        retired = frozenset(pairing.retired) if pairing is not None else frozenset()
        verdicts = verdicts_of(fresh, again, equal=equal, retired=retired)
        for evaluation in again:
            await self._send_evaluation(evaluation)
        for verdict in verdicts:
            await self._send_verdict(verdict)
        alarms = uneven(again) if equal else (*uneven(again), DIFFERS)
        await self._reports.tell(ReportAudit(pairing=name, alarms=alarms), f"audit-{name}")
        conclusion = ReportConclusion(pairing=name, verdicts={one.candidate: one.verdict for one in verdicts})
        await self._reports.tell(conclusion, f"conclusion-{name}")
        folded.forget(name)
        for known in (self._awaited, self._uneven, self._alarmed):
            known.pop(name, None)

    async def _again(self, book: Book, closed: RawRecord, partition: int) -> Book:
        fresh = new_book(book.pairing)
        position = book.first_offset or 0
        while position <= closed.offset:
            end = min(position + BLOCK, closed.offset + 1)
            for record in await self._log.read(topics.ledger(self._plant), partition, position, end):
                read = read_entry(record) if record.key == closed.key else None
                if isinstance(read, tuple):
                    fresh.fold(read[1], offset=record.offset, digest=digest_of(record))
            position = end
        return fresh

    async def _send_verdict(self, verdict: Verdict) -> None:
        key = f"{verdict.pairing}/{verdict.candidate}"
        listed = headers(VERDICT, source=f"/plants/{self._plant}/scorer", ident=key)
        await put(self._sender, topics.verdicts(self._plant), key.encode(), verdict.to_json(), listed)
