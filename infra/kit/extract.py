"""What a start-up is handed over to learn from: whether it may be given now, and from before which offsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from infra.client import Client
from infra.errors import OffsetsGone
from infra.kafka import admin as kafka_admin
from infra.kit.history import Cut, History, Progress, Read, history_until
from infra.words.language import NOTHING, Phrase
from schemas.base import Offsets
from schemas.events import Fact, RehearsalStarted, TrialStarted
from schemas.pairing import OVER, Pairing, Phase
from streams import topics
from streams.envelope import RawRecord


def withheld(pairing: Pairing) -> Phrase | None:
    """Why nothing may be handed over now, and what to do about it; None where it may be."""
    if pairing.agreement.training_data == "none":
        return Phrase(
            "the agreement gives no training data (`training_data: none`)",
            "협약에서 학습 데이터를 제공하지 않기로 했습니다(`training_data: none`).",
        )
    # An amendment that lies on the table while a trial runs takes nothing away from the agreement in force.
    agreed = {one.party for one in pairing.consents if one.revision == pairing.revision}
    silent = [one for one in (pairing.manufacturer, pairing.startup) if one not in agreed]
    if silent:
        command = f"fieldproof pairing consent {pairing.id} --as {silent[0]} --person NAME"
        return Phrase(
            f"the consent of {' and '.join(silent)} is missing: `{command}`; then ask for the kit again",
            f"{', '.join(silent)}의 동의가 먼저 필요합니다(`{command}`). 동의 후 키트를 다시 받으세요.",
        )
    if pairing.phase in (Phase.STOPPED, Phase.WITHDRAWN, Phase.EXPIRED):
        return Phrase(
            f"the pairing is {pairing.phase}: nothing more is handed over under its agreement",
            f"매칭이 끝났습니다({pairing.phase}). 이 협약으로는 더 이상 데이터를 제공하지 않습니다.",
        )
    if pairing.paused:
        return Phrase(
            f"{pairing.plant} has paused its telemetry: ask for the kit again when it goes on",
            f"{pairing.plant} 공장이 데이터 제공을 멈췄습니다. 다시 시작한 뒤 키트를 받으세요.",
        )
    return None


def cut_of(pairing: Pairing, pairings: Iterable[Pairing], facts: Iterable[Fact], ends: Cut) -> Cut:
    """Where the history of a pairing ends.

    Not behind `ends`, nor behind the first frame or label of any rehearsal or trial of this pairing, or of another one
    that still judges rows of the same machines: every candidate would be judged on rows whose truth one of them knew.
    """
    judging = {pairing.id, *(one.id for one in pairings if _judges_the_same(one, pairing))}
    begun = [
        one.body
        for one in facts
        if isinstance(one.body, RehearsalStarted | TrialStarted) and one.body.pairing in judging
    ]
    return Cut(
        telemetry=_least(ends.telemetry, [one.telemetry_from for one in begun]),
        labels=_least(ends.labels, [one.labels_from for one in begun]),
    )


def _judges_the_same(other: Pairing, pairing: Pairing) -> bool:
    shared = set(other.agreement.assets) & set(pairing.agreement.assets)
    return other.plant == pairing.plant and bool(shared) and other.phase not in OVER


def _least(ends: Offsets, begun: Sequence[Offsets]) -> Offsets:
    # A partition that a phase's beginning leaves out had nothing in it then.
    return {
        partition: min([end, *(one.get(partition, 0) for one in begun)])
        for partition, end in sorted(ends.items())
    }


def history(client: Client, pairing_id: str, *, rows: int, progress: Progress) -> History | Phrase:
    """What a start-up may learn from, at most so many rows; or why it may not now.

    Raises:
        Unknown, TopicMissing, BrokerUnavailable
    """
    while True:
        plant = client.plant(client.pairing(pairing_id).plant)
        # The ends are asked for first: what begins after them begins behind them.
        ends = Cut(
            telemetry=kafka_admin.end_offsets(client.bootstrap, topics.telemetry(plant.id)),
            labels=kafka_admin.end_offsets(client.bootstrap, topics.labels(plant.id)),
        )
        cut = _cut_now(client, pairing_id, ends)
        if isinstance(cut, Phrase):
            return cut
        pairing = client.pairing(pairing_id)
        found = history_until(cut, pairing, plant, _reader(client.bootstrap), rows=rows, progress=progress)
        # What began or was amended while the topics were read is not to be handed over by what stood before.
        same = _cut_now(client, pairing_id, ends) == cut
        if same and client.pairing(pairing_id).agreement == pairing.agreement:
            return found if found.rows else _nothing(pairing_id, found)


def _cut_now(client: Client, pairing_id: str, ends: Cut) -> Cut | Phrase:
    state = client.refresh()
    pairing = client.pairing(pairing_id)
    return withheld(pairing) or cut_of(pairing, state.pairings.values(), client.facts, ends)


def _nothing(pairing: str, found: History) -> Phrase:
    lost = ", ".join(f"{reason}: {count}" for reason, count in found.unreadable.items())
    return Phrase(
        "the plant's topics hold no row of the agreed assets from before the first rehearsal or trial; "
        "where none has begun, have the plant send some (`fieldproof replay`) and ask for the kit again: "
        f"`fieldproof pairing kit {pairing}`",
        "첫 예행이나 실증 이전에 들어온 협약 설비의 데이터가 없습니다. 아직 시작 전이라면 공장이 과거 데이터를 보낸 뒤"
        f"(`fieldproof replay`) 키트를 다시 받으세요(`fieldproof pairing kit {pairing}`).",
    ) + (Phrase(f"; not readable were {lost}", f" 읽을 수 없던 메시지: {lost}.") if lost else NOTHING)


def _reader(bootstrap: str) -> Read:
    def read(topic: str, start: Offsets, end: Offsets) -> Iterator[RawRecord]:
        try:
            return kafka_admin.read_all(bootstrap, topic, start=start, end=end)
        except OffsetsGone:
            # What retention has deleted is no more: the rest is read.
            return kafka_admin.read_all(bootstrap, topic, end=end)

    return read
