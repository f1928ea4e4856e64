"""Three published SKAB detectors, one MLflow model each, holding what was learnt from every recording.

Fitted as published (waico/SKAB, notebooks `isolation_forest`, `hotelling` and `hotelling_q`): on the first
400 rows of each file. Fed with the rest, in frames of any size, they give the published counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from infra.demo.saving import Detector, save
from infra.skab.files import TAGS

Matrix = NDArray[np.float64]

#: Share of healthy rows below a control limit.
CONFIDENCE = 0.999
#: TP, TN, FP, FN over all 34 recordings, as published.
PUBLISHED = {
    "isolation-forest": (2185, 10748, 282, 10586),
    "t2": (7331, 8911, 2119, 5440),
    "t2-q": (9589, 8094, 2936, 3182),
}


def save_detectors(directory: Path, train: Mapping[str, Matrix]) -> dict[str, Path]:
    """Fit the three detectors and save them below `directory`; returns paths by the names of PUBLISHED.

    `train` holds, by asset, the rows to learn from: shape (n, 8), in the order of TAGS.
    """
    paths = {}
    for name, fit in DETECTORS.items():
        paths[name] = directory / name
        save(fit(train), paths[name])
    return paths


def fit_isolation_forest(train: Mapping[str, Matrix]) -> Detector:
    """Isolation forests on unscaled rows; an alarm where two of the last three rows are outliers."""
    forest = IsolationForest(random_state=0, contamination=0.0005)
    machines = {asset: clone(forest).fit(rows) for asset, rows in train.items()}
    learnt = {"tags": list(TAGS), "window": 3, "machines": machines}
    return Detector(code="forest", artifact="forests", inputs=TAGS, learnt=learnt, context_rows=2)


def fit_t2(train: Mapping[str, Matrix]) -> Detector:
    """T² in the full space; an alarm where its median over five rows exceeds twice the control limit."""
    return _hotelling({asset: t2_parameters(rows) for asset, rows in train.items()})


def fit_t2_q(train: Mapping[str, Matrix]) -> Detector:
    """T² in the principal space, Q in the residual one; an alarm where a median of five exceeds its limit."""
    return _hotelling({asset: t2_q_parameters(rows) for asset, rows in train.items()})


DETECTORS: Mapping[str, Callable[[Mapping[str, Matrix]], Detector]] = {
    "isolation-forest": fit_isolation_forest,
    "t2": fit_t2,
    "t2-q": fit_t2_q,
}


def t2_parameters(rows: Matrix, *, multiple: float = 2.0) -> dict[str, Any]:
    """Parameters of the script `hotelling` for T² alone: T² = zᵀ·S⁻¹·z = |Lᵀ·z|² with S⁻¹ = L·Lᵀ (Cholesky).

    `rows` has shape (n, m); constant columns get no weight. The limit is `multiple` times the control limit.
    """
    scaled, varying = _standardise(rows)
    z = scaled["z"][:, varying]
    factor = np.linalg.cholesky(np.linalg.inv(np.cov(z.T))).T
    limit = multiple * t2_limit(samples=len(rows), dimensions=z.shape[1])
    return _parameters(scaled, varying, t2=(factor, limit), q=(np.empty((0, z.shape[1])), np.inf))


def t2_q_parameters(rows: Matrix, *, explained: float = 0.85) -> dict[str, Any]:
    """Parameters of the script `hotelling` for T² and Q on a PCA that keeps `explained` of the variance.

    `rows` has shape (n, m); constant columns get no weight.
    """
    scaled, varying = _standardise(rows)
    z = scaled["z"][:, varying]
    covariance = np.cov(z.T)
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1], directions[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(variances) / variances.sum(), explained, side="right")) + 1
    principal = directions[:, :kept].T
    t2 = principal / np.sqrt(variances[:kept, None])
    residual = np.eye(z.shape[1]) - principal.T @ principal
    limit = t2_limit(samples=len(rows), dimensions=kept)
    return _parameters(scaled, varying, t2=(t2, limit), q=(residual, q_limit(covariance, kept=kept)))


def t2_limit(*, samples: int, dimensions: int) -> float:
    """Upper control limit of T²: m(n-1)(n+1) / (n(n-m)) · F, F on the grid of the published code."""
    n, m = samples, dimensions
    grid = np.linspace(0, 15, 10_000)
    quantile = grid[stats.f.cdf(grid, m, n - m) < CONFIDENCE][-1]
    return float(m * (n - 1) * (n + 1) / (n * (n - m)) * quantile)


def q_limit(covariance: Matrix, *, kept: int) -> float:
    """Upper control limit of Q after Jackson and Mudholkar (1979), as the published code has it.

    Its figures need two departures from the textbook: θᵢ is (Σλ)ⁱ, not Σλⁱ; and Σ leaves out the first `kept`
    eigenvalues in the order in which LAPACK's general solver returns them, which is not by size.
    `covariance` has shape (m, m), of the scaled rows.
    """
    left = float(np.sum(np.linalg.eig(covariance).eigenvalues.real[kept:]))
    theta1, theta2, theta3 = left, left**2, left**3
    h0 = 1 - 2 * theta1 * theta3 / (3 * theta2**2)
    grid = np.linspace(0, 15, 10_000)
    normal = grid[stats.norm.cdf(grid) < CONFIDENCE][-1]
    inner = 1 + normal * h0 * np.sqrt(2 * theta2) / theta1 + theta2 * h0 * (h0 - 1) / theta1**2
    return float(theta1 * inner ** (1 / h0))


def _standardise(rows: Matrix) -> tuple[dict[str, Matrix], NDArray[np.bool_]]:
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    varying = np.ptp(rows, axis=0) > 0
    scale = np.where(varying, scale, 1.0)
    return {"mean": mean, "scale": scale, "z": (rows - mean) / scale}, varying


def _parameters(
    scaled: dict[str, Matrix],
    varying: NDArray[np.bool_],
    *,
    t2: tuple[Matrix, float],
    q: tuple[Matrix, float],
) -> dict[str, Any]:
    def widen(factor: Matrix) -> list[list[float]]:
        wide = np.zeros((len(factor), len(varying)))
        wide[:, varying] = factor
        return [[float(weight) for weight in row] for row in wide]

    return {
        "mean": scaled["mean"].tolist(),
        "scale": scaled["scale"].tolist(),
        "t2_factor": widen(t2[0]),
        "t2_limit": t2[1],
        "q_factor": widen(q[0]),
        "q_limit": q[1],
    }


def _hotelling(machines: dict[str, dict[str, Any]]) -> Detector:
    learnt = {"tags": list(TAGS), "window": 5, "machines": machines}
    return Detector(code="hotelling", artifact="parameters", inputs=TAGS, learnt=learnt, context_rows=4)
