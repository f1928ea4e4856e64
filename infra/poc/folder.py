"""A proof of concept as a folder of YAML files: read it whole, or say everything that is wrong with it.

organisations.yaml   who takes part (a list)
programme.yaml       the support programme
plant.yaml           the site with its assets and tags
need.yaml            the plant's problem (one, or a list)
agreement.yaml       the protocol; other names where a pairing says so
pairing.yaml         which start-up proves itself under which agreement (one, or a list)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from infra.errors import InfraError
from infra.evidence.sealing import sealed
from infra.poc.check import Raw, folder_problems, items
from infra.poc.record_reading import did_you_mean, read_record, value_at
from infra.poc.yaml_document import Document, Keys, Problem, read_document
from infra.words.language import NOTHING, Lang, Phrase
from schemas.agreement import Agreement
from schemas.base import Ident, PublicKey, Record
from schemas.parties import Need, Organisation, Plant, Programme
from schemas.requests import (
    AdmitPlant,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    OpenProgramme,
    ProposePairing,
    PublishKey,
    RegisterOrganisation,
    StartTrial,
)
from streams.topics import OPERATOR

ORGANISATIONS = "organisations.yaml"
PROGRAMME = "programme.yaml"
PLANT = "plant.yaml"
NEED = "need.yaml"
AGREEMENT = "agreement.yaml"
PAIRING = "pairing.yaml"

#: The files that every folder has under these names.
FIXED = (ORGANISATIONS, PROGRAMME, PLANT, NEED, PAIRING)

T = TypeVar("T")
R = TypeVar("R", bound=Record)


class FolderProblems(InfraError):
    """The folder describes no proof yet: something in its files is wrong."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))

    def lines(self, lang: Lang) -> list[str]:
        """The problems in that language, one a line."""
        return [one.text(one.message.to(lang)) for one in self.problems]


class Signatures(Record):
    """The people who consent to an agreement."""

    manufacturer: str | None = None
    startup: str | None = None


class PairingEntry(Record):
    """One pairing as `pairing.yaml` has it."""

    id: Ident
    need: Ident
    startup: Ident
    #: The file of its agreement, in the same folder.
    agreement: str = AGREEMENT
    #: Who signs for each side; without them both sides' organisations do.
    signed: Signatures = Signatures()
    #: Whether the trial begins with the folder, or by `fieldproof pairing start` (after a rehearsal, say).
    start: Literal["now", "later"] = "now"


@dataclass(frozen=True, kw_only=True)
class PocPairing:
    """One pairing with the agreement it names."""

    id: str
    need: str
    startup: str
    agreement: Agreement
    signed: Signatures = field(default_factory=Signatures)
    start: Literal["now", "later"] = "now"


@dataclass(frozen=True, kw_only=True)
class PocFolder:
    """Everything that a folder says, complete and free of contradiction."""

    organisations: tuple[Organisation, ...]
    programme: Programme
    plant: Plant
    needs: tuple[Need, ...]
    pairings: tuple[PocPairing, ...]
    #: What is not wrong and yet worth knowing, such as an outdated encoding.
    notes: tuple[Problem, ...] = ()
    #: The key under which the plant's evidence is signed, where it is to be published.
    plant_key: PublicKey | None = None

    def sealed(
        self, keys: Mapping[Ident, PublicKey], proposed: Mapping[Ident, Agreement] | None = None
    ) -> PocFolder:
        """The folder with its agreements sealing the keys in use, which the plant's owner publishes first.

        Pairings that were `proposed` before, by their ids, keep the keys that they have.
        """
        plant, known = self.plant.id, proposed or {}
        pairings = tuple(
            replace(one, agreement=sealed(one.agreement, plant, keys, proposed=known.get(one.id)))
            for one in self.pairings
        )
        return replace(self, pairings=pairings, plant_key=keys.get(plant))

    def commands(self) -> list[tuple[str, Command]]:
        """What has to be asked, by which party and in which order, for the proof to run."""
        coordinator = self.programme.operators[0]
        owner = self.plant.owner
        asked: list[tuple[str, Command]] = []
        asked += [(OPERATOR, RegisterOrganisation(organisation=one)) for one in self.organisations]
        asked.append((coordinator, OpenProgramme(programme=self.programme)))
        asked.append((owner, AdmitPlant(plant=self.plant)))
        if self.plant_key is not None:
            asked.append((owner, PublishKey(holder=self.plant.id, key=self.plant_key)))
        asked += [(owner, DeclareNeed(need=one)) for one in self.needs]
        for one in self.pairings:
            asked += self._of(one)
        return asked

    def _of(self, one: PocPairing) -> list[tuple[str, Command]]:
        """A pairing is proposed, both sides consent to the very agreement of the folder, and the trial starts."""
        coordinator, owner = self.programme.operators[0], self.plant.owner
        names = {organisation.id: organisation.name for organisation in self.organisations}
        digest = one.agreement.digest()

        def consent(party: str, person: str | None) -> tuple[str, Command]:
            signer = person or names.get(party, party)
            return party, ConsentToAgreement(pairing=one.id, agreement_digest=digest, person=signer)

        proposed = ProposePairing(pairing=one.id, need=one.need, startup=one.startup, agreement=one.agreement)
        steps: list[tuple[str, Command]] = [
            (coordinator, proposed),
            consent(owner, one.signed.manufacturer),
            consent(one.startup, one.signed.startup),
        ]
        if one.start == "now" and not one.agreement.phases.rehearsal_rows:
            steps.append((owner, StartTrial(pairing=one.id)))
        return steps


def read_folder(path: Path) -> PocFolder:
    """Read a folder and check it as a whole.

    Raises:
        FolderProblems: with everything that is wrong, each at its file, line and column.
    """
    if not path.is_dir():
        message = Phrase(
            f"is no folder; make one with `fieldproof init {path}`",
            f"폴더가 아닙니다. `fieldproof init {path}`로 만드세요.",
        )
        raise FolderProblems((Problem(file=str(path), line=1, column=1, path="", message=message),))
    reading = _Reading(path)
    folder = reading.folder()
    problems = [*reading.problems, *folder_problems(reading.raw())]
    if folder is None or problems:
        # Two checks may see the same slip: the reader needs it once.
        once = {(one.file, one.line, one.column, one.path): one for one in reversed(problems)}
        raise FolderProblems(tuple(sorted(once.values(), key=reading.order)))
    return folder


class _Reading:
    """The documents of one folder, and what was wrong with them so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.documents: dict[str, Document] = {}
        self.problems: list[Problem] = []
        self.agreements: dict[str, Agreement | None] = {}

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Files in the order in which they are read, lines from the top."""
        return (list(self.documents).index(problem.file), problem.line, problem.column)

    def folder(self) -> PocFolder | None:
        """The folder's records; None where one that everything hangs on is not there."""
        organisations = _found(self.many(ORGANISATIONS, Organisation))
        programme = self.single(PROGRAMME, Programme)
        plant = self.single(PLANT, Plant)
        needs = _found(self.many(NEED, Need))
        pairings = _found(self.pairings())
        if programme is None or plant is None:
            return None
        return PocFolder(
            organisations=organisations,
            programme=programme,
            plant=plant,
            needs=needs,
            pairings=pairings,
            notes=tuple(note for document in self.documents.values() for note in document.notes),
        )

    def document(self, name: str) -> Document:
        """One file of the folder, read once."""
        if name not in self.documents:
            self.documents[name] = self._open(name)
            self.problems += self.documents[name].problems
        return self.documents[name]

    def _open(self, name: str) -> Document:
        try:
            return read_document((self.path / name).read_bytes(), name)
        except FileNotFoundError:
            message = self._missing(name)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            message = Phrase(f"cannot be read: {why}", f"파일을 읽을 수 없습니다: {why}")
        return Document(file=name, problems=(Problem(file=name, line=1, column=1, path="", message=message),))

    def _missing(self, name: str) -> Phrase:
        """Words for a file that is not there, with the one that may have been meant."""
        spare = {one.name for one in self.path.iterdir()} - {*FIXED, AGREEMENT}
        missing = Phrase("is missing from the folder", "파일이 폴더에 없습니다.")
        close = did_you_mean(name, sorted(spare))
        if close is not NOTHING:
            return missing + close + Phrase(" then rename it", " 그렇다면 이름을 바꾸세요.")
        return missing + Phrase(
            "; `fieldproof init` in a new folder writes an example",
            " 새 폴더에서 `fieldproof init`을 실행하면 예시가 만들어집니다.",
        )

    def single(self, name: str, model: type[R]) -> R | None:
        """The one record of a file."""
        document = self.document(name)
        if not document.readable:
            return None
        keys: Keys = (0,) if isinstance(document.data, list) and len(document.data) == 1 else ()
        record, problems = read_record(model, document, keys)
        self.problems += problems
        return record

    def many(self, name: str, model: type[R]) -> list[R | None]:
        """The records of a file that may hold one or a list."""
        document = self.document(name)
        read = [read_record(model, document, keys) for keys in items(document)]
        self.problems += [problem for _, problems in read for problem in problems]
        if document.readable and not read:
            self.problems.append(
                document.problem(
                    (),
                    Phrase("the list is empty; give at least one", "목록이 비어 있습니다. 하나 이상 쓰세요."),
                )
            )
        return [record for record, _ in read]

    def pairings(self) -> list[PocPairing | None]:
        """The pairings with their agreements; agreements are read even where their pairing is wrong."""
        entries = self.many(PAIRING, PairingEntry)
        found: list[PocPairing | None] = []
        for keys, entry in zip(items(self.documents[PAIRING]), entries, strict=True):
            agreement = self.agreement(keys)
            if entry is None or agreement is None:
                found.append(None)
                continue
            found.append(
                PocPairing(
                    id=entry.id,
                    need=entry.need,
                    startup=entry.startup,
                    agreement=agreement,
                    signed=entry.signed,
                    start=entry.start,
                )
            )
        return found

    def agreement(self, keys: Keys) -> Agreement | None:
        """The agreement that the pairing at a place of `pairing.yaml` names."""
        entry = value_at(self.documents[PAIRING].data, keys)
        name = entry.get("agreement", AGREEMENT) if isinstance(entry, dict) else AGREEMENT
        if not isinstance(name, str) or not name:
            return None
        wrong = self._no_agreement(name)
        if wrong is not None:
            self.problems.append(self.documents[PAIRING].problem((*keys, "agreement"), wrong))
            return None
        if name not in self.agreements:
            self.agreements[name] = self.single(name, Agreement)
        return self.agreements[name]

    def _no_agreement(self, name: str) -> Phrase | None:
        if name in FIXED:
            return Phrase(
                f"{name} holds something else; name the file of an agreement",
                f"{name}은(는) 다른 내용의 파일입니다. 협약 파일 이름을 쓰세요.",
            )
        if Path(name).name != name:
            return Phrase(
                "must be a file in this folder, without a path", "경로 없이 이 폴더 안의 파일 이름만 쓰세요."
            )
        there = sorted(one.name for one in self.path.iterdir() if one.name not in FIXED)
        if name not in there:
            return Phrase(
                f"no file {name} is in this folder", f"{name} 파일이 폴더에 없습니다."
            ) + did_you_mean(name, there)
        return None

    def raw(self) -> Raw:
        """The documents by what they are about, for the checks across files."""
        return Raw(
            organisations=self.documents[ORGANISATIONS],
            programme=self.documents[PROGRAMME],
            plant=self.documents[PLANT],
            need=self.documents[NEED],
            pairing=self.documents[PAIRING],
            agreements=tuple(self.documents[name] for name in self.agreements),
        )


def _found(records: list[T | None]) -> tuple[T, ...]:
    return tuple(one for one in records if one is not None)
