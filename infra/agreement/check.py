"""What an agreement without mistakes should still be looked at for: terms at odds, and whether a verdict can fall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.agreement.names import number
from infra.poc.yaml_document import Keys
from infra.words.language import Phrase
from models.planning import NINE_IN_TEN, Forecast, Rates, forecast, units_a_day, units_needed
from models.reading import Rule
from schemas.agreement import Agreement
from schemas.evaluation import Outcome
from schemas.terms import Decision

#: Constant gains that a plan is described with.
GAINS = ("1", "0.5", "0.3", "0.1")


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something to look at, and where it stands."""

    keys: Keys
    message: Phrase


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many units a verdict needs under an agreement's decision."""

    decision: Decision
    rule: Rule
    #: Units of all assets together; None where nobody has said.
    units_a_day: float | None
    #: Units until a candidate is accepted that gains so much in every unit; None: not within the plan.
    constant: dict[str, int | None]
    #: What the expected losses lead to in half of the trials, and in nine of ten; None without them.
    typical: Forecast | None
    likely: Forecast | None
    #: The same gain in every unit: fewer units no trial needs.
    at_best: Forecast | None
    #: Units that the agreed days yield; None where days or units a day are open.
    in_trial: int | None

    @property
    def can_fall(self) -> bool:
        """Whether a verdict is to be expected within the planned units and the agreed days."""
        needed = self.constant["1"] if self.typical is None else self.typical.units
        return needed is not None and (self.in_trial is None or needed <= self.in_trial)

    def days(self, units: int | None) -> float | None:
        """How long so many units take."""
        return None if units is None or self.units_a_day is None else units / self.units_a_day


def plan_of(agreement: Agreement) -> Plan | None:
    """The plan of an agreement at the rates that it expects; None where no decision is agreed."""
    decision = agreement.decision
    if decision is None:
        return None
    rule = Rule.of(decision)
    expected = _expected_rates(decision)
    daily = units_a_day(decision, len(agreement.assets))
    days = agreement.phases.trial_days
    return Plan(
        decision=decision,
        rule=rule,
        units_a_day=daily,
        constant={gain: units_needed(rule, Rates.constant(Decimal(gain))) for gain in GAINS},
        typical=forecast(rule, expected) if expected else None,
        likely=forecast(rule, expected, quantile=NINE_IN_TEN) if expected else None,
        at_best=forecast(rule, Rates.constant(expected.mean)) if expected else None,
        in_trial=int(daily * days) if daily is not None and days is not None else None,
    )


def _expected_rates(decision: Decision) -> Rates | None:
    expected = decision.expected
    if expected.baseline_loss is None or expected.candidate_loss is None:
        return None
    baseline, candidate = Decimal(repr(expected.baseline_loss)), Decimal(repr(expected.candidate_loss))
    if expected.gain_sd is None:
        return Rates.independent(baseline, candidate)
    return Rates(mean=baseline - candidate, sd=Decimal(repr(expected.gain_sd)))


def remarks(agreement: Agreement) -> tuple[Remark, ...]:
    """Terms that contradict no rule and yet do not do what they seem to."""
    found = [*_secrecy(agreement), *_labels(agreement), *_limits(agreement), *_deciding(agreement)]
    return tuple(Remark(keys=keys, message=Phrase(en, ko)) for keys, en, ko in found)


_Said = tuple[Keys, str, str]


def _secrecy(agreement: Agreement) -> Iterator[_Said]:
    if agreement.classification == "defence":
        yield (
            ("classification",),
            "defence work belongs in an installation of its own; this one keeps nobody out by clearance",
            "방산 과제는 별도 설치에서 진행해야 합니다. 이 시스템은 인가 등급으로 접근을 막지 않습니다.",
        )
    if agreement.classification != "open" and agreement.training_data == "extract":
        yield (
            ("training_data",),
            f"an extract leaves the plant although the classification is {agreement.classification}",
            f"{agreement.classification} 등급인데 데이터 일부가 공장 밖으로 나갑니다.",
        )
    startup = agreement.disclosure.startup
    if "unit_losses" in startup.what and startup.every != "close":
        yield (
            ("disclosure", "startup"),
            "losses of single units, seen before the close, tell the start-up the labels",
            "종료 전에 단위별 손실을 공개하면 스타트업이 라벨을 알 수 있습니다.",
        )


def _labels(agreement: Agreement) -> Iterator[_Said]:
    if agreement.labels.absent_means == "normal" and agreement.labels.watermark_days is None:
        yield (
            ("labels", "watermark_days"),
            "silence means normal only up to a watermark, and no watermark duty is agreed: add watermark_days",
            "라벨이 없으면 정상으로 보는 것은 검사 완료 시점까지입니다. 주기 의무(watermark_days)를 정하세요.",
        )


def _limits(agreement: Agreement) -> Iterator[_Said]:
    limits, most = agreement.limits, agreement.acceptance.max_unanswered
    for name, share in (("failures", limits.failures), ("abstentions", limits.abstentions)):
        if share is not None and share > most:
            yield (
                ("limits", name),
                f"never matters: acceptance.max_unanswered is {most:g} for failures and abstentions together",
                f"효과가 없습니다. 실패와 기권을 합친 한도(acceptance.max_unanswered)가 {most:g}입니다.",
            )
    if limits.cpu_s is not None and limits.cpu_s > limits.timeout_s:
        yield (
            ("limits", "cpu_s"),
            f"a model of one thread is stopped after {limits.timeout_s:g} s (timeout_s) before it reaches this",
            f"스레드가 하나인 모델은 timeout_s({limits.timeout_s:g}초)에서 먼저 중단됩니다.",
        )


def _deciding(agreement: Agreement) -> Iterator[_Said]:
    decision = agreement.decision
    if decision is None:
        return
    if agreement.quotas.candidates > decision.slots:
        yield (
            ("decision", "slots"),
            f"{agreement.quotas.candidates} candidates may be submitted, and only {decision.slots} have a slot "
            "for a verdict",
            f"후보는 {agreement.quotas.candidates}개까지 제출할 수 있지만 판정은 {decision.slots}개까지입니다.",
        )
    if decision.unit.kind in ("row", "event"):
        yield (
            ("decision", "unit"),
            "rows and events near each other are seldom independent: blocks of time are safer",
            "가까운 행이나 사건은 서로 독립이 아닌 경우가 많습니다. 시간 블록이 더 안전합니다.",
        )
    if agreement.phases.rehearsal_days is None and not agreement.phases.rehearsal_rows:
        yield (
            ("phases", "rehearsal_rows"),
            "there is no rehearsal in which units are checked for dependence and the best constant is found",
            "리허설이 없어 판정 단위의 독립성과 최선의 고정 답을 미리 확인할 수 없습니다.",
        )
    plan = plan_of(agreement)
    if plan is not None and plan.in_trial is not None and plan.in_trial < decision.planned_units:
        yield (
            ("decision", "planned_units"),
            f"the agreed days yield only {plan.in_trial} units",
            f"합의한 기간에는 판정 단위가 {plan.in_trial}개뿐입니다.",
        )


def plan_words(plan: Plan) -> Iterator[Phrase]:
    """The plan in sentences."""
    each, margin = f"{plan.rule.alpha:.4g}", number(plan.decision.margin)
    planned = f"{plan.rule.planned:,}"
    yield Phrase(
        f"Decision: {planned} units planned, alpha {each} a candidate, margin {margin}"
        + (f", {plan.units_a_day:,.4g} units a day" if plan.units_a_day else ""),
        f"판정 규칙: 판정 단위 {planned}개, 후보당 alpha {each}, 마진 {margin}"
        + (f", 하루 {plan.units_a_day:,.4g}개" if plan.units_a_day else ""),
    )
    for gain, units in plan.constant.items():
        needed = _amount(plan, units)
        yield Phrase(
            f"  a candidate whose loss is {gain} lower in every unit is accepted after {needed.en}",
            f"  모든 단위에서 손실이 {gain} 낮은 후보의 합격까지: {needed.ko}",
        )
    yield from _expected_words(plan)
    if not plan.decision.early:
        end = _amount(plan, plan.rule.planned)
        yield Phrase(
            f"However early that is, the verdict is read at the planned end: {end.en}",
            f"그보다 이르더라도 판정은 계획한 끝에 합니다: {end.ko}",
        )
    if not plan.can_fall:
        yield Phrase(
            "No verdict is to be expected from this plan. Plan more units or days, fewer slots or a smaller margin; "
            "or go on knowingly with --acknowledge.",
            "이 계획으로는 판정이 나오기 어렵습니다. 단위나 기간을 늘리거나 후보 수·마진을 줄이세요. "
            "알고도 진행하려면 --acknowledge를 쓰세요.",
        )


def _expected_words(plan: Plan) -> Iterator[Phrase]:
    if plan.typical is None or plan.likely is None or plan.at_best is None:
        yield Phrase(
            "Give --expect-baseline and --expect-candidate (mean losses of a unit) to see when a verdict falls.",
            "예상 손실(--expect-baseline, --expect-candidate)을 주면 판정 시점을 알 수 있습니다.",
        )
        return
    outcome = plan.typical.outcome
    yield Phrase(f"At the expected losses: {outcome}", f"예상 손실에서의 판정: {_OUTCOMES[outcome]}")
    for name, found in (
        (Phrase("  if every unit gains the same", "  모든 단위의 차이가 같다면"), plan.at_best),
        (Phrase("  in half of the trials", "  실증 절반에서"), plan.typical),
        (Phrase("  in nine of ten trials (approximately)", "  실증 열에 아홉에서(근사)"), plan.likely),
    ):
        needed = _amount(plan, found.units)
        enough = f" (a plan of {found.plan:,} would do)" if found.units is None and found.plan else ""
        enough_ko = f" ({found.plan:,}개로 계획하면 가능)" if found.units is None and found.plan else ""
        yield Phrase(f"{name.en}: {needed.en}{enough}", f"{name.ko}: {needed.ko}{enough_ko}")


_OUTCOMES = {
    Outcome.ACCEPTED: "합격",
    Outcome.REJECTED: "불합격",
    Outcome.EQUIVALENT: "동등",
    Outcome.INCONCLUSIVE: "판정 보류",
}


def _amount(plan: Plan, units: int | None) -> Phrase:
    if units is None:
        return Phrase("never within the plan", "계획 안에서는 불가능")
    days = plan.days(units)
    during = Phrase("", "") if days is None else Phrase(f", {days:,.3g} days", f", {days:,.3g}일")
    return Phrase(f"{units:,} units", f"{units:,}개") + during
