"""The check of the verdicts in a disclosed bundle: by the agreement's rule, and the decision by the losses of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa

from agents.unit_losses import UnitLosses, standing_again
from infra.evidence.bundle import Bundle, Manifest
from infra.evidence.export import LOSSES_FILE
from infra.evidence.findings import Findings
from infra.evidence.tables import LOSSES, count_rows, read_groups
from infra.words.language import Phrase
from models.decision import UNIT
from models.verdicts import Bar, Beside, judge
from schemas.agreement import Agreement, LabelValue
from schemas.evaluation import Audit, Evaluation, Standing
from schemas.feeds import FeedEvaluation, FeedVerdict
from streams.disclosure import verdict_as_seen
from streams.units import Gained

#: Losses of more units, candidates and rivals than these are not read into memory.
MOST_LOSSES = 20_000_000

Told = Mapping[str, FeedEvaluation]


def check_verdicts(
    bundle: Bundle,
    agreement: Agreement,
    evaluations: Sequence[FeedEvaluation],
    verdicts: Sequence[FeedVerdict],
    found: Findings,
) -> None:
    """Apply the agreement's rule again to what is told, and its decision to the losses of the units.

    Raises:
        ValueError: a table cannot be read.
    """
    if not verdicts:
        return
    of = {one.candidate: one for one in evaluations}
    if {"counts", "metrics"} <= set(bundle.manifest.discloses):
        _by_rule(bundle.manifest, agreement, of, verdicts, found)
    else:
        _as_far_as_told(agreement, of, verdicts, found)
    _decisions(bundle, agreement, of, verdicts, found)


# --- the rule ---------------------------------------------------------------------------------------------------------


def _by_rule(
    stated: Manifest, agreement: Agreement, of: Told, verdicts: Sequence[FeedVerdict], found: Findings
) -> None:
    retired = {one.id for one in stated.candidates if one.retired}
    wrong, barred = [], []
    for one in verdicts:
        bar: Bar | None = "retired" if one.candidate in retired else None
        again = _again(stated, agreement, of.get(one.candidate), one, bar)
        if one == again:
            continue
        # Whether a slot was left, and whether units may stand, is in the first entries of the ledger, which are not here.
        others = [name for name in get_args(Bar) if agreement.decision is not None and name != "retired"]
        if bar is None and one in [_again(stated, agreement, of.get(one.candidate), one, b) for b in others]:
            barred.append(one.candidate)
        else:
            wrong.append(one.candidate)
    found.check(
        "verdicts",
        not wrong,
        Phrase(
            f"{len(verdicts) - len(barred)} verdicts follow from the agreement's rule and their evaluations",
            f"판정 {len(verdicts) - len(barred)}건이 협약의 기준과 평가에서 다시 계산한 것과 같습니다",
        ),
        Phrase(
            f"verdicts that do not follow from the rule and their evaluations: {', '.join(wrong)}",
            f"협약의 기준과 평가에서 나오지 않는 판정: {', '.join(wrong)}",
        ),
        state="recomputed",
    )
    if barred:
        names = ", ".join(barred)
        found.add(
            "barred",
            "signed",
            f"that no verdict may be given on {names}, for want of a slot or of checked units",
            f"판정 자리가 없거나 판정 단위가 확인되지 않아 판정을 내리지 않은 후보: {names}",
        )
    _said_beside(verdicts, found)


def _again(
    stated: Manifest, agreement: Agreement, told: FeedEvaluation | None, one: FeedVerdict, bar: Bar | None
) -> FeedVerdict | None:
    """The verdict by the rule; what stands beside it is taken as told."""
    if told is None or told.counts is None or told.metrics is None:
        return None
    verdict = judge(
        agreement.acceptance,
        Evaluation(
            pairing=stated.pairing,
            plant=stated.plant,
            startup=stated.startup,
            candidate=told.candidate,
            baseline=told.baseline,
            task=agreement.task,
            ledger_partition=0,
            ledger_offset=told.ledger_offset,
            chain=told.chain,
            at=told.at,
            final=told.final,
            counts=told.counts,
            audit=told.audit or Audit(),
            metrics=told.metrics,
            decision=told.decision,
            sandbox="",
        ),
        digest=agreement.digest(),
        recomputed_equal=True,
        decision=agreement.decision,
        bar=bar,
        beside=Beside(ratio=one.ratio, ranking=one.ranking, corrections=one.corrections),
    )
    return verdict_as_seen(verdict, stated.discloses)


def _said_beside(verdicts: Sequence[FeedVerdict], found: Findings) -> None:
    if any(one.ranking or one.corrections or one.ratio for one in verdicts):
        found.add(
            "beside verdicts",
            "signed",
            "what stands beside the verdicts: whether the threshold is shown, the ranking, the effect of corrections",
            "판정에 곁들여진 것: 지표 기준이 입증되었는지, 순위, 라벨 정정의 영향",
        )


def _as_far_as_told(agreement: Agreement, of: Told, verdicts: Sequence[FeedVerdict], found: Findings) -> None:
    """Without counts and metrics a verdict cannot be computed again; what is told must not contradict it."""
    rule = agreement.acceptance
    threshold = rule.at_least if rule.at_least is not None else rule.at_most
    digest, wrong = agreement.digest(), []
    for one in verdicts:
        known = of.get(one.candidate)
        value = None if known is None or known.metrics is None else known.metrics.get(rule.metric)
        decision = None if known is None else known.decision
        if (one.agreement_digest, one.threshold, one.value, one.decision) != (
            digest,
            threshold,
            value,
            decision,
        ):
            wrong.append(one.candidate)
    names = ", ".join(wrong)
    if wrong:
        found.add(
            "verdicts",
            "failed",
            f"verdicts at odds with the agreement or their evaluations: {names}",
            f"협약이나 평가와 어긋나는 판정: {names}",
        )
    else:
        found.add(
            "verdicts",
            "signed",
            f"{len(verdicts)} verdicts: the agreement does not disclose the counts and metrics that they follow from",
            f"판정 {len(verdicts)}건: 협약이 근거가 되는 행 수와 지표를 공개하지 않습니다",
        )


# --- the decision by units --------------------------------------------------------------------------------------------


def _decisions(
    bundle: Bundle, agreement: Agreement, of: Told, verdicts: Sequence[FeedVerdict], found: Findings
) -> None:
    """The whole decision from the losses of the units, where they are told."""
    if agreement.decision is None:
        return
    standings = {one.candidate: one.decision for one in verdicts if one.decision is not None}
    wrong = sorted({name for name, one in of.items() if one.decision != standings.get(name)} - _untold(of))
    disclosed = "unit_losses" in bundle.manifest.discloses
    if disclosed != (LOSSES_FILE in bundle.found):
        found.add(
            "decision",
            "failed",
            "the losses of units are disclosed and not here, or the other way round",
            "판정 단위별 손실이 공개 범위와 다르게 들어 있거나 빠져 있습니다",
        )
        return
    many = disclosed and count_rows(bundle.path(LOSSES_FILE), LOSSES) > MOST_LOSSES
    if not disclosed or many or not standings:
        _signed(found, many=many)
        return
    tables = losses_by_rival(bundle.path(LOSSES_FILE))
    wrong += sorted(tables.keys() - standings.keys())
    wrong += [
        name for name, one in standings.items() if not follows(agreement, tables.get(name, {}), name, one)
    ]
    names = ", ".join(dict.fromkeys(wrong))
    found.check(
        "decision",
        not wrong,
        Phrase(
            f"the bounds and outcomes of {len(standings)} candidates follow from the losses of their units",
            f"후보 {len(standings)}개의 판정 구간과 결과가 판정 단위별 손실에서 다시 계산한 것과 같습니다",
        ),
        Phrase(
            f"the decision does not follow from the losses: {names}",
            f"손실에서 나오지 않는 판정: {names}",
        ),
        state="recomputed",
    )
    found.add(
        "losses",
        "signed",
        "the losses of the units themselves, and which constant answer was to beat: they need the ledger",
        "판정 단위별 손실 자체와 비교 대상인 상수 답: 원장이 있어야 계산할 수 있습니다",
    )


def _untold(of: Told) -> set[str]:
    """Those of whom no decision is told: baselines, and everyone where no metrics are."""
    return {name for name, one in of.items() if one.baseline or one.metrics is None}


def _signed(found: Findings, *, many: bool) -> None:
    if many:
        found.add(
            "decision",
            "signed",
            f"the bounds and what follows from them: more than {MOST_LOSSES:,} losses are checked with the full bundle",
            f"판정 구간과 그 결과: 손실이 {MOST_LOSSES:,}개를 넘어 전체 묶음으로만 확인합니다",
        )
    else:
        found.add(
            "decision",
            "signed",
            "the bounds and what follows from them: what they follow from is not disclosed",
            "판정 구간과 그 결과: 근거가 되는 판정 단위별 손실이 공개되지 않습니다",
        )


def losses_by_rival(path: Path) -> dict[str, dict[str, pa.Table]]:
    """The losses of units by candidate and rival, in the order of the file.

    Raises:
        ValueError: the file is no such table.
    """
    found: dict[str, dict[str, list[pa.Table]]] = {}
    for group in read_groups(path, LOSSES):
        names = list(
            zip(group.column("candidate").to_pylist(), group.column("rival").to_pylist(), strict=True)
        )
        ends = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
        numbers = group.drop_columns(["candidate", "rival"])
        for start, end in zip([0, *ends], [*ends, len(names)], strict=True):
            if start < end:
                candidate, rival = map(str, names[start])
                parts = found.setdefault(candidate, {}).setdefault(rival, [])
                parts.append(numbers.slice(start, end - start))
    return {
        candidate: {rival: pa.concat_tables(parts) for rival, parts in rivals.items()}
        for candidate, rivals in found.items()
    }


def follows(agreement: Agreement, tables: Mapping[str, pa.Table], candidate: str, standing: Standing) -> bool:
    """Whether a standing is what the losses give, against all rivals that the agreement names."""
    assert agreement.decision is not None, "asked where there is one"
    # Before the first unit is closed there is no row, not even of a rival.
    rivals = list(tables) or [one.rival for one in standing.comparisons]
    losses = [_losses(candidate, rival, tables.get(rival)) for rival in rivals]
    return (
        _every_rival(agreement, rivals)
        and _consistent(losses)
        and standing_again(agreement.decision, losses) == standing
    )


def _every_rival(agreement: Agreement, rivals: Sequence[str]) -> bool:
    """Whether these are the baselines to beat, and a constant or one of each class that none of them is.

    Which constant did best was found in the rehearsal; without one, every class is a rival.
    """
    incumbent = agreement.decision.incumbent if agreement.decision is not None else None
    named = [one for one in agreement.baselines if incumbent in (None, one.name)]
    constants = list(rivals[len(named) :])
    known = {f"always {_in_words(agreement, one.answer)}" for one in named if one.constant}
    each = [one for one in (f"always {name}" for name in agreement.classes) if one not in known]
    none = not constants and (bool(known) or not agreement.classes)
    return (
        list(rivals[: len(named)]) == [one.name for one in named]
        and all(one.startswith("always ") and one not in known for one in constants)
        and (none or len(constants) == 1 or constants == each)
    )


def _in_words(agreement: Agreement, answer: LabelValue | None) -> str:
    """A constant answer as its rival is called."""
    if answer is None:
        return ""
    code = agreement.code(answer)
    return agreement.classes[int(code)] if agreement.classes else f"{code:.9g}"


def _losses(candidate: str, rival: str, table: pa.Table | None) -> UnitLosses:
    table = LOSSES.empty_table() if table is None else table
    column = {name: table.column(name).to_numpy() for name in table.column_names}
    if not np.array_equal(column["place"], np.arange(column["place"].size)):
        raise ValueError(f"the units of {candidate} against {rival} are not in order")
    return UnitLosses(
        candidate=candidate,
        rival=rival,
        gained=Gained(
            low=column["gain_low"],
            high=column["gain_high"],
            dropped=column["dropped"],
            events=column["events"],
        ),
        candidate_loss=column["candidate_loss"],
        rival_loss=column["rival_loss"],
        unlabelled=column["unlabelled"],
    )


def _consistent(losses: Sequence[UnitLosses]) -> bool:
    """Whether gains are what the losses say, of units that are the same for every rival."""
    first = losses[0]
    return all(
        np.array_equal(one.candidate_loss, first.candidate_loss)
        and np.array_equal(one.unlabelled, first.unlabelled)
        and np.array_equal(one.gained.dropped, first.gained.dropped)
        and np.array_equal(one.gained.events, first.gained.events)
        and _possible(one)
        for one in losses
    )


def _possible(one: UnitLosses) -> bool:
    low, high, known = one.gained.low, one.gained.high, ~one.unlabelled
    gain = one.rival_loss - one.candidate_loss
    within = [(one.candidate_loss, 0), (one.rival_loss, 0), (low, -UNIT), (high, -UNIT)]
    return (
        all(bool(((values >= least) & (values <= UNIT)).all()) for values, least in within)
        and bool((one.gained.events >= 0).all() and (low <= high).all())
        and np.array_equal(low[known], gain[known])
        and np.array_equal(high[known], gain[known])
    )
