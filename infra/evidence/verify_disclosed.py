"""The check of a disclosed bundle: the chain, the counts, the metrics and the decision, as far as they are told."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from pydantic import ValidationError

from agents.unit_losses import UnitLosses, standing_again
from infra.evidence.bundle import Bundle
from infra.evidence.export import CHAIN_FILE, EVALUATIONS, LOSSES_FILE, VERDICTS
from infra.evidence.findings import Findings
from infra.evidence.tables import CHAIN, LOSSES, read_table
from infra.words.language import Phrase
from models.metrics import metrics_for
from schemas.agreement import Agreement
from schemas.feeds import FeedEvaluation, FeedVerdict
from streams.units import Gained


def check_disclosed(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Compute again what a disclosed bundle allows."""
    try:
        evaluations = [FeedEvaluation.model_validate_json(line) for line in bundle.lines(EVALUATIONS)]
        verdicts = [FeedVerdict.model_validate_json(line) for line in bundle.lines(VERDICTS)]
        _chain(bundle, [*evaluations, *verdicts], found)
        _counts(evaluations, found)
        _metrics(agreement, evaluations, found)
        _values(agreement, evaluations, verdicts, found)
        _decisions(bundle, agreement, verdicts, found)
    except (ValidationError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:300]
        found.add("contents", "failed", f"cannot be read: {why}", f"읽을 수 없습니다: {why}")
        return
    found.add(
        "ledger",
        "signed",
        "the entries of the ledger themselves: only their hashes are here; whoever may see them checks the full bundle",
        "원장 내용은 들어 있지 않고 해시만 있습니다. 원장을 볼 수 있는 쪽이 전체 묶음으로 확인합니다",
    )


def _chain(bundle: Bundle, published: list[FeedEvaluation | FeedVerdict], found: Findings) -> None:
    stated = bundle.manifest
    chain = bytes(32)
    digests = [one or b"" for one in read_table(bundle.path(CHAIN_FILE), CHAIN).column("sha256").to_pylist()]
    for digest in digests:
        chain = hashlib.sha256(chain + digest).digest()
    holds = (len(digests), chain.hex()) == (stated.entries, stated.chain)
    others = [one.candidate for one in published if one.chain != stated.chain]
    found.check(
        "chain",
        holds and not others,
        Phrase(
            f"the hashes of {len(digests)} entries lead to the chain {stated.chain[:12]}…, which every evaluation "
            "and verdict bears",
            f"항목 {len(digests)}개의 해시가 사슬 {stated.chain[:12]}…로 이어지며, 모든 평가와 판정에 같은 값이 적혀 있습니다",
        ),
        Phrase(
            f"the hashes do not lead to the stated chain, or not all bear it: {', '.join(others) or '–'}",
            f"해시 사슬이 적힌 값과 다릅니다: {', '.join(others) or '–'}",
        ),
    )


def _counts(evaluations: list[FeedEvaluation], found: Findings) -> None:
    told = [one for one in evaluations if one.counts is not None]
    wrong = [one.candidate for one in told if one.counts is not None and not one.counts.hold()]
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


def _metrics(agreement: Agreement, evaluations: list[FeedEvaluation], found: Findings) -> None:
    """What follows from the confusion alone; other metrics need the rows."""
    metrics, count, wrong = metrics_for(agreement), 0, []
    signed: set[str] = set()
    for one in evaluations:
        if one.metrics is None:
            continue
        again: dict[str, float] = {}
        if one.confusion:
            zero = metrics.zero()
            cells = tuple(one.confusion.values())
            again = metrics.metrics((*cells, *zero[len(cells) :]))
        for name, value in one.metrics.items():
            if name not in again:
                signed.add(name)
                continue
            count += 1
            if again[name] != value:
                wrong.append(f"{one.candidate} {name}")
    if count:
        found.check(
            "metrics",
            not wrong,
            Phrase(
                f"{count} metrics follow from the confusion matrices",
                f"지표 {count}개가 혼동 행렬에서 다시 계산한 것과 같습니다",
            ),
            Phrase(f"metrics that differ: {', '.join(wrong)}", f"다른 지표: {', '.join(wrong)}"),
        )
    if signed:
        names = ", ".join(sorted(signed))
        found.add(
            "other metrics", "signed", f"need the rows: {names}", f"행이 있어야 계산할 수 있는 지표: {names}"
        )


def _values(
    agreement: Agreement, evaluations: list[FeedEvaluation], verdicts: list[FeedVerdict], found: Findings
) -> None:
    metric = agreement.acceptance.metric
    known = {one.candidate: one.metrics for one in evaluations if one.metrics is not None}
    told = [one for one in verdicts if one.candidate in known]
    wrong = [
        one.candidate
        for one in told
        if one.value != known[one.candidate].get(metric) or one.agreement_digest != agreement.digest()
    ]
    if told:
        found.check(
            "verdicts",
            not wrong,
            Phrase(
                f"{len(told)} verdicts name this agreement and the {metric} of their evaluations",
                f"판정 {len(told)}건이 이 협약과 평가의 {metric} 값을 그대로 따릅니다",
            ),
            Phrase(
                f"verdicts at odds with their evaluations: {', '.join(wrong)}",
                f"평가와 어긋나는 판정: {', '.join(wrong)}",
            ),
        )


def _decisions(bundle: Bundle, agreement: Agreement, verdicts: list[FeedVerdict], found: Findings) -> None:
    """The whole decision from the losses of the units, where they are told."""
    if agreement.decision is None:
        return
    if LOSSES_FILE not in bundle.found:
        found.add(
            "decision",
            "signed",
            "the bounds and what follows from them: the agreement does not disclose the losses of units",
            "판정 구간과 그 결과: 협약이 판정 단위별 손실을 공개하지 않습니다",
        )
        return
    losses = dict(_losses(bundle))
    told = [one for one in verdicts if one.decision is not None]
    wrong = []
    for one in told:
        mine = losses.get(one.candidate, [])
        if not mine or standing_again(agreement.decision, mine) != one.decision:
            wrong.append(one.candidate)
    found.check(
        "decision",
        not wrong,
        Phrase(
            f"the bounds and outcomes of {len(told)} candidates follow from the losses of their units",
            f"후보 {len(told)}개의 판정 구간과 결과가 판정 단위별 손실에서 다시 계산한 것과 같습니다",
        ),
        Phrase(
            f"the decision does not follow from the losses: {', '.join(wrong)}",
            f"손실에서 나오지 않는 판정: {', '.join(wrong)}",
        ),
    )


def _losses(bundle: Bundle) -> Iterator[tuple[str, list[UnitLosses]]]:
    table = read_table(bundle.path(LOSSES_FILE), LOSSES)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    by_candidate: defaultdict[str, list[UnitLosses]] = defaultdict(list)
    pairs = list(zip(columns["candidate"].tolist(), columns["rival"].tolist(), strict=True))
    for candidate, rival in dict.fromkeys(pairs):
        rows = np.flatnonzero((columns["candidate"] == candidate) & (columns["rival"] == rival))
        one = {name: column[rows] for name, column in columns.items()}
        if not np.array_equal(one["place"], np.arange(rows.size)):
            raise ValueError(f"the units of {candidate} against {rival} are not in order")
        by_candidate[candidate].append(
            UnitLosses(
                candidate=candidate,
                rival=rival,
                gained=Gained(
                    low=one["gain_low"], high=one["gain_high"], dropped=one["dropped"], events=one["events"]
                ),
                candidate_loss=one["candidate_loss"],
                rival_loss=one["rival_loss"],
                unlabelled=one["unlabelled"],
            )
        )
    yield from by_candidate.items()
