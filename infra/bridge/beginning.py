"""Where the reading of source partitions begins, and what of them the telemetry holds already. Waits for brokers: run it
in a thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from infra.bridge.framed import Mark, Ranges, Source, mark_of
from infra.bridge.job import Job, Note
from infra.kafka import admin as kafka_admin
from infra.words.language import Phrase
from streams import topics

Places = dict[int, int]


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where things stand when partitions are taken on.

    Attributes:
        starts: the first offset to read, by source partition.
        until: where the source ends.
        framed: rows from the starts on that stand in frames already.
        since: where those frames can stand at the earliest, by partition of the telemetry.
        ends: where the telemetry ends.
    """

    starts: Places
    until: Places
    framed: Ranges
    since: Places
    ends: Places


def begin(
    job: Job, source: Source, target_id: str, partitions: Collection[int], note: Callable[[Note], None]
) -> Beginning:
    """Learn it from both brokers.

    Raises:
        TopicMissing, BrokerUnavailable: the world.
    """
    notes = kafka_admin.group_notes(job.source, job.group, job.topic)
    first = kafka_admin.begin_offsets(job.source, job.topic)
    until = kafka_admin.end_offsets(job.source, job.topic)
    starts = {}
    for partition in partitions:
        otherwise = until[partition] if job.newest else first[partition]
        starts[partition] = max(notes[partition][0] if partition in notes else otherwise, first[partition])
        if partition in notes and notes[partition][0] < first[partition]:
            note(_gone(job.topic, partition, first[partition] - notes[partition][0]))
    telemetry = topics.telemetry(job.plant.id)
    ends = kafka_admin.end_offsets(job.target, telemetry)
    marks = [mark_of(notes[one][1]) if one in notes else None for one in partitions]
    known = [mark.ends if mark is not None and mark.target == target_id else {} for mark in marks]
    since = _since(kafka_admin.begin_offsets(job.target, telemetry), ends, known)
    count = sum(end - since[number] for number, end in ends.items())
    if count and not all(known):
        note(_looking(telemetry, count))
    framed = source.framed(kafka_admin.read_all(job.target, telemetry, start=since, end=ends), starts)
    return Beginning(starts=starts, until=until, framed=framed, since=since, ends=ends)


def marked(target_id: str, ends: Mapping[int, int]) -> str:
    """What is committed beside an offset, so that the next look begins there."""
    return Mark(target=target_id, ends=dict(ends)).written()


def _since(first: Places, ends: Places, known: Collection[Mapping[int, int]]) -> Places:
    """The earliest of what the partitions' marks say; the beginning where one says nothing."""
    return {
        number: min((max(first[number], mark.get(number, 0)) for mark in known), default=end)
        for number, end in ends.items()
    }


def _gone(topic: str, partition: int, count: int) -> Note:
    words = Phrase(
        f"{count} messages of {topic}:{partition} were deleted by its retention before they were read",
        f"{topic}:{partition}의 메시지 {count}개가 읽기 전에 보존 기간이 지나 삭제됨",
    )
    return Note(kind="gone", words=words, record={"partition": partition, "messages": count})


def _looking(telemetry: str, count: int) -> Note:
    words = Phrase(
        f"looking through {count} messages of {telemetry} for rows that are framed already",
        f"이미 묶인 행을 {telemetry}의 메시지 {count}개에서 찾는 중",
    )
    return Note(kind="looking", words=words, record={"messages": count})
