"""The folder that `fieldproof init` writes: a complete example in commented YAML, ready to be changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from infra.errors import InfraError
from infra.words.language import Phrase
from schemas.agreement import Task


class FolderNotWritten(InfraError):
    """The example cannot be written there."""

    exit_code = 2

    def __init__(self, phrase: Phrase) -> None:
        self.phrase = phrase
        super().__init__(str(phrase))


@dataclass(frozen=True, kw_only=True)
class ExampleTag:
    """A channel of the example."""

    name: str
    unit: str = "1"
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Example:
    """What differs from one task to another."""

    pairing: str
    need: str
    asset: str
    title: str
    description: str
    #: What is predicted where answers are numbers, and its unit.
    target: str = ""
    unit: str = ""


_EXAMPLES = {
    Task.ANOMALY: _Example(
        pairing="pump-2026-01",
        need="pump-faults",
        asset="pump-1",
        title="Find pump faults before the line stops (펌프 이상 조기 감지)",
        description="A valve that closes or a worn rotor shows up hours before the stop, and nobody watches.",
    ),
    Task.CLASSIFICATION: _Example(
        pairing="press-2026-01",
        need="press-state",
        asset="press-1",
        title="Tell the state of the press (프레스 상태 분류)",
        description="Running, worn or failed is decided by walking past once a shift.",
    ),
    Task.REGRESSION: _Example(
        pairing="coating-2026-01",
        need="coating-thickness",
        asset="coater-1",
        title="Tell the coating's thickness without measuring it (코팅 두께 가상 계측)",
        description="One part in fifty is measured, an hour after it was coated.",
        target="coating thickness",
        unit="um",
    ),
    Task.FORECASTING: _Example(
        pairing="furnace-2026-01",
        need="furnace-load",
        asset="furnace-1",
        title="Forecast the furnace's load an hour ahead (용해로 부하 1시간 전 예측)",
        description="Peaks of the load are seen when they are there, and paid for the whole year.",
        target="load in an hour",
        unit="kW",
    ),
    Task.RUL: _Example(
        pairing="spindle-2026-01",
        need="spindle-life",
        asset="spindle-1",
        title="Foresee the remaining life of the spindle (스핀들 잔여 수명 예측)",
        description="Spindles are changed by the calendar, too early or too late.",
        target="remaining life",
        unit="h",
    ),
}

EXAMPLE_TAGS = (
    ExampleTag(name="Pressure", unit="bar", description="Outlet pressure (토출 압력)"),
    ExampleTag(name="Current", unit="A", description="Motor current (모터 전류)"),
    ExampleTag(name="Temperature", unit="Cel", description="Bearing temperature (베어링 온도)"),
    ExampleTag(name="Vibration", unit="mm/s", description="Vibration velocity, RMS (진동 속도)"),
)


def poc_files(
    task: Task,
    tags: Sequence[ExampleTag] = EXAMPLE_TAGS,
    assets: Sequence[str] = (),
    *,
    name: str | None = None,
) -> dict[str, str]:
    """The example's files by name, with the task's own asset where none is given.

    All ids begin with `name` where one is given, so that several folders go into one installation.
    """
    example = _EXAMPLES[task]
    machines = [_text(machine) for machine in assets or (example.asset,)]
    fill = {
        "example": name or "example",
        "pairing": f"{name}-2026-01" if name else example.pairing,
        "need": f"{name}-need" if name else example.need,
        "title": _text(example.title),
        "description": _text(example.description),
        "assets": "\n".join(f"  - name: {one}" for one in machines),
        "tags": "\n".join(map(_tag, tags)),
    }
    agreement = {
        "assets": f" [{machines[0]}]" if len(machines) == 1 else "".join(f"\n  - {one}" for one in machines),
        "inputs": "\n".join(f"  - {_text(tag.name)}" for tag in tags),
        "task": str(task),
        "target": example.target,
        "unit": example.unit,
    }
    kind = "numbers" if task.numeric else task
    return {
        "organisations.yaml": _filled("organisations.yaml", fill),
        "programme.yaml": _filled("programme.yaml", fill),
        "plant.yaml": _filled("plant.yaml", fill),
        "need.yaml": _filled("need.yaml", fill),
        "agreement.yaml": _filled(f"agreement-{kind}.yaml", agreement),
        "pairing.yaml": _filled("pairing.yaml", fill),
    }


def write_folder(
    directory: Path,
    task: Task,
    tags: Sequence[ExampleTag] = EXAMPLE_TAGS,
    assets: Sequence[str] = (),
    *,
    name: str | None = None,
) -> list[Path]:
    """Write the example into a new or empty folder.

    Raises:
        FolderNotWritten: something is there already, or the disk refuses; nothing is ever overwritten.
    """
    contents = poc_files(task, tags, assets, name=name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        there = sorted(one.name for one in directory.iterdir() if not one.name.startswith("."))
        if there:
            raise FolderNotWritten(_in_use(directory, there))
        for file_name, text in contents.items():
            with (directory / file_name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        why = error.strerror or str(error)
        message = Phrase(
            f"{directory} cannot be written: {why}; choose another folder",
            f"{directory}에 쓸 수 없습니다({why}). 다른 폴더를 고르세요.",
        )
        raise FolderNotWritten(message) from error
    return [directory / file_name for file_name in contents]


def _in_use(directory: Path, there: Sequence[str]) -> Phrase:
    some = ", ".join(there[:3]) + (", …" if len(there) > 3 else "")
    return Phrase(
        f"{directory} is not empty ({some}); choose a new folder, or change the files that are there "
        f"and run `fieldproof apply {directory}`",
        f"{directory} 폴더가 비어 있지 않습니다({some}). 새 폴더를 고르거나, 있는 파일을 고친 뒤 "
        f"`fieldproof apply {directory}`를 실행하세요.",
    )


def _filled(name: str, fill: dict[str, str]) -> str:
    text = (files("infra.poc") / "templates" / name).read_text(encoding="utf-8")
    return Template(text).substitute(fill)


def _tag(tag: ExampleTag) -> str:
    lines = [f"  - name: {_text(tag.name)}", f"    unit: {_text(tag.unit)}"]
    if tag.description is not None:
        lines.append(f"    description: {_text(tag.description)}")
    return "\n".join(lines)


def _text(value: str) -> str:
    """A value as YAML text: bare where that is safe, else in double quotes, which YAML reads as JSON does."""
    safe = (
        value[:1].isalpha()
        and value.replace(" ", "").replace("-", "").replace("/", "").replace("_", "").isalnum()
    )
    bare = (
        safe
        and value == value.strip()
        and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    )
    return value if bare else json.dumps(value, ensure_ascii=False)
