"""Reading the SKAB folder: real recordings of a water-circulation bench, labelled row by row.

SKAB (Skoltech Anomaly Benchmark, GPL-3.0) is read where it lies and never becomes part of the project.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TAGS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
FOLDERS = ("other", "valve1", "valve2")
#: Rows at the start of each file on which a detector is fitted; the rest are scored.
TRAIN_ROWS = 400


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One labelled file of SKAB."""

    #: Folder and number, such as `valve1-0`.
    asset: str
    #: Microseconds since 1970, shape (n,); the files' naive times are taken as UTC.
    ts: NDArray[np.int64]
    #: Shape (n, 8), in the order of TAGS.
    values: NDArray[np.float64]
    #: Shape (n,).
    anomaly: NDArray[np.bool_]

    @property
    def train(self) -> NDArray[np.float64]:
        """The values of the first TRAIN_ROWS rows."""
        return self.values[:TRAIN_ROWS]

    @property
    def test(self) -> NDArray[np.float64]:
        """The values of the rows that are scored."""
        return self.values[TRAIN_ROWS:]


def default_folder() -> Path:
    """Where SKAB is looked for: `$FIELDPROOF_DATA/skab`, else `../shared/data/skab` seen from the project."""
    shared = os.environ.get("FIELDPROOF_DATA")
    root = Path(shared) if shared else Path(__file__).parents[3] / "shared" / "data"
    return root / "skab"


def read_folder(folder: Path) -> tuple[Recording, ...]:
    """Read the labelled files of `folder` (or of its `data`), without the anomaly-free one, by number.

    Raises FileNotFoundError where none is found, ValueError where a file lacks a column.
    """
    base = folder / "data" if (folder / "data").is_dir() else folder
    files = [file for name in FOLDERS for file in sorted((base / name).glob("*.csv"), key=_number)]
    if not files:
        raise FileNotFoundError(
            f"no SKAB recordings under {folder}: give the folder that holds {', '.join(FOLDERS)} "
            "(data/ of github.com/waico/SKAB)"
        )
    return tuple(read_file(file) for file in files)


def read_file(file: Path) -> Recording:
    """Read one labelled file. Raises ValueError where it lacks a column."""
    rows = pd.read_csv(file, sep=";", parse_dates=["datetime"])
    missing = {"datetime", "anomaly", *TAGS} - set(rows.columns)
    if missing:
        raise ValueError(f"{file} is not a labelled SKAB file: it lacks {', '.join(sorted(missing))}")
    return Recording(
        asset=f"{file.parent.name}-{file.stem}",
        ts=rows["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64),
        values=np.ascontiguousarray(rows[list(TAGS)].to_numpy(np.float64)),
        anomaly=rows["anomaly"].to_numpy(np.float64) > 0,
    )


def _number(file: Path) -> tuple[int, str]:
    return (int(file.stem) if file.stem.isdigit() else 1_000_000, file.stem)
