"""The check of a full bundle: everything that was published is computed again from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.recomputation import Difference, Recomputation, recompute
from infra.evidence.bundle import Bundle, Manifest
from infra.evidence.export import EVALUATIONS, FACTS, LEDGER, PAIRING, VERDICTS, candidates_of, judged_in
from infra.evidence.findings import Findings
from infra.evidence.tables import read_messages
from infra.evidence.verify_labels import check_labels
from infra.words.language import Phrase
from schemas.agreement import Agreement
from schemas.base import Record
from schemas.events import ConsentGiven, Fact
from schemas.pairing import Pairing
from streams import topics
from streams.envelope import RawRecord
from streams.lifecycle import Installation


def check_full(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Fold the ledger of a full bundle again, and compare.

    Raises:
        ValueError: a file cannot be read.
    """
    pairing = Pairing.model_validate_json(bundle.path(PAIRING).read_bytes())
    facts = [Fact.model_validate_json(line) for line in bundle.lines(FACTS)]
    _story(bundle.manifest, pairing, facts, found)
    _consents(bundle, pairing, facts, found)
    again = recompute(
        pairing.id,
        ledger_of(bundle),
        bundle.lines(EVALUATIONS),
        bundle.lines(VERDICTS),
        retired=frozenset(pairing.retired),
    )
    _chain(bundle.manifest, again, found)
    _published(again, found)
    _terms(agreement, again, found)
    _judged(bundle.manifest, pairing, again, found)
    check_labels(bundle, pairing, ledger_of(bundle), found)
    found.add(
        "measurement",
        "signed",
        "that the machines measured these rows, that the models of these digests gave these answers, when messages came, "
        "and that none was left out",
        "설비가 실제로 이 행을 계측했는지, 적힌 해시의 모델이 이 답을 냈는지, 메시지가 언제 도착했고 빠진 것이 없는지",
    )


def ledger_of(bundle: Bundle) -> Iterator[RawRecord]:
    """The entries that the bundle holds."""
    return read_messages(bundle.path(LEDGER), topics.ledger(bundle.manifest.plant))


def _story(stated: Manifest, pairing: Pairing, facts: Sequence[Fact], found: Findings) -> None:
    """The manifest names this pairing, and the pairing is what its facts make of it."""
    same = (
        (pairing.id, pairing.plant, pairing.startup, pairing.phase, pairing.agreement_digest)
        == (stated.pairing, stated.plant, stated.startup, stated.phase, stated.agreement_digest)
        and pairing.agreement.digest() == stated.agreement_digest
        and tuple(candidates_of(pairing)) == stated.candidates
    )
    found.check(
        "pairing",
        same and _folded(facts, pairing.id) == pairing,
        Phrase(
            f"the pairing, its candidates and their digests follow from {len(facts)} facts",
            f"매칭과 후보 모델, 그 해시가 기록 {len(facts)}건에서 그대로 나옵니다",
        ),
        Phrase(
            "the pairing is not what the manifest and the facts say",
            "매칭 내용이 목록이나 기록과 다릅니다",
        ),
        state="recomputed",
    )


def _folded(facts: Sequence[Fact], ident: str) -> Record | None:
    """The pairing that these facts give, others between them left out."""
    state = Installation()
    for fact in facts:
        if fact.number <= state.number:
            return None
        state.number = fact.number - 1
        try:
            state.fold(fact)
        except (KeyError, AttributeError, ValueError):
            return None
    return state.pairings.get(ident)


def _chain(stated: Manifest, again: Recomputation, found: Findings) -> None:
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
        state="recomputed",
    )


def _published(again: Recomputation, found: Findings) -> None:
    for what, ko, count in (
        ("evaluation", "평가", again.evaluations),
        ("verdict", "판정", again.verdicts),
    ):
        wrong = [one for one in again.differences if one.what == what]
        first = difference_in_words(wrong[0]) if wrong else ""
        if count:
            found.check(
                f"{what}s",
                not wrong,
                Phrase(
                    f"{count} {what}s follow from the ledger, byte for byte",
                    f"{ko} {count}건이 원장에서 다시 계산한 것과 바이트까지 같습니다",
                ),
                Phrase(
                    f"{len(wrong)} of {count} {what}s differ; {first}",
                    f"{ko} {count}건 중 {len(wrong)}건이 다릅니다. {first}",
                ),
                state="recomputed",
            )
    for problem in again.problems:
        found.add("ledger", "failed", problem, problem)
    if not again.closed:
        found.add(
            "verdicts",
            "signed",
            "the ledger was not closed: the pairing was broken off, and there is no verdict",
            "원장이 마감되지 않았습니다. 매칭이 중단되어 판정이 없습니다",
        )


def difference_in_words(one: Difference) -> str:
    """Where a published number is another than the ledger gives: `t2q-v1 at offset 120: metrics.f1 0.91 → 0.87`."""
    where = f"{one.candidate} at offset {one.ledger_offset}"
    return f"{where}: {one.path or one.what} {_short(one.published)} → {_short(one.recomputed)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _terms(agreement: Agreement, again: Recomputation, found: Findings) -> None:
    """What was measured was measured under the agreement of this bundle, not only under its hash."""
    book = again.book
    judged = {name for name in book.runs if again.closed and name in (book.judged or book.runs)}
    wrong = sorted(
        name
        for name, run in book.runs.items()
        if run.started.agreement.digest() != run.started.agreement_digest
        or (name in judged and run.started.agreement != agreement)
    )
    if not book.runs:
        return
    others = len(book.runs) - len(judged)
    found.check(
        "terms",
        not wrong,
        Phrase(
            f"{len(judged)} deployments were judged under this agreement, {others} ran before or under others",
            f"배치 {len(judged)}개가 이 협약에 따라 판정되었고, {others}개는 그 전이거나 다른 협약의 것입니다",
        ),
        Phrase(
            f"measured under other terms than the agreement's: {', '.join(wrong)}",
            f"이 협약과 다른 조건으로 측정된 배치: {', '.join(wrong)}",
        ),
    )


def _judged(stated: Manifest, pairing: Pairing, again: Recomputation, found: Findings) -> None:
    """Nobody is left out of the judgement, and the verdicts are those that control has noted."""
    book = again.book
    if not again.closed:
        wrong = sorted(stated.judged)
    else:
        present = {one.id for one in pairing.present()}
        wrong = sorted(present ^ set(book.judged or book.runs))
        wrong += sorted(set(stated.judged) ^ set(judged_in(book)))
    found.check(
        "judged",
        not wrong,
        Phrase(
            f"judged were all that ran in the trial: {', '.join(stated.judged) or '–'}",
            f"실증에 참여한 전부가 판정되었습니다: {', '.join(stated.judged) or '–'}",
        ),
        Phrase(
            f"left out of the judgement, or put into it: {', '.join(dict.fromkeys(wrong))}",
            f"판정에서 빠졌거나 더해진 것: {', '.join(dict.fromkeys(wrong))}",
        ),
    )


def _consents(bundle: Bundle, pairing: Pairing, facts: Sequence[Fact], found: Findings) -> None:
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
    elif not pairing.deployments:
        found.add(
            "consent",
            "signed",
            "the pairing ended before both sides had consented, and nothing was measured",
            "양측이 동의하기 전에 끝나 측정된 것이 없습니다",
        )
    else:
        found.add(
            "consent",
            "failed",
            "the facts hold no consent of both sides to this hash",
            "이 해시에 대한 양측 동의가 기록에 없습니다",
        )
