"""`fieldproof evidence`: a pairing's evidence as files that anyone can check, and `fieldproof recompute`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language
from streams.topics import OPERATOR

if TYPE_CHECKING:
    from agents.recomputation import Recomputation
    from streams.envelope import RawRecord

app = typer.Typer(help="Evidence: a proof's numbers as files that anyone can check.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
LangOption = Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")]
FileArgument = Annotated[Path, typer.Argument(help="A bundle that `evidence export` wrote.")]

#: Exit code where a number does not follow from what it should follow from.
DIFFERS = 1

#: Exit code where there is nothing left to compute from.
ERASED = 2

#: Entries from one word about the progress to the next; differences that people are shown.
TOLD_EACH, SHOWN = 1000, 20

_STATES = {
    "recomputed": (Phrase("recomputed", "다시 계산함"), "green"),
    "checked": (Phrase("checked", "확인함"), "green"),
    "signed": (Phrase("only signed", "서명으로만 확인"), "yellow"),
    "missing": (Phrase("missing", "빠짐"), "red"),
    "failed": (Phrase("wrong", "틀림"), "red"),
}


def recompute(
    pairing: Annotated[str | None, typer.Option(help="The pairing; not needed where there is one.")] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold a pairing's ledger again from its start and compare everything published with it, byte for byte.

    Exit code 1: something differs; 2: there is no such pairing, or its ledger was erased; 3: the installation does not answer.

    Example: fieldproof recompute --pairing pump-2026-01
    """
    from agents import recomputation
    from infra.client import Client
    from infra.evidence.case import gone, read_case

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        case = read_case(client, client.pairing(pairing))
    with _counting(screen, spoken) as counted:
        found = recomputation.recompute(
            case.pairing.id,
            counted(case.ledger()),
            case.evaluations,
            case.verdicts,
            retired=frozenset(case.pairing.retired),
        )
    why = gone(case.pairing)
    if why is not None and not found.equal:
        screen.emit({"kind": "erased", "pairing": case.pairing.id, "why": why.to(spoken)})
        screen.say(why.to(spoken), "red")
        raise typer.Exit(ERASED)
    _tell(found, screen, spoken)
    if not found.equal:
        raise typer.Exit(DIFFERS)


@contextmanager
def _counting(screen: Screen, lang: Lang) -> Iterator[Callable[[Iterator[RawRecord]], Iterator[RawRecord]]]:
    """Tell people how far a long fold has come; gives what counts the entries that are read."""
    start = Phrase("folding the ledger again …", "원장을 다시 계산하는 중 …").to(lang)
    if not screen.people.is_terminal:
        screen.say(start)
        yield lambda records: records
        return
    with screen.people.status(start) as status:

        def counted(records: Iterator[RawRecord]) -> Iterator[RawRecord]:
            for number, record in enumerate(records, 1):
                if number % TOLD_EACH == 0:
                    said = Phrase(f"{start} {number:,} entries", f"{start} 항목 {number:,}개")
                    status.update(said.to(lang))
                yield record

        yield counted


def _tell(found: Recomputation, screen: Screen, lang: Lang) -> None:
    from infra.evidence.verify_full import difference_in_words

    for one in found.differences:
        screen.emit({"kind": "difference", **asdict(one)})
    for one in found.differences[:SHOWN]:
        screen.say(difference_in_words(one), "red")
    if len(found.differences) > SHOWN:
        more = len(found.differences) - SHOWN
        screen.say(
            Phrase(f"… and {more} more: see --json", f"… 외 {more}건: --json으로 확인").to(lang), "red"
        )
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
        f"{found.pairing}: {found.entries:,} entries, {found.evaluations:,} evaluations and {found.verdicts} verdicts, ",
        f"{found.pairing}: 원장 항목 {found.entries:,}개, 평가 {found.evaluations:,}건, 판정 {found.verdicts}건 – ",
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
    force: Annotated[
        bool, typer.Option("--force", help="Write over bundles that are there already.")
    ] = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write two bundles: PAIRING.full.zip for whoever may see the ledger, PAIRING.disclosed.zip for the others.

    They are signed with the keys that this folder holds: the plant's, control's, or both. Who holds the other key adds its
    signature with `fieldproof evidence sign`.

    Exit code 1: the ledger does not give what was published; 2: the proof is not over, or the bundles are there already; 3: the
    installation does not answer.

    Example: fieldproof evidence export pump-2026-01 --out evidence
    """
    from datetime import UTC, datetime

    from infra.client import Client
    from infra.evidence.case import read_case
    from infra.evidence.export import export as write

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        case = read_case(client, client.pairing(pairing))
        with _counting(screen, spoken) as counted:
            case = replace(case, ledger=_each(case.ledger, counted))
            bundles = write(
                case,
                out,
                home=_home(),
                made_at=datetime.now(UTC).replace(microsecond=0),
                progress=lambda text: screen.say(text, "dim"),
                again=force,
            )
    for path in bundles:
        _show_bundle(path, screen, spoken)
    screen.say(
        Phrase(
            "anyone checks them, without this installation: fieldproof evidence verify FILE",
            "설치 없이 누구나 확인할 수 있습니다: fieldproof evidence verify 파일",
        ).to(spoken)
    )


def _each(
    ledger: Callable[[], Iterator[RawRecord]], counted: Callable[[Iterator[RawRecord]], Iterator[RawRecord]]
) -> Callable[[], Iterator[RawRecord]]:
    return lambda: counted(ledger())


def _show_bundle(path: Path, screen: Screen, lang: Lang) -> None:
    """Its size, its sum, and whose signature is still missing."""
    from infra.evidence.bundle import read_signatures, sum_of

    total, (manifest, signed) = sum_of(path), read_signatures(path)
    holders = sorted(one.holder for one in signed)
    missing = sorted({manifest.plant, OPERATOR} - set(holders))
    screen.emit(
        {
            "kind": "bundle",
            "file": str(path),
            "sha256": total.sha256,
            "bytes": total.bytes,
            "signed": holders,
            "unsigned": missing,
        }
    )
    screen.say(f"{path}  {size(total.bytes)}  SHA-256 {total.sha256}", "green")
    if missing:
        names = ", ".join(missing)
        said = Phrase(
            f"  not signed yet by {names}: who holds that key runs `fieldproof evidence sign {path.name}`",
            f"  아직 없는 서명: {names}. 키를 가진 쪽에서 `fieldproof evidence sign {path.name}`을 실행하세요",
        )
        screen.say(said.to(lang), "yellow")


def size(count: int) -> str:
    """A number of bytes for reading: `3.4 MB`."""
    for unit, of in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return f"{count} bytes"


@app.command()
def verify(
    file: FileArgument,
    agreement: Annotated[
        str | None, typer.Option(help="The agreement's hash as you know it: 12 digits of it or more.")
    ] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a bundle with nothing but the bundle: compute again what it allows, and say what is only signed.

    Exit code 1: something is wrong, or a signature is missing; 2: the file is no bundle.

    Example: fieldproof evidence verify pump-2026-01.full.zip
    """
    import tempfile

    from infra.cli.asking import WrongInput
    from infra.evidence.bundle import unpack
    from infra.evidence.verify import verify as check

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    known = agreement.strip().rstrip("…").lower() if agreement is not None else None
    if known is not None and re.fullmatch("[0-9a-f]{12,64}", known) is None:
        raise WrongInput(f"{agreement!r} is no hash of an agreement: give 12 of its digits or more")
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack(file, Path(folder))
        manifest = bundle.manifest
        screen.say(f"{manifest.pairing}  {manifest.scope}  {manifest.made_at:%Y-%m-%d %H:%M} UTC")
        found = check(bundle, consented=known)
    for one in found.every:
        word, style = _STATES[one.state]
        screen.emit({"kind": "finding", "what": one.what, "state": one.state, "said": one.said.to(spoken)})
        screen.say(f"{word.to(spoken)}: {one.said.to(spoken)}", style)
    screen.emit(
        {"kind": "verified", "pairing": manifest.pairing, "scope": manifest.scope, "good": found.good}
    )
    if found.wrong:
        end = Phrase("this bundle is not what it says", "이 묶음은 적힌 내용과 다릅니다")
    elif not found.good:
        end = Phrase(
            "nothing is wrong so far, but a signature is missing", "틀린 것은 없으나 빠진 서명이 있습니다"
        )
    else:
        end = Phrase("nothing is wrong with this bundle", "이 묶음에는 틀린 것이 없습니다")
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
        raise WrongInput(
            f"nothing to add: {_home() / 'keys'} holds no key that this bundle's agreement seals and that has not signed it"
        )
    for holder in added:
        screen.emit({"kind": "signed", "file": str(file), "holder": holder})
        screen.say(Phrase(f"signed for {holder}", f"{holder} 서명을 더했습니다").to(spoken), "green")


@app.command()
def keys(lang: LangOption = None, as_json: JsonOption = False) -> None:
    """Show the published signing keys, and which of them this folder holds.

    Exit code 3: the installation does not answer.

    Example: fieldproof evidence keys
    """
    from infra.client import Client
    from infra.evidence.keys import own_key

    spoken, home = language(lang, os.environ), _home()
    with Client.connect() as client:
        published = client.state.keys
    here = Phrase("(here)", "(이 폴더에 있음)").to(spoken)
    for holder, key in sorted(published.items()):
        held = own_key(home, holder, public=key) is not None
        Screen(as_json=as_json).emit({"kind": "key", "holder": holder, "key": key, "held": held})
        if not as_json:
            print(f"{holder}  {key}{f'  {here}' if held else ''}")


@app.command()
def renew(
    holder: Annotated[str, typer.Argument(help="The plant, or `operator` for control.")],
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make and publish another signing key, for agreements to come: because the key was lost, or somebody else has it.

    Agreements keep the keys that they seal. The key that was here stays beside the new one and goes on signing for those.

    Exit code 2: there is no such plant; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof evidence renew ansan-1
    """
    from infra.cli.asking import ask
    from infra.client import Client
    from infra.evidence.keys import new_key, public_key
    from schemas.requests import PublishKey

    with Client.connect() as client:
        owner = OPERATOR if holder == OPERATOR else client.plant(holder).owner
        key = public_key(new_key(_home(), holder))
        ask(Screen(as_json=as_json), client, owner, PublishKey(holder=holder, key=key), lang=lang)


def _home() -> Path:
    """Where this folder's keys are: those of the demo lie in an installation of its own."""
    from infra.settings import home_in_use

    return home_in_use()
