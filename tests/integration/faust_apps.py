"""Small Faust workers, each of which does one thing as Faust has it (`upstream`) or as this project does (`ours`).

    python -m tests.integration.faust_apps '{"rule": "raises", "way": "ours", "bootstrap": …, "group": …, "topic": …, "home": …}'

They say in the file `out`, one JSON line each, what happens to them; the tests in `test_faust_rules.py` look at what is
committed as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IllegalStateError
from mode import Service

from agents.acknowledge import InOrder
from agents.ports import or_crash, put
from infra.faust_worker import FaustSender, Intake, crash, guarded, make_app, raw_topic, run


def say(what: str, **more: Any) -> None:
    """One line for the test."""
    with Path(json.loads(sys.argv[1])["out"]).open("a") as out:
        out.write(json.dumps({"what": what, **more}) + "\n")


def say_given(event: Any) -> None:
    """An event was given to the agent."""
    say("given", partition=event.message.partition, offset=event.message.offset)


def app_of(told: dict[str, Any]) -> faust.App:
    """An app as Faust makes it, but for what a test has to set; or as this project makes it."""
    home = Path(told["home"])
    if told["way"] == "ours":
        return make_app(told["group"], bootstrap=told["bootstrap"], home=home, member=told.get("member"))
    directory = home / told["group"]
    directory.mkdir(parents=True, exist_ok=True)
    return faust.App(
        told["group"],
        broker=f"kafka://{told['bootstrap']}",
        datadir=str(directory),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_commit_interval=0.3,
        **told.get("settings", {}),
    )


# --- a handler that raises --------------------------------------------------------------------------------------------


def raises(app: faust.App, told: dict[str, Any]) -> None:
    """The handler of the message at offset `at` raises; with `noack` Faust is told to acknowledge nothing by itself."""

    def handle(offset: int) -> None:
        if offset == told.get("at"):
            raise ValueError("this one cannot be handled")

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            handle(event.message.offset)

    async def step(arrival: Any) -> None:
        say("given", partition=arrival.record.partition, offset=arrival.record.offset)
        handle(arrival.record.offset)
        arrival.ack()

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            await or_crash(step(arrival), crash)

    if told["way"] == "ours":
        agent.fun = careful


def decodes(app: faust.App, told: dict[str, Any]) -> None:
    """Values are read by Faust's JSON codec; or reach the agent as bytes."""
    channel = app.topic(
        told["topic"], key_type=bytes, key_serializer="raw", value_type=dict, value_serializer="json"
    )

    @app.agent(raw_topic(app, told["topic"]) if told["way"] == "ours" else channel)
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)


def brokerless(app: faust.App, told: dict[str, Any]) -> None:
    """When the app first looks for its group, it knows of no broker: so says one that has just stood still."""
    look_up, looked = AIOKafkaClient.coordinator_lookup, False

    async def first_in_vain(client: Any, *arguments: Any) -> Any:
        nonlocal looked
        if not looked:
            looked = True
            client.cluster._brokers.clear()
        return await look_up(client, *arguments)

    AIOKafkaClient.coordinator_lookup = first_in_vain

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)


def unassigned(app: faust.App, told: dict[str, Any]) -> None:
    """A commit falls between a subscription and its assignment, and Faust is soon done with stopping its parts."""
    Service.shutdown_timeout = 1.0

    async def too_early(consumer: Any, offsets: Any = None) -> None:
        raise IllegalStateError("No partitions assigned")

    AIOKafkaConsumer.commit = too_early

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            arrival.ack()

    if told["way"] == "ours":
        agent.fun = careful


# --- what is sent -----------------------------------------------------------------------------------------------------


def sends(app: faust.App, told: dict[str, Any]) -> None:
    """Every message makes three small ones and one that its topic refuses."""
    into = told["into"]
    values = [b"small"] * 3 + [b"x" * 50_000]

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            for value in values:
                await app.topic(into, value_serializer="raw").send(value=value)
            say("sent")

    sender = FaustSender(app)

    async def step(arrival: Any) -> None:
        say("given", partition=arrival.record.partition, offset=arrival.record.offset)
        for value in values:
            await put(sender, into, b"k", value, [])
        arrival.ack()

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            await or_crash(step(arrival), crash)

    if told["way"] == "ours":
        agent.fun = careful


# --- acknowledging ----------------------------------------------------------------------------------------------------


def slow(app: faust.App, told: dict[str, Any]) -> None:
    """The message at offset `at` of partition 0 is never done with, all others at once."""
    never, open_ = asyncio.Event(), []

    @app.agent(raw_topic(app, told["topic"]), concurrency=2 if told["way"] == "upstream" else 1)
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            if (event.message.partition, event.message.offset) == (0, told["at"]):
                await never.wait()

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            record = arrival.record
            say("given", partition=record.partition, offset=record.offset)
            if (record.partition, record.offset) == (0, told["at"]):
                open_.append(arrival)
            else:
                arrival.ack()

    if told["way"] == "ours":
        agent.fun = careful


def idle(app: faust.App, told: dict[str, Any]) -> None:
    """A message is acknowledged when the next one comes, from the body of the loop; or from a task of its own."""
    acknowledge = InOrder(window=4, crash=crash)

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        before = None
        async for event in stream.noack().events():
            say_given(event)
            if before is not None:
                before.ack()
            before = event

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            say("given", partition=arrival.record.partition, offset=arrival.record.offset)
            await acknowledge.put([arrival], asyncio.sleep(0))

    @app.on_partitions_assigned.connect(weak=False)
    async def on_assigned(app: Any, assigned: Any, **kwargs: Any) -> None:
        say("assigned", partitions=sorted(place.partition for place in assigned))

    if told["way"] == "ours":
        agent.fun = careful
        app.task(guarded(acknowledge.run))


def stops(app: faust.App, told: dict[str, Any]) -> None:
    """The handler of a message takes until the test says so, by a file; it was told to stop meanwhile."""

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            while not Path(told["go"]).exists():
                await asyncio.sleep(0.05)
            say("handled", offset=event.message.offset)


def throws_away(app: faust.App, told: dict[str, Any]) -> None:
    """While the agent has the first message, the flow is held up as at a rebalance; it goes on a moment later."""

    async def hold(channel: Any) -> None:
        while not channel.queue.qsize():
            await asyncio.sleep(0.05)
        app.flow_control.suspend()
        asyncio.get_running_loop().call_later(0.3, app.flow_control.resume)

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            say_given(event)
            await hold(stream.channel)
            event.ack()

    intake = Intake(prefix=told["topic"])

    async def careful(stream: Any) -> None:
        async for arrival in intake.arrivals(stream):
            say("given", partition=arrival.record.partition, offset=arrival.record.offset)
            if not arrival.record.offset:
                await hold(stream.channel)
            arrival.ack()
            say("done", offset=arrival.record.offset)

    async def watch() -> None:
        await intake.watch(app)

    if told["way"] == "ours":
        agent.fun = careful
    if told.get("watched"):
        app.task(guarded(watch))


def subscribes(app: faust.App, told: dict[str, Any]) -> None:
    """While the agent has the first of three messages, another topic is subscribed; from seeking back to going on it takes a second."""
    app.topics._resubscribe_sleep_lock_seconds = 0.0
    gone_on = asyncio.Event()

    async def hold(channel: Any) -> None:
        if not gone_on.is_set():
            while channel.queue.qsize() < 2:
                await asyncio.sleep(0.05)
            seek, go_on = app.consumer.perform_seek, app.consumer.resume_flow

            async def seek_slowly() -> None:
                await seek()
                await asyncio.sleep(1.0)

            def say_and_go_on() -> None:
                go_on()
                gone_on.set()
                say("gone on")

            app.consumer.perform_seek, app.consumer.resume_flow = seek_slowly, say_and_go_on
            for channel in app.topics:
                channel.topics = (told["topic"], told["other"])
            app.topics._flag_changes()
        await gone_on.wait()

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            await hold(stream.channel)

    async def careful(stream: Any) -> None:
        async for arrival in Intake(prefix=told["topic"]).arrivals(stream):
            say("given", partition=arrival.record.partition, offset=arrival.record.offset)
            await hold(stream.channel)
            arrival.ack()

    if told["way"] == "ours":
        agent.fun = careful


# --- tables -----------------------------------------------------------------------------------------------------------


def table(app: faust.App, told: dict[str, Any]) -> None:
    """Every message is kept in a table whose topic refuses it."""
    kept = app.Table("kept", partitions=1, key_type=str, value_type=str)

    @app.agent(raw_topic(app, told["topic"]))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            say_given(event)
            kept["k"] = event.value.decode()


RULES = {
    each.__name__: each
    for each in (
        raises,
        decodes,
        brokerless,
        unassigned,
        sends,
        slow,
        idle,
        stops,
        throws_away,
        subscribes,
        table,
    )
}


def main() -> None:
    told = json.loads(sys.argv[1])
    app = app_of(told)
    RULES[told["rule"]](app, told)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("infra").setLevel(logging.INFO)
    run(app)


if __name__ == "__main__":
    main()
