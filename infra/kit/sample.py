"""The sample that an agreement allows, as a file: an extract with rows, or statistics without any.

The extract is CSV and not Parquet: people open it in whatever they have, and a hundred thousand rows of eight inputs are
some 15 MB. It begins with a byte order mark, so that spreadsheets read Korean names right.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from infra.kit.history import History
from infra.words.language import Phrase
from models.exact import published
from schemas.agreement import Agreement
from schemas.base import Digest, Offsets
from schemas.pairing import Pairing
from schemas.parties import Plant
from streams.frames import TS, TS_TYPE

EXTRACT, STATISTICS = "extract.csv", "statistics.json"

#: Of fewer rows no statistic is given: it would be the data itself.
LEAST_ROWS = 30

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_TOO_FEW = Phrase(
    f"fewer than {LEAST_ROWS} values: a statistic of a handful is the data itself",
    f"값이 {LEAST_ROWS}개보다 적습니다. 몇 개 안 되는 값의 통계는 데이터 자체와 같아 제공하지 않습니다.",
)
_RARE = Phrase(
    f"a class occurs in fewer than {LEAST_ROWS} labelled rows: shares would tell of single rows",
    f"라벨된 행이 {LEAST_ROWS}개보다 적은 클래스가 있습니다. 비율이 개별 행을 드러낼 수 있어 제공하지 않습니다.",
)
_ABOUT = Phrase(
    "Statistics of the newest rows from before the first rehearsal or trial; no row of data. `missing` counts what is "
    "no finite number. Standard deviations are of a sample (n - 1), quantiles interpolated; 9 digits.",
    "첫 예행·실증 이전 최신 행의 통계이며 데이터 행은 들어 있지 않습니다. `missing`은 유한한 수가 아닌 값의 개수, 표준편차는 "
    "표본 표준편차(n - 1), 분위수는 보간값, 유효숫자 9자리입니다.",
)


@dataclass(frozen=True, kw_only=True)
class Handed:
    """The record of what was handed over, so that both sides can say which data a model was trained on."""

    file: str
    rows: int
    #: Rows whose label was known.
    labelled: int
    #: SHA-256 of the file.
    sha256: Digest
    #: By partition of the plant's telemetry, the first offset that was handed over and the first that was not any more.
    telemetry: Mapping[int, tuple[int, int]]
    #: By partition of the plant's labels, the first offset that was not read any more.
    labels: Offsets
    #: What lay between and could not be read, by reason, and frames that had been sent twice.
    unreadable: Mapping[str, int]
    repeated: int

    def __str__(self) -> str:
        until = {partition: end for partition, (_, end) in self.telemetry.items()}
        return (
            f"{self.file}: {self.rows} rows, {self.labelled} labelled; telemetry before {by_partition(until)}; "
            f"labels before {by_partition(self.labels)}; SHA-256 {self.sha256}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)


def by_partition(offsets: Offsets) -> str:
    """Offsets for people: `0: 42; 1: 7`."""
    return "; ".join(f"{partition}: {offset}" for partition, offset in offsets.items())


def columns_of(agreement: Agreement) -> tuple[str, str]:
    """What the extract calls the machine and the truth: `asset` and `label`, where no input is called so."""

    def free(name: str) -> str:
        return free(name + "_") if name in agreement.inputs else name

    return free("asset"), free("label")


def write_sample(directory: Path, pairing: Pairing, plant: Plant, history: History) -> Handed:
    """Write the sample that the agreement allows into a directory that is there."""
    if pairing.agreement.training_data == "extract":
        path = directory / EXTRACT
        _write_extract(path, pairing.agreement, history)
    else:
        path = directory / STATISTICS
        told = statistics(pairing, plant, history)
        text = json.dumps(told, ensure_ascii=False, indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Handed(
        file=path.name,
        rows=history.rows,
        labelled=history.labelled,
        sha256=digest,
        telemetry=history.telemetry,
        labels=history.labels,
        unreadable=history.unreadable,
        repeated=history.repeated,
    )


def _write_extract(path: Path, agreement: Agreement, history: History) -> None:
    asset, label = columns_of(agreement)
    times = pa.array(history.times_us).cast(TS_TYPE)
    columns: dict[str, pa.Array[Any]] = {
        TS: pc.strftime(times, format="%Y-%m-%dT%H:%M:%SZ"),
        asset: pa.array(history.asset.astype(object), type=pa.string()),
    }
    for name, values in zip(agreement.inputs, history.values.T, strict=True):
        columns[name] = pa.array(values, from_pandas=True)
    columns[label] = _labels(agreement, history.truth)
    with path.open("wb") as file:
        file.write(codecs.BOM_UTF8)
        csv.write_csv(pa.table(columns), file)


def _labels(agreement: Agreement, truth: np.ndarray) -> pa.Array[Any]:
    """Names of classes, or numbers in regression; nothing where the label is unknown."""
    if agreement.task.numeric:
        numbers: pa.Array[Any] = pa.array(truth, from_pandas=True)
        return numbers
    names = [None if math.isnan(code) else agreement.classes[int(code)] for code in truth]
    return pa.array(names, type=pa.string())


def statistics(pairing: Pairing, plant: Plant, history: History) -> dict[str, Any]:
    """What may be told of the rows without giving any of them away."""
    agreement = pairing.agreement
    units = {tag.name: tag.unit for tag in plant.tags}
    told: dict[str, Any] = {
        "pairing": pairing.id,
        "agreement_digest": pairing.agreement_digest,
        "simulated": plant.simulated,
        "about": _both(_ABOUT),
        "least_rows": LEAST_ROWS,
        "inputs": [
            {"name": name, "unit": units.get(name, "1"), **_summary(values)}
            for name, values in zip(agreement.inputs, history.values.T, strict=True)
        ],
    }
    if history.rows < LEAST_ROWS:
        return {**told, "inputs": [], "withheld": _both(_TOO_FEW)}
    labels = _summary(history.truth) if agreement.task.numeric else _shares(agreement, history)
    return {**told, "rows": history.rows, "labels": labels}


def _summary(values: np.ndarray) -> dict[str, Any]:
    """Of float64 values, shape (n,); what is not finite is missing."""
    known = values[np.isfinite(values)]
    if known.size < LEAST_ROWS:
        return {"withheld": _both(_TOO_FEW)}
    # Numbers near the end of the range have sums beyond it: then there is no mean to tell.
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = np.quantile(known, QUANTILES)
        return {
            "count": int(known.size),
            "missing": int(values.size - known.size),
            "mean": _number(known.mean()),
            "standard_deviation": _number(known.std(ddof=1)),
            "min": _number(known.min()),
            "max": _number(known.max()),
            "quantiles": {
                str(share): _number(value) for share, value in zip(QUANTILES, quantiles, strict=True)
            },
        }


def _shares(agreement: Agreement, history: History) -> dict[str, Any]:
    known = history.truth[~np.isnan(history.truth)]
    if known.size < LEAST_ROWS:
        return {"withheld": _both(_TOO_FEW)}
    counts = np.bincount(known.astype(np.int64), minlength=len(agreement.classes))
    if ((counts > 0) & (counts < LEAST_ROWS)).any():
        return {"withheld": _both(_RARE)}
    shares = {
        name: _number(count / known.size) for name, count in zip(agreement.classes, counts, strict=True)
    }
    return {"count": int(known.size), "missing": history.rows - int(known.size), "shares": shares}


def _number(value: float) -> float | None:
    return published(float(value)) if math.isfinite(value) else None


def _both(phrase: Phrase) -> dict[str, str]:
    return {"en": phrase.en, "ko": phrase.ko}
