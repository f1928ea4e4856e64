"""The agreement as data: its terms, its hash, and the commands that check, show and compare it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from pydantic import ValidationError
from typer.testing import CliRunner

from infra.agreement.check import plan_of, remarks
from infra.agreement.diff import changes
from infra.agreement.file import AgreementWrong, read_agreement
from infra.agreement.names import NAMES, name_of
from infra.agreement.words import RECORDED, document
from infra.cli.agreement import app
from infra.poc.template import poc_files
from infra.words.language import Lang
from schemas.agreement import Acceptance, Agreement, Baseline, Task
from schemas.terms import Cost, Decision

Written = Callable[..., Path]

#: What agreements were made of before there were terms beside the task.
OLD = """\
task: anomaly
assets: [pump-1]
inputs: [Pressure]
labels: {deadline_days: 14, absent_means: normal}
baselines:
  - {name: no-alarm, answer: normal}
acceptance: {metric: f1, at_least: 0.7, min_rows: 3000, max_unanswered: 0.05}
"""


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write the example of a task with texts in it changed: `written(("old", "new"), task=…)`."""

    def write(*changed: tuple[str, str], task: Task = Task.ANOMALY, name: str = "agreement.yaml") -> Path:
        text = with_decision(poc_files(task)["agreement.yaml"])
        for old, new in changed:
            assert old in text, f"{old!r} is not in the example"
            text = text.replace(old, new, 1)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def with_decision(text: str) -> str:
    """The example with the decision that it proposes: as its comment says, "# " is taken away from its lines."""
    before, after = text.split("# decision:\n", 1)
    block, rest = after.split("\n\n", 1)
    lines = ["decision:", *(line.removeprefix("# ") for line in block.splitlines())]
    return before + "\n".join(lines) + "\n\n" + rest


def agreement(**terms: object) -> Agreement:
    fields: dict[str, object] = {
        "task": Task.ANOMALY,
        "assets": ("pump-1",),
        "inputs": ("Pressure",),
        "baselines": (Baseline(name="no-alarm", answer="normal"),),
        "acceptance": Acceptance(metric="f1", at_least=0.7),
    }
    return Agreement.model_validate({**fields, **terms})


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_an_agreement_without_the_new_terms_is_still_one_and_its_terms_are_sealed(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    old = read_agreement(path).agreement
    assert old.decision is None and old.cost is None
    assert (old.respond_days, old.objection_days, old.quotas.candidates) == (14, 14, 5)
    assert old.phases.rehearsal_rows == 0 and old.training_data == "none"
    sealed = json.loads(old.canonical())
    assert sealed["quotas"] == {"candidates": 5} and "decision" not in sealed


def test_the_hash_is_of_the_canonical_json_and_the_same_for_the_same_terms() -> None:
    one = agreement(labels={"deadline_days": 14, "absent_means": "normal"}, target="펌프 이상")
    same = agreement(target="펌프 이상", labels={"absent_means": "normal", "deadline_days": 14.0})
    assert one.digest() == same.digest() == hashlib.sha256(one.canonical()).hexdigest()
    text = one.canonical().decode()
    assert text.startswith('{"acceptance":{"at_least":0.7,') and '"deadline_days":14}' in text
    assert "펌프 이상" in text
    assert Agreement.model_validate_json(one.to_json()).digest() == one.digest()
    assert agreement(objection_days=15).digest() != one.digest()


def test_a_hash_that_was_sealed_once_stays_the_same() -> None:
    sealed = "457c85e5a3ad416b9f918f354320899e25eb6c410e982576ea87665e63984a99"
    told = {"what": ["counts", "metrics", "verdict"], "every": "live"}
    # What was agreed on then when nothing was said about it; the terms that were sealed say it.
    disclosed = {"startup": told, "coordinator": told, "observer": {"every": "close"}}
    assert agreement(disclosure=disclosed).digest() == sealed


def test_a_whole_number_that_readers_of_json_would_round_is_refused() -> None:
    acceptance = {"metric": "mae", "at_most": 1}
    for answer, accepted in ((2**53 - 1, True), (2**53, False), (-(2**53), False), (1e20, True)):
        terms = {
            "task": "regression",
            "acceptance": acceptance,
            "baselines": ({"name": "a", "answer": answer},),
        }
        if accepted:
            assert agreement(**terms).digest()
        else:
            with pytest.raises(ValidationError, match="whole numbers end"):
                agreement(**terms)


MISTAKES = [
    # what is changed, into what, text on the line complained about, path, part of the message
    ("watermark_days: 7", "watermark_days: 30", "watermark_days", "labels.watermark_days", "longer than"),
    ("minutes: 60}", "minutes: 0}", "unit:", "decision.unit.minutes", "at least 1"),
    ("kind: block", "kind: run", "unit:", "decision.unit.minutes", "only a block"),
    ("kind: block", "kind: blok", "unit:", "decision.unit.kind", "did you mean `block`"),
    ("planned_units: 1000", "planned: 1000", "planned:", "decision.planned", "did you mean `planned_units`"),
    ("alpha: 0.05", "alpha: 0.9", "alpha:", "decision.alpha", "at most 0.5"),
    ("alpha: 0.05", "early: true", "decision:", "decision.least_units", "only after a least number"),
    ("alpha: 0.05", "least_units: 1001", "least_units", "decision.least_units", "1000 planned"),
    ("alpha: 0.05", "loss_cap: 10", "loss_cap:", "decision.loss_cap", "remove the line"),
    (", candidate_loss: 0.1", "", "expected:", "decision.expected.candidate_loss", "missing beside"),
    (
        "candidate_loss: 0.1",
        "candidate_loss: 1.1",
        "expected:",
        "decision.expected.candidate_loss",
        "at most 1",
    ),
    ("  false_alarm: 20000\n", "", "cost:", "cost.false_alarm", "is missing"),
    ("missed: 500000", "missed: -1", "missed:", "cost.missed", "at least 0"),
    ("currency: KRW", "currency: won", "currency:", "cost.currency", "KRW"),
    ("closing_days: 14", "closing_days: 3", "closing_days", "phases.closing_days", "labels still count"),
    ("candidates: 3", "candidates: 0", "candidates:", "quotas.candidates", "at least 1"),
    ("what: [], every", "what: [verdicts], every", "observer:", "disclosure.observer.what[0]", "`verdict`"),
    ("[counts, metrics, verdict]", "[counts, counts]", "startup:", "disclosure.startup.what", "twice"),
    ("every: daily", "every: hourly", "startup:", "disclosure.startup.every", "none of live, daily, close"),
    ("training_data: none", "training_data: all", "training_data", "training_data", "none of extract"),
    ("ledger_days: 365", "ledger_days: 7", "ledger_days", "retention.ledger_days", "objection period"),
    ("objection_days: 14", "objection_days: 0", "objection_days", "objection_days", "more than 0"),
    ("training_data: none", "metrics: [f1, f3]", "metrics:", "metrics[1]", "use one of f1"),
]


@pytest.mark.parametrize(("old", "new", "at", "path", "said"), MISTAKES)
def test_a_mistake_in_a_term_is_named_with_its_line_in_both_languages(
    written: Written, old: str, new: str, at: str, path: str, said: str
) -> None:
    file = written((old, new))
    with pytest.raises(AgreementWrong) as caught:
        read_agreement(file)
    named = [one for one in caught.value.problems if one.path == path]
    assert named, caught.value.lines(Lang.EN)
    line = file.read_text(encoding="utf-8").splitlines()[named[0].line - 1]
    assert at in line and "#" not in line
    assert said in str(named[0])
    assert any("가" <= letter <= "힣" for letter in named[0].message.ko)


def test_a_decision_without_a_baseline_and_costs_of_unknown_classes_are_named(written: Written) -> None:
    none = written(("baselines:\n  - name: no-alarm\n    answer: normal\n", "baselines: []\n"))
    assert "decision: compares candidates with baselines" in str(problems(none))
    odd = written(("    worn: {running", "    warn: {running"), task=Task.CLASSIFICATION)
    assert "cost.matrix.warn: 'warn' is none of the classes" in str(problems(odd))
    right = written(
        ("failed: {running: 500000,", "failed: {failed: 1, running: 500000,"), task=Task.CLASSIFICATION
    )
    assert "a right answer costs nothing" in str(problems(right))
    capless = written(("  loss_cap: 100\n", ""), task=Task.REGRESSION)
    assert "decision.loss_cap: is missing" in str(problems(capless))


def problems(file: Path) -> AgreementWrong:
    with pytest.raises(AgreementWrong) as caught:
        read_agreement(file)
    assert len(caught.value.problems) == 1, caught.value.lines(Lang.EN)
    return caught.value


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"decision": Decision(planned_units=9, loss="cost")}, "no cost is given"),
        ({"cost": Cost(matrix={"normal": {"anomaly": 2}}), "classes": ("a", "b")}, "none of the classes"),
        (
            {
                "task": "regression",
                "acceptance": {"metric": "mae", "at_most": 1},
                "baselines": ({"name": "a", "answer": 1},),
                "cost": Cost(false_alarm=1, missed=1),
            },
            "a regression task has none",
        ),
        (
            {"classification": "defence", "disclosure": {"observer": {"what": ["verdict"]}}},
            "sees nothing where the classification is defence",
        ),
    ],
)
def test_terms_that_contradict_each_other_are_refused(terms: dict[str, object], said: str) -> None:
    if "classes" in terms:
        terms = {**terms, "baselines": ()}
    with pytest.raises(ValidationError, match=said):
        agreement(**terms)


def test_costs_of_two_classes_and_of_a_matrix_are_one_table() -> None:
    pair = Cost(false_alarm=2, missed=5)
    matrix = Cost(matrix={"normal": {"anomaly": 2}, "anomaly": {"normal": 5}})
    classes = ("normal", "anomaly")
    assert pair.table(classes) == matrix.table(classes) == ((0, 2), (5, 0))
    with pytest.raises(ValidationError, match="give either"):
        Cost(false_alarm=2, missed=5, matrix={"normal": {"anomaly": 2}})


@pytest.mark.parametrize("task", list(Task))
def test_the_examples_are_agreements_under_which_a_verdict_can_fall(written: Written, task: Task) -> None:
    found = read_agreement(written(task=task)).agreement
    plan = plan_of(found)
    assert plan is not None and plan.can_fall
    assert plan.typical is not None and plan.typical.units is not None
    assert [one.keys for one in remarks(found)] == [("phases", "rehearsal_rows")]


REMARKS = [
    (("classification: open", "classification: defence"), "classification", "installation of its own"),
    (("training_data: none", "training_data: extract"), None, ""),
    (("verdict], every", "unit_losses], every"), "disclosure.startup", "tell the start-up the labels"),
    (("  watermark_days: 7\n", ""), "labels.watermark_days", "no watermark duty"),
    (("  timeout_s: 30", "  timeout_s: 30\n  failures: 0.2"), "limits.failures", "never matters"),
    (("  timeout_s: 30", "  timeout_s: 30\n  cpu_s: 60"), "limits.cpu_s", "one thread"),
    (("slots: 3", "slots: 2"), "decision.slots", "only 2 have a slot"),
    (("{kind: block, minutes: 60}", "{kind: row}"), "decision.unit", "seldom independent"),
    (("# trial_days: 30", "trial_days: 30"), "decision.planned_units", "yield only 720 units"),
]


@pytest.mark.parametrize(("change", "path", "said"), REMARKS)
def test_terms_that_do_not_do_what_they_seem_to_are_remarked_at_their_line(
    written: Written, change: tuple[str, str], path: str | None, said: str
) -> None:
    file = written(change)
    done = invoke("check", file, "--json", "--lang", "en")
    assert done.exit_code == 0, done.stderr
    found = {
        one["path"]: one
        for one in map(json.loads, done.stdout.splitlines())
        if one["status"] == "remark" and one["path"] != "phases.rehearsal_rows"
    }
    assert set(found) == ({path} if path else set())
    if path:
        assert said in found[path]["message"]
        line = file.read_text(encoding="utf-8").splitlines()[found[path]["line"] - 1]
        assert path.split(".")[-1] in line or f"{path.split('.')[0]}:" in line


def test_check_prints_the_hash_the_units_the_days_and_what_is_guaranteed(
    written: Written,
) -> None:
    done = invoke("check", written(), "--json", "--lang", "ko")
    assert done.exit_code == 0
    checked = json.loads(done.stdout.splitlines()[-1])
    assert checked["digest"] == read_agreement(written()).agreement.digest()
    assert checked["guarantee"] == "anytime_valid"
    plan = checked["plan"]
    assert plan["units_at_constant_gain"] == {"1": 22, "0.5": 30, "0.3": 41, "0.1": 101}
    assert plan["in_half_of_trials"]["units"] == 416 and plan["units_a_day"] == 24
    assert plan["in_half_of_trials"]["days"] == pytest.approx(416 / 24)
    assert checked["digest"] in done.stderr and "구간의 보장이 유지됩니다" in done.stderr
    assert "리허설의 라벨로 점검합니다" in done.stderr


def test_a_plan_that_gives_no_verdict_is_refused_until_that_is_acknowledged(written: Written) -> None:
    file = written()
    rates = ("--expect-baseline", "0.2", "--expect-candidate", "0.19")
    assert invoke("check", file).exit_code == 0
    missed = invoke("check", file, *rates, "--lang", "en")
    assert missed.exit_code == 5 and "a plan of 43,644 would do" in missed.stderr
    known = invoke("check", file, *rates, "--acknowledge", "--json")
    assert known.exit_code == 0
    checked = json.loads(known.stdout.splitlines()[-1])
    assert checked["acknowledged"] is True and checked["plan"]["can_fall"] is False
    assert checked["digest"] == read_agreement(file).agreement.digest()


@pytest.mark.parametrize(
    "change",
    [
        ("planned_units: 1000", "planned_units: 17"),
        ("# trial_days: 30", "trial_days: 10"),
        ("margin: 0.0", "margin: 0.1"),
    ],
)
def test_too_few_units_too_few_days_and_too_wide_a_margin_give_no_verdict(
    written: Written, change: tuple[str, str]
) -> None:
    assert invoke("check", written(change)).exit_code == 5


def test_without_expected_losses_only_a_plan_too_small_for_anybody_is_refused(written: Written) -> None:
    unsaid = ("  expected: {baseline_loss: 0.2, candidate_loss: 0.1}\n", "")
    told = invoke("check", written(unsaid), "--lang", "en")
    assert told.exit_code == 0 and "Give --expect-baseline" in told.stderr
    assert invoke("check", written(unsaid, ("planned_units: 1000", "planned_units: 17"))).exit_code == 5


def test_an_agreement_without_a_decision_says_that_nothing_is_guaranteed(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    done = invoke("check", path, "--json", "--lang", "en")
    assert done.exit_code == 0 and "No decision by units is agreed" in done.stderr
    assert "guarantee: none" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["plan"] is None
    assert invoke("check", path, "--expect-baseline", "0.2", "--expect-candidate", "0.1").exit_code == 2


def test_expected_losses_that_are_no_losses_or_only_one_are_refused(written: Written) -> None:
    assert invoke("check", written(), "--expect-candidate", "3").exit_code == 2
    unsaid = ("  expected: {baseline_loss: 0.2, candidate_loss: 0.1}\n", "")
    assert invoke("check", written(unsaid), "--expect-candidate", "0.1").exit_code == 2


def test_what_is_wrong_is_told_with_file_and_line_in_the_language_asked_for(written: Written) -> None:
    file = written(("ledger_days: 365", "ledger_days: 7"))
    for command in (("check", file), ("show", file), ("diff", file, file)):
        wrong = invoke(*command, "--lang", "ko")
        assert wrong.exit_code == 2 and "이의 제기 기간" in wrong.stderr and f"{file}:" in wrong.stderr
    (said,) = map(json.loads, invoke("check", file, "--json").stdout.splitlines())
    assert (said["status"], said["path"]) == ("problem", "retention.ledger_days")
    missing = invoke("check", file.with_name("nothing.yaml"))
    assert missing.exit_code == 2 and "cannot be read" in missing.stderr


def test_the_folder_of_a_proof_stands_for_its_agreement(written: Written) -> None:
    file = written()
    assert read_agreement(file.parent).agreement == read_agreement(file).agreement


@pytest.mark.parametrize("task", list(Task))
def test_show_is_a_document_in_korean_or_english_with_the_hash(written: Written, task: Task) -> None:
    file = written(task=task)
    found = read_agreement(file).agreement
    for lang, title in (("ko", "# 실증 협약서"), ("en", "# Agreement of a proof of concept")):
        shown = invoke("show", file, "--lang", lang)
        assert shown.exit_code == 0 and shown.stdout.startswith(title)
        assert found.digest() in shown.stdout and "guarantee: anytime_valid" in shown.stdout
        assert shown.stdout.count("\n## ") == 11
    english = document(found, Lang.EN)
    outside_brackets = "".join(part.split("(")[0] for part in english.split(")"))
    assert not any("가" <= letter <= "힣" for letter in outside_brackets)


def test_show_as_json_prints_the_bytes_that_are_hashed(written: Written) -> None:
    shown = invoke("show", written(), "--json")
    assert hashlib.sha256(shown.stdout_bytes).hexdigest() == read_agreement(written()).agreement.digest()


def test_every_number_of_a_threshold_is_shown() -> None:
    precise = agreement(acceptance=Acceptance(metric="f1", at_least=0.7000001, max_unanswered=0.035))
    assert "0.7000001" in document(precise, Lang.EN) and "3.5 %" in document(precise, Lang.KO)


def test_diff_names_what_changed_and_says_whether_the_hash_does(written: Written) -> None:
    before = written()
    after = written(
        ("at_least: 0.7", "at_least: 0.70000001"),
        ("watermark_days: 7", "watermark_days: 7.0"),
        ("  margin: 0.0\n", ""),
        ("# trial_days: 30", "trial_days: 30"),
        name="after.yaml",
    )
    told = invoke("diff", before, after, "--lang", "ko")
    assert told.exit_code == 0
    first, second, *rest = told.stdout.splitlines()
    assert first == "합격 기준값(이상) (acceptance.at_least): 0.7 → 0.70000001"
    assert second == "실증 기간(일) (phases.trial_days): 정하지 않음 → 30"
    assert rest[0].startswith("해시가 바뀝니다")
    records = [json.loads(line) for line in invoke("diff", before, after, "--json").stdout.splitlines()]
    assert [one.get("path") for one in records] == ["acceptance.at_least", "phases.trial_days", None]
    assert records[-1]["same"] is False and records[-1]["changes"] == 2


def test_diff_of_the_same_terms_in_other_words_changes_no_hash(written: Written) -> None:
    same = written(("watermark_days: 7", "watermark_days: 7.0"), name="after.yaml")
    told = invoke("diff", written(), same, "--lang", "en")
    assert told.stdout == "The hash does not change.\n"


def test_every_change_of_the_hash_is_a_change_in_words() -> None:
    base = agreement(baselines=({"name": "a", "answer": 1},))
    for terms in (
        {"baselines": ({"name": "a", "answer": True},)},
        {"target": "x"},
        {"decision": Decision(planned_units=5)},
        {"metrics": ("f1",)},
    ):
        other = agreement(**{"baselines": base.baselines, **terms})
        assert other.digest() != base.digest() and changes(base, other)
        assert all(one.words().ko for one in changes(base, other))


def test_every_term_has_a_name_in_both_languages() -> None:
    for path in (*RECORDED, *Agreement.model_fields):
        assert name_of(path).ko != path or path in ("quotas", "rights"), path
    assert all(one.en and one.ko for one in NAMES.values())
