"""What Faust does that this project's rules about it guard against, and that each rule holds.

For each rule one test observes Faust as it comes. Where it fails, Faust has changed: look whether the rule in
`infra/faust_worker.py` is needed still, and what stands beside it as its reason. The other observes the rule.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from aiokafka.structs import TopicPartition
from faust.transport.conductor import Conductor
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

from infra import faust_worker
from infra.faust_worker import BROKEN_WORLD, BUFFER, CappedConsumer, PatientThread, make_app
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.kafka.producer import Producer
from infra.worker import APPS, WorkerSpec, control_app
from streams.topics import TopicSpec
from tests.integration.commands import ROOT, Json, environment, wait_for
from tests.unit.twins import a_deployment, a_pairing, a_plant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class App:
    """One of the small workers of `faust_apps.py`."""

    def __init__(
        self, place: Place, rule: str, way: str, *, env: dict[str, str] | None = None, **more: Any
    ) -> None:
        self.out = place.home / f"{uuid.uuid4().hex[:6]}.out"
        self.err = self.out.with_suffix(".err")
        told = {"rule": rule, "way": way, "bootstrap": place.bootstrap, "home": str(place.home), **more}
        told = {"group": place.group, "topic": place.topic, "out": str(self.out), **told}
        self.out.touch()
        with self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.faust_apps", json.dumps(told)],
                cwd=ROOT,
                env=environment(place.home, **(env or {})),
                stdout=err,
                stderr=err,
            )

    @property
    def said(self) -> list[Json]:
        """What it has said."""
        lines = self.out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def given(self, partition: int = 0) -> list[int]:
        """The offsets that its agent was given."""
        return [
            one["offset"] for one in self.said if (one["what"], one.get("partition")) == ("given", partition)
        ]

    def log(self) -> str:
        """What Faust has logged."""
        return self.err.read_text(errors="replace")

    def alive(self) -> str | None:
        """Why it does nothing more."""
        code = self.process.poll()
        return None if code is None else f"ended with {code}: {self.log()[-1500:]}"

    def end(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


class Place:
    """A topic and a group of a test's own."""

    def __init__(self, kafka: EmbeddedKafka, home: Path, partitions: int) -> None:
        self.bootstrap, self.home = kafka.bootstrap, home
        name = uuid.uuid4().hex[:8]
        self.topic, self.group = f"rule-{name}", f"group-{name}"
        self.make(self.topic, partitions=partitions)
        self.apps: list[App] = []

    def make(self, name: str, *, partitions: int = 1, **config: str) -> str:
        """A topic."""
        kafka_admin.ensure_topics(
            self.bootstrap, [TopicSpec(name=name, partitions=partitions, config=config)]
        )
        return name

    def send(self, *values: bytes) -> None:
        """Messages, one after the other to each partition in turn where there are several."""
        producer = Producer(self.bootstrap)
        for value in values:
            producer.append(self.topic, b"k", value, [])
        producer.close()

    def start(self, rule: str, way: str, **more: Any) -> App:
        """Start a worker."""
        self.apps.append(App(self, rule, way, **more))
        return self.apps[-1]

    def committed(self, partition: int = 0) -> int:
        """The offset at which the group goes on."""
        return kafka_admin.group_offsets(self.bootstrap, self.group).get((self.topic, partition), 0)

    def wait_committed(self, app: App, offset: int, partition: int = 0) -> None:
        """Wait until the group has committed that far."""
        wait_for(
            lambda: self.committed(partition) >= offset,
            f"offset {offset} to be committed; it is {self.committed(partition)}",
            alive=app.alive,
        )

    def values(self, topic: str) -> list[bytes | None]:
        """What stands in a topic."""
        return [record.value for record in kafka_admin.read_all(self.bootstrap, topic)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("rules") / "kafka") as kafka:
        yield kafka


@pytest.fixture
def place(kafka: EmbeddedKafka, tmp_path: Path) -> Iterator[Place]:
    place = Place(kafka, tmp_path, partitions=1)
    yield place
    for app in place.apps:
        app.end()


@pytest.fixture
def two(kafka: EmbeddedKafka, tmp_path: Path) -> Iterator[Place]:
    """A topic of two partitions."""
    place = Place(kafka, tmp_path, partitions=2)
    yield place
    for app in place.apps:
        app.end()


# --- a handler that raises ends the process ---------------------------------------------------------------------------


def test_upstream_a_message_whose_handler_raises_is_acknowledged_and_gone(place: Place) -> None:
    place.send(*[b"v"] * 5)
    app = place.start("raises", "upstream", at=2)
    place.wait_committed(app, 5)
    assert app.given() == [0, 1, 2, 3, 4]
    assert "this one cannot be handled" in app.log()


def test_a_handler_that_raises_ends_the_process_and_its_message_comes_again(place: Place) -> None:
    place.send(*[b"v"] * 5)
    app = place.start("raises", "ours", at=2)
    assert app.process.wait(60) == BROKEN_WORLD
    assert place.committed() <= 2
    again = place.start("raises", "ours")
    place.wait_committed(again, 5)
    assert again.given()[-3:] == [2, 3, 4]


# --- bytes are decoded in the agent -----------------------------------------------------------------------------------


def test_upstream_a_value_that_the_codec_cannot_read_is_acknowledged_and_gone(place: Place) -> None:
    place.send(b'{"a": 1}', b"no json", b'{"a": 2}')
    app = place.start("decodes", "upstream")
    place.wait_committed(app, 2)
    assert 1 not in app.given()


def test_a_value_that_nobody_can_read_reaches_the_agent(place: Place) -> None:
    place.send(b'{"a": 1}', b"no json", b'{"a": 2}')
    app = place.start("decodes", "ours")
    wait_for(lambda: app.given() == [0, 1, 2], "all three", alive=app.alive)


# --- what is sent is awaited ------------------------------------------------------------------------------------------


def test_upstream_what_is_sent_and_not_awaited_is_lost_with_its_batch_and_the_input_acknowledged(
    place: Place,
) -> None:
    out = place.make(f"{place.topic}-out", **{"max.message.bytes": "20000"})
    place.send(b"v")
    app = place.start("sends", "upstream", into=out)
    place.wait_committed(app, 1)
    assert [one["what"] for one in app.said] == ["given", "sent"]
    assert app.alive() is None
    assert b"x" * 50_000 not in place.values(out)


def test_an_output_that_the_broker_refuses_ends_the_process_and_the_input_comes_again(place: Place) -> None:
    out = place.make(f"{place.topic}-out", **{"max.message.bytes": "20000"})
    place.send(b"v")
    app = place.start("sends", "ours", into=out)
    assert app.process.wait(60) == BROKEN_WORLD
    assert place.committed() == 0
    assert place.values(out) == [b"small"] * 3


# --- a broken world ends the process ----------------------------------------------------------------------------------


def test_upstream_a_worker_that_was_told_of_no_broker_stands_for_ever(place: Place) -> None:
    place.send(b"v")
    app = place.start("brokerless", "upstream")
    wait_for(
        lambda: "Unexpected error in coordinator routine" in app.log(),
        "the end of its membership",
        alive=app.alive,
    )
    # Another member of the group is given everything: the first one is none any more, and does not know.
    other = place.start("raises", "upstream")
    place.wait_committed(other, 1)
    assert app.alive() is None and app.given() == []


def test_a_worker_whose_membership_has_ended_ends(place: Place) -> None:
    app = place.start("brokerless", "ours")
    assert app.process.wait(60) == BROKEN_WORLD
    assert "the world is broken" in app.log()


def test_upstream_a_worker_of_which_a_part_gave_up_stands_for_ever(place: Place) -> None:
    place.send(b"v")
    app = place.start("unassigned", "upstream")
    wait_for(lambda: "Reraising original exception" in app.log(), "the end of its parts", alive=app.alive)
    assert app.alive() is None


def test_a_worker_of_which_a_part_gave_up_ends(place: Place) -> None:
    place.send(b"v")
    app = place.start("unassigned", "ours")
    assert app.process.wait(60) == BROKEN_WORLD
    assert "the world is broken" in app.log()


async def committed_unassigned(thread: type[AIOKafkaConsumerThread]) -> tuple[bool, list[BaseException]]:
    """What a commit gives, and over what the thread gives up, while the partitions are being assigned anew."""
    given_up: list[BaseException] = []

    async def commit(offsets: Any) -> None:
        raise IllegalStateError("No partitions assigned")

    async def give_up(error: BaseException) -> None:
        given_up.append(error)

    one: Any = object.__new__(thread)
    moving = SimpleNamespace(subscription=SimpleNamespace(assignment=None))
    one._consumer = SimpleNamespace(_subscription=moving, commit=commit, assignment=set)
    one.crash, one.log = give_up, SimpleNamespace(exception=lambda *_: None)
    one.tp_last_committed_at = {}
    return await one._commit({}), given_up


def test_upstream_a_commit_while_partitions_are_assigned_anew_is_given_up_over_and_ours_comes_later() -> None:
    done, given_up = asyncio.run(committed_unassigned(AIOKafkaConsumerThread))
    assert not done and len(given_up) == 1
    assert asyncio.run(committed_unassigned(PatientThread)) == (False, [])


def end_of_what_is_gone(thread: type[AIOKafkaConsumerThread]) -> int:
    """The end of a partition that was assigned to another worker while its messages were being handed out."""
    consumer: Any = object.__new__(AIOKafkaConsumer)
    consumer._subscription = SimpleNamespace(is_assigned=lambda place: False)
    # It was never started: there is nothing to close.
    consumer._closed = True
    one: Any = object.__new__(thread)
    one._consumer, one.consumer = consumer, SimpleNamespace(in_transaction=False)
    return int(one.highwater(TP("t", 0)))


def test_upstream_handing_out_a_message_of_a_partition_that_is_gone_ends_the_worker_and_ours_goes_on() -> (
    None
):
    with pytest.raises(AssertionError, match="not assigned"):
        end_of_what_is_gone(AIOKafkaConsumerThread)
    assert end_of_what_is_gone(PatientThread) == 0


# --- positions after the partitions were assigned anew ----------------------------------------------------------------


async def fetched_again(
    place: Place, thread: type[AIOKafkaConsumerThread], *, subscribes: str | None = None
) -> int:
    """Where a consumer goes on that has fetched the first message and committed nothing, when it is told to go back.

    It may be that another topic is subscribed while it asks for what is committed.
    """
    consumer = AIOKafkaConsumer(
        place.topic,
        bootstrap_servers=place.bootstrap,
        group_id=f"{place.group}-{thread.__name__}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    one: Any = object.__new__(thread)
    one._consumer = consumer

    async def at_once(go_back: Any) -> Any:
        return await go_back()

    one.call_thread = at_once
    await consumer.start()
    try:
        assert (await consumer.getone()).offset == 0
        if subscribes is not None:

            async def committed(place: TopicPartition) -> int:
                consumer.subscribe([subscribes])
                return 1

            consumer.committed = committed
        assert await one.seek_to_committed() == {TopicPartition(place.topic, 0): None}
        return int((await consumer.getone()).offset)
    finally:
        await consumer.stop()


def test_upstream_what_was_fetched_and_not_committed_is_passed_over_before_the_first_commit_and_ours_comes_again(
    place: Place,
) -> None:
    place.send(b"first", b"second")
    assert asyncio.run(fetched_again(place, AIOKafkaConsumerThread)) == 1
    assert asyncio.run(fetched_again(place, PatientThread)) == 0


def test_upstream_going_back_in_partitions_that_are_gone_ends_the_worker_and_ours_waits_for_the_next(
    place: Place,
) -> None:
    place.send(b"first", b"second")
    other = place.make(f"{place.topic}-other")
    with pytest.raises(AssertionError):
        asyncio.run(fetched_again(place, AIOKafkaConsumerThread, subscribes=other))
    with pytest.raises(IllegalStateError):
        asyncio.run(fetched_again(place, PatientThread, subscribes=other))


# --- in order, one at a time, and nothing is committed past what is open ----------------------------------------------


def test_upstream_with_two_at_a_time_the_commit_passes_a_slow_message(two: Place) -> None:
    two.send(*[b"v"] * 6)
    partition = next(n for n in (0, 1) if kafka_admin.end_offsets(two.bootstrap, two.topic)[n])
    if partition != 0:
        pytest.skip("the key's hash has changed")
    app = two.start("slow", "upstream", at=0)
    wait_for(lambda: two.committed() > 0, "a commit past the slow message", alive=app.alive)
    assert len(app.given()) > 1


def committing(consumer: type[Consumer], *, committed: int | None, acked: list[int]) -> int | None:
    """What a consumer of this kind would commit."""
    app = faust.App("commits", broker="kafka://127.0.0.1:1")
    one = object.__new__(consumer)
    place = TP("t", 0)
    one.app = app
    one._committed_offset, one._acked = {place: committed}, {place: list(acked)}
    one._acked_index, one._gap = {place: set(acked)}, {place: []}
    one._unacked_messages = [
        Handed(tp=place, offset=n) for n in range(committed or 0, max(acked)) if n not in acked
    ]
    found: int | None = one._new_offset(place)
    return found


class Handed:
    """A message that an agent was given."""

    def __init__(self, *, tp: TP, offset: int) -> None:
        self.tp, self.offset, self.acked = tp, offset, False


@pytest.mark.parametrize(
    ("committed", "acked", "upstream"),
    [(None, [3, 4], 5), (31, [32, 33], 34), (31, [33], None), (31, [31, 33], 32)],
    ids=["before the first commit", "one is open", "two are open", "one is open behind the first"],
)
def test_upstream_a_commit_passes_one_open_message_or_any_before_the_first_commit_and_ours_none(
    committed: int | None, acked: list[int], upstream: int | None
) -> None:
    assert committing(Consumer, committed=committed, acked=acked) == upstream
    ours = committing(CappedConsumer, committed=committed, acked=acked)
    assert ours == (32 if acked[0] == committed else None)


def test_nothing_is_committed_past_a_message_that_is_open(place: Place) -> None:
    place.send(*[b"v"] * 6)
    app = place.start("slow", "ours", at=3)
    place.wait_committed(app, 3)
    wait_for(lambda: app.given() == list(range(6)), "all six", alive=app.alive)
    # Being told to stop, it waits for the open one, and commits what it may while it does.
    app.process.send_signal(signal.SIGTERM)
    wait_for(
        lambda: "wait_empty: Waiting for tasks" in app.log(), "the wait for the open one", alive=app.alive
    )
    assert place.committed() == 3
    app.end()
    again = place.start("slow", "ours", at=-1)
    place.wait_committed(again, 6)
    assert again.given() == [3, 4, 5]


# --- acknowledged from a task of its own ------------------------------------------------------------------------------


def test_upstream_a_loop_that_acknowledges_with_the_next_message_holds_up_a_rebalance(two: Place) -> None:
    two.send(b"v")
    first = two.start("idle", "upstream")
    wait_for(lambda: first.given(0) + first.given(1), "the message", alive=first.alive)
    two.start("idle", "upstream")
    wait_for(
        lambda: "wait_empty: Waiting for tasks" in first.log(), "the wait for streams", alive=first.alive
    )


def test_an_idle_worker_hands_its_partitions_over(two: Place) -> None:
    two.send(b"v")
    first = two.start("idle", "ours", member="a")
    wait_for(lambda: first.given(0) + first.given(1), "the message", alive=first.alive)
    second = two.start("idle", "ours", member="b")

    def last(app: App) -> list[int]:
        return next((one["partitions"] for one in reversed(app.said) if one["what"] == "assigned"), [])

    wait_for(lambda: len(last(first)) == len(last(second)) == 1, "a partition each", alive=second.alive)
    assert "wait_empty: Waiting for tasks" not in first.log()


# --- what is in hand when it is told to stop --------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [True, False])
def test_upstream_a_worker_told_to_stop_loses_what_is_in_hand_unless_it_waits_for_it(
    place: Place, tmp_path: Path, waits: bool
) -> None:
    place.send(*[b"v"] * 3)
    go = tmp_path / "go"
    app = place.start("stops", "upstream", go=str(go), settings={"stream_wait_empty": waits})
    wait_for(lambda: app.given() == [0], "the first message", alive=app.alive)
    app.process.send_signal(signal.SIGTERM)
    if waits:
        wait_for(lambda: psutil.Process(app.process.pid).is_running(), "it")
        go.touch()
    app.process.wait(60)
    handled = [one["offset"] for one in app.said if one["what"] == "handled"]
    assert (place.committed() <= len(handled)) is waits, (place.committed(), handled)


# --- what is thrown away while the partitions move --------------------------------------------------------------------

#: Where Faust's wheel does not fit a machine, its loop in Python runs instead of the compiled one.
IN_PYTHON = {"NO_CYTHON": "1"}


def test_upstream_a_message_thrown_away_while_partitions_move_is_acknowledged_where_faust_is_not_compiled(
    place: Place,
) -> None:
    place.send(b"v", b"v")
    app = place.start("throws_away", "upstream", env=IN_PYTHON)
    place.wait_committed(app, 2)
    assert app.given() == [0]


def test_only_what_an_agent_was_given_is_acknowledged(place: Place) -> None:
    place.send(b"v", b"v")
    app = place.start("throws_away", "ours", env=IN_PYTHON)
    wait_for(lambda: app.said[-1:] == [{"what": "done", "offset": 0}], "the first one", alive=app.alive)
    place.wait_committed(app, 1)
    assert app.end(signal.SIGTERM) == 0
    assert (app.given(), place.committed()) == ([0], 1)


def test_what_was_thrown_away_is_fetched_again_by_the_worker_that_watches_for_it(place: Place) -> None:
    place.send(b"v", b"v")
    app = place.start("throws_away", "ours", env=IN_PYTHON, watched=True)
    place.wait_committed(app, 2)
    assert (app.given(), app.alive()) == ([0, 1], None)
    assert "passed over" in app.log()


async def send_in_a_transaction(place: Place, *values: bytes) -> None:
    """Messages, and after them the offset at which the transaction is committed and no message stands."""
    producer = AIOKafkaProducer(bootstrap_servers=place.bootstrap, transactional_id=place.topic)
    await producer.start()
    try:
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(place.topic, value)
    finally:
        await producer.stop()


def test_where_no_message_stands_nothing_is_missed(place: Place) -> None:
    asyncio.run(send_in_a_transaction(place, b"v", b"v"))
    app = place.start("throws_away", "ours", watched=True)
    wait_for(lambda: "no message stands" in app.log(), "the worker to look", alive=app.alive)
    assert app.given() == [0, 1]
    asyncio.run(send_in_a_transaction(place, b"v"))
    wait_for(lambda: 3 in app.given(), "the message behind it", alive=app.alive)


def subscribe_while_busy(place: Place, way: str) -> App:
    """A worker that subscribes another topic while it has the first of three messages in hand; a fourth comes after that."""
    place.send(*[b"v"] * 3)
    app = place.start("subscribes", way, other=place.make(f"{place.topic}-other"))
    wait_for(lambda: {"what": "gone on"} in app.said, "the worker to go on", alive=app.alive)
    place.send(b"v")
    wait_for(lambda: 3 in app.given(), "the fourth message", alive=app.alive)
    return app


def test_upstream_what_comes_while_other_topics_are_subscribed_is_thrown_away(place: Place) -> None:
    assert not {1, 2} & set(subscribe_while_busy(place, "upstream").given())


def test_what_comes_while_other_topics_are_subscribed_is_handed_out_afterwards(place: Place) -> None:
    app = subscribe_while_busy(place, "ours")
    assert app.given() == [0, 0, 1, 2, 3]
    place.wait_committed(app, 4)


# --- a name of its own ------------------------------------------------------------------------------------------------


def members(place: Place) -> list[str]:
    """The members of the group, as the broker knows them."""
    with kafka_admin._admin(place.bootstrap) as admin:
        found = admin.describe_groups([place.group])[place.group]
    return [one["group_instance_id"] or one["member_id"] for one in found["members"]]


def test_upstream_a_killed_member_without_a_name_stays_in_its_group_until_its_session_ends(
    place: Place,
) -> None:
    place.send(b"v")
    app = place.start("raises", "upstream")
    place.wait_committed(app, 1)
    app.end()
    place.start("raises", "upstream")
    wait_for(lambda: len(members(place)) == 2, "the new member beside the one that was killed")


def test_a_killed_member_with_a_name_is_replaced_by_the_next_one(place: Place) -> None:
    place.send(b"v")
    app = place.start("raises", "ours", member="the-one")
    place.wait_committed(app, 1)
    app.end()
    assert members(place) == ["the-one"]
    place.send(b"v")
    again = place.start("raises", "ours", member="the-one")
    wait_for(lambda: again.given() == [1] or len(members(place)) != 1, "the message", alive=again.alive)
    assert (again.given(), members(place)) == ([1], ["the-one"])


# --- tables -----------------------------------------------------------------------------------------------------------


def test_upstream_a_table_loses_an_update_that_the_broker_refuses_and_its_input_is_acknowledged(
    place: Place,
) -> None:
    changelog = place.make(f"{place.group}-kept-changelog", **{"max.message.bytes": "20000"})
    place.send(b"x" * 50_000, b"small")
    app = place.start("table", "upstream", settings={"producer_max_request_size": 1_000_000})
    place.wait_committed(app, 2)
    assert [value for value in place.values(changelog) if value] == [b'"small"']
    assert app.alive() is None


# --- full buffers -----------------------------------------------------------------------------------------------------


async def fetched_while_full(consumer: type[Consumer], *beside: TP) -> list[str]:
    """What a consumer does whose partition's buffer is full, until that is fetched from; there is room again at once."""
    place, did = TP("topic", 0), []
    one: Any = consumer.__new__(consumer)
    one.app = SimpleNamespace(client_only=False, in_recovery=False)
    one.flow_active, one.not_waiting_next_records = True, asyncio.Event()
    one._active_partitions, one._buffered_partitions = {place, *beside}, set()
    one._room = asyncio.Event()

    async def sleep(seconds: float) -> None:
        did.append(f"sleeps {seconds} s")

    async def wait(event: asyncio.Event, **_: Any) -> None:
        await event.wait()

    async def getmany(*, active_partitions: set[TP], timeout: float) -> dict[Any, Any]:
        did.append(
            f"fetches, at most {timeout:g} s" if place in active_partitions else f"waits {timeout:g} s"
        )
        return {}

    one.sleep, one.wait, one._getmany = sleep, wait, getmany
    one.on_buffer_full(place)
    asyncio.get_running_loop().call_soon(one.on_buffer_drop, place)
    while not any(one.startswith("fetches") for one in did):
        await one._wait_next_records(1.0)
        await asyncio.sleep(0)
    return did


def test_upstream_a_worker_with_full_buffers_waits_for_a_second_and_ours_until_there_is_room() -> None:
    alone, beside = (), (TP("labels", 0),)
    assert asyncio.run(fetched_while_full(Consumer, *alone)) == ["sleeps 1 s", "fetches, at most 1 s"]
    assert asyncio.run(fetched_while_full(Consumer, *beside)) == ["waits 1 s", "fetches, at most 1 s"]
    for others in (alone, beside):
        assert asyncio.run(fetched_while_full(CappedConsumer, *others)) == ["fetches, at most 0 s"]


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "upstream", "ours"),
    [
        ("web_enabled", True, False),
        ("web_bind", "0.0.0.0", None),
        ("topic_allow_declare", True, False),
        ("topic_disable_leader", False, True),
        ("broker_session_timeout", 60.0, 10.0),
        ("stream_buffer_maxsize", 4096, BUFFER),
        ("consumer_group_instance_id", None, "member"),
        # What holds today without being said is said, so that it stays.
        ("stream_wait_empty", True, True),
        ("processing_guarantee", "at_least_once", "at_least_once"),
        ("consumer_auto_offset_reset", "earliest", "earliest"),
        ("producer_acks", -1, -1),
    ],
)
def test_settings_that_promises_rest_on_differ_from_fausts_as_they_did(
    tmp_path: Path, name: str, upstream: Any, ours: Any
) -> None:
    theirs = getattr(faust.App("upstream", broker="kafka://127.0.0.1:1").conf, name)
    assert getattr(theirs, "value", theirs) == upstream
    app = make_app("ours", bootstrap="127.0.0.1:1", home=tmp_path, member="member")
    if ours is not None:
        chosen = getattr(app.conf, name)
        assert getattr(chosen, "value", chosen) == ours


def specs(home: Path) -> dict[str, WorkerSpec]:
    """Each kind of worker."""
    where: dict[str, Any] = {"bootstrap": "127.0.0.1:1", "home": home}
    deployment = a_deployment(start=0).model_copy(update={"candidate": None})
    return {
        "control": WorkerSpec(kind="control", **where),
        "scorer": WorkerSpec(kind="scorer", plant=a_plant(), **where),
        "runner": WorkerSpec(
            kind="runner", plant=a_plant(), pairing=a_pairing(), deployment=deployment, **where
        ),
    }


@pytest.mark.parametrize("kind", ["control", "scorer", "runner"])
def test_every_worker_has_one_handler_an_agent_no_tables_and_the_capped_commit(
    tmp_path: Path, kind: str
) -> None:
    app = APPS[kind](specs(tmp_path)[kind])
    assert {agent.concurrency for agent in app.agents.values()} == {1}
    assert not app.tables
    assert not app.in_transaction
    assert app.transport.Consumer is CappedConsumer
    # A topic whose bytes Faust would decode, an agent would never be told of.
    assert {channel.value_serializer for channel in app.topics} <= {"raw"}
    assert all(agent.channel.value_serializer == "raw" for agent in app.agents.values())


@pytest.mark.parametrize("kind", ["control", "scorer", "runner"])
def test_a_worker_whose_broker_went_away_before_its_own_tasks_began_ends(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust begins them once partitions are assigned; one that waited for ever would keep its partitions meanwhile."""
    ended: list[BaseException] = []
    monkeypatch.setattr(faust_worker, "crash", ended.append)
    app = APPS[kind](specs(tmp_path)[kind])

    async def main() -> None:
        for task in app._app_tasks:
            await asyncio.wait_for(task(), 60)

    asyncio.run(main())
    assert [type(one) for one in ended] == [KafkaConnectionError]


def test_a_topic_that_appears_later_is_looked_for_at_once(tmp_path: Path) -> None:
    assert Conductor._resubscribe_sleep_lock_seconds == 45.0
    assert control_app(specs(tmp_path)["control"]).topics._resubscribe_sleep_lock_seconds == 0.2


def test_a_worker_serves_nothing_to_the_network(place: Place) -> None:
    place.send(b"v")
    app = place.start("raises", "ours")
    place.wait_committed(app, 1)
    listening = [one for one in psutil.Process(app.process.pid).net_connections() if one.status == "LISTEN"]
    assert not listening
