"""The demo's candidates: three models of two start-ups, each fitted on a fault-free extract of every machine.

They stand for what such firms hand in. `t2q` and `forest` learnt from the whole extract. `envelope` was
normalised on its first seven minutes, while the plant held few set points: every other set point looks like a
fault to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from infra.demo.pump import TAGS
from infra.demo.saving import Detector, save

Matrix = NDArray[np.float64]

#: Temperatures follow the load of the last hour, not this minute's state: the good candidates leave them out.
FAST = tuple(tag for tag in TAGS if tag not in ("Temperature", "Thermocouple"))
#: What the envelope watches.
LOAD = ("Current", "Pressure", "Volume Flow RateRMS")
#: What the limits of T² and Q allow above the extract's own quantile.
MARGIN = 1.3
#: Rows of the rolling median and of the majority vote.
WINDOW = 7
#: Rows on which the envelope was normalised: seven minutes.
SHORT_EXTRACT = 420


@dataclass(frozen=True, kw_only=True)
class DemoCandidate:
    """A saved model of the demo."""

    name: str
    startup: str
    #: Directory of the MLflow model.
    path: Path
    #: What it is and what to expect of it, in one sentence.
    note: str


def save_candidates(directory: Path, train: Mapping[str, Matrix]) -> tuple[DemoCandidate, ...]:
    """Fit the three candidates and save them below `directory`, which must not hold them yet.

    `train` holds a fault-free extract by asset: shape (n, 8), n ≥ 100, in the order of TAGS.
    """
    made = []
    for name, (startup, fit, note) in CANDIDATES.items():
        save(fit(train), directory / name)
        made.append(DemoCandidate(name=name, startup=startup, path=directory / name, note=note))
    return tuple(made)


def fit_t2_q(train: Mapping[str, Matrix]) -> Detector:
    """T² and Q on a PCA that keeps 90 % of the variance, limits from the extract's own statistics."""
    machines = {asset: _t2_q(rows[:, _columns(FAST)]) for asset, rows in train.items()}
    learnt = {"tags": list(FAST), "window": WINDOW, "machines": machines}
    return Detector(
        code="hotelling", artifact="parameters", inputs=TAGS, learnt=learnt, context_rows=WINDOW - 1
    )


def fit_forest(train: Mapping[str, Matrix]) -> Detector:
    """An isolation forest that calls one row in a hundred of the extract an outlier, and a majority vote."""
    forest = IsolationForest(random_state=0, contamination=0.01)
    machines = {asset: clone(forest).fit(rows[:, _columns(FAST)]) for asset, rows in train.items()}
    learnt = {"tags": list(FAST), "window": WINDOW, "machines": machines}
    return Detector(code="forest", artifact="forests", inputs=TAGS, learnt=learnt, context_rows=WINDOW - 1)


def fit_envelope(train: Mapping[str, Matrix]) -> Detector:
    """Mean ± 3 standard deviations of current, pressure and flow, from the first SHORT_EXTRACT rows only."""
    machines = {}
    for asset, rows in train.items():
        short = rows[:SHORT_EXTRACT, _columns(LOAD)]
        machines[asset] = {"mean": short.mean(axis=0).tolist(), "deviation": short.std(axis=0).tolist()}
    learnt = {"tags": list(LOAD), "k": 3, "machines": machines}
    return Detector(code="envelope", artifact="parameters", inputs=TAGS, learnt=learnt, context_rows=0)


CANDIDATES = {
    "t2q": (
        "startup-a",
        fit_t2_q,
        "T² and Q on a PCA of the whole extract: sees changed relations, not only levels",
    ),
    "forest": (
        "startup-a",
        fit_forest,
        "isolation forest on the whole extract: sees gross faults, slow ones late",
    ),
    "envelope": (
        "startup-b",
        fit_envelope,
        "3-sigma envelope of seven minutes: alarms at every new set point",
    ),
}


def _t2_q(rows: Matrix, *, explained: float = 0.90, quantile: float = 0.999) -> dict[str, Any]:
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z = (rows - mean) / scale
    variances, directions = np.linalg.eigh(np.cov(z.T))
    variances, directions = variances[::-1], directions[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(variances) / variances.sum(), explained)) + 1
    principal = directions[:, :kept].T
    t2 = principal / np.sqrt(variances[:kept, None])
    residual = np.eye(z.shape[1]) - principal.T @ principal
    return {
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "t2_factor": t2.tolist(),
        "t2_limit": _limit(z, t2, quantile),
        "q_factor": residual.tolist(),
        "q_limit": _limit(z, residual, quantile),
    }


def _limit(z: Matrix, factor: Matrix, quantile: float) -> float:
    """MARGIN times the quantile of the rolling median of |factor · z|²."""
    statistic = ((z @ factor.T) ** 2).sum(axis=1)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(statistic, WINDOW), axis=1)
    return float(MARGIN * np.quantile(smooth, quantile))


def _columns(tags: Sequence[str]) -> list[int]:
    return [TAGS.index(tag) for tag in tags]
