"""10,000 damaged messages on every topic that something is read from: no worker dies, and nothing honest suffers.

What each of them has to become is told by the platform's own pure readers, called here beside it: either it is rejected under
its origin, or it is taken, and then it is in the ledger or among the facts.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer
from pydantic import ValidationError

from infra.contracts.examples import Example, examples
from infra.kafka import admin as kafka_admin
from infra.kafka.groups import CONTROL, runner_group, scorer_group
from schemas.labels import IntervalLabel
from schemas.ledger import Label, Watermark
from schemas.pairing import Pairing, Phase
from schemas.parties import RejectLimit
from schemas.rejected import Rejected
from schemas.requests import Request
from streams import topics
from streams.envelope import ARROW, FRAME, LABEL, REQUEST, RawRecord, headers
from streams.frames import decode_frame, encode_frame, select
from streams.label_codec import decode_label, for_pairing, source_of
from streams.ledger_codec import LabelRows, OutcomeRows, decode
from streams.lifecycle import fact_in
from tests.faults.mutations import Sent, mutated, oversized
from tests.integration.commands import wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import BEGIN_US, CENTRE, MAKER, RIVAL, SECOND_US, STARTUP, Site, agreement, at

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

PAIRING, ASSETS = "mutated-1", ("m1", "m2")
#: How many damaged messages go to which kind of topic.
TO = {"telemetry": 4800, "labels": 2600, "requests": 1200, "ledger": 800, "pairings": 300, "events": 300}
#: Messages between two honest ones, on telemetry and on labels.
APART = 60
HUGE = 24 * 1024 * 1024


class Unreadable(str):
    """A header's name that is no UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xbc\xb3"


@dataclass(kw_only=True)
class Flood:
    """What was sent: every message with where it stands."""

    site: Site
    sent: list[tuple[Sent, RawRecord]] = field(default_factory=list)
    honest: list[RawRecord] = field(default_factory=list)
    #: What is on its way: whether it is honest, and where it will stand.
    _under_way: list[tuple[bool, Sent, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = {"acks": "all", "max_request_size": 2 * HUGE}
        where = self.site.client.bootstrap
        self._plain = KafkaProducer(bootstrap_servers=where, **options)
        self._packed = KafkaProducer(bootstrap_servers=where, compression_type="zstd", **options)

    def send(self, one: Sent, *, partition: int | None = None, honest: bool = False) -> None:
        """Send a message, compressed by its sender where it is too large for its topic otherwise."""
        if one.value is None and one.key is None:
            one = replace(one, key=b"")
        size = len(one.value or b"") + sum(len(name) + len(told) for name, told in one.headers)
        producer = self._packed if size > topics.FRAME_BYTES else self._plain
        future = producer.send(
            one.topic, key=one.key, value=one.value, headers=one.headers, partition=partition
        )
        self._under_way.append((honest, one, future))

    def land(self) -> None:
        """Wait until everything stands in its topic."""
        for honest, one, future in self._under_way:
            place = future.get(120)
            record = RawRecord(
                topic=one.topic,
                partition=place.partition,
                offset=place.offset,
                timestamp_ms=0,
                key=one.key,
                value=one.value,
                headers=tuple(one.headers),
            )
            if honest:
                self.honest.append(record)
            else:
                self.sent.append((one, record))
        self._plain.close(5)
        self._packed.close(5)


def sources(site: Site) -> dict[str, list[Sent]]:
    """Valid messages of each kind of topic, to be damaged."""
    found: dict[str, list[Sent]] = defaultdict(list)
    times = BEGIN_US + np.arange(5) * SECOND_US
    frame = encode_frame(times, {"x": np.linspace(0, 1, 5), "secret": np.ones(5)})
    rows = b'[{"ts":"2026-03-02T00:00:00Z","values":{"x":1.0}},{"ts":"2026-03-02T00:00:01Z","values":{"x":null}}]'
    for number, value in enumerate((frame, rows)):
        listed = headers(FRAME, source="/test", ident=f"base-{number}", content=ARROW)
        kept = listed if number == 0 else [(name, b"application/json" if name == "content-type" else told) for name, told in listed]  # fmt: skip
        found["telemetry"].append(
            Sent(topic=topics.telemetry(site.name), key=b"m1", value=value, headers=kept)
        )
    for example in examples():
        sent = Sent(topic=example.topic, key=example.key, value=example.value, headers=example.headers)
        kind = example.name.partition("/")[0]
        if kind == "labels" or example.name == "label-frame":
            value = example.value.replace("프레스-1".encode(), b"m1")
            found["labels"].append(replace(sent, topic=topics.labels(site.name), key=b"m1", value=value))
        elif kind == "requests":
            # None of these parties has a share in what the examples are about: all of it is refused, in words.
            for party in (RIVAL, MAKER, STARTUP, CENTRE, site.name):
                found["requests"].append(replace(sent, topic=topics.requests(party)))
        elif kind == "ledger":
            found["ledger"].append(replace(sent, topic=topics.ledger(site.name)))
        elif kind == "facts":
            found["events"].append(sent)
        elif example.name == "pairing":
            found["pairings"].append(
                replace(sent, topic=topics.pairings(site.name), value=_proposed(example))
            )
    return found


def _proposed(example: Example) -> bytes:
    """The example's pairing without anything that would have to run here."""
    pairing = Pairing.model_validate_json(example.value)
    return pairing.model_copy(update={"phase": Phase.PROPOSED, "deployments": ()}).to_json()


def damaged(rng: random.Random, site: Site) -> Iterator[Sent]:
    """So many damaged messages of each kind, in an order of chance."""
    base = sources(site)
    kinds = [kind for kind, count in TO.items() for _ in range(count)]
    rng.shuffle(kinds)
    for number, kind in enumerate(kinds):
        one = rng.choice(base[kind])
        if rng.random() < 0.8:
            # An id of its own; the others are taken for messages that were sent again.
            others = [told for told in one.headers if told[0] != "ce_id"]
            one = replace(one, headers=[*others, ("ce_id", f"m-{number}".encode())])
        found = damage(rng, one)
        while not _harmless(kind, found):
            found = damage(rng, one)
        yield found


def damage(rng: random.Random, one: Sent) -> Sent:
    return oversized(rng, one) if rng.random() < 0.002 else mutated(rng, one)


def _harmless(kind: str, sent: Sent) -> bool:
    """Whether it is not what only control and the plant's own workers could mean: a next fact, a pairing that runs."""
    if kind == "events":
        fact = fact_in(sent.value)
        return fact is None or fact.number < 5
    if kind == "pairings":
        # The broker itself refuses what has no key, on a topic that keeps the last of each.
        runs = b'"proposed"' not in (sent.value or b"") and (sent.value or b"")[:1] == b"{"
        return sent.key is not None and not runs
    return True


def large(site: Site) -> Iterator[Sent]:
    """What is within the broker's limits only because its sender compressed it, and names that are no text."""
    for topic, kind in (
        (topics.telemetry(site.name), FRAME),
        (topics.labels(site.name), LABEL),
        (topics.requests(RIVAL), REQUEST),
    ):
        listed = headers(kind, source="/test", ident=f"large-{kind}")
        for filler in (b"\x00", b" "):
            yield Sent(topic=topic, key=b"m1", value=filler * HUGE, headers=listed, how="huge")
        odd = [*listed, (Unreadable("x"), b"told")]
        yield Sent(topic=topic, key=b"m1", value=b"{}", headers=odd, how="odd name")


def flood(site: Site, rng: random.Random) -> Flood:
    """Send everything, with honest frames and labels in between."""
    found = Flood(site=site)
    messages = [*damaged(rng, site), *large(site)]
    spread = {topics.telemetry(site.name), topics.labels(site.name)}
    for number, one in enumerate(messages):
        partition = rng.randrange(site.plant.partitions) if one.topic in spread else None
        found.send(one, partition=partition)
        if number % APART == 0:
            _honest(found, number // APART)
    found.land()
    return found


def _honest(found: Flood, number: int) -> None:
    site, asset = found.site, ASSETS[number % 2]
    start = BEGIN_US + (1000 + 10 * number) * SECOND_US
    value = encode_frame(start + np.arange(3) * SECOND_US, {"x": np.array([1.0, 0.0, 1.0])})
    frame = Sent(
        topic=topics.telemetry(site.name),
        key=asset.encode(),
        value=value,
        headers=headers(FRAME, source="/test", ident=f"honest-{number}", content=ARROW),
    )
    label = IntervalLabel(
        id=f"honest-{number}",
        asset=asset,
        start=at(1000 + 10 * number),
        end=at(1003 + 10 * number),
        value="anomaly",
    )
    told = Sent(
        topic=topics.labels(site.name),
        key=asset.encode(),
        value=label.to_json(),
        headers=headers(LABEL, source="/test", ident=f"honest-{number}"),
    )
    for one in (frame, told):
        found.send(one, honest=True)
    if number % 10 == 0:
        # Its sender was not sure that it had arrived.
        found.send(frame)


# --- what has become of it ----------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Taken:
    """What stands in the ledger and among the rejections."""

    outcomes: dict[str, dict[tuple[int, int], OutcomeRows]]
    labels: set[tuple[int, int]]
    rejected: set[str]

    @classmethod
    def of(cls, site: Site) -> Taken:
        outcomes: dict[str, dict[tuple[int, int], OutcomeRows]] = defaultdict(dict)
        labels: set[tuple[int, int]] = set()
        for record in kafka_admin.read_all(site.client.bootstrap, topics.ledger(site.name)):
            entry = decode(record)
            if isinstance(entry, OutcomeRows) and entry.meta.pairing == PAIRING:
                outcomes[entry.meta.deployment].setdefault((entry.meta.partition, entry.meta.last), entry)
            elif isinstance(entry, Label | Watermark | LabelRows):
                meta = entry.meta if isinstance(entry, LabelRows) else entry
                if meta.pairing == PAIRING:
                    labels.add((meta.source.partition, meta.source.offset))
        there = kafka_admin.read_all(site.client.bootstrap, topics.rejected(site.name))
        return cls(outcomes=outcomes, labels=labels, rejected={(one.key or b"").decode() for one in there})


def wrong_about_telemetry(site: Site, taken: Taken, one: RawRecord) -> str | None:
    """What is wrong with what became of a telemetry message; None where it is right."""
    asset = (one.key or b"").decode(errors="replace")
    place = one.partition, one.offset
    if asset not in {known.name for known in site.plant.assets}:
        return None if one.origin in taken.rejected else "of an unknown machine, and not rejected"
    frame = decode_frame(one, tags=[tag.name for tag in site.plant.tags])
    chosen = frame if isinstance(frame, Rejected) else select(frame, ("x",))
    for deployment, outcomes in taken.outcomes.items():
        outcome = outcomes.get(place)
        if outcome is None:
            return f"without an outcome of {deployment}"
        if isinstance(chosen, Rejected) != (outcome.meta.result in ("refused", "unreadable")):
            return f"{outcome.meta.result} by {deployment}"
    if isinstance(chosen, Rejected) != (one.origin in taken.rejected):
        return "rejected" if one.origin in taken.rejected else f"not rejected: {chosen}"
    return None


def wrong_about_label(site: Site, taken: Taken, one: RawRecord) -> str | None:
    label = decode_label(one)
    if isinstance(label, Rejected) or label.asset not in {known.name for known in site.plant.assets}:
        return None if one.origin in taken.rejected else "not rejected"
    source = source_of(one)
    entry = for_pairing(label, site.client.state.pairings[PAIRING], source)
    if isinstance(entry, Rejected):
        return None if one.origin in taken.rejected else "not rejected"
    return None if (source.partition, source.offset) in taken.labels else "not in the ledger"


def wrong_about_ledger(taken: Taken, one: RawRecord) -> str | None:
    unread = isinstance(decode(one), Rejected)
    return None if unread == (one.origin in taken.rejected) else f"unreadable: {unread}"


def expected_facts(sent: list[tuple[Sent, RawRecord]]) -> Counter[tuple[str, str]]:
    """Party and request of the facts that answer: the place of a request that is none."""
    found: Counter[tuple[str, str]] = Counter()
    for one, record in sent:
        if not _asks(one):
            continue
        try:
            if len(one.value or b"") > topics.MESSAGE_BYTES:
                raise ValueError
            ident = Request.model_validate_json(one.value or b"").id
        except (ValidationError, ValueError):
            ident = record.origin
        found[one.topic.removeprefix(topics.requests("")), ident] += 1
    return found


def workers(shared: Shared, names: list[str]) -> dict[str, int | None]:
    return {name: worker_pid(shared.home, name) for name in names}


def wait_until_taken(shared: Shared, site: Site, group: str, *names: str) -> None:
    """Return once a group has acknowledged everything that stands in these topics."""

    def taken() -> bool:
        there = kafka_admin.group_offsets(site.client.bootstrap, group)
        return all(
            there.get((name, partition), 0) >= end
            for name in names
            for partition, end in kafka_admin.end_offsets(site.client.bootstrap, name).items()
        )

    wait_for(taken, f"{group} to take {names}", timeout_s=900, alive=shared.up.alive)


def test_no_worker_dies_of_10000_damaged_messages_and_each_is_rejected_or_taken(
    shared: Shared, models: Path
) -> None:
    seed = os.environ.get("FAULT_SEED") or f"mutations-{datetime.now(UTC):%H%M%S%f}"
    print(f"FAULT_SEED={seed}")
    site = shared.site("mutations", assets=ASSETS, partitions=2, rejects=RejectLimit(share=1))
    site.open(PAIRING, agreement(assets=ASSETS, deadline_s=45))
    name = site.submit(PAIRING, models / "threshold", "mutations").candidate.id
    site.frame("first", 0, [1, 0])
    for subject in (name, "no-alarm"):
        site.wait_counts(PAIRING, subject, rows_in=2)
    deployments = [f"{PAIRING}/{name}", f"{PAIRING}/baselines"]
    names = ["control", f"scorer.{site.name}", *(f"runner.{one}" for one in deployments)]
    before = workers(shared, names)
    assert all(before.values())
    site.client.refresh()
    facts = len(site.client.facts)

    found = flood(site, random.Random(seed))
    assert len(found.sent) >= 10_000
    wait_until_taken(
        shared, site, CONTROL, *{one.topic for one, _ in found.sent if _asks(one)}, topics.EVENTS
    )
    for deployment in deployments:
        wait_until_taken(shared, site, runner_group(deployment), topics.telemetry(site.name))
    wait_until_taken(
        shared, site, scorer_group(site.name), topics.labels(site.name), topics.ledger(site.name)
    )
    assert workers(shared, names) == before

    wanted = expected_facts(found.sent)
    site.client.refresh()
    got = Counter((one.party, one.request) for one in site.client.facts[facts:])
    assert {key: got[key] for key in wanted} == dict(wanted)
    taken = Taken.of(site)
    assert set(taken.outcomes) == set(deployments)
    wrong = list(_wrong(site, taken, found.sent))
    assert not wrong, f"{len(wrong)}, the first of them: {wrong[:5]}"
    _look_at_the_honest(site, taken, found.honest)

    site.end(PAIRING)
    verdict = site.seen.wait(
        lambda: site.seen.verdicts(site.name, PAIRING).get(name), "the verdict", timeout_s=600
    )
    assert verdict.recomputed_equal
    counts, audit = verdict.evaluation.counts, verdict.evaluation.audit
    assert counts.hold() and counts.awaiting_label == 0
    assert counts.scored >= 3 * len(found.honest) // 2
    assert workers(shared, names[:2]) == {one: before[one] for one in names[:2]}
    print(f"{len(found.sent)} sent, {len(taken.rejected)} rejected; {counts}; {audit}")


def _asks(one: Sent) -> bool:
    return one.topic.startswith(topics.requests(""))


def _look_at_the_honest(site: Site, taken: Taken, honest: list[RawRecord]) -> None:
    """Every honest frame was answered, and every honest label is in the ledger."""
    for record in honest:
        problem = _about(site, taken, record)
        assert problem is None, (record.origin, record.ident, problem)
        for outcomes in taken.outcomes.values() if record.topic == topics.telemetry(site.name) else ():
            meta = outcomes[record.partition, record.offset].meta
            assert (meta.result, meta.rows, meta.frame) == ("answered", 3, record.ident)


def _wrong(site: Site, taken: Taken, sent: list[tuple[Sent, RawRecord]]) -> Iterator[tuple[str, str, str]]:
    for one, record in sent:
        problem = _about(site, taken, record)
        if problem is not None:
            yield record.origin, one.how, problem


def _about(site: Site, taken: Taken, record: RawRecord) -> str | None:
    if record.topic == topics.telemetry(site.name):
        return wrong_about_telemetry(site, taken, record)
    if record.topic == topics.labels(site.name):
        return wrong_about_label(site, taken, record)
    if record.topic == topics.ledger(site.name):
        return wrong_about_ledger(taken, record)
    return None
