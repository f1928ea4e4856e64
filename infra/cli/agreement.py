"""`fieldproof agreement`: check the terms of a proof, read them, compare them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from infra.agreement.check import Plan, plan_of, plan_words, remarks
from infra.agreement.diff import changes
from infra.agreement.file import AgreementFile, AgreementWrong, read_agreement
from infra.agreement.words import document, guarantee_of
from infra.poc.yaml_document import Problem
from infra.words.language import Lang, Phrase, language
from models.planning import Forecast
from schemas.agreement import Agreement
from schemas.terms import Expected

#: Exit code where no verdict is to be expected and nobody has acknowledged that.
NO_VERDICT = 5

app = typer.Typer(
    help="Agreements: the terms of a proof, as data that both sides consent to.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(help="An agreement's YAML file, or the folder of a proof.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
Spoken = Annotated[Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")]


@app.callback()
def agreements() -> None:
    """Agreements: the terms of a proof, as data that both sides consent to."""


@dataclass(frozen=True, kw_only=True)
class _Report:
    lang: Lang
    as_json: bool

    def say(self, text: Phrase, style: str = "") -> None:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(text.to(self.lang), style=style, markup=False)

    def emit(self, **fields: object) -> None:
        if self.as_json:
            print(json.dumps(fields, ensure_ascii=False), flush=True)

    def place(self, status: str, one: Problem, style: str) -> None:
        """Something at a line of a file."""
        self.say(Phrase(one.text(one.message.en), one.text(one.message.ko)), style)
        self.emit(**{**asdict(one), "status": status, "message": one.message.to(self.lang)})


def _report(lang: Lang | None, *, as_json: bool) -> _Report:
    return _Report(lang=language(lang, os.environ), as_json=as_json)


def _read(path: Path, report: _Report) -> AgreementFile:
    try:
        return read_agreement(path)
    except AgreementWrong as error:
        for one in error.problems:
            report.place("problem", one, "red")
        raise typer.Exit(error.exit_code) from error


@app.command()
def check(
    path: File,
    expect_baseline: Annotated[
        float | None, typer.Option(help="Expected mean loss of a unit of the baseline, 0 to 1.")
    ] = None,
    expect_candidate: Annotated[
        float | None, typer.Option(help="Expected mean loss of a unit of a candidate, 0 to 1.")
    ] = None,
    units_a_day: Annotated[
        float | None, typer.Option(help="Decision units that all assets together yield in a day.")
    ] = None,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Go on although no verdict is to be expected.")
    ] = False,
    as_json: AsJson = False,
    lang: Spoken = None,
) -> None:
    """Check an agreement: what is wrong, what to look at, its hash, and how many units a verdict needs.

    Exit code 2: something is wrong. 5: no verdict is to be expected within the plan, and --acknowledge is not given.

    Example: fieldproof agreement check my-poc --expect-baseline 0.2 --expect-candidate 0.1
    """
    report = _report(lang, as_json=as_json)
    file = _read(path, report)
    given = {
        "baseline_loss": expect_baseline,
        "candidate_loss": expect_candidate,
        "units_a_day": units_a_day,
    }
    agreement = _expecting(
        file.agreement, {key: one for key, one in given.items() if one is not None}, report
    )
    for note in file.document.notes:
        report.place("note", note, "yellow")
    for one in remarks(agreement):
        place = file.document.problem((*file.keys, *one.keys), one.message, at_name=True)
        report.place("remark", place, "yellow")
    plan = plan_of(agreement)
    report.say(Phrase(f"SHA-256 {file.agreement.digest()}", f"SHA-256 {file.agreement.digest()}"))
    report.say(guarantee_of(agreement), "dim")
    for line in plan_words(plan) if plan is not None else (_NO_DECISION,):
        report.say(line)
    if plan is not None:
        report.say(_CHECKED_LATER, "dim")
    missed = plan is not None and not plan.can_fall
    report.emit(
        status="checked",
        digest=file.agreement.digest(),
        guarantee="none" if plan is None else "anytime_valid",
        plan=None if plan is None else _plan(plan),
        acknowledged=acknowledge and missed,
    )
    if missed and not acknowledge:
        raise typer.Exit(NO_VERDICT)


_NO_DECISION = Phrase(
    "No decision by units is agreed: nothing here has a statistical guarantee, however long the trial.",
    "판정 단위에 의한 규칙이 없습니다. 실증이 길어져도 통계적 보장은 없습니다.",
)


_CHECKED_LATER = Phrase(
    "Whether units depend too much on one another, and whether the rule turns away what knows nothing, the rehearsal checks on "
    "its labels: `fieldproof status` tells.",
    "판정 단위가 서로 지나치게 얽혀 있지 않은지, 아무것도 모르는 방법을 규칙이 걸러 내는지는 리허설의 라벨로 점검합니다. "
    "결과는 `fieldproof status`에 나옵니다.",
)


def _expecting(agreement: Agreement, given: dict[str, float], report: _Report) -> Agreement:
    """The agreement with what the command line expects instead; its hash stays that of the file."""
    if not given:
        return agreement
    if agreement.decision is None:
        report.say(
            Phrase(
                "there is no decision to plan for; add `decision:`, or leave the options out",
                "계획할 판정 규칙이 없습니다. `decision:`을 추가하거나 옵션을 빼세요.",
            ),
            "red",
        )
        raise typer.Exit(2)
    try:
        expected = Expected.model_validate({**agreement.decision.expected.to_dict(), **given})
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
        report.say(Phrase(f"expected losses: {said}", f"예상 손실을 확인하세요: {said}"), "red")
        raise typer.Exit(2) from error
    decision = agreement.decision.model_copy(update={"expected": expected})
    return agreement.model_copy(update={"decision": decision})


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "planned_units": plan.rule.planned,
        "alpha_each": float(plan.rule.alpha),
        "margin": float(plan.rule.margin),
        "units_a_day": plan.units_a_day,
        "units_in_trial": plan.in_trial,
        "units_at_constant_gain": plan.constant,
        "at_best": _forecast(plan, plan.at_best),
        "in_half_of_trials": _forecast(plan, plan.typical),
        "in_nine_of_ten_trials": _forecast(plan, plan.likely),
        "can_fall": plan.can_fall,
    }


def _forecast(plan: Plan, found: Forecast | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "outcome": found.outcome,
        "units": found.units,
        "days": plan.days(found.units),
        "least_plan": found.plan,
    }


@app.command()
def show(
    agreement: Annotated[
        str, typer.Argument(help="A pairing, or an agreement's YAML file, or the folder of a proof.")
    ],
    as_json: AsJson = False,
    lang: Spoken = None,
) -> None:
    """Show an agreement as a document that a committee can read: Markdown on stdout.

    Of a pairing it is the one that lies on the table, else the one in force. With --json its canonical JSON (RFC 8785) is printed
    instead: the bytes that are hashed.

    Exit code 2: something is wrong, or there is no such pairing; 3: the installation does not answer.

    Example: fieldproof agreement show my-poc --lang ko
    """
    report = _report(lang, as_json=False)
    path = Path(agreement)
    shown = _read(path, report).agreement if path.exists() or path.suffix else _on_the_table(agreement)
    print(shown.canonical().decode() if as_json else document(shown, report.lang), end="")


def _on_the_table(pairing: str) -> Agreement:
    from infra.client import Client

    with Client.connect() as client:
        present = client.pairing(pairing)
    return present.agreement if present.amendment is None else present.amendment.agreement


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="An agreement's YAML file, or the folder of a proof.")],
    after: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
    lang: Spoken = None,
) -> None:
    """Say term by term what two agreements say differently, and whether the hash changes.

    Exit code 2: something is wrong in one of them.

    Example: fieldproof agreement diff agreement.yaml proposed.yaml
    """
    report = _report(lang, as_json=as_json)
    old, new = (_read(path, report).agreement for path in (before, after))
    found = changes(old, new)
    same = old.digest() == new.digest()
    for one in found:
        report.emit(status="changed", **asdict(one))
    report.emit(status="compared", changes=len(found), before=old.digest(), after=new.digest(), same=same)
    if not as_json:
        for one in found:
            print(one.words().to(report.lang))
        print((_SAME if same else _changed(old.digest(), new.digest())).to(report.lang))


_SAME = Phrase("The hash does not change.", "해시가 바뀌지 않습니다.")


def _changed(before: str, after: str) -> Phrase:
    return Phrase(
        f"The hash changes, and both sides have to consent anew:\n  {before}\n  {after}",
        f"해시가 바뀝니다. 양측이 다시 동의해야 합니다.\n  {before}\n  {after}",
    )
