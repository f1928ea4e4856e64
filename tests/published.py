"""Results that others have published, and the public recordings that they are of, read where they lie.

The recordings never become part of the project. Truths and tables are written down here once more: the platform's own
constants are no witness for the platform.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR

from infra.skab.files import TRAIN_ROWS, read_folder

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("FIELDPROOF_DATA") or ROOT.parent / "shared" / "data")


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips what cannot be tested without these folders of recordings."""
    missing = [name for name in names if not (DATA / name).is_dir()]
    reason = f"no {' and no '.join(missing)} in {DATA}: set FIELDPROOF_DATA to their parent"
    return pytest.mark.skipif(bool(missing), reason=reason)


# --- C-MAPSS FD001: remaining useful life ---------------------------------------------------------------------------

SENSORS = tuple(f"s{number}" for number in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21))
_COLUMNS = ("engine", "cycle", "o1", "o2", "o3", *(f"s{number}" for number in range(1, 22)))
#: Lives longer than this say nothing: a new engine looks like another new engine.
LONGEST_LIFE = 125


@dataclass(frozen=True, kw_only=True)
class Life:
    """A published model of remaining life, and its row of the table."""

    name: str
    model: Any
    clipped: bool
    rmse: float
    r2: float
    phm08: float | None = None


LIVES = (
    Life(name="linear", model=LinearRegression(), clipped=False, rmse=31.952633, r2=0.408774, phm08=13223.4),
    Life(
        name="linear-clipped",
        model=LinearRegression(),
        clipped=True,
        rmse=21.900213,
        r2=0.722261,
        phm08=1314.0,
    ),
    Life(
        name="support-vectors",
        model=make_pipeline(MinMaxScaler(), SVR(kernel="linear")),
        clipped=True,
        rmse=21.580480,
        r2=0.730311,
    ),
)


def engines(name: str) -> pd.DataFrame:
    """One row a cycle of each engine, `train` run to their failure, `test` to some cycle before it."""
    with gzip.open(DATA / "cmapss" / f"{name}_FD001.txt.gz") as file:
        return pd.DataFrame(np.loadtxt(file), columns=list(_COLUMNS))


def lives_left() -> np.ndarray:
    """Cycles that each test engine still had after its last row, shape (100,)."""
    with gzip.open(DATA / "cmapss" / "RUL_FD001.txt.gz") as file:
        return np.loadtxt(file)


def fitted(life: Life, train: pd.DataFrame) -> Any:
    """The model, fitted on engines that ran to their failure."""
    left = train.groupby("engine")["cycle"].transform("max") - train["cycle"]
    return life.model.fit(train[list(SENSORS)], left.clip(upper=LONGEST_LIFE) if life.clipped else left)


# --- NAB: one machine's temperature, whose clock was put back -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The benchmark's series.

    Attributes:
        ts: µs since 1970, shape (n,), taken as UTC; they step back once, and 12 of them come twice.
        values: shape (n,).
        windows: first and last moment of each anomaly.
    """

    ts: np.ndarray
    values: np.ndarray
    windows: tuple[tuple[int, int], ...]

    @property
    def anomaly(self) -> np.ndarray:
        """Whether each row lies in a window."""
        found = np.zeros(len(self.ts), dtype=bool)
        for first, last in self.windows:
            found |= (self.ts >= first) & (self.ts <= last)
        return found

    @property
    def edges(self) -> list[tuple[int, int]]:
        """First and last row of each window."""
        inside = [np.flatnonzero((self.ts >= first) & (self.ts <= last)) for first, last in self.windows]
        return [(int(rows[0]), int(rows[-1])) for rows in inside]

    @property
    def twice(self) -> np.ndarray:
        """Whether each row has a time that an earlier row has had."""
        return pd.Series(self.ts).duplicated().to_numpy()


def machine_temperature() -> Temperature:
    """The series and its windows."""
    with (DATA / "nab" / "machine_temperature_system_failure.csv").open() as file:
        rows = list(csv.DictReader(file))
    (spans,) = json.loads((DATA / "nab" / "windows.json").read_text()).values()
    return Temperature(
        ts=np.array([micros(row["timestamp"]) for row in rows]),
        values=np.array([float(row["value"]) for row in rows]),
        windows=tuple((micros(first), micros(last)) for first, last in spans),
    )


def micros(text: str) -> int:
    """A moment without a zone, in µs since 1970."""
    return int(np.datetime64(datetime.fromisoformat(text), "us").astype(np.int64))


def confusion(truth: np.ndarray, alarms: np.ndarray) -> dict[str, int]:
    """Counts by `actual/predicted`, as an evaluation names them, over rows with an answer."""
    said = ~np.isnan(alarms)
    return {
        f"{actual}/{answer}": int(np.count_nonzero(said & (truth == a) & (alarms == b)))
        for a, actual in enumerate(("normal", "anomaly"))
        for b, answer in enumerate(("normal", "anomaly"))
    }


# --- SKAB: eight detectors ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A published detector and its row of the table.

    Attributes:
        far, mar: in per cent.
        counts: TP, TN, FP, FN where the table has them.
        silent: rows for which there is no prediction.
    """

    name: str
    f1: float
    far: float
    mar: float
    counts: tuple[int, int, int, int] | None = None
    silent: int = 0


DETECTORS = (
    Detector(name="Conv_AE", f1=0.78, far=13.55, mar=28.02),
    Detector(name="MSET", f1=0.78, far=39.73, mar=14.13),
    Detector(name="T2-q", f1=0.76, far=26.62, mar=24.92, counts=(9589, 8094, 2936, 3182)),
    Detector(name="LSTM_AE", f1=0.74, far=29.96, mar=25.92),
    Detector(name="T2", f1=0.66, far=19.21, mar=42.60, counts=(7331, 8911, 2119, 5440)),
    Detector(name="Vanilla_LSTM", f1=0.54, far=12.54, mar=59.53, silent=170),
    Detector(name="Vanilla_AE", f1=0.39, far=2.59, mar=75.15),
    Detector(name="Isolation_Forest", f1=0.29, far=2.56, mar=82.89, counts=(2185, 10748, 282, 10586)),
)
SKAB_ROWS = 23_801


@dataclass(frozen=True, kw_only=True)
class TestPart:
    """The rows of one SKAB file that are scored.

    Attributes:
        asset: folder and number, such as `valve1-0`.
        ts: µs since 1970, shape (n,).
        values: shape (n, 8).
        anomaly: shape (n,).
    """

    __test__ = False

    asset: str
    ts: np.ndarray
    values: np.ndarray
    anomaly: np.ndarray


def skab() -> list[TestPart]:
    """The scored part of every file."""
    return [
        TestPart(asset=one.asset, ts=one.ts[TRAIN_ROWS:], values=one.test, anomaly=one.anomaly[TRAIN_ROWS:])
        for one in read_folder(DATA / "skab")
    ]


def predictions(detector: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a detector answered: times in µs since 1970, and answers, by asset."""
    with gzip.open(DATA / "skab-predictions" / f"{detector}.csv.gz", "rt") as file:
        rows = pd.read_csv(file, parse_dates=["datetime"])
    return {
        str(name).removesuffix(".csv").replace("/", "-"): (
            part["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64),
            part["prediction"].to_numpy(np.float64),
        )
        for name, part in rows.groupby("file")
    }


def answers_of(part: TestPart, predicted: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The answer to each row, shape (n,); not-a-number where there is none."""
    times, answers = predicted[part.asset]
    stored = dict(zip(times.tolist(), answers.tolist(), strict=True))
    return np.array([stored.get(ts, np.nan) for ts in part.ts.tolist()])
