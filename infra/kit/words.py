"""The kit's README, in English and Korean: the same sections, tables and commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.kit.sample import EXTRACT, Handed, by_partition, columns_of
from infra.words.language import NOTHING, Lang, Phrase
from schemas.agreement import Agreement, Task
from schemas.pairing import Pairing
from schemas.parties import Plant

_SIMULATED = Phrase("**The plant is simulated.**", "**모의(simulated) 공장입니다.**")
_COLUMNS = Phrase("| input | unit (UCUM) | meaning |", "| 입력값 | 단위(UCUM) | 의미 |")
_SCHEMA = Phrase(
    "`schema.json` has the same for programs, with the limits and what is accepted.",
    "`schema.json`에 같은 내용과 한도, 합격 기준이 있습니다.",
)
_NUMBER = Phrase("For every row a number{unit}", "행마다 숫자{unit}로 답합니다")
_ANSWERS = {
    Task.ANOMALY: Phrase(
        "For every row the name of a class ({classes}), or 0 for the first and 1 for the second",
        "행마다 클래스 이름({classes}), 또는 첫째는 0, 둘째는 1로 답합니다",
    ),
    Task.CLASSIFICATION: Phrase(
        "For every row the name of a class: {classes}", "행마다 클래스 이름({classes})으로 답합니다"
    ),
    Task.REGRESSION: _NUMBER,
    Task.FORECASTING: _NUMBER,
    Task.RUL: _NUMBER,
}
_ABSTAINS = Phrase("; not-a-number abstains.", ". NaN은 기권입니다.")
_STEPS = Phrase(
    "`train.py` and `first-model.ipynb` are the same first model. Save your own with a signature, as they do; "
    "`predict` takes a table with these columns and gives one answer a row.",
    "`train.py`와 `first-model.ipynb`는 같은 첫 모델입니다. 직접 만든 모델도 이처럼 서명과 함께 저장하세요. `predict`는 "
    "이 열들의 표를 받아 행마다 답 하나를 냅니다.",
)
_RECORD = Phrase("| what was handed over | |", "| 제공 기록 | |")
_KEEP = Phrase(
    "Both sides keep this record: it says which data a model was trained on. The saved model carries the SHA-256 of the "
    "data that it learnt from (`metadata: training_data_sha256` in its `MLmodel` file).",
    "양측은 이 기록을 보관하세요. 모델이 어떤 데이터로 학습했는지 알 수 있습니다. 저장된 모델의 `MLmodel` 파일에도 학습 데이터의 "
    "SHA-256이 있습니다(`metadata: training_data_sha256`).",
)
_NO_FILE = Phrase("No data is in this folder: ", "이 폴더에는 데이터가 없습니다. ")


def readme(pairing: Pairing, plant: Plant, given: Handed | Phrase, lang: Lang) -> str:
    """`README.md` or `README.ko.md`; `given` is what was handed over, or why nothing was."""
    agreement = pairing.agreement
    parts = [
        f"# {pairing.id}",
        f"{plant.name}: {agreement.target} ({agreement.task})",
        *([_SIMULATED.to(lang)] if plant.simulated else []),
        "## " + Phrase("What a model is given", "모델이 받는 것").to(lang),
        "\n".join([_COLUMNS.to(lang), "| --- | --- | --- |", *_inputs(agreement, plant)]),
        _SCHEMA.to(lang),
        "## " + Phrase("What it answers", "모델이 답하는 것").to(lang),
        _answer(agreement).to(lang),
        "## " + Phrase("Training data", "학습 데이터").to(lang),
        *(one.to(lang) for one in _data(pairing, given)),
        "## " + Phrase("From here to a candidate", "후보 모델 제출까지").to(lang),
        _STEPS.to(lang),
        f"```sh\n{_commands(pairing)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _inputs(agreement: Agreement, plant: Plant) -> Iterator[str]:
    tags = {tag.name: tag for tag in plant.tags}
    for name in agreement.inputs:
        tag = tags[name]
        yield f"| {_cell(name)} | {_cell(tag.unit)} | {_cell(tag.description or '')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _answer(agreement: Agreement) -> Phrase:
    said = _ANSWERS[agreement.task] + _ABSTAINS
    fill = {
        "classes": ", ".join(agreement.classes),
        "unit": f" ({agreement.unit})" if agreement.unit else "",
    }
    return Phrase(said.en.format(**fill), said.ko.format(**fill))


def _data(pairing: Pairing, given: Handed | Phrase) -> Iterator[Phrase]:
    if isinstance(given, Phrase):
        stop = "" if given.en.endswith(".") else "."
        yield _NO_FILE + given + Phrase(stop, "")
        return
    yield _what(pairing.agreement, given)
    yield _RECORD + Phrase("\n| --- | --- |\n", "\n| --- | --- |\n") + _table(_record(pairing, given))
    yield _KEEP


def _what(agreement: Agreement, given: Handed) -> Phrase:
    if given.file != EXTRACT:
        return Phrase(
            f"`{given.file}` has statistics of the newest rows from before the first rehearsal or trial, and no row of "
            "data. Nothing is told of fewer than 30 values.",
            f"`{given.file}`에는 첫 예행·실증 이전 최신 행의 통계만 있고 데이터 행은 없습니다. 값이 30개보다 적으면 통계도 "
            "제공하지 않습니다.",
        )
    asset, label = columns_of(agreement)
    return Phrase(
        f"`{given.file}` has the newest rows of the agreed assets from before the first rehearsal or trial: `ts`, "
        f"`{asset}`, the inputs, and `{label}` where the label is known. It is UTF-8; what is missing is empty.",
        f"`{given.file}`에는 첫 예행·실증 이전에 들어온 협약 설비의 최신 행이 있습니다. 열은 `ts`, `{asset}`, 입력값들, "
        f"그리고 라벨이 알려진 행의 `{label}`입니다. UTF-8이며 빈 칸은 값이 없다는 뜻입니다.",
    )


def _record(pairing: Pairing, given: Handed) -> Iterator[tuple[Phrase, str]]:
    yield Phrase("under the agreement, SHA-256", "협약의 SHA-256"), f"`{pairing.agreement_digest}`"
    yield Phrase("rows, of them labelled", "행, 그중 라벨 있음"), f"{given.rows}, {given.labelled}"
    yield Phrase(f"SHA-256 of `{given.file}`", f"`{given.file}`의 SHA-256"), f"`{given.sha256}`"
    yield (
        Phrase("telemetry, offsets from and before, by partition", "데이터 오프셋(이상, 미만), 파티션별"),
        "; ".join(f"{partition}: {first}, {end}" for partition, (first, end) in given.telemetry.items()),
    )
    yield (
        Phrase("labels, offsets before, by partition", "라벨 오프셋(미만), 파티션별"),
        by_partition(given.labels),
    )
    if given.unreadable:
        yield Phrase("left out, not readable", "읽을 수 없어 제외"), _counts(given.unreadable)
    if given.repeated:
        yield Phrase("left out, sent twice", "두 번 보내져 제외"), str(given.repeated)


def _table(rows: Iterator[tuple[Phrase, str]]) -> Phrase:
    listed = [Phrase(f"| {name.en} | {value} |\n", f"| {name.ko} | {value} |\n") for name, value in rows]
    found = sum(listed, start=NOTHING)
    return Phrase(found.en.rstrip(), found.ko.rstrip())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())


def _commands(pairing: Pairing) -> str:
    lines = (
        "python train.py",
        f"fieldproof candidate submit {pairing.id} my-model",
        f"fieldproof pairing show {pairing.id}",
        f"fieldproof feed {pairing.startup}",
    )
    return "".join(f"{line}\n" for line in lines)
