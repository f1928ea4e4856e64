"""Why a verdict fell, in both languages: no sentence of the rule is left in English alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import product
from types import FrameType
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.words import verdicts as words
from infra.words.facts import told
from infra.words.metrics import metric
from infra.words.said import said
from models import verdicts
from models.verdicts import Bar, judge
from schemas.agreement import METRICS, Acceptance, metrics_known
from schemas.evaluation import Comparison, Counts, Outcome, Standing, Verdict
from schemas.events import CandidateReturned
from schemas.terms import Decision, Phases
from streams.disclosure import NO_FIGURES
from streams.holding import why_not
from tests.unit.test_judgement import evaluation
from tests.unit.trial_examples import agreement
from tests.unit.twins import PAIRING

KOREAN = re.compile("[가-힣]")
DIGEST = "1" * 64
RIVALS = ("plant-rule", "always normal", "always 3.5", "always a; but b", "always it\nis; so")
METRIC_NAMES = sorted({name for task in METRICS for name in metrics_known(task, 2)})


def standings() -> Iterator[Standing]:
    found: list[tuple[Comparison, ...]] = [()]
    found += [(Comparison(rival=one, lower=-0.25, upper=0.5),) for one in RIVALS]
    found.append((Comparison(rival="a", lower=-1, upper=1e-6), Comparison(rival="b", lower=0, upper=1)))
    for outcome, compared, guarantee, excluded in product(
        Outcome, found, ("anytime_valid", "none"), (False, True)
    ):
        yield Standing(
            units=7,
            planned=1000,
            alpha=0.05,
            margin=0.125,
            comparisons=compared,
            outcome=outcome,
            acceptance_excluded=excluded,
            dropped=3,
            guarantee=guarantee,  # type: ignore[arg-type]
        )


def judged(
    standing: Standing | None,
    *,
    metric: str = "f1",
    value: float | None = 0.5,
    threshold: float = 0.5,
    counts: Counts | None = None,
    **more: Any,
) -> Verdict:
    bound = {"at_least": threshold} if metric == "f1" else {"at_most": threshold}
    one = evaluation(
        counts or Counts(rows_in=100, scored=100), **({} if value is None else {metric: value})
    ).model_copy(update={"decision": standing})
    rule = Acceptance(metric=metric, min_rows=50, **bound)  # type: ignore[arg-type]
    return judge(rule, one, digest=DIGEST, recomputed_equal=True, **more)


def every_verdict() -> Iterator[Verdict]:
    decisions = [Decision(planned_units=1000, margin=margin) for margin in (0.0, 0.125)]
    thresholds: list[dict[str, Any]] = [
        {"value": value, "threshold": threshold, "metric": name}
        for name in ("f1", "far")
        for value in (None, 0.5, 0.50000001, 1e-7, 123456789.5)
        for threshold in (0.5, 1e-7, 1e9)
    ]
    thresholds.append({"counts": Counts(rows_in=100, scored=49, unlabelled=51)})
    thresholds.append({"counts": Counts(rows_in=100, scored=50, failed=50)})
    for one in thresholds:
        yield judged(None, **one)
        for standing, decision in product(standings(), decisions):
            yield judged(standing, decision=decision, **one)
    for bar in get_args(Bar):
        yield judged(None, bar=bar)


def check(one: Verdict) -> None:
    because, rule = words.because(one.reason), words.rule(one.rule)
    for text, phrase in ((one.reason, because), (one.rule, rule)):
        assert phrase.en == text
        assert KOREAN.search(phrase.ko), text
        plain = re.sub(r"\bf1\b", "", text)
        for rival in RIVALS:
            plain = plain.replace(rival, "")
        # No number is lost on the way, and nothing is left in English beside names.
        figures = r"-?\d[\d.]*(?:e[+-]?\d+)?"
        assert sorted(re.findall(figures, plain)) == sorted(re.findall(figures, _without_names(phrase.ko)))
    assert not re.search(r"[a-z]{2,} [a-z]{2,}", _without_names(because.ko) + _without_names(rule.ko))


def _without_names(korean: str) -> str:
    for rival in RIVALS:
        korean = korean.replace(words.rival(rival).ko, "")
    return korean.replace("F1", "").replace(metric("far").ko, "f")


def test_every_sentence_of_a_verdict_has_a_korean_one_and_every_line_that_makes_one_was_reached() -> None:
    code = {one.__code__: set[int]() for one in _makers()}

    def traced(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code not in code:
            return None
        if event == "line":
            code[frame.f_code].add(frame.f_lineno)
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        every = {(one.reason, one.rule): one for one in every_verdict()}
    finally:
        sys.settrace(before)
    for one in every.values():
        check(one)
    for maker, reached in code.items():
        lines = {line for _, _, line in maker.co_lines() if line is not None} - {maker.co_firstlineno}
        assert lines == reached & lines, f"{maker.co_name}: {sorted(lines - reached)} were never reached"


def _makers() -> list[Any]:
    names = ("whole_rule", "rule_in_words", "_by_units", "_units_in_words", "_decide", "judge")
    return [getattr(verdicts, name) for name in names]


def test_no_korean_sentence_is_there_for_nothing() -> None:
    texts = {one.reason for one in every_verdict()} | {NO_FIGURES}
    assert set(words._WHOLE) <= texts
    for pattern in (*words._UNITS, *words._THRESHOLD):
        assert any(re.search(pattern, text, re.DOTALL) for text in texts), pattern


numbers = st.floats(-1, 1).map(lambda one: round(one, 6))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(RIVALS), numbers, numbers), max_size=3),
    st.sampled_from(list(Outcome)),
    st.floats(0, 0.999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_whatever_the_numbers_are_the_sentence_is_known(
    compared: list[tuple[str, float, float]],
    outcome: Outcome,
    margin: float,
    value: float,
    threshold: float,
) -> None:
    standing = Standing(
        units=1,
        planned=9,
        alpha=0.05,
        margin=margin,
        comparisons=tuple(Comparison(rival=name, lower=low, upper=high) for name, low, high in compared),
        outcome=outcome,
    )
    decision = Decision(planned_units=9, margin=margin)
    check(judged(standing, decision=decision, value=value, threshold=threshold))


def test_a_reason_says_who_lost_how_much_and_why_it_did_not_help() -> None:
    text = "it loses at least 0.010000 less a unit than plant-rule after 100 of 100 planned units; but f1 of 0.6 misses the threshold of 0.7"
    assert words.because(text).ko == (
        "계획한 100개 중 100개 단위에서 plant-rule보다 단위당 손실이 0.010000 이상 낮음; 다만 F1 0.6, 합격 기준값 0.7 미충족"
    )
    rule = "loses at least 0.1 less than every rival in up to 100 units (alpha 0.05 for 3 candidates), and far at most 0.1 over at least 10 scored rows"
    assert words.rule(rule).ko == (
        "최대 100개 판정 단위에서 모든 비교 대상보다 손실이 0.1 이상 낮고(alpha 0.05, 후보 3개), "
        "오경보율(FAR) 0.1 이하(채점된 행 10개 이상)"
    )


def test_a_text_that_people_wrote_stays_as_it_is() -> None:
    for text in (
        "",
        "; ",
        "; but ",
        "no; reason",
        "it is within reach",
        "f1 of joy meets the threshold of pain",
    ):
        assert words.because(text).ko == words.because(text).en == text
        assert words.rule(text).ko == text


def test_what_a_verdict_is_worth_names_the_chance_that_it_is_wrong() -> None:
    # Two baselines that are the two constants; then a third to beat, which the rehearsal finds.
    two = agreement(answers=["normal", "anomaly"], slots=3, alpha=0.05)
    assert "at most 5 %," in words.guarantee("anytime_valid", two).en
    three = two.model_copy(update={"phases": Phases(rehearsal_rows=100)})
    assert "7.5 %" in words.guarantee("anytime_valid", three).ko
    plain = two.model_copy(update={"decision": None})
    assert words.guarantee("none", two) == words.guarantee("anytime_valid", plain)
    assert "anytime_valid" in words.looked_at("anytime_valid").ko
    assert "none" in words.looked_at("none").ko


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_every_metric_that_an_agreement_may_name_has_a_korean_name(name: str) -> None:
    assert metric(name).ko != name
    assert metric(name).en != name or name in ("precision", "recall", "accuracy")


@pytest.mark.parametrize(
    ("level", "classification"), [("none", "open"), ("reduced", "restricted"), ("reduced", "defence")]
)
def test_why_a_candidate_is_given_back_is_told_in_korean(level: Any, classification: str) -> None:
    refusal = why_not(level, classification, shipped=False, allow_unsandboxed=False)
    assert refusal is not None
    _given_back(str(refusal))


@pytest.mark.parametrize(
    "text",
    [
        "no MLflow server is known: start one with `fieldproof up`, or set MLFLOW_TRACKING_URI",
        "MLflow at http://127.0.0.1:5000 does not answer: refused\nagain. Start it with `fieldproof up`, or check MLFLOW_TRACKING_URI.",
        "MLflow was not ready after 60 s; the end of /log:\nits last words",
        "uv is not installed, which builds the environments of candidates: `pip install uv`, then try again",
        "the time was up while `uv pip install` was still running. it said so",
        "the disk of /var has 10 MB left, and 500 MB have to stay free. Make room, then try again.",
        "the environment cannot be built here at present: no route\nto it Check the network and the package index "
        "(UV_DEFAULT_INDEX, or pip's index-url), then try again.",
        "the model was made with Python 3.13; this machine has 3.11, and no other could be fetched. Install Python 3.13 here, "
        "or make the model with one of these. uv says: none",
    ],
)
def test_what_the_platform_lacks_is_told_in_korean(text: str) -> None:
    _given_back(text)


def _given_back(text: str) -> None:
    assert said(text).en == text
    assert KOREAN.search(said(text).ko)
    body = CandidateReturned(pairing=PAIRING, candidate="t2q-v1", reason=text)
    assert said(text).ko in told(body).ko
