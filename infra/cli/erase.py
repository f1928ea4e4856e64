"""`fieldproof plant erase`: deletes the records of a pairing that is over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.asking import ask
from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language

if TYPE_CHECKING:
    from infra.client import Client
    from schemas.erasure import Erasure
    from schemas.pairing import Pairing
    from streams.erasing import Plan

#: Seconds until the plant's workers have told what is gone.
PATIENCE_S = 60.0

#: Nothing was erased: people said no.
DECLINED = 1


def erase(
    pairing: Annotated[
        str | None, typer.Option(help="The pairing; not needed where there is only one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    lang: Annotated[Lang | None, typer.Option(help="The language of the answer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Erase a settled or broken-off pairing's telemetry, ledger and model files, as the plant's owner. It cannot be undone.

    Evaluations, verdicts, facts and hashes stay; its scores can no longer be recomputed. A topic loses its beginning only:
    what another pairing still needs stays, is listed with its reason, and goes by itself once that has gone. What candidates'
    start-ups keep in MLflow is theirs; rejected messages and labels as they were sent go with their topics' own retention.

    Exit code 1: it was not confirmed; 2: there is no such pairing; 3: the installation does not answer; 4: it was refused.

    Example: fieldproof plant erase --pairing pump-2026-01 --dry-run
    """
    from infra.client import Client
    from infra.erase import plan
    from schemas.requests import EraseRecords

    screen, chosen = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        one = client.pairing(pairing)
        there = {ident: other for ident, other in client.state.pairings.items() if other.plant == one.plant}
        found = plan(client.bootstrap, one, there)
        if dry_run or not (yes or one.erasing):
            _show(screen, one, found, chosen)
        if dry_run:
            return
        if not (yes or one.erasing):
            _confirm(screen, one, chosen)
        if not _whole(one):
            ask(screen, client, one.manufacturer, EraseRecords(pairing=one.id), lang=lang)
        erasure = _awaited(client, one.id)
    if erasure is None:
        late = Phrase(
            "ordered; the plant's workers have not told yet what is gone: ask again, or see `fieldproof pairing timeline`",
            "요청되었습니다. 삭제 결과가 아직 보고되지 않았습니다. 잠시 뒤 다시 실행하거나 `fieldproof pairing timeline`을 보세요.",
        )
        screen.say(late.to(chosen), "yellow")
        return
    _tell(screen, one.id, erasure, chosen)


def _whole(pairing: Pairing) -> bool:
    """Whether everything was ordered already."""
    from schemas.erasure import PARTS

    return set(pairing.erasing) >= set(PARTS)


def _show(screen: Screen, pairing: Pairing, plan: Plan, lang: Lang) -> None:
    """What would go, and what could not yet."""
    from infra.words.erasures import remaining

    screen.emit(
        {
            "kind": "plan",
            "pairing": pairing.id,
            "delete": [
                {"topic": topic, "partition": partition, "before": before}
                for (topic, partition), before in sorted(plan.delete.items())
            ],
            "erased": [one.to_dict() for one in plan.erased],
            "remaining": [one.to_dict() for one in plan.remaining],
            "files": [one.id for one in pairing.candidates],
        }
    )
    head = Phrase(f"{pairing.id}: to be erased", f"{pairing.id}: 삭제 대상")
    screen.say(head.to(lang))
    for (topic, partition), before in sorted(plan.delete.items()):
        told = Phrase(
            f"  {topic}, partition {partition}: everything before offset {before}",
            f"  {topic}, 파티션 {partition}: 오프셋 {before} 앞의 모든 기록",
        )
        screen.say(told.to(lang))
    names = ", ".join(one.id for one in pairing.candidates)
    if names:
        screen.say(Phrase(f"  files of {names}", f"  파일: {names}").to(lang))
    for one in plan.remaining:
        screen.say("  " + remaining(one).to(lang), "yellow")


def _confirm(screen: Screen, pairing: Pairing, lang: Lang) -> None:
    question = Phrase(
        f"The scores of {pairing.id} can never be recomputed again. Erase?",
        f"{pairing.id}의 점수를 다시는 재계산할 수 없게 됩니다. 삭제할까요?",
    )
    try:
        agreed = typer.confirm(question.to(lang), err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        nothing = Phrase(
            "nothing was erased; --yes erases without asking",
            "삭제하지 않았습니다. --yes를 쓰면 묻지 않고 삭제합니다.",
        )
        screen.say(nothing.to(lang))
        raise typer.Exit(DECLINED)


def _awaited(client: Client, pairing: str) -> Erasure | None:
    """What has become of the records, once the plant's workers have told it for everything that was ordered."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        one = client.refresh(wait_s=0.5).pairings[pairing]
        if one.erasure is not None and set(one.erasure.parts) >= set(one.erasing):
            return one.erasure
        if time.monotonic() > deadline:
            return None


def _tell(screen: Screen, pairing: str, erasure: Erasure, lang: Lang) -> None:
    from infra.words.erasures import lines

    screen.emit({"kind": "erasure", "pairing": pairing, **erasure.to_dict()})
    for line in _in(lines(erasure), lang):
        screen.say(line)


def _in(phrases: Iterable[Phrase], lang: Lang) -> Iterable[str]:
    return (one.to(lang) for one in phrases)
