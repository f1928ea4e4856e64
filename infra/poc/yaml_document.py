"""YAML as plain values that remember where they stand in their file; what is wrong is a value too.

Built on the parser's nodes: they keep line and column of every key and value, the text as it was typed and
keys that are given twice, all of which constructed values lose.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from infra.words.language import Phrase

#: Steps from the top of a document to a value: names of fields and positions in lists.
Keys = tuple[str | int, ...]

#: More than any description of a trial has; the parser is slow, and what it reads may be anything.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_VALUES = 20_000

_TAG = "tag:yaml.org,2002:"
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Place:
    """A line and a column, both counted from 1."""

    line: int
    column: int


TOP = Place(1, 1)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: where it stands, and what to do about it."""

    file: str
    line: int
    column: int
    #: The field, such as `tags[2].unit`; empty for the file as a whole.
    path: str
    message: Phrase

    def __str__(self) -> str:
        return self.text(str(self.message))

    def text(self, message: str) -> str:
        """The problem on one line, in the form that editors can jump to."""
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{message}"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One file: its values as dict, list, str, int, float, bool and None, and where each of them stands."""

    file: str
    #: False where the text is no YAML or has no content: `data` says nothing then.
    readable: bool = False
    data: Any = None
    #: Where a value stands, and where the key before it does.
    values: Mapping[Keys, Place] = field(default_factory=dict)
    names: Mapping[Keys, Place] = field(default_factory=dict)
    #: Numbers and booleans as they were typed.
    typed: Mapping[Keys, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    #: What is not wrong and yet worth knowing.
    notes: tuple[Problem, ...] = ()

    def problem(self, keys: Keys, message: Phrase, *, at_name: bool = False) -> Problem:
        """A problem at a value, or at the key before it; where there is none, at what would hold it."""
        known = keys
        while known and known not in self.values:
            known = known[:-1]
        place = self.values.get(known, TOP)
        if at_name or known != keys:
            place = self.names.get(known, place)
        return _problem(self.file, place, message, path=path_text(keys))


def path_text(keys: Keys) -> str:
    """The steps to a value as people write them: `tags[2].unit`, lists counted from 0."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _problem(file: str, place: Place, message: Phrase, *, path: str = "") -> Problem:
    return Problem(file=file, line=place.line, column=place.column, path=path, message=message)


def read_document(raw: bytes, file: str) -> Document:
    """Read one YAML file; never raises on any bytes."""
    if len(raw) > MAX_BYTES:
        message = Phrase(
            f"is larger than {MAX_BYTES // 1024} KiB; a description of a trial is not: is it the right file?",
            f"파일이 {MAX_BYTES // 1024} KiB보다 큽니다. 올바른 파일인지 확인하세요.",
        )
        return Document(file=file, problems=(_problem(file, TOP, message),))
    text, notes = _decode(raw, file)
    if text is None:
        return Document(file=file, problems=notes)
    problems = _control_characters(text, file)
    if problems:
        return Document(file=file, problems=problems, notes=notes)
    return _parse(text, file, notes)


def _decode(raw: bytes, file: str) -> tuple[str | None, tuple[Problem, ...]]:
    """The text and notes on it; None and the problem where it is in no known encoding."""
    try:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            return raw.decode("utf-16"), ()
        return raw.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        place = _place_in(raw[: error.start].decode("latin-1"))
    try:
        text = raw.decode("cp949")
    except UnicodeDecodeError:
        message = Phrase(
            "is not UTF-8 text from here on; save the file as UTF-8",
            "여기부터 UTF-8 글자가 아닙니다. 파일을 UTF-8로 저장하세요.",
        )
        return None, (_problem(file, place, message),)
    note = Phrase(
        "was read as CP949; better save it as UTF-8", "CP949로 읽었습니다. UTF-8로 저장하는 것이 좋습니다."
    )
    return text, (_problem(file, place, note),)


def _place_in(before: str) -> Place:
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _control_characters(text: str, file: str) -> tuple[Problem, ...]:
    found = _CONTROL.search(text)
    if found is None:
        return ()
    code = f"U+{ord(found.group()):04X}"
    message = Phrase(
        f"an invisible character ({code}) stands here; delete it, and check that this is a text file",
        f"보이지 않는 문자({code})가 있습니다. 지우고, 텍스트 파일인지 확인하세요.",
    )
    return (_problem(file, _place_in(text[: found.start()]), message),)


def _parse(text: str, file: str, notes: tuple[Problem, ...]) -> Document:
    try:
        with warnings.catch_warnings():
            # YAML lets an anchor be given again; the reader of a proof need not hear of it.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            node = YAML(typ="rt", pure=True).compose(text)
    except RecursionError:
        return Document(file=file, problems=(_problem(file, TOP, _TOO_DEEP),), notes=notes)
    except MarkedYAMLError as error:
        return Document(file=file, problems=_syntax_problems(text, file, error), notes=notes)
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # The parser slips on some texts that are no YAML, with whatever its code ran into.
        message = Phrase(
            f"is not readable as YAML ({type(error).__name__}); start from a file of `fieldproof init`",
            f"YAML로 읽을 수 없습니다({type(error).__name__}). `fieldproof init` 예시에서 시작하세요.",
        )
        return Document(file=file, problems=(_problem(file, TOP, message),), notes=notes)
    if node is None:
        message = Phrase(
            "is empty; `fieldproof init` in a new folder shows what belongs here",
            "파일이 비어 있습니다. 새 폴더에서 `fieldproof init`을 실행하면 예시를 볼 수 있습니다.",
        )
        return Document(file=file, problems=(_problem(file, TOP, message),), notes=notes)
    return _Plain(file).document(node, notes)


_TOO_DEEP = Phrase(
    "is nested too deeply; look for a bracket that is not closed",
    "너무 깊게 중첩되어 있습니다. 닫히지 않은 괄호가 있는지 확인하세요.",
)


def _syntax_problems(text: str, file: str, error: MarkedYAMLError) -> tuple[Problem, ...]:
    """The tabs, where tabs stand before a line's first word, else what the parser says."""
    tabs = [_place_in(text[: found.end() - 1]) for found in _TAB_INDENT.finditer(text)]
    if tabs:
        message = Phrase(
            "a tab stands here; indent with spaces", "탭 문자가 있습니다. 들여쓰기는 공백으로 하세요."
        )
        return tuple(_problem(file, place, message) for place in tabs[:20])
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark is not None else TOP
    return (_problem(file, place, _syntax_words(str(error.problem or error.context or "is not YAML"))),)


def _syntax_words(said: str) -> Phrase:
    for part, phrase in _SYNTAX.items():
        if part in said:
            return phrase
    return Phrase(
        f"is not valid YAML: {said}; look at this line and the one before it",
        f"YAML 문법 오류: {said}. 이 줄과 앞 줄을 확인하세요.",
    )


_SYNTAX = {
    "mapping values are not allowed": Phrase(
        "a colon where none can be: put the text in quotes, or check the indentation of this line",
        "콜론(:)이 올 수 없는 자리입니다. 글을 따옴표로 감싸거나 들여쓰기를 확인하세요.",
    ),
    "cannot start any token": Phrase(
        "a value cannot begin with this character; put the value in quotes",
        "이 문자로 값을 시작할 수 없습니다. 값을 따옴표로 감싸세요.",
    ),
    "could not find expected ':'": Phrase(
        "a `name: value` was expected before here; a colon is missing, or the indentation is wrong",
        "`이름: 값` 형식이 필요합니다. 콜론(:)이 빠졌거나 들여쓰기가 잘못되었습니다.",
    ),
    "unexpected end of stream": Phrase("a quote is not closed", "따옴표가 닫히지 않았습니다."),
    "undefined alias": Phrase(
        "`*name` refers to nothing; put the value in quotes if it begins with a star",
        "`*이름`이 가리키는 것이 없습니다. 별표로 시작하는 값은 따옴표로 감싸세요.",
    ),
    "another document": Phrase(
        "one file holds one document: remove this `---`", "파일 하나에 문서 하나만: 이 `---`를 지우세요."
    ),
    "expected <block end>": Phrase(
        "this line does not line up with those above it; check its indentation",
        "윗줄과 들여쓰기가 맞지 않습니다. 들여쓰기를 확인하세요.",
    ),
    "expected ',' or": Phrase(
        "a comma or a closing bracket is missing before here", "앞에 쉼표나 닫는 괄호가 빠졌습니다."
    ),
}


class _TooMuch(Exception):
    """Aliases that multiply, or values without end."""


class _Plain:
    """Turns the parser's nodes into plain values and notes where they stand."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Keys, Place] = {}
        self.names: dict[Keys, Place] = {}
        self.typed: dict[Keys, str] = {}
        self.problems: list[Problem] = []

    def document(self, node: Node, notes: tuple[Problem, ...]) -> Document:
        try:
            data = self.value(node, ())
        except _TooMuch:
            return Document(file=self.file, problems=(_problem(self.file, TOP, _TOO_DEEP),), notes=notes)
        return Document(
            file=self.file,
            readable=True,
            data=data,
            values=self.values,
            names=self.names,
            typed=self.typed,
            problems=tuple(self.problems),
            notes=notes,
        )

    def value(self, node: Node, keys: Keys) -> Any:
        if len(keys) > MAX_DEPTH or len(self.values) > MAX_VALUES:
            raise _TooMuch
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, ScalarNode) and node.value == "" and keys in self.names:
            # The mark of an empty value is that of whatever follows.
            place = self.names[keys]
        self.values[keys] = place
        self.check_tag(node, keys)
        if isinstance(node, MappingNode):
            return self.mapping(node, keys)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, keys)

    def check_tag(self, node: Node, keys: Keys) -> None:
        if str(node.tag).startswith(_TAG):
            return
        message = Phrase(
            f"the tag {node.tag} is not used here; put the value in quotes if it begins with `!`",
            f"{node.tag} 태그는 쓰지 않습니다. `!`로 시작하는 값은 따옴표로 감싸세요.",
        )
        self.problems.append(_problem(self.file, self.values[keys], message, path=path_text(keys)))

    def mapping(self, node: MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, value in node.value:
            place = Place(name.start_mark.line + 1, name.start_mark.column + 1)
            if not isinstance(name, ScalarNode) or str(name.tag) == _TAG + "merge":
                message = Phrase(
                    "a plain field name was expected here; write the fields out",
                    "여기에는 일반 항목 이름이 필요합니다. 항목을 직접 쓰세요.",
                )
                self.problems.append(_problem(self.file, place, message, path=path_text(keys)))
                continue
            inner = (*keys, name.value)
            if name.value in data:
                line = self.names[inner].line
                message = Phrase(
                    f"is given twice, first on line {line}; remove one of them",
                    f"같은 항목이 두 번 있습니다(처음: {line}번째 줄). 하나를 지우세요.",
                )
                self.problems.append(_problem(self.file, place, message, path=path_text(inner)))
                continue
            self.names[inner] = place
            data[name.value] = self.value(value, inner)
        return data

    def scalar(self, node: Node, keys: Keys) -> Any:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind not in ("bool", "int", "float"):
            # Dates stay text: the records read them where they expect them.
            return text
        self.typed[keys] = text
        if kind == "bool":
            return text.lower() in ("true", "yes", "on", "y")
        return _number(text, kind)


def _number(text: str, kind: str) -> int | float | str:
    digits = text.replace("_", "").lower()
    try:
        if kind == "int":
            return int(digits, {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2], 10))
        return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        # Too many digits, or a number of YAML 1.1 only: whoever expects a number will say so.
        return text
