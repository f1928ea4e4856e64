"""The check of a full bundle: everything that was published is computed again from the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import ValidationError

from agents.recomputation import Difference, Recomputation, recompute
from infra.evidence.bundle import Bundle
from infra.evidence.case import source_of
from infra.evidence.export import EVALUATIONS, FACTS, LABELS, LEDGER, PAIRING, VERDICTS
from infra.evidence.findings import Findings
from infra.evidence.tables import read_messages
from infra.words.language import Phrase
from schemas.agreement import Agreement
from schemas.events import CandidateRetired, ConsentGiven, Fact
from schemas.ledger import Source, Started
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.label_codec import decode_label, for_pairing
from streams.ledger_codec import Entry, LabelRows, decode

#: Where a label stands in its topic.
Place = tuple[int, int]


def check_full(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Fold the ledger of a full bundle again, and compare."""
    try:
        pairing = Pairing.model_validate_json(bundle.path(PAIRING).read_bytes())
        facts = [Fact.model_validate_json(line) for line in bundle.lines(FACTS)]
        again = _recomputed(bundle, facts)
        _chain(bundle, again, found)
        _published(again, found)
        _labels(bundle, pairing, found)
    except (ValidationError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:300]
        found.add("ledger", "failed", f"cannot be read: {why}", f"읽을 수 없습니다: {why}")
        return
    _consents(bundle, pairing, facts, found)
    found.add(
        "measurement",
        "signed",
        "that the machines measured these rows, that the models of these digests gave these answers, "
        "and when messages came",
        "설비가 실제로 이 행을 계측했는지, 적힌 해시의 모델이 이 답을 냈는지, 메시지가 언제 도착했는지",
    )


def _recomputed(bundle: Bundle, facts: Iterable[Fact]) -> Recomputation:
    name = bundle.manifest.pairing
    retired = frozenset(
        fact.body.candidate
        for fact in facts
        if isinstance(fact.body, CandidateRetired) and fact.body.pairing == name
    )
    return recompute(
        name, _ledger(bundle), bundle.lines(EVALUATIONS), bundle.lines(VERDICTS), retired=retired
    )


def _ledger(bundle: Bundle) -> Iterator[RawRecord]:
    return read_messages(bundle.path(LEDGER), topics.ledger(bundle.manifest.plant))


def _chain(bundle: Bundle, again: Recomputation, found: Findings) -> None:
    stated = bundle.manifest
    found.check(
        "chain",
        (again.entries, again.chain) == (stated.entries, stated.chain),
        Phrase(
            f"{again.entries} entries of the ledger lead to the chain {again.chain[:12]}…",
            f"원장 항목 {again.entries}개가 해시 사슬 {again.chain[:12]}…로 이어집니다",
        ),
        Phrase(
            f"the ledger's {again.entries} entries lead to {again.chain[:12]}…, stated are "
            f"{stated.entries} and {stated.chain[:12]}…",
            f"원장 항목 {again.entries}개의 해시 사슬 {again.chain[:12]}…이(가) 적힌 값"
            f"({stated.entries}개, {stated.chain[:12]}…)과 다릅니다",
        ),
    )


def _published(again: Recomputation, found: Findings) -> None:
    for what, ko, count in (
        ("evaluation", "평가", again.evaluations),
        ("verdict", "판정", again.verdicts),
    ):
        wrong = [one for one in again.differences if one.what == what]
        found.check(
            f"{what}s",
            not wrong,
            Phrase(
                f"{count} {what}s follow from the ledger, byte for byte",
                f"{ko} {count}건이 원장에서 다시 계산한 것과 바이트까지 같습니다",
            ),
            Phrase(
                f"{len(wrong)} of {count} {what}s differ; {difference_in_words(wrong[0])}" if wrong else "",
                f"{ko} {count}건 중 {len(wrong)}건이 다릅니다. {difference_in_words(wrong[0])}"
                if wrong
                else "",
            ),
        )
    for problem in again.problems:
        found.add("ledger", "failed", problem, problem)


def difference_in_words(one: Difference) -> str:
    """Where a published number is another than the ledger gives: `t2q-v1 at offset 120: metrics.f1 0.91 → 0.87`."""
    where = f"{one.candidate} at offset {one.ledger_offset}"
    return f"{where}: {one.path or one.what} {_short(one.published)} → {_short(one.recomputed)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _labels(bundle: Bundle, pairing: Pairing, found: Findings) -> None:
    """Each label of the ledger is what the plant sent; and none that it sent meanwhile is missing."""
    agreements: list[Agreement] = [pairing.agreement]
    entries: dict[Place, Entry] = {}
    for record in _ledger(bundle):
        entry = decode(record)
        if isinstance(entry, Rejected):
            continue
        if isinstance(entry, Started) and entry.agreement not in agreements:
            agreements.append(entry.agreement)
        source = source_of(entry)
        if source is not None:
            entries[source.partition, source.offset] = entry
    every = [pairing.model_copy(update={"agreement": one, "labels_from": {}}) for one in agreements]
    unlike, left_out, count = 0, 0, 0
    for record in read_messages(bundle.path(LABELS), topics.labels(pairing.plant)):
        becomes = list(_becomes(record, every))
        taken = entries.pop((record.partition, record.offset), None)
        if taken is None:
            left_out += bool(becomes)
        else:
            count += 1
            unlike += not any(_same(taken, one) for one in becomes)
    wrong = unlike + left_out + len(entries)
    found.check(
        "labels",
        not wrong,
        Phrase(
            f"{count} labels of the ledger are what the plant sent, and none that it sent is left out",
            f"원장의 라벨 {count}건이 공장에서 보낸 것과 같고, 빠진 것이 없습니다",
        ),
        Phrase(
            f"{unlike} labels are not what the plant sent, {len(entries)} were not sent, {left_out} are left out",
            f"보낸 것과 다른 라벨 {unlike}건, 보낸 적 없는 라벨 {len(entries)}건, 빠진 라벨 {left_out}건",
        ),
    )


def _becomes(record: RawRecord, pairings: list[Pairing]) -> Iterator[Entry]:
    decoded = decode_label(record)
    if isinstance(decoded, Rejected):
        return
    source = Source(partition=record.partition, offset=record.offset, appended_ms=record.timestamp_ms)
    for pairing in pairings:
        entry = for_pairing(decoded, pairing, source)
        if entry is not None and not isinstance(entry, Rejected):
            yield entry


def _same(one: Entry, other: Entry) -> bool:
    if isinstance(one, LabelRows) and isinstance(other, LabelRows):
        return (
            one.meta == other.meta
            and np.array_equal(one.times_us, other.times_us)
            and np.array_equal(one.codes, other.codes, equal_nan=True)
        )
    return type(one) is type(other) and one == other


def _consents(bundle: Bundle, pairing: Pairing, facts: Iterable[Fact], found: Findings) -> None:
    digest = bundle.manifest.agreement_digest
    people = {
        fact.party: fact.body.person
        for fact in facts
        if isinstance(fact.body, ConsentGiven)
        and fact.body.pairing == pairing.id
        and fact.body.agreement_digest == digest
    }
    sides = (pairing.manufacturer, pairing.startup)
    if set(sides) <= people.keys():
        named = ", ".join(f"{side} ({people[side]})" for side in sides)
        found.add(
            "consent", "signed", f"both sides have consented to this hash: {named}", f"양측 동의: {named}"
        )
    else:
        found.add(
            "consent",
            "failed",
            "the facts hold no consent of both sides to this hash",
            "이 해시에 대한 양측 동의가 기록에 없습니다",
        )
