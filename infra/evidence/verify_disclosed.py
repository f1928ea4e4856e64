"""The check of a disclosed bundle: who is in it, the chain, the counts and the metrics, as far as they are told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from infra.evidence.bundle import Bundle, Manifest
from infra.evidence.export import CHAIN_FILE, EVALUATIONS, VERDICTS
from infra.evidence.findings import Findings
from infra.evidence.tables import CHAIN, count_rows, read_groups
from infra.evidence.verify_verdicts import check_verdicts
from infra.words.language import Phrase
from models.metrics import metrics_for, spent
from schemas.agreement import Agreement
from schemas.feeds import FeedEvaluation, FeedVerdict
from schemas.pairing import OVER, Phase
from streams.disclosure import told_to_both_sides

#: Phases of a pairing that was broken off, or never began: no verdict has to be there.
_BROKEN_OFF = frozenset({Phase.STOPPED, Phase.WITHDRAWN, Phase.EXPIRED})


def check_disclosed(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Compute again what a disclosed bundle allows.

    Raises:
        ValueError: a file cannot be read.
    """
    evaluations = [FeedEvaluation.model_validate_json(line) for line in bundle.lines(EVALUATIONS)]
    verdicts = [FeedVerdict.model_validate_json(line) for line in bundle.lines(VERDICTS)]
    _whole(bundle.manifest, agreement, evaluations, verdicts, found)
    _not_judged(bundle.manifest, found)
    _chain(bundle, [*evaluations, *verdicts], found)
    _counts(evaluations, found)
    _metrics(agreement, evaluations, found)
    check_verdicts(bundle, agreement, evaluations, verdicts, found)
    found.add(
        "ledger",
        "signed",
        "the entries of the ledger themselves: only their hashes are here; whoever may see them checks the full bundle",
        "원장 내용은 들어 있지 않고 해시만 있습니다. 원장을 볼 수 있는 쪽이 전체 묶음으로 확인합니다",
    )


# --- who and what is in it --------------------------------------------------------------------------------------------


def _whole(
    stated: Manifest,
    agreement: Agreement,
    evaluations: Sequence[FeedEvaluation],
    verdicts: Sequence[FeedVerdict],
    found: Findings,
) -> None:
    """It tells what the agreement discloses, of everyone who was judged: no candidate, baseline or verdict is left out."""
    wrong = [
        *_of_the_agreement(stated, agreement),
        *_unlike("evaluation", [one.candidate for one in evaluations], _told(stated, "counts", "metrics")),
        *_unlike("verdict", [one.candidate for one in verdicts], _judged_candidates(stated)),
        *(f"{one.candidate} of {one.pairing}" for one in _strangers(stated, [*evaluations, *verdicts])),
        *(
            f"{one.candidate}: no final evaluation of the trial"
            for one in evaluations
            if not one.final or one.phase != "trial"
        ),
        *(f"{one.candidate}: not as disclosed" for one in evaluations if not _as_disclosed(one, stated)),
    ]
    found.check(
        "disclosed",
        not wrong,
        Phrase(
            f"it tells what the agreement discloses ({', '.join(stated.discloses) or 'nothing'}), of all that were judged: "
            f"{', '.join(stated.judged) or '–'}",
            f"협약의 공개 범위({', '.join(stated.discloses) or '없음'})대로, 판정된 전부가 들어 있습니다: "
            f"{', '.join(stated.judged) or '–'}",
        ),
        Phrase(
            f"not what the agreement discloses of all that were judged: {'; '.join(wrong)}",
            f"협약의 공개 범위와 다르거나 빠진 것: {'; '.join(wrong)}",
        ),
    )


def _not_judged(stated: Manifest, found: Findings) -> None:
    names = ", ".join(one.id for one in stated.candidates if one.id not in stated.judged)
    if names:
        found.add(
            "not judged",
            "signed",
            f"that these candidates had no part in the trial's end: {names}",
            f"실증 종료 시점에 참여하지 않은 것으로 적힌 후보: {names}",
        )


def _of_the_agreement(stated: Manifest, agreement: Agreement) -> list[str]:
    wrong = []
    if stated.discloses != told_to_both_sides(agreement):
        wrong.append(f"{', '.join(stated.discloses) or 'nothing'} is not what it discloses")
    if stated.phase not in OVER:
        wrong.append(f"a pairing that is {stated.phase} has no evidence")
    if stated.phase not in _BROKEN_OFF or stated.judged:
        baselines, candidates = (
            {one.name for one in agreement.baselines},
            {one.id for one in stated.candidates},
        )
        wrong += [f"{name} was not judged" for name in sorted(baselines - set(stated.judged))]
        wrong += [f"{name} is unknown" for name in sorted(set(stated.judged) - baselines - candidates)]
    return wrong


def _told(stated: Manifest, *what: str) -> set[str]:
    return set(stated.judged) if set(what) & set(stated.discloses) else set()


def _judged_candidates(stated: Manifest) -> set[str]:
    return {one.id for one in stated.candidates} & _told(stated, "verdict")


def _unlike(what: str, there: Sequence[str], wanted: set[str]) -> list[str]:
    counted = Counter(there)
    return [
        *(f"no {what} of {name}" for name in sorted(wanted - counted.keys())),
        *(f"{what} of {name}" for name in sorted(counted.keys() - wanted)),
        *(f"{count} {what}s of {name}" for name, count in sorted(counted.items()) if count > 1),
    ]


def _strangers(
    stated: Manifest, every: Sequence[FeedEvaluation | FeedVerdict]
) -> list[FeedEvaluation | FeedVerdict]:
    return [one for one in every if one.pairing != stated.pairing]


def _as_disclosed(one: FeedEvaluation, stated: Manifest) -> bool:
    return (one.counts is not None, one.metrics is not None, one.confusion is not None) == (
        "counts" in stated.discloses,
        "metrics" in stated.discloses,
        "metrics" in stated.discloses,
    )


# --- what follows from what -------------------------------------------------------------------------------------------


def _chain(bundle: Bundle, published: Sequence[FeedEvaluation | FeedVerdict], found: Findings) -> None:
    stated = bundle.manifest
    others = list(dict.fromkeys(one.candidate for one in published if one.chain != stated.chain))
    # Only as many hashes are read as are stated: a table may say that it has any number of rows.
    holds = count_rows(bundle.path(CHAIN_FILE), CHAIN) == stated.entries
    chain, last = bytes(32), -1
    for group in read_groups(bundle.path(CHAIN_FILE), CHAIN) if holds else ():
        offsets = [last, *np.asarray(group.column("offset").to_numpy()).tolist()]
        holds = holds and offsets == sorted(set(offsets))
        last = offsets[-1]
        for digest in group.column("sha256").to_pylist():
            chain = hashlib.sha256(chain + (digest or b"")).digest()
    found.check(
        "chain",
        holds and chain.hex() == stated.chain,
        Phrase(
            f"the hashes of {stated.entries} entries lead to the chain {stated.chain[:12]}…",
            f"항목 {stated.entries}개의 해시가 사슬 {stated.chain[:12]}…로 이어집니다",
        ),
        Phrase(
            f"the hashes of the entries do not lead to the stated chain {stated.chain[:12]}…",
            f"항목의 해시가 적힌 사슬 {stated.chain[:12]}…로 이어지지 않습니다",
        ),
        state="recomputed",
    )
    if published:
        found.check(
            "chain of results",
            not others,
            Phrase(
                "every evaluation and verdict bears this chain", "모든 평가와 판정에 이 사슬이 적혀 있습니다"
            ),
            Phrase(
                f"evaluations or verdicts bear another chain: {', '.join(others)}",
                f"다른 사슬이 적힌 평가나 판정: {', '.join(others)}",
            ),
        )


def _counts(evaluations: Sequence[FeedEvaluation], found: Findings) -> None:
    told = [(one, one.counts) for one in evaluations if one.counts is not None]
    wrong = [
        one.candidate
        for one, counts in told
        if not counts.hold()
        or min(counts.to_dict().values()) < 0
        or (one.confusion and sum(one.confusion.values()) != counts.scored)
    ]
    if told:
        found.check(
            "counts",
            not wrong,
            Phrase(
                f"the rows of {len(told)} evaluations add up",
                f"평가 {len(told)}건의 행 수가 맞아떨어집니다",
            ),
            Phrase(f"rows do not add up: {', '.join(wrong)}", f"행 수가 맞지 않음: {', '.join(wrong)}"),
        )


def _metrics(agreement: Agreement, evaluations: Sequence[FeedEvaluation], found: Findings) -> None:
    """What follows from the confusion alone; other metrics need the rows."""
    count, wrong = 0, []
    signed: set[str] = set()
    for one in evaluations:
        if one.metrics is None or one.confusion is None:
            continue
        again = _again(agreement, one)
        if again is None:
            wrong.append(f"{one.candidate} confusion")
            continue
        count += len(again)
        known: dict[str, object] = {**one.metrics, **({"cost": one.cost} if one.cost else {})}
        wrong += [f"{one.candidate} {name}" for name, value in again.items() if known.get(name) != value]
        signed |= known.keys() - again.keys()
    if count or wrong:
        found.check(
            "metrics",
            not wrong,
            Phrase(
                f"{count} metrics follow from the confusion matrices",
                f"지표 {count}개가 혼동 행렬에서 다시 계산한 것과 같습니다",
            ),
            Phrase(
                f"metrics that do not follow from the confusion: {', '.join(wrong)}",
                f"혼동 행렬에서 나오지 않는 지표: {', '.join(wrong)}",
            ),
            state="recomputed",
        )
    if signed:
        names = ", ".join(sorted(signed))
        found.add(
            "other metrics", "signed", f"need the rows: {names}", f"행이 있어야 계산할 수 있는 지표: {names}"
        )


def _again(agreement: Agreement, one: FeedEvaluation) -> dict[str, object] | None:
    """Metrics and cost by the confusion matrix; None where it is none of this task."""
    metrics, confusion = metrics_for(agreement), one.confusion or {}
    zero = metrics.zero()
    # By name, never by the order in the file.
    names = list(metrics.confusion(zero))
    if confusion.keys() != set(names) or min(confusion.values(), default=0) < 0:
        return None
    if not names:
        return {}
    sums = (*(confusion[name] for name in names), *zero[len(names) :])
    cost = spent(agreement, sums)
    return {**metrics.metrics(sums), **({"cost": cost} if cost is not None else {})}
