"""What was measured of a candidate: rows, labels, metrics, parts of the rows, drift, and what answering cost."""

from __future__ import annotations

from collections.abc import Iterator

from infra.report.section import DASH, Grid, Section, count, figure, lasting, money, same, share
from infra.report.seen import Seen, Subject
from infra.words.facts import fault_in_words
from infra.words.language import NOTHING, Phrase
from infra.words.metrics import metric
from schemas.evaluation import Audit, Counts, LabelStatistics, Service, SliceScores
from schemas.feeds import FeedEvaluation

Line = tuple[Phrase, Phrase]

#: What becomes of a row, in the order of the law of counts.
FATES = {
    "scored": Phrase("scored", "채점"),
    "awaiting_label": Phrase("waiting for a label", "라벨 대기"),
    "unlabelled": Phrase("unlabelled", "라벨 없음"),
    "abstained": Phrase("abstained", "기권"),
    "failed": Phrase("failed", "실패"),
    "refused": Phrase("not handed over", "미전달"),
}
_SLICES = {"asset": Phrase("machine", "설비"), "shift": Phrase("shift", "근무조")}
_CORRECTIONS = {
    "unlabelled": Phrase("no label", "라벨 없음"),
    "up": Phrase("up", "상향"),
    "down": Phrase("down", "하향"),
}


def counts_section(one: FeedEvaluation) -> Section | None:
    """The law of counts: what became of every row."""
    if one.counts is None:
        return None
    counts = one.counts
    rows = tuple(
        (said, count(getattr(counts, name)), same(share(getattr(counts, name), counts.rows_in)))
        for name, said in FATES.items()
    )
    total = (Phrase("rows that came in", "들어온 행"), count(counts.rows_in), same(share(1, 1)))
    head = (Phrase("what became of a row", "행의 처리"), Phrase("rows", "행"), Phrase("share", "비율"))
    return Section(
        key="counts",
        title=Phrase("What became of every row", "모든 행의 행방"),
        lines=tuple(_audit(one.audit)) if one.audit is not None else (),
        grid=Grid(head=head, rows=(*rows, total)),
        note=law(counts),
    )


def law(counts: Counts) -> Phrase:
    """The law of counts, as a sum: `12,600 = 12,600 + 0 + …`."""
    parts = " + ".join(f"{getattr(counts, name):,}" for name in FATES)
    held = f"{counts.rows_in:,} = {parts}"
    if counts.hold():
        return Phrase(f"Every row is counted once: {held}.", f"모든 행은 한 번씩만 셉니다: {held}.")
    wrong = f"{counts.rows_in:,} ≠ {parts}"
    return Phrase(
        f"THE ROWS DO NOT ADD UP: {wrong}. Do not decide on these numbers.",
        f"행 수가 맞지 않습니다: {wrong}. 이 수치로 결정하지 마세요.",
    )


def _audit(audit: Audit) -> Iterator[Line]:
    yield Phrase("frames", "데이터 묶음"), count(audit.frames)
    for name, said in (
        ("frames_refused", Phrase("frames that could not be read", "읽을 수 없던 묶음")),
        ("frames_repeated", Phrase("frames sent again, counted once", "다시 보낸 묶음(한 번만 집계)")),
        ("gaps", Phrase("outcomes that came before a missing one", "앞선 결과보다 먼저 온 처리 결과")),
        ("labels_late", Phrase("labels that came too late", "기한 뒤에 온 라벨")),
    ):
        if getattr(audit, name):
            yield said, count(getattr(audit, name))


def labels_section(one: FeedEvaluation) -> Section | None:
    """How much of what was answered has a label, and how long labels took."""
    if one.labels is None:
        return None
    return Section(key="labels", title=Phrase("Labels", "라벨"), lines=tuple(_labels(one.labels, one.audit)))


def _labels(labels: LabelStatistics, audit: Audit | None) -> Iterator[Line]:
    yield (
        Phrase("rows with a label", "라벨이 있는 행"),
        same(f"{labels.labelled:,} / {labels.rows:,} ({share(labels.labelled, labels.rows)})"),
    )
    for ms, said in (
        (labels.delay_p50_ms, Phrase("half of the labels came within", "라벨 절반이 온 시간")),
        (labels.delay_p90_ms, Phrase("nine of ten came within", "라벨 90%가 온 시간")),
    ):
        if ms is not None:
            yield said, lasting(ms)
    if audit is not None:
        yield Phrase("rows whose label was corrected", "라벨이 정정된 행"), count(audit.corrected)
    for change, rows in sorted(labels.corrections.items(), key=lambda each: -each[1]):
        before, _, after = change.partition("/")
        arrow = [_CORRECTIONS.get(part, same(part)) for part in (before, after) if part]
        yield (
            Phrase(
                f"corrected {' → '.join(part.en for part in arrow)}",
                f"정정 {' → '.join(part.ko for part in arrow)}",
            ),
            count(rows),
        )


def metrics_section(one: FeedEvaluation, seen: Seen) -> Section | None:
    """The metrics, with those of the baselines on the same rows beside them, and what the answers cost."""
    if one.metrics is None:
        return None
    beside = [each for each in seen.baselines if each.evaluation is not None and each.evaluation.metrics]
    agreed = seen.pairing.agreement
    wanted = [agreed.acceptance.metric, *agreed.metrics] if agreed.metrics else list(one.metrics)
    names = [name for name in dict.fromkeys([agreed.acceptance.metric, *wanted]) if name in one.metrics]
    rows = [(metric(name), *(same(figure(value)) for value in _values(name, one, beside))) for name in names]
    if one.cost is not None:
        costs = (one.cost, *(each.evaluation.cost for each in beside if each.evaluation is not None))
        said = (money(each.amount, each.currency) if each is not None else same(DASH) for each in costs)
        rows.append((Phrase("cost of the answers", "응답의 비용"), *said))
    baselines = (Phrase(f"{each.name} (baseline)", f"{each.name} (비교 기준)") for each in beside)
    return Section(
        key="metrics",
        title=Phrase("Metrics", "지표"),
        grid=Grid(head=(Phrase("metric", "지표"), same(one.candidate), *baselines), rows=tuple(rows)),
        note=Phrase(
            "Numbers of this trial over the scored rows; none of them carries a statistical guarantee.",
            "채점된 행으로 계산한 이번 실증의 숫자이며, 지표 자체에는 통계적 보장이 없습니다.",
        ),
    )


def confusion_section(one: FeedEvaluation, seen: Seen) -> Section | None:
    """How often each class was taken for which."""
    classes = seen.pairing.agreement.classes
    if not one.confusion or not classes:
        return None
    rows = tuple(
        (
            Phrase(f"truly {actual}", f"실제 {actual}"),
            *(count(one.confusion.get(f"{actual}/{answer}", 0)) for answer in classes),
        )
        for actual in classes
    )
    head = (same(""), *(Phrase(f"answered {answer}", f"응답 {answer}") for answer in classes))
    return Section(
        key="confusion",
        title=Phrase("What was taken for what", "혼동 행렬"),
        grid=Grid(head=head, rows=rows),
        note=Phrase(
            "Scored rows; right answers stand on the diagonal.",
            "채점된 행의 수이며, 대각선이 맞은 응답입니다.",
        ),
    )


def _values(name: str, one: FeedEvaluation, beside: list[Subject]) -> Iterator[float | None]:
    yield (one.metrics or {}).get(name)
    for each in beside:
        yield ((each.evaluation.metrics if each.evaluation is not None else None) or {}).get(name)


def slice_metric(one: FeedEvaluation, seen: Seen) -> str | None:
    """The metric by which parts are compared: the agreed one, else the first that they have."""
    names = [name for each in one.slices for name in each.metrics]
    wanted = seen.pairing.agreement.acceptance.metric
    return wanted if wanted in names else next(iter(names), None)


def slice_name(one: SliceScores) -> Phrase:
    """What a part is called: `machine pump-1`."""
    by = _SLICES.get(one.by, same(one.by))
    value = Phrase("unknown", "알 수 없음") if one.value == "unknown" else same(one.value)
    return Phrase(f"{by.en} {value.en}", f"{by.ko} {value.ko}")


def slices_section(one: FeedEvaluation, seen: Seen) -> Section | None:
    """The same metric for each part of the rows that the agreement wants to see apart."""
    name = slice_metric(one, seen)
    if name is None:
        return None
    rows = tuple(
        (
            slice_name(each),
            count(each.counts.rows_in),
            count(each.counts.scored),
            same(figure(each.metrics.get(name))),
        )
        for each in one.slices
    )
    head = (Phrase("part", "구간"), Phrase("rows", "행"), Phrase("scored", "채점"), metric(name))
    return Section(
        key="slices",
        title=Phrase(f"By part: {metric(name).en}", f"구간별 {metric(name).ko}"),
        grid=Grid(head=head, rows=rows),
        note=Phrase(
            "Parts are shown and weigh nothing in the verdict.",
            "구간별 결과는 참고용이며 판정에 쓰이지 않습니다.",
        ),
    )


def drift_section(one: FeedEvaluation) -> Section | None:
    """How far inputs and errors have moved."""
    if one.input_drift is None and one.error_drift is None:
        return None
    lines: list[Line] = []
    if one.error_drift is not None:
        drift = one.error_drift
        name = metric(drift.error)
        lines.append(
            (
                Phrase(f"{name.en}, earlier → later half", f"{name.ko}, 전반 → 후반"),
                same(
                    f"{figure(drift.before)} ({drift.rows_before:,}) → {figure(drift.after)} ({drift.rows_after:,})"
                ),
            )
        )
    grid, since = None, NOTHING
    if one.input_drift is not None:
        since = {
            "rehearsal": Phrase("Inputs against the rehearsal. ", "입력은 예행과 비교했습니다. "),
            "first_day": Phrase("Inputs against the first day. ", "입력은 첫날과 비교했습니다. "),
        }[one.input_drift.reference]
        head = (
            Phrase("input", "입력값"),
            same("PSI"),
            same("KS"),
            Phrase("missing, before → now", "결측 전 → 후"),
        )
        rows = tuple(
            (
                same(tag.tag),
                same(figure(tag.psi)),
                same(figure(tag.ks)),
                same(f"{100 * tag.missing_before:.1f} % → {100 * tag.missing:.1f} %"),
            )
            for tag in one.input_drift.tags
        )
        grid = Grid(head=head, rows=rows)
    return Section(
        key="drift",
        title=Phrase("Drift of inputs and errors", "입력과 오차의 변화"),
        lines=tuple(lines),
        grid=grid,
        note=since
        + Phrase("Drift is told, and weighs nothing.", "변화는 알려 줄 뿐 판정에 쓰이지 않습니다."),
    )


def service_section(subject: Subject) -> Section | None:
    """What answering cost, what went wrong, and how the code was held."""
    one = subject.evaluation
    if one is None:
        return None
    lines: list[Line] = list(_service(one.service)) if one.service is not None else []
    lines += [(Phrase("fault", "고장"), fault_in_words(fault)) for fault in one.faults]
    if one.service is not None and not one.faults and not (one.counts is not None and one.counts.failed):
        lines.append((Phrase("faults", "고장"), Phrase("none", "없음")))
    if subject.held is not None:
        lines.append((Phrase("its code was held", "코드 격리 수준"), same(subject.held)))
    return Section(key="service", title=Phrase("Service and faults", "응답과 고장"), lines=tuple(lines))


def _service(service: Service) -> Iterator[Line]:
    yield (
        Phrase("time for a frame, half within", "묶음당 응답 시간, 50%"),
        lasting(service.p50_us / 1000),
    )
    yield Phrase("99 of 100 within", "묶음당 응답 시간, 99%"), lasting(service.p99_us / 1000)
    yield (
        Phrase("CPU time for 1,000 rows", "1,000행당 CPU 시간"),
        lasting(service.cpu_us_per_1000_rows / 1000),
    )
    yield Phrase("most memory", "최대 메모리"), same(f"{service.peak_mb:,} MB")


def origin_section(subject: Subject, seen: Seen) -> Section | None:
    """What the numbers follow from: the agreement's hash, the ledger's chain, and whether the plant is simulated."""
    one, verdict, pairing = subject.evaluation, subject.verdict, seen.pairing
    digest = verdict.agreement_digest if verdict is not None else pairing.agreement_digest
    lines: list[Line] = [(Phrase("agreement, SHA-256", "협약 SHA-256"), same(digest))]
    chain = verdict.chain if verdict is not None else one.chain if one is not None else None
    if chain is not None:
        lines.append((Phrase("chain of the ledger", "원장 해시 사슬"), same(chain)))
    if one is not None:
        lines.append((Phrase("ledger offset", "원장 오프셋"), count(one.ledger_offset)))
        final = Phrase("final", "최종") if one.final else Phrase("running", "진행 중")
        lines.append((Phrase("evaluation", "평가"), final + same(f", {one.at:%Y-%m-%d %H:%M:%S} UTC")))
    submitted = pairing.candidate(subject.name)
    if submitted is not None:
        lines.append((Phrase("files of the model, SHA-256", "모델 파일 SHA-256"), same(submitted.digest)))
    data = (
        Phrase("simulated", "모의 데이터")
        if pairing.simulated
        else Phrase("from the plant", "공장 실측 데이터")
    )
    lines.append((Phrase("data", "데이터"), data))
    return Section(
        key="origin", title=Phrase("Where the numbers come from", "수치의 근거"), lines=tuple(lines)
    )
