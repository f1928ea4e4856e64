"""What was decided of a candidate, by which rule and why, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator

from infra.report.section import Grid, Section, exact, figure, same
from infra.report.seen import Seen, Subject
from infra.words.fact_names import VERDICTS
from infra.words.language import NOTHING, Phrase
from infra.words.metrics import metric
from infra.words.verdicts import because, guarantee, looked_at, rival, rule
from models.verdicts import whole_rule
from schemas.agreement import Agreement
from schemas.evaluation import Corrections, Ranking, Ratio, Standing
from schemas.feeds import FeedVerdict

Line = tuple[Phrase, Phrase]

NO_VERDICT = Phrase("no verdict yet", "판정 전")
_YES, _NO = Phrase("yes", "예"), Phrase("no", "아니요")
_NOT_SHOWN = Phrase("the agreement does not show this to you", "협약에 따라 공개되지 않음")


def verdict_section(subject: Subject, seen: Seen) -> Section:
    """The verdict, the rule and why; or where the candidate stands while none has fallen."""
    verdict = subject.verdict
    if verdict is None:
        return _standing_section(subject, seen)
    agreement = seen.pairing.agreement
    compared = len(verdict.decision.comparisons) if verdict.decision is not None else 0
    lines: list[Line] = [
        (Phrase("verdict", "판정"), VERDICTS[verdict.verdict]),
        (Phrase("why", "사유"), because(verdict.reason)),
        (Phrase("rule", "판정 규칙"), rule(verdict.rule)),
        *_threshold(verdict, agreement.acceptance.metric),
    ]
    if subject.recomputed_equal is not None:
        again = {
            True: Phrase("the same, byte for byte", "바이트까지 같음"),
            False: Phrase("NOT the same: object to it", "같지 않음: 이의 제기 필요"),
        }
        lines.append((Phrase("ledger folded again", "원장 재계산"), again[subject.recomputed_equal]))
    return Section(
        key="verdict",
        title=Phrase("Verdict", "판정"),
        lines=tuple(lines),
        note=guarantee(verdict.guarantee, agreement, rivals=compared),
    )


def _threshold(verdict: FeedVerdict, name: str) -> Iterator[Line]:
    if verdict.value is None:
        return
    said = metric(name)
    # As many digits as tell the two apart.
    digits = next((n for n in (4, 6, 9) if f"{verdict.value:.{n}g}" != f"{verdict.threshold:.{n}g}"), 4)
    yield (
        Phrase(f"{said.en}, threshold", f"{said.ko}, 기준값"),
        same(f"{verdict.value:.{digits}g} / {verdict.threshold:.9g}"),
    )


def _standing_section(subject: Subject, seen: Seen) -> Section:
    one, agreement = subject.evaluation, seen.pairing.agreement
    lines: list[Line] = [(Phrase("verdict", "판정"), _none_yet(subject, seen))]
    if "metrics" in seen.what or "verdict" in seen.what:
        lines.append(
            (Phrase("rule", "판정 규칙"), rule(whole_rule(agreement.acceptance, agreement.decision)))
        )
    if one is not None and one.metrics is not None:
        name, threshold = agreement.acceptance.metric, threshold_of(agreement)
        lines.append(
            (
                Phrase(f"{metric(name).en} so far, threshold", f"지금까지의 {metric(name).ko}, 기준값"),
                same(f"{figure(one.metrics.get(name))} / {threshold:.9g}"),
            )
        )
    fallen = subject.name in seen.pairing.verdicts
    if one is not None and one.decision is not None and not fallen:
        lines.append((Phrase("if the trial ended now", "지금 끝난다면"), VERDICTS[one.decision.outcome]))
    note = NOTHING
    if one is not None and one.phase == "rehearsal":
        note = Phrase(
            "These are numbers of the rehearsal; none of them counts.",
            "예행의 수치이며 판정에 쓰이지 않습니다.",
        )
    elif one is not None and not fallen:
        note = looked_at(one.decision.guarantee if one.decision is not None else "none")
    return Section(key="verdict", title=Phrase("Where it stands", "현재 상황"), lines=tuple(lines), note=note)


def threshold_of(agreement: Agreement) -> float:
    """The number that the acceptance metric has to reach."""
    rule = agreement.acceptance
    return rule.at_least if rule.at_least is not None else rule.at_most or 0.0


def _none_yet(subject: Subject, seen: Seen) -> Phrase:
    """Why there is no verdict to show."""
    pairing = seen.pairing
    if subject.name in pairing.returned:
        return Phrase("none: the platform gave it back", "없음: 플랫폼이 반환함")
    if subject.name in pairing.verdicts:
        return _NOT_SHOWN
    if subject.name in pairing.retired:
        return Phrase("none yet: its start-up retired it", "판정 전: 스타트업이 철수시킴")
    if subject.evaluation is None and ("counts" in seen.what or "metrics" in seen.what):
        return Phrase("none yet, and no evaluation", "판정 전(아직 평가 없음)")
    return NO_VERDICT


def decision_section(subject: Subject, seen: Seen) -> Section | None:
    """The decision by units: bounds against every rival, and how far it has come."""
    verdict = subject.verdict
    told = subject.evaluation.decision if subject.evaluation is not None else None
    standing = verdict.decision if verdict is not None and verdict.decision is not None else told
    if standing is None:
        return None
    rows = tuple(
        (rival(one.rival), same(exact(one.lower)), same(exact(one.upper)), same(exact(one.seen)))
        for one in standing.comparisons
    )
    head = (
        Phrase("compared with", "비교 대상"),
        Phrase("at least", "하한"),
        Phrase("at most", "상한"),
        Phrase("seen", "관측 평균"),
    )
    return Section(
        key="decision",
        title=Phrase("Decision by units", "판정 단위에 의한 판정"),
        lines=tuple(_how_far(standing)),
        grid=Grid(head=head, rows=rows) if rows else None,
        note=Phrase(
            "How much less the candidate loses than each rival, on average a unit (losses are 0 to 1). Accepted where every lower "
            f"bound is above {standing.margin:g}; rejected where one upper bound is below {-standing.margin:g}.",
            "비교 대상보다 후보의 손실이 단위당 평균 얼마나 낮은지를 뜻합니다(손실은 0~1). 모든 하한이 "
            f"{standing.margin:g}보다 크면 합격, 상한이 하나라도 {-standing.margin:g}보다 작으면 불합격입니다.",
        ),
    )


def _how_far(standing: Standing) -> Iterator[Line]:
    yield (
        Phrase("units, of those planned", "판정 단위 / 계획"),
        same(f"{standing.units:,} / {standing.planned:,}"),
    )
    if standing.fell_at is not None:
        fell = Phrase(f"after unit {standing.fell_at:,}", f"{standing.fell_at:,}번째 단위에서")
        yield Phrase("fell early", "조기 판정"), fell
    yield Phrase("margin", "마진"), same(f"{standing.margin:g}")
    yield Phrase("alpha of this candidate", "이 후보의 alpha"), same(f"{standing.alpha:.4g}")
    if standing.acceptance_excluded:
        yield Phrase("can no longer be accepted", "더 이상 합격할 수 없음"), _YES
    if standing.events:
        yield Phrase("events in these units", "이 단위들에서 시작된 사건"), same(f"{standing.events:,}")
    yield Phrase("units with a missing label", "라벨이 빠진 단위"), same(f"{standing.unlabelled:,}")
    yield Phrase("units taken out (platform)", "플랫폼 문제로 제외된 단위"), same(f"{standing.dropped:,}")


def ratio_section(subject: Subject, seen: Seen) -> Section | None:
    """What the units say of the agreed threshold."""
    ratio = subject.verdict.ratio if subject.verdict is not None else None
    if ratio is None:
        return None
    name = metric(seen.pairing.agreement.acceptance.metric)
    return Section(
        key="ratio",
        title=Phrase(f"Threshold: {name.en}", f"합격 기준값({name.ko})"),
        lines=tuple(_of_ratio(ratio)),
        note=Phrase(
            "Met: the number of the whole trial reaches it. Shown: it does so with the agreed confidence, too.",
            "‘충족’은 전체 실증의 숫자가 기준에 닿았다는 뜻이고, ‘입증’은 협약의 신뢰 수준에서도 그렇다는 뜻입니다.",
        ),
    )


def _of_ratio(ratio: Ratio) -> Iterator[Line]:
    words = {True: _YES, False: _NO, None: Phrase("cannot be said", "말할 수 없음")}
    yield Phrase("met", "충족"), words[ratio.met]
    yield Phrase("shown", "입증"), words[ratio.shown]
    if ratio.lower is not None:
        yield (
            Phrase("lower bound a unit (shown above 0)", "단위당 하한(0보다 크면 입증)"),
            same(exact(ratio.lower)),
        )
    if ratio.rows is not None:
        yield Phrase("rows of the largest unit", "가장 큰 단위의 행 수"), same(f"{ratio.rows:,}")
    if ratio.capped_at is not None:
        yield Phrase("errors count at most as", "오차 상한"), same(f"{ratio.capped_at:g}")


def corrections_section(subject: Subject) -> Section | None:
    """What corrected labels did to the losses."""
    found = subject.verdict.corrections if subject.verdict is not None else None
    if found is None:
        return None
    return Section(
        key="corrections", title=Phrase("Corrected labels", "라벨 정정"), lines=tuple(_of_corrections(found))
    )


def _of_corrections(found: Corrections) -> Iterator[Line]:
    yield Phrase("rows corrected for the candidate", "후보에게 유리하게 정정된 행"), same(f"{found.toward:,}")
    yield Phrase("rows corrected against it", "후보에게 불리하게 정정된 행"), same(f"{found.away:,}")
    late = (
        Phrase("no label came too late", "늦게 온 라벨 없음")
        if found.with_late is None
        else VERDICTS[found.with_late]
    )
    yield Phrase("the units' outcome if late labels counted", "늦은 라벨까지 인정했다면(단위 판정)"), late


def ranking_of(seen: Seen) -> Ranking | None:
    """The order of the candidates, which every verdict of a pairing carries alike."""
    found = (one.verdict.ranking for one in seen.candidates if one.verdict is not None)
    return next((one for one in found if one is not None), None)


def ranking_section(seen: Seen) -> Section | None:
    """Which candidate is shown to be better than which; None where there is none, or only one candidate."""
    ranking = ranking_of(seen)
    if ranking is None or len(seen.candidates) < 2:
        return None
    rows = tuple(
        (same(one.better), same(one.worse), same(exact(one.lower)), same(exact(one.upper)))
        for one in ranking.preferences
    )
    head = (
        Phrase("better", "나은 후보"),
        Phrase("than", "비교된 후보"),
        Phrase("at least", "하한"),
        Phrase("at most", "상한"),
    )
    nobody = Phrase("none is better than every other", "모두를 이긴 후보 없음")
    return Section(
        key="ranking",
        title=Phrase("Ranking of the candidates", "후보 순위"),
        lines=(
            (Phrase("best", "1위"), same(ranking.winner) if ranking.winner else nobody),
            (Phrase("alpha of each pair", "쌍마다의 alpha"), same(f"{ranking.alpha:.4g}")),
        ),
        grid=Grid(head=head, rows=rows) if rows else None,
        note=Phrase(
            "Only what is shown is listed: two candidates without an arrow between them may be alike.",
            "입증된 우열만 표시합니다. 화살표로 이어지지 않은 두 후보는 우열이 가려지지 않은 것입니다.",
        ),
    )
