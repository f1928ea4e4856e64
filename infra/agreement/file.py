"""An agreement read from its YAML file, with what is wrong at its line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.errors import InfraError
from infra.poc.record_reading import read_record
from infra.poc.yaml_document import Document, Keys, Problem, read_document
from infra.words.language import Lang, Phrase
from schemas.agreement import Agreement

#: Its name in the folder of a proof.
AGREEMENT = "agreement.yaml"


class AgreementWrong(InfraError):
    """The file holds no agreement yet: something in it is wrong."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)) or None)

    def lines(self, lang: Lang) -> list[str]:
        """The problems in that language, one a line."""
        return [one.text(one.message.to(lang)) for one in self.problems]


@dataclass(frozen=True, kw_only=True)
class AgreementFile:
    """An agreement and the document that it stands in."""

    agreement: Agreement
    document: Document
    #: Where in the document it stands.
    keys: Keys


def read_agreement(path: Path) -> AgreementFile:
    """Read an agreement from its file, or from the folder of a proof that has it under the usual name.

    Raises:
        AgreementWrong: with everything that is wrong, each at its line and column.
    """
    file = path / AGREEMENT if path.is_dir() else path
    document = _document(file)
    if not document.readable:
        raise AgreementWrong(document.problems)
    keys: Keys = (0,) if isinstance(document.data, list) and len(document.data) == 1 else ()
    agreement, problems = read_record(Agreement, document, keys)
    if agreement is None or document.problems:
        every = {(one.line, one.column, one.path): one for one in (*problems, *document.problems)}
        raise AgreementWrong(tuple(every[place] for place in sorted(every)))
    return AgreementFile(agreement=agreement, document=document, keys=keys)


def _document(file: Path) -> Document:
    try:
        return read_document(file.read_bytes(), str(file))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        message = Phrase(f"cannot be read: {why}", f"파일을 읽을 수 없습니다: {why}")
        problem = Problem(file=str(file), line=1, column=1, path="", message=message)
        raise AgreementWrong((problem,)) from error
