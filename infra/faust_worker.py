"""A Faust app with the settings that keep its promises, and the adapters between Faust and the agents.

Each setting that is not the default has its reason beside it; what was measured stands in `docs/architecture.md`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ProducerSendError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer
from faust.types import TP
from mode import Service

from infra import logs
from infra.errors import InfraError, TopicMissing
from infra.kafka import fetching, lenient
from infra.kafka.log import TopicLog
from streams.envelope import Headers, RawRecord, pairs
from streams.topics import WRITTEN_BYTES

log = logging.getLogger(__name__)

#: Exit code of a worker whose world broke: nothing was acknowledged, start it again.
BROKEN_WORLD = 75

SEND_BYTES = WRITTEN_BYTES + 64 * 1024

#: How long a message waits for others that go out with it, in seconds.
LINGER_S = 0.005
#: How much goes out together, in bytes. What a topic takes at a time is a limit for all of it together: far below any.
BATCH_BYTES = 256 * 1024

#: Messages that Faust holds for an agent beside what it works at; it goes on with what one fetch brought. The log is the
#: only queue: with the 4,096 that Faust holds otherwise, a slow candidate's worker would hold as many frames in memory.
BUFFER = 64

#: Where messages are small and one agent may not wait for another: an agent whose buffer is full holds up the whole consumer.
LARGE_BUFFER = 4096

#: How often the other topics of a worker are looked at while an agent's buffer is full, in seconds.
BESIDE_S = 0.02

#: Who has time lets the broker gather so many bytes for so many milliseconds: every message that is fetched alone costs both
#: of them several times what it costs among others.
GATHERED_BYTES, GATHERED_MS = 128 * 1024, 100

#: Seconds between looks for messages that an agent was not given, and how long one may be missing: while the other agents
#: of the worker are at work, what is missing may only stand behind what they have not taken yet.
LOOK_S, WITHHELD_S, BEHIND_S = 2.0, 4.0, 60.0


class MessageWithheld(InfraError):
    """A message stands in its topic and was never handed to the agent that waits for it."""


class EndingApp(faust.App):  # type: ignore[misc]
    """Ends the process where any part of Faust has given up.

    Faust then stops its parts one after the other, for a minute and more, and waits at the end for a thread that is not told to
    end: the worker would stand there, and nobody would start another one.
    """

    #: Whether what comes may wait for company.
    gathers = False
    #: Its topics, read beside its own consumer.
    reading: TopicLog

    def _crash(self, reason: BaseException) -> None:
        crash(reason)


class PatientThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Lets the broker gather where the app says so, and loses nothing while the partitions are being assigned anew.

    A commit is left for later then: Faust asks for what is assigned, which is nothing at such a moment, and gives up over the
    answer. It happens where topics are subscribed at run time, and seldom: the commit has to fall just between the subscription
    and the assignment.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        if self.app.gathers:
            consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = GATHERED_BYTES, GATHERED_MS
        return consumer

    async def seek_to_committed(self) -> Any:
        """As Faust, and to the beginning where nothing is committed."""
        return await self.call_thread(self._seek_back)

    async def _seek_back(self) -> Any:
        """What was fetched and thrown away meanwhile is fetched again; aiokafka leaves partitions without a commit where they are."""
        consumer = self._ensure_consumer()
        if not consumer.assignment():
            return {}
        try:
            committed = await consumer.seek_to_committed()
        except AssertionError as error:
            # Other topics were subscribed meanwhile. Told so, Faust waits for the next assignment; else it ends over it.
            raise IllegalStateError("the partitions were taken away while they were sought in") from error
        for place in [one for one, offset in committed.items() if not offset]:
            if place in consumer.assignment():
                # Where the log begins later, the broker says so, and the first message that is there comes.
                consumer.seek(place, 0)
        return committed

    async def _commit(self, offsets: Any) -> bool:
        return self._assigned() and bool(await super()._commit(offsets))

    def highwater(self, tp: Any) -> int:
        """As Faust, of a partition that is there; Faust asks for each message that it hands out, also when its partition is gone."""
        try:
            return int(super().highwater(tp) or 0)
        except AssertionError:
            return 0

    def reached(self, tp: Any) -> int:
        """How far into a partition is known to be written, or was read; 0 of one that is not assigned."""
        assignment = getattr(self._ensure_consumer()._subscription.subscription, "assignment", None)
        state = assignment.state_value(tp) if assignment is not None else None
        return max(state._position or 0, state.highwater or 0) if state is not None else 0

    def verify_event_path(self, now: float, tp: Any) -> None:
        """As Faust, once there are partitions."""
        if self._assigned():
            super().verify_event_path(now, tp)

    def _assigned(self) -> bool:
        subscription = self._ensure_consumer()._subscription.subscription
        return subscription is not None and subscription.assignment is not None


class CappedConsumer(Consumer):  # type: ignore[misc]
    """Commits nothing past a message that an agent was given and has not done.

    Faust's own passes one such message before the first that is acknowledged, and before a partition's first commit any
    number of them: after a crash they would never be handed out again.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> PatientThread:
        return PatientThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """As Faust, and hands nothing out until there are partitions again, whatever they were taken for.

        Faust lets messages go on where it finds no partitions any more, which is so where topics were subscribed at run time.
        What it has then fetched of the new ones before it goes on it throws away in going on, and reads on behind it.
        """
        if not self.assignment():
            self.stop_flow()
            self.app.flow_control.suspend()
        await super().on_partitions_revoked(revoked)

    def on_buffer_drop(self, tp: Any) -> None:
        """An agent's buffer has room again."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109
        """As Faust, which waits for up to a second where a buffer is full, whatever room there is meanwhile."""
        self._room.clear()
        if self.flow_active and self._buffered_partitions:
            others = bool(self._get_active_partitions())
            await self.wait(self._room, timeout=BESIDE_S if others else timeout)
            timeout = 0.0
        return await super()._wait_next_records(timeout)

    def ack(self, message: Any) -> bool:
        """Nothing: where it is not compiled, Faust acknowledges what it throws away while the partitions move."""
        return False

    def reached(self, tp: Any) -> int:
        """How far into a partition is known to be written, or was read; 0 of one that is not assigned."""
        return int(self._thread.reached(tp))

    def done(self, message: Any) -> bool:
        """An agent has done with a message."""
        return bool(super().ack(message))

    @Service.task
    async def _watch_membership(self) -> None:
        """End the process where the routine that keeps it in its group has ended.

        Where a broker names no brokers, as one does that has just stood still, aiokafka's routine ends with an error which it
        tells only to whoever asks for messages. Faust does not ask before partitions are assigned to it, nor does it start
        an app's own tasks: the worker would stand there for ever.
        """
        while not self.should_stop:
            await self.sleep(LOOK_S)
            # Before the first connection there is no coordinator.
            check = getattr(getattr(self._thread._consumer, "_coordinator", None), "check_errors", None)
            try:
                if check is not None:
                    check()
            except Exception as error:  # noqa: BLE001
                crash(error)

    def _new_offset(self, tp: Any) -> int | None:
        acked = self._acked[tp]
        open_ = [one.offset for one in list(self._unacked_messages) if one.tp == tp and not one.acked]
        if acked and open_ and min(open_) < min(acked):
            return None
        found: int | None = super()._new_offset(tp)
        return found


class PlainProducer(Producer):  # type: ignore[misc]
    """Hands messages to aiokafka as they are.

    Faust tells a signal of each that nobody here listens to, which costs a runner a twentieth of its time.
    """

    async def send(
        self, topic: str, key: Any, value: Any, partition: Any, timestamp: Any, headers: Any, **more: Any
    ) -> Any:
        """As Faust; there are no transactions."""
        stamp = int(timestamp * 1000) if timestamp else None
        producer = self._ensure_producer()
        try:
            return await producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=stamp, headers=headers
            )
        except KafkaError as error:
            raise ProducerSendError(f"cannot send to {topic}: {error!r}") from error


def make_app(
    name: str,
    *,
    bootstrap: str,
    home: Path,
    member: str | None,
    buffer: int = BUFFER,
    gathers: bool = False,
) -> faust.App:
    """A Faust app; its name is its consumer group.

    Args:
        name: the app's name.
        bootstrap: addresses of the broker.
        home: where the installation keeps its data.
        member: the name under which a process that starts again gets its partitions back at once. None where
            topics are subscribed while it runs: the broker would give back those of the last run as well,
            and a consumer that has not subscribed them yet never gets over that.
        buffer: how many messages Faust holds for an agent.
        gathers: whether its messages may wait a tenth of a second for company.
    """
    lenient.install()
    fetching.install()
    directory = home / "faust" / name
    directory.mkdir(parents=True, exist_ok=True)
    app = EndingApp(
        name,
        broker=[f"kafka://{address}" for address in bootstrap.split(",")],
        datadir=str(directory),
        autodiscover=False,
        # Serves its tables to the network unless told otherwise.
        web_enabled=False,
        # Topics are declared in one place, and an agent starves on one that Faust made by itself.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # A member that was killed is replaced at once instead of after a minute.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        consumer_group_instance_id=member,
        broker_commit_interval=0.5,
        # A group has its starting offsets set; a new one without them begins at the beginning, never skips.
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=buffer,
        consumer_max_fetch_size=SEND_BYTES,
        consumer_metadata_max_age_ms=5000,
        producer_max_request_size=SEND_BYTES,
        # What is answered within a few milliseconds goes out in one request: each costs both sides more than a frame's own work.
        producer_linger=LINGER_S,
        producer_max_batch_size=BATCH_BYTES,
        producer_acks=-1,
        # Transactions repeat outputs after a kill, and a table loses an update that the broker refuses: there are none of
        # either. What comes twice, the fold knows by its offset.
        processing_guarantee="at_least_once",
        # What is in hand when the worker is told to stop is finished; without, it would be acknowledged and lost.
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
    )
    app.gathers = gathers
    app.reading = TopicLog(bootstrap)
    app.transport.Consumer = CappedConsumer
    app.transport.Producer = PlainProducer
    return app


def raw_topic(app: faust.App, *names: str) -> Any:
    """Topics whose messages reach the agent as bytes: a decode error in Faust's own codec would be acknowledged."""
    return app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


class FaustArrival:
    """A Faust event as the agents take it."""

    __slots__ = ("_event", "record")

    def __init__(self, event: Any) -> None:
        self._event = event
        message = event.message
        self.record = RawRecord(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=round((message.timestamp or 0) * 1000),
            key=message.key,
            value=message.value,
            headers=pairs(message.headers),
        )

    def ack(self) -> bool:
        """Mark the message as done."""
        return bool(self._event.app.consumer.done(self._event.message))


@dataclass(kw_only=True)
class Intake:
    """What an agent has been given so far of the topics whose names begin with `prefix`, or with one of several."""

    prefix: str | tuple[str, ...]
    #: The offset after the last one given, by topic and partition.
    given: dict[tuple[str, int], int] = field(default_factory=dict)
    #: How often the agent has come back for the next message, and whether it waits for one now.
    asked: int = 0
    waits: bool = False

    async def arrivals(self, stream: Any) -> AsyncIterator[FaustArrival]:
        """Every message of a stream, none of them acknowledged by Faust."""
        self.asked, self.waits = self.asked + 1, True
        async for event in stream.noack().events():
            arrival = FaustArrival(event)
            self.waits = False
            record = arrival.record
            self.given[record.topic, record.partition] = record.offset + 1
            logs.at(record.topic, record.partition, record.offset)
            yield arrival
            self.asked, self.waits = self.asked + 1, True

    async def withheld(self, app: faust.App) -> dict[tuple[str, int], int]:
        """Offsets that stand in an assigned partition and were never given to the agent, the first of each."""
        consumer = app.consumer
        if not self.waits:
            return {}
        found = {}
        for place in consumer.assignment():
            given = self.given.get((place.topic, place.partition), 0)
            first = max(given, consumer._committed_offset[place] or 0)
            if place.topic.startswith(self.prefix) and first < consumer.reached(place):
                found[place] = first
        # What the log no longer holds is not withheld. The broker is asked only here: it answers when it is done with what
        # the consumer asked before, and until then a commit would have to wait.
        begins = await consumer.earliest_offsets(*found) if found else {}
        return {
            (place.topic, place.partition): max(first, begins[place])
            for place, first in found.items()
            if max(first, begins[place]) < consumer.reached(place)
        }

    async def watch(self, app: faust.App, *beside: Intake) -> None:
        """Have a message that is withheld from an agent that waits fetched again; end the process where that does not help.

        Should Faust throw a message away that it has fetched, it reads on behind it. Nothing is acknowledged, so the next
        process is given it again; but a member that ends without a name holds up its group for as long as its session lasts.

        Args:
            app: the worker's app.
            beside: what its other agents are given.
        """
        before: tuple[int, dict[tuple[str, int], int]] = (0, {})
        others, again = [one.asked for one in beside], False
        # Since when the same is missing, and since when besides none of the worker's agents has had anything to do.
        since = idle = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                now = (self.asked, await self.withheld(app))
            except KafkaError:
                continue  # a broker that is away withholds nothing
            at = time.monotonic()
            if not now[1] or now != before or app.rebalancing:
                before, since, idle, again = now, at, at, False
            asked = [one.asked for one in beside]
            if asked != others or not all(one.waits for one in beside):
                others, idle = asked, at
            if at - idle < WITHHELD_S and at - since < BEHIND_S:
                continue
            try:
                there = await self._standing(app, now[1])
            except (KafkaError, TopicMissing):
                continue
            if there:
                passed = f"the consumer passed over {there} without handing it out"
                if again:
                    crash(MessageWithheld(passed))
                log.warning("%s, and goes back to it", passed)
                await app.consumer.seek_wait({TP(*place): first for place, first in there.items()})
                since, idle, again = at, at, True

    async def _standing(
        self, app: faust.App, missing: dict[tuple[str, int], int]
    ) -> dict[tuple[str, int], int]:
        """Those of the offsets from which on a message stands; where none does, nothing is missing any more."""
        found = {}
        for place, first in missing.items():
            end = app.consumer.reached(TP(*place))
            if await app.reading.holds(*place, first, end):
                found[place] = first
            else:
                log.info("no message stands in %s from offset %d up to %d", place, first, end)
                self.given[place] = end
        return found


class FaustSender:
    """Appends messages through the app's producer; a `Sender`."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        """Queue a message, in order; awaiting the result waits until the broker has it."""
        producer = await self._app.maybe_start_producer()
        sent: Awaitable[object] = await producer.send(topic, key, value, None, None, headers)
        return sent


def crash(error: BaseException) -> NoReturn:
    """End the process at once, so that nothing in flight is acknowledged."""
    log.critical("the world is broken, nothing is acknowledged: %s", error, exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(BROKEN_WORLD)


def guarded(body: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A task whose failure is a broken world."""

    async def task() -> None:
        try:
            await body()
        except Exception as error:  # noqa: BLE001
            crash(_cause(error))

    task.__name__ = getattr(body, "__name__", "task")
    return task


def _cause(error: Exception) -> Exception:
    """What a group of tasks ended of, where it is one error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


def run(app: faust.App) -> NoReturn:
    """Run the app in this process until it is told to stop."""
    # Logging is set up already (`infra.logs`); Faust's own would take its place.
    worker = faust.Worker(app, override_logging=False, quiet=True, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()
    raise SystemExit(0)
