"""`fieldproof evidence`: a pairing's evidence as files that anyone can check, and `fieldproof recompute`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language

if TYPE_CHECKING:
    from agents.recomputation import Recomputation

app = typer.Typer(help="Evidence: a proof's numbers as files that anyone can check.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
LangOption = Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")]
FileArgument = Annotated[Path, typer.Argument(help="A bundle that `evidence export` wrote.")]

#: Exit code where a number does not follow from what it should follow from.
DIFFERS = 1

_STATES = {
    "recomputed": (Phrase("recomputed", "다시 계산함"), "green"),
    "signed": (Phrase("only signed", "서명으로만 확인"), "yellow"),
    "failed": (Phrase("wrong", "틀림"), "red"),
}


def recompute(
    pairing: Annotated[str | None, typer.Option(help="The pairing; not needed where there is one.")] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold a pairing's ledger again from its start and compare everything published with it, byte for byte.

    Exit code 1: something differs; 2: there is no such pairing; 3: the installation does not answer.

    Example: fieldproof recompute --pairing pump-2026-01
    """
    from agents import recomputation
    from infra.client import Client
    from infra.evidence.case import read_case

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        case = read_case(client, client.pairing(pairing))
    screen.say(Phrase("folding the ledger again …", "원장을 다시 계산하는 중 …").to(spoken))
    found = recomputation.recompute(
        case.pairing.id,
        case.ledger(),
        case.evaluations,
        case.verdicts,
        retired=frozenset(case.pairing.retired),
    )
    _tell(found, screen, spoken)
    if not found.equal:
        raise typer.Exit(DIFFERS)


def _tell(found: Recomputation, screen: Screen, lang: Lang) -> None:
    from infra.evidence.verify_full import difference_in_words

    for one in found.differences:
        screen.emit({"kind": "difference", **asdict(one)})
        screen.say(difference_in_words(one), "red")
    for problem in found.problems:
        screen.say(problem, "red")
    screen.emit(
        {
            "kind": "recomputed",
            "pairing": found.pairing,
            "equal": found.equal,
            "entries": found.entries,
            "chain": found.chain,
            "closed": found.closed,
            "evaluations": found.evaluations,
            "verdicts": found.verdicts,
            "differences": len(found.differences),
            "problems": found.problems,
        }
    )
    said = Phrase(
        f"{found.pairing}: {found.entries} entries, {found.evaluations} evaluations and {found.verdicts} verdicts, ",
        f"{found.pairing}: 원장 항목 {found.entries}개, 평가 {found.evaluations}건, 판정 {found.verdicts}건 – ",
    ) + (
        Phrase("all equal byte for byte", "모두 바이트까지 같음")
        if found.equal
        else Phrase("not equal", "일치하지 않음")
    )
    screen.say(said.to(lang), "green" if found.equal else "red")


@app.command()
def export(
    pairing: Annotated[str | None, typer.Argument(help="The pairing; not needed where there is one.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path(),
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write two bundles: PAIRING.full.zip for whoever may see the ledger, PAIRING.disclosed.zip for the others.

    They are signed with the keys that this folder holds: the plant's, control's, or both.

    Exit code 1: the ledger does not give what was published; 2: the proof is not over; 3: the installation does not answer.

    Example: fieldproof evidence export pump-2026-01 --out evidence
    """
    from datetime import UTC, datetime

    from infra.client import Client
    from infra.evidence.bundle import sum_of
    from infra.evidence.case import read_case
    from infra.evidence.export import export as write

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        case = read_case(client, client.pairing(pairing))
        bundles = write(
            case,
            client.bootstrap,
            out,
            home=_home(),
            made_at=datetime.now(UTC).replace(microsecond=0),
            progress=lambda text: screen.say(text, "dim"),
        )
    for path in bundles:
        total = sum_of(path)
        screen.emit({"kind": "bundle", "file": str(path), "sha256": total.sha256, "bytes": total.bytes})
        screen.say(f"{path}  {total.bytes:,} bytes  SHA-256 {total.sha256}", "green")
    screen.say(
        Phrase(
            "anyone checks them, without this installation: fieldproof evidence verify FILE",
            "설치 없이 누구나 확인할 수 있습니다: fieldproof evidence verify 파일",
        ).to(spoken)
    )


@app.command()
def verify(file: FileArgument, lang: LangOption = None, as_json: JsonOption = False) -> None:
    """Check a bundle with nothing but the bundle: compute again what it allows, and say what is only signed.

    Exit code 1: something is wrong; 2: the file is no bundle.

    Example: fieldproof evidence verify pump-2026-01.full.zip
    """
    import tempfile

    from infra.evidence.bundle import unpack
    from infra.evidence.verify import verify as check

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack(file, Path(folder))
        manifest = bundle.manifest
        screen.say(f"{manifest.pairing}  {manifest.scope}  {manifest.made_at:%Y-%m-%d %H:%M} UTC")
        found = check(bundle)
    for one in found.every:
        word, style = _STATES[one.state]
        screen.emit({"kind": "finding", "what": one.what, "state": one.state, "said": one.said.to(spoken)})
        screen.say(f"{word.to(spoken)}: {one.said.to(spoken)}", style)
    screen.emit(
        {"kind": "verified", "pairing": manifest.pairing, "scope": manifest.scope, "good": found.good}
    )
    end = (
        Phrase("nothing is wrong with this bundle", "이 묶음에는 틀린 것이 없습니다")
        if found.good
        else Phrase("this bundle is not what it says", "이 묶음은 적힌 내용과 다릅니다")
    )
    screen.say(end.to(spoken), "bold green" if found.good else "bold red")
    if not found.good:
        raise typer.Exit(DIFFERS)


@app.command()
def sign(file: FileArgument, lang: LangOption = None, as_json: JsonOption = False) -> None:
    """Add the signatures that this folder's keys can give to a bundle, after checking it.

    Exit code 1: the bundle is wrong in itself; 2: the file is no bundle, or this folder holds no key for it.

    Example: fieldproof evidence sign pump-2026-01.full.zip
    """
    from infra.cli.asking import WrongInput
    from infra.evidence.signing import add_signatures

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    added = add_signatures(file, _home())
    if not added:
        raise WrongInput("this folder holds no key of the plant or of control that has not signed yet")
    for holder in added:
        screen.emit({"kind": "signed", "file": str(file), "holder": holder})
        screen.say(Phrase(f"signed for {holder}", f"{holder} 서명을 더했습니다").to(spoken), "green")


@app.command()
def keys(as_json: JsonOption = False) -> None:
    """Show the published signing keys, and which of them this folder holds.

    Exit code 3: the installation does not answer.

    Example: fieldproof evidence keys
    """
    from infra.client import Client
    from infra.evidence.keys import own_key, public_key

    screen, home = Screen(as_json=as_json), _home()
    with Client.connect() as client:
        published = client.state.keys
    for holder, key in sorted(published.items()):
        own = own_key(home, holder)
        held = own is not None and public_key(own) == key
        screen.emit({"kind": "key", "holder": holder, "key": key, "held": held})
        if not as_json:
            print(f"{holder}  {key}{'  (here)' if held else ''}", file=sys.stdout)


def _home() -> Path:
    """Where this folder's keys are: those of the demo lie in an installation of its own."""
    from infra.settings import home_in_use

    return home_in_use()
