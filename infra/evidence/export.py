"""Two bundles of a pairing's evidence: one for whoever may see its ledger, one for whoever may not."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from agents.recomputation import Recomputation, recompute
from agents.unit_losses import unit_losses
from infra.errors import InfraError
from infra.evidence.bundle import CandidateRecord, Manifest, Signature, pack, signature_of, sum_of
from infra.evidence.case import Case, gone, labels_behind
from infra.evidence.keys import own_key
from infra.evidence.tables import CHAIN, LOSSES, write_messages, write_table
from schemas.agreement import Agreement
from schemas.base import Ident, Record
from schemas.evaluation import Evaluation, Verdict
from schemas.pairing import OVER, Pairing
from schemas.terms import Told
from streams.disclosure import evaluation_as_seen, told_to_both_sides, verdict_as_seen
from streams.ledger import Book
from streams.topics import OPERATOR

AGREEMENT = "agreement.json"
PAIRING = "pairing.json"
FACTS = "facts.jsonl"
EVALUATIONS = "evaluations.jsonl"
VERDICTS = "verdicts.jsonl"
LEDGER = "ledger.parquet"
LABELS = "labels.parquet"
CHAIN_FILE = "chain.parquet"
LOSSES_FILE = "losses.parquet"

#: What the numbers depend on, by the names of their distributions.
SOFTWARE = ("fieldproof", "numpy", "pyarrow", "pydantic", "scikit-learn", "mlflow", "faust-streaming")

Progress = Callable[[str], None]


class NotOver(InfraError):
    """The proof still runs."""

    exit_code = 2


class NotWhole(InfraError):
    """The ledger does not give what was published: there is nothing to sign."""

    exit_code = 1


class NotWritten(InfraError):
    """The bundles cannot be written there."""

    exit_code = 2


def export(
    case: Case, out: Path, *, home: Path, made_at: datetime, progress: Progress, again: bool = False
) -> tuple[Path, Path]:
    """Write a pairing's full and disclosed bundles, signed with the keys that this home holds.

    Args:
        case: the pairing.
        out: the folder to write into.
        again: whether bundles that are there may be written over.

    Raises:
        NotOver: no verdict has fallen yet, and the pairing was not broken off.
        NotWritten: there are bundles of that name already, or the folder cannot be written.
        NotWhole: the ledger, folded again, does not give what was published, or has been erased.
    """
    pairing = case.pairing
    if pairing.phase not in OVER:
        raise NotOver(
            f"{pairing.id} is {pairing.phase}; evidence is exported once its verdicts have fallen, "
            "or it was broken off"
        )
    full, disclosed = (out / f"{pairing.id}.{scope}.zip" for scope in ("full", "disclosed"))
    there = [path for path in (full, disclosed) if path.exists()]
    if there and not again:
        raise NotWritten(
            f"{there[0]} is there already, and signatures may have been added to it; "
            "name another folder with --out, or write over it with --force"
        )
    found = recompute(
        pairing.id, case.ledger(), case.evaluations, case.verdicts, retired=frozenset(pairing.retired)
    )
    if not found.equal:
        why = gone(pairing)
        raise NotWhole(
            f"the ledger of {pairing.id} does not give what was published; "
            f"see `fieldproof recompute --pairing {pairing.id}`"
            if why is None
            else why.en
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as drafts:
            for scope, path in (("full", full), ("disclosed", disclosed)):
                folder = Path(drafts) / scope
                folder.mkdir()
                progress(f"writing {path.name}")
                manifest = _write(scope, case, found, folder, made_at).to_json()
                pack(folder, manifest, signatures(home, pairing.plant, pairing.agreement, manifest), path)
    except OSError as error:
        raise NotWritten(f"{out} cannot be written: {error.strerror or error}") from error
    return full, disclosed


def _write(scope: str, case: Case, found: Recomputation, folder: Path, made_at: datetime) -> Manifest:
    what = told_to_both_sides(case.pairing.agreement) if scope == "disclosed" else ()
    if scope == "full":
        _write_full(folder, case)
    else:
        _write_disclosed(folder, case, found, what)
    return _manifest(scope, case, found, what, folder, made_at)


def signatures(home: Path, plant: Ident, agreement: Agreement, manifest: bytes) -> tuple[Signature, ...]:
    """The signatures that the keys of this home can give: with the keys that the agreement seals, and no others."""
    sealed = agreement.keys
    held = (
        (plant, own_key(home, plant, public=sealed.plant if sealed else None)),
        (OPERATOR, own_key(home, OPERATOR, public=sealed.control if sealed else None)),
    )
    return tuple(signature_of(holder, key, manifest) for holder, key in held if key is not None)


def _write_full(folder: Path, case: Case) -> None:
    pairing = case.pairing
    (folder / AGREEMENT).write_bytes(pairing.agreement.canonical())
    (folder / PAIRING).write_bytes(pairing.to_json())
    _lines(folder / FACTS, (fact.to_json() for fact in case.facts))
    _lines(folder / EVALUATIONS, case.evaluations)
    _lines(folder / VERDICTS, case.verdicts)
    write_messages(folder / LEDGER, case.entries())
    write_messages(folder / LABELS, labels_behind(case))


def _write_disclosed(folder: Path, case: Case, found: Recomputation, what: tuple[Told, ...]) -> None:
    (folder / AGREEMENT).write_bytes(case.pairing.agreement.canonical())
    final = (one for one in map(Evaluation.model_validate_json, case.evaluations) if one.final)
    seen = (evaluation_as_seen(one, what) for one in final)
    _lines(folder / EVALUATIONS, _once(one for one in seen if one is not None))
    verdicts = (verdict_as_seen(Verdict.model_validate_json(one), what) for one in case.verdicts)
    _lines(folder / VERDICTS, _once(one for one in verdicts if one is not None))
    offsets, digests = [one[0] for one in found.counted], [one[1] for one in found.counted]
    write_table(folder / CHAIN_FILE, CHAIN, [offsets, digests])
    if "unit_losses" in what:
        write_losses(folder / LOSSES_FILE, found.book)


def write_losses(path: Path, book: Book) -> None:
    """Write the losses of every closed unit, for each candidate and rival that are judged."""
    book.settle()
    names = book.judged or tuple(book.runs)
    every = [one for name in names if name in book.runs for one in unit_losses(book, book.runs[name].started)]
    parts = [
        (
            np.full(one.unlabelled.size, one.candidate, dtype=object),
            np.full(one.unlabelled.size, one.rival, dtype=object),
            np.arange(one.unlabelled.size),
            one.candidate_loss,
            one.rival_loss,
            one.gained.low,
            one.gained.high,
            one.gained.dropped,
            one.gained.events,
            one.unlabelled,
        )
        for one in every
    ]
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    write_table(path, LOSSES, columns or [()] * len(LOSSES))


def _once(records: Iterable[Record]) -> Iterable[bytes]:
    """What was published twice after a crash, once."""
    return dict.fromkeys(one.to_json() for one in records)


def _lines(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")


def _manifest(
    scope: str, case: Case, found: Recomputation, what: tuple[Told, ...], folder: Path, made_at: datetime
) -> Manifest:
    pairing = case.pairing
    return Manifest.model_validate(
        {
            "scope": scope,
            "pairing": pairing.id,
            "plant": pairing.plant,
            "startup": pairing.startup,
            "phase": pairing.phase,
            "agreement_digest": pairing.agreement_digest,
            "made_at": made_at,
            "entries": found.entries,
            "chain": found.chain,
            "candidates": tuple(candidates_of(pairing)),
            "judged": judged_in(found.book),
            "discloses": what,
            "software": software(),
            "files": {path.name: sum_of(path) for path in sorted(folder.iterdir())},
        }
    )


def judged_in(book: Book) -> tuple[str, ...]:
    """The candidates and baselines that a closed pairing's last entry has judged, in order."""
    runs = [run for name, run in book.runs.items() if book.closed and name in (book.judged or book.runs)]
    return tuple(sorted({subject for run in runs for subject in run.started.subjects}))


def candidates_of(pairing: Pairing) -> Iterable[CandidateRecord]:
    """Which models a pairing's candidates were."""
    for one in pairing.candidates:
        yield CandidateRecord(
            id=one.id,
            model=one.model,
            version=one.version,
            digest=one.digest,
            retired=one.id in pairing.retired,
        )


def software() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
