"""An agreement as a document that a committee can read, in Korean or English, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from infra.agreement.names import joined, name_of, number, percent
from infra.words.language import Lang, Phrase
from infra.words.metrics import metric
from schemas.agreement import Agreement, Baseline, Task
from schemas.terms import Decision, Disclosed

#: Terms that both sides consent to and that no part of the platform applies by itself yet.
RECORDED = (
    "labels.watermark_days",
    "metrics",
    "limits.cpu_s",
    "limits.failures",
    "limits.abstentions",
    "phases.closing_days",
    "classification",
    "training_data",
    "rights.data",
    "rights.derived_data",
    "rights.model",
    "retention",
)

NO_GUARANTEE = Phrase(
    "The verdict is the acceptance threshold, with `guarantee: none`: it says what was reached in this trial, without a "
    "statistical guarantee.",
    "판정은 합격 기준값과의 비교이며 `guarantee: none`입니다. 이번 실증에서 나온 값을 말할 뿐, 통계적 보장은 없습니다.",
)
GUARANTEE = Phrase(
    "The verdict is by units, with `guarantee: anytime_valid`: its intervals hold however often they are looked at. It "
    "speaks of this trial, not of the future. The acceptance threshold stays a condition beside it.",
    "판정은 판정 단위로 하며 `guarantee: anytime_valid`입니다. 중간에 몇 번을 보더라도 구간의 보장이 유지됩니다. 이번 실증에 "
    "대한 것이며 앞날을 보장하지는 않습니다. 합격 기준값도 함께 충족해야 합니다.",
)


def guarantee_of(agreement: Agreement) -> Phrase:
    """What the agreement's verdicts are worth."""
    return NO_GUARANTEE if agreement.decision is None else GUARANTEE


def document(agreement: Agreement, lang: Lang) -> str:
    """The agreement as Markdown, with its hash."""
    parts = [f"# {_TITLE.to(lang)}", f"SHA-256: `{agreement.digest()}`", _SEALED.to(lang)]
    for heading, lines in (
        (Phrase("Task", "과제"), _task(agreement)),
        (Phrase("Labels", "라벨"), _labels(agreement)),
        (Phrase("Baselines and acceptance", "비교 기준과 합격 기준"), _acceptance(agreement)),
        (Phrase("Decision by units", "판정 단위에 의한 판정 규칙"), _decision(agreement)),
        (Phrase("Costs of wrong answers", "오답 비용"), _cost(agreement)),
        (Phrase("Phases", "단계와 기간"), _phases(agreement)),
        (Phrase("Limits and quotas", "한도"), _limits(agreement)),
        (Phrase("Who sees what", "공개 범위"), _disclosure(agreement)),
        (Phrase("Data, rights and retention", "데이터·권리·보존"), _rights(agreement)),
        (Phrase("Consent and objections", "동의와 이의 제기"), _consent(agreement)),
        (
            Phrase("What the platform does not apply by itself yet", "아직 자동 적용되지 않는 항목"),
            _recorded(),
        ),
    ):
        items = [f"- {line.to(lang)}" for line in lines]
        parts += [f"## {heading.to(lang)}", "\n".join(items)]
    return "\n\n".join(parts) + "\n"


def in_short(agreement: Agreement) -> Iterator[Phrase]:
    """What is predicted and by which rule it is decided: what a verdict cannot be understood without."""
    yield from _task(agreement)
    yield from _acceptance(agreement)
    if agreement.decision is not None:
        yield from _decision(agreement)


_TITLE = Phrase("Agreement of a proof of concept", "실증 협약서")
_SEALED = Phrase(
    "Both sides consent to exactly this hash: any change of a term is another hash, and needs consent anew.",
    "양측은 이 해시에 동의합니다. 한 항목이라도 바뀌면 해시가 달라지고, 다시 동의해야 합니다.",
)
_TASKS = {
    Task.ANOMALY: Phrase("find anomalies", "이상 탐지"),
    Task.CLASSIFICATION: Phrase("tell classes apart", "분류"),
    Task.REGRESSION: Phrase("predict a number", "수치 예측(회귀)"),
    Task.FORECASTING: Phrase("forecast a number", "앞으로의 값 예측"),
    Task.RUL: Phrase("predict the remaining useful life", "잔여 수명 예측"),
}


def _line(path: str, value: str, ko: str | None = None) -> Phrase:
    name = name_of(path)
    return Phrase(f"{name.en[:1].upper()}{name.en[1:]}: {value}", f"{name.ko}: {value if ko is None else ko}")


def _days(days: float) -> Phrase:
    return Phrase(f"{number(days)} day{'' if days == 1 else 's'}", f"{number(days)}일")


def _listed(path: str, values: tuple[str, ...]) -> Phrase:
    return _line(path, f"{', '.join(values)} ({len(values)})")


def _task(agreement: Agreement) -> Iterator[Phrase]:
    task = _TASKS[agreement.task]
    yield _line("task", task.en, task.ko)
    unit = f" [{agreement.unit}]" if agreement.unit else ""
    yield _line("target", agreement.target + unit)
    if agreement.classes:
        yield _line("classes", ", ".join(agreement.classes))
    yield _listed("assets", agreement.assets)
    yield _listed("inputs", agreement.inputs)
    yield Phrase("A model is given these inputs and no others.", "모델에는 이 입력값만 전달됩니다.")


def _labels(agreement: Agreement) -> Iterator[Phrase]:
    labels, days = agreement.labels, _days(agreement.labels.deadline_days)
    yield Phrase(
        f"A label or a correction counts within {days.en} after its data arrived.",
        f"라벨과 정정은 데이터가 도착한 뒤 {days.ko} 안에 오면 인정됩니다.",
    )
    if labels.absent_means == "normal":
        yield Phrase(
            "A row that no label covers is normal, once labels are declared complete up to it.",
            "라벨이 없는 행은 그 시점까지 검사 완료가 보고되면 정상으로 봅니다.",
        )
    else:
        yield Phrase("A row that no label covers is not scored.", "라벨이 없는 행은 채점하지 않습니다.")
    if labels.watermark_days is None:
        yield Phrase(
            "How often the manufacturer declares labels complete is not agreed.",
            "검사 완료 보고 주기는 정하지 않았습니다.",
        )
    else:
        every = _days(labels.watermark_days)
        yield Phrase(
            f"The manufacturer declares at least every {every.en} up to when labels are complete.",
            f"제조사는 최소 {every.ko}마다 어디까지 검사를 마쳤는지 보고합니다.",
        )


def _acceptance(agreement: Agreement) -> Iterator[Phrase]:
    for baseline in agreement.baselines:
        said = _answers(baseline, agreement)
        yield Phrase(f"Baseline {baseline.name}: {said.en}.", f"비교 기준 {baseline.name}: {said.ko}.")
    rule = agreement.acceptance
    unanswered = percent(rule.max_unanswered)
    least = rule.at_least is not None
    bound = rule.at_least if rule.at_least is not None else rule.at_most
    assert bound is not None, "the agreement has exactly one threshold"
    threshold, named = number(bound), metric(rule.metric)
    yield Phrase(
        f"A candidate is accepted where {named.en} is {'at least' if least else 'at most'} {threshold}, over at "
        f"least {number(rule.min_rows)} scored rows; with fewer the verdict is inconclusive.",
        f"{named.ko} 값이 {threshold} {'이상' if least else '이하'}이면 합격입니다. 채점된 행이 "
        f"{number(rule.min_rows)}개보다 적으면 판정을 보류합니다.",
    )
    yield Phrase(
        f"More than {unanswered} of the rows without an answer: rejected.",
        f"답하지 못한 행이 {unanswered}를 넘으면 불합격입니다.",
    )
    yield guarantee_of(agreement)
    if agreement.metrics:
        yield _line("metrics", ", ".join(agreement.metrics))
    for one in agreement.slices or ():
        parts = f": {', '.join(one.values)}" if one.values else ""
        by = Phrase(one.name, {"asset": "설비", "shift": "근무조"}.get(one.name, one.name))
        yield Phrase(f"Shown apart by {by.en}{parts}.", f"{by.ko}별로 따로 표시{parts}.")


def _answers(baseline: Baseline, agreement: Agreement) -> Phrase:
    """How a baseline answers."""
    answer, tag, rows = baseline.answer, baseline.source(agreement.target), baseline.look_back
    otherwise = Phrase(f"; where there is none {answer}", f". 없으면 {answer}(으)로 답합니다")
    if baseline.rule is not None:
        return _ruled(baseline, agreement)
    match baseline.kind:
        case "best_constant":
            return Phrase(
                f"always answers what did best in the rehearsal; in the rehearsal {answer}",
                f"리허설에서 가장 나은 고정 답으로 답합니다. 리허설에서는 {answer}(으)로 답합니다",
            )
        case "random":
            shares = ", ".join(f"{name} {percent(share)}" for name, share in (baseline.shares or {}).items())
            return Phrase(
                f"draws by chance: {shares}, else {answer}", f"무작위로 답합니다: {shares}, 나머지 {answer}"
            )
        case "last":
            return Phrase(
                f"answers the last known {tag} of {rows} rows{otherwise.en}",
                f"최근 {rows}행 중 마지막 {tag} 값으로 답합니다{otherwise.ko}",
            )
        case "average":
            return Phrase(
                f"answers the mean {tag} of the last {rows} rows{otherwise.en}",
                f"최근 {rows}행의 {tag} 평균으로 답합니다{otherwise.ko}",
            )
        case None:
            return Phrase(f"always answers {answer}", f"항상 {answer}(으)로 답합니다")


def _ruled(baseline: Baseline, agreement: Agreement) -> Phrase:
    rule = baseline.rule
    assert rule is not None
    other = agreement.classes[1 - int(agreement.code(baseline.answer))]
    ends = [
        Phrase(f"{word} {number(end)}", f"{number(end)} {ko}")
        for word, ko, end in (("above", "초과", rule.above), ("below", "미만", rule.below))
        if end is not None
    ]
    en, ko = " or ".join(one.en for one in ends), " 또는 ".join(one.ko for one in ends)
    return Phrase(
        f"the plant's rule: {other} where {rule.tag} is {en}, else {baseline.answer}",
        f"기존 경보 규칙: {rule.tag} 값이 {ko}이면 {other}, 아니면 {baseline.answer}",
    )


_UNITS = {
    "run": Phrase("one run to failure", "고장까지의 운전 한 번"),
    "event": Phrase("one labelled event", "라벨된 사건 하나"),
    "row": Phrase("one row", "행 하나"),
}


def _decision(agreement: Agreement) -> Iterator[Phrase]:
    decision = agreement.decision
    if decision is None:
        yield Phrase("None is agreed.", "정하지 않았습니다.")
        return
    minutes = number(decision.unit.block_minutes)
    block = Phrase(f"a block of {minutes} minutes of one asset", f"설비 하나의 {minutes}분 구간")
    unit = _UNITS.get(decision.unit.kind, block)
    yield _line("decision.unit", unit.en, unit.ko)
    if decision.unit.offset_minutes:
        yield _line("decision.unit.offset_minutes", number(decision.unit.offset_minutes))
    yield from _decision_rule(agreement, decision)
    if decision.early:
        least = number(decision.least_units or 0)
        events = decision.least_events
        yield Phrase(
            f"A verdict may fall early, after at least {least} units"
            + (f" and {number(events)} events." if events else "."),
            f"판정 단위 {least}개{f'와 사건 {number(events)}개' if events else ''} 이후에는 조기에 판정할 수 있습니다.",
        )
    else:
        yield Phrase("It is read once, at the planned end.", "계획한 끝에 한 번 판정합니다.")
    yield from _always_so(agreement)


def _decision_rule(agreement: Agreement, decision: Decision) -> Iterator[Phrase]:
    cap = decision.loss_cap
    if decision.loss == "cost":
        full = f" {number(cap)} {agreement.cost.currency if agreement.cost else ''}" if cap else ""
        yield Phrase(
            f"Loss: the cost of its rows{f', full at{full}' if cap else ', as a share of the largest'}.",
            f"손실: 행의 비용{f'(상한{full})' if cap else '(최대 비용 대비 비율)'}.",
        )
    elif cap is not None:
        unit = f" {agreement.unit}" if agreement.unit else ""
        yield Phrase(
            f"Loss: the mean absolute error of its rows, full at {number(cap)}{unit}.",
            f"손실: 행의 평균 절대 오차(상한 {number(cap)}{unit}).",
        )
    else:
        yield Phrase("Loss: the share of its rows answered wrongly.", "손실: 틀리게 답한 행의 비율.")
    yield from _beaten(agreement, decision)
    chance = percent(chance_of_error(agreement, decision))
    yield Phrase(
        f"Planned for {number(decision.planned_units)} units and {decision.slots} candidates; the chance that any of them is "
        f"accepted wrongly is at most {chance}, and so is the chance that one is rejected wrongly.",
        f"판정 단위 {number(decision.planned_units)}개, 후보 {decision.slots}개로 계획합니다. 어느 후보든 잘못 합격할 확률은 "
        f"{chance} 이하이며, 잘못 불합격할 확률도 같습니다.",
    )


def _beaten(agreement: Agreement, decision: Decision) -> Iterator[Phrase]:
    margin, incumbent = decision.margin, decision.incumbent
    more = f"more than {number(margin)} " if margin else ""
    more_ko = f"{number(margin)} 넘게 " if margin else ""
    whom = f"that of {incumbent}" if incumbent else "that of every baseline"
    whom_ko = incumbent or "모든 비교 기준"
    best = "the best constant answer, which the rehearsal finds"
    best_ko = "최선의 고정 답(리허설에서 찾음)"
    if not agreement.phases.rehearsal_rows and agreement.phases.rehearsal_days is None and agreement.classes:
        best, best_ko = "always answering any one class", "어느 한 클래스로만 답하는 것"
    yield Phrase(
        f"A candidate is accepted where its mean loss is shown to be {more}below {whom} and below that of {best}.",
        f"후보의 평균 손실이 {whom_ko}보다, 그리고 {best_ko}보다 {more_ko}낮다고 입증되면 합격입니다.",
    )
    yield Phrase(
        f"It is rejected where its loss is shown to be {more}above one of them"
        + (f", and equivalent where it is shown to be within {number(margin)} of them." if margin else "."),
        f"그중 하나보다 {more_ko}높다고 입증되면 불합격"
        + (f", {number(margin)} 이내의 차이라고 입증되면 동등입니다." if margin else "입니다."),
    )


def chance_of_error(agreement: Agreement, decision: Decision, *, rivals: int = 2) -> float:
    """The chance at most that any candidate is accepted wrongly: both sides of every bound share alpha (docs/decision.md).

    Args:
        rivals: how many a candidate was compared with, once that is known.
    """
    most = max(rivals, _rivals(agreement, decision), 2)
    return float(Decimal(repr(decision.alpha)) * most / 2)


def _rivals(agreement: Agreement, decision: Decision) -> int:
    """How many a candidate has to beat at the most."""
    named = [one for one in agreement.baselines if decision.incumbent in (None, one.name)]
    if agreement.phases.rehearsal_rows or agreement.phases.rehearsal_days is not None:
        return len(named) + 1
    known = {agreement.code(one.answer) for one in named if one.constant}
    return len(named) + len(agreement.classes) - len(known if agreement.classes else ())


def _always_so(agreement: Agreement) -> Iterator[Phrase]:
    days = _days(agreement.labels.deadline_days)
    yield Phrase(
        "A row without an answer loses everything. A label that never comes is taken at its worst for the candidate where it "
        "is to be accepted, and at its best where it is to be rejected.",
        "답하지 않은 행의 손실은 최대입니다. 끝내 오지 않은 라벨은 합격을 볼 때는 후보에게 가장 불리하게, 불합격을 볼 때는 "
        "가장 유리하게 봅니다.",
    )
    yield Phrase(
        f"Corrections of labels count for {days.en}; later ones are recorded, shown with the verdict they would give, and "
        "change nothing.",
        f"라벨 정정은 {days.ko} 안에 오면 인정합니다. 그 뒤의 정정은 기록하고 그에 따른 판정을 함께 보이되, 판정은 바꾸지 않습니다.",
    )


def _cost(agreement: Agreement) -> Iterator[Phrase]:
    cost = agreement.cost
    if cost is None:
        yield Phrase("None are agreed.", "정하지 않았습니다.")
        return
    table = cost.table(agreement.classes)
    for actual, row in zip(agreement.classes, table, strict=True):
        for answered, amount in zip(agreement.classes, row, strict=True):
            if amount:
                money = f"{number(amount)} {cost.currency}"
                yield Phrase(
                    f"{actual} answered as {answered}: {money} a row.",
                    f"{actual}을(를) {answered}(으)로 답하면 행마다 {money}.",
                )


def _phases(agreement: Agreement) -> Iterator[Phrase]:
    phases = agreement.phases
    limits = []
    if phases.rehearsal_days is not None:
        limits.append(_days(phases.rehearsal_days))
    if phases.rehearsal_rows:
        rows = number(phases.rehearsal_rows)
        limits.append(Phrase(f"{rows} rows", f"{rows}행"))
    said = joined(limits) if limits else Phrase("none", "없음")
    yield Phrase(f"Rehearsal: {said.en}.", f"리허설: {said.ko}.")
    open_end = Phrase("until it is ended", "종료를 요청할 때까지")
    trial = _days(phases.trial_days) if phases.trial_days is not None else open_end
    yield Phrase(f"Trial: {trial.en}.", f"실증: {trial.ko}.")
    closing = _days(agreement.labels.deadline_days if phases.closing_days is None else phases.closing_days)
    yield Phrase(f"For the last labels: {closing.en}.", f"마지막 라벨을 기다리는 기간: {closing.ko}.")


def _limits(agreement: Agreement) -> Iterator[Phrase]:
    limits = agreement.limits
    for name in ("timeout_s", "start_timeout_s", "cpu_s", "memory_mb", "context_rows"):
        value = getattr(limits, name)
        if value is not None:
            yield _line(f"limits.{name}", number(value))
    for name in ("failures", "abstentions"):
        share = getattr(limits, name)
        if share is not None:
            yield _line(f"limits.{name}", percent(share))
    yield _line("quotas.candidates", number(agreement.quotas.candidates))


_TOLD = {
    "counts": Phrase("numbers of rows", "행 수"),
    "metrics": Phrase("metrics", "지표"),
    "verdict": Phrase("the verdict", "판정"),
    "unit_losses": Phrase("the loss of every unit", "판정 단위별 손실"),
}
_EVERY = {
    "live": Phrase("as they come", "실시간"),
    "daily": Phrase("once a day", "하루 한 번"),
    "close": Phrase("at the close", "종료 시"),
}
_CLASSIFICATIONS = {
    "open": Phrase("open", "공개"),
    "restricted": Phrase("restricted", "제한"),
    "defence": Phrase("defence", "방산"),
}


def _disclosure(agreement: Agreement) -> Iterator[Phrase]:
    grade = _CLASSIFICATIONS[agreement.classification]
    yield _line("classification", grade.en, grade.ko)
    yield Phrase("The manufacturer sees everything of its plant.", "제조사는 자기 공장의 모든 것을 봅니다.")
    for party in ("startup", "coordinator", "observer"):
        shown: Disclosed = getattr(agreement.disclosure, party)
        told, every = joined(_TOLD[one] for one in shown.what), _EVERY[shown.every]
        nothing = Phrase("nothing but released reports", "배포된 보고서만")
        said = Phrase(f"{told.en}, {every.en}", f"{told.ko} ({every.ko})") if shown.what else nothing
        yield _line(f"disclosure.{party}", said.en, said.ko)


_TRAINING = {
    "extract": Phrase("an extract is given to the start-up", "데이터 일부를 스타트업에 제공"),
    "statistics": Phrase("statistics only", "통계만 제공"),
    "none": Phrase("none is given", "제공하지 않음"),
}


def _rights(agreement: Agreement) -> Iterator[Phrase]:
    training = _TRAINING[agreement.training_data]
    yield _line("training_data", training.en, training.ko)
    for name in ("data", "derived_data", "model"):
        yield _line(f"rights.{name}", getattr(agreement.rights, name))
    for name in ("telemetry_days", "ledger_days", "artifact_days"):
        days = getattr(agreement.retention, name)
        open_end = Phrase("as long as the installation keeps it", "시스템 설정에 따름")
        yield (
            _line(f"retention.{name}", number(days))
            if days is not None
            else _line(f"retention.{name}", open_end.en, open_end.ko)
        )


def _consent(agreement: Agreement) -> Iterator[Phrase]:
    respond, objection = _days(agreement.respond_days), _days(agreement.objection_days)
    yield Phrase(f"Both sides have {respond.en} to consent.", f"양측은 {respond.ko} 안에 동의해야 합니다.")
    yield Phrase(
        f"Either side may object to the verdict within {objection.en}.",
        f"양측은 판정 후 {objection.ko} 안에 이의를 제기할 수 있습니다.",
    )
    if agreement.keys is not None:
        for path, key in (("keys.plant", agreement.keys.plant), ("keys.control", agreement.keys.control)):
            yield _line(path, f"`{key}`")


def _recorded() -> Iterator[Phrase]:
    names = joined(name_of(path) for path in RECORDED)
    yield Phrase(
        f"Both sides consent to these terms and keep them themselves: {names.en}.",
        f"양측이 합의하고 스스로 지켜야 하는 항목: {names.ko}.",
    )
