"""The saved detectors give the published SKAB counts, however the rows are grouped into frames."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from infra.demo.candidates import save_candidates
from infra.demo.pump import TAGS, build_pump, plan_episodes, simulate
from infra.skab.detectors import PUBLISHED, q_limit, save_detectors, t2_limit
from infra.skab.files import Recording, default_folder, read_folder

with warnings.catch_warnings():  # MLflow warns of its own type hints when it is imported
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

needs_skab = pytest.mark.skipif(
    not default_folder().is_dir(),
    reason=f"no SKAB recordings at {default_folder()}: set FIELDPROOF_DATA to the folder that holds skab/",
)
Counts = tuple[int, int, int, int]
Rows = NDArray[np.float64]


def answers(model: Any, asset: str, rows: Rows, *, size: int) -> NDArray[np.float64]:
    """Feed the rows in frames of `size`, each with the preceding rows that the model asks for."""
    wants = model.metadata.metadata["fieldproof"]
    table = pd.DataFrame(rows, columns=list(TAGS))
    if wants["with_asset"]:
        table["asset"] = asset
    parts = []
    for first in range(0, len(table), size):
        before = max(0, first - wants["context_rows"])
        parts.append(np.asarray(model.predict(table.iloc[before : first + size]))[first - before :])
    return np.concatenate(parts)


def counts(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """TP, TN, FP, FN."""
    pairs = [predicted & true, ~predicted & ~true, predicted & ~true, ~predicted & true]
    return np.array([pair.sum() for pair in pairs], dtype=np.int64)


def f1(of: NDArray[np.int64]) -> float:
    return float(2 * of[0] / (2 * of[0] + of[2] + of[3]))


@pytest.fixture(scope="module")
def recordings() -> tuple[Recording, ...]:
    return read_folder(default_folder())


@pytest.fixture(scope="module")
def detector(
    recordings: tuple[Recording, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    directory = tmp_path_factory.mktemp("detectors")
    paths = save_detectors(directory, {recording.asset: recording.train for recording in recordings})
    yield lambda name: mlflow.pyfunc.load_model(str(paths[name]))


@needs_skab
def test_the_recordings_are_the_published_ones(recordings: tuple[Recording, ...]) -> None:
    assert len(recordings) == 34
    assert sum(len(recording.ts) for recording in recordings) == 37_401
    assert sum(int(recording.anomaly.sum()) for recording in recordings) == 13_067
    assert {"valve1-0", "valve2-3", "other-11"} <= {recording.asset for recording in recordings}
    assert all((np.diff(recording.ts) > 0).all() for recording in recordings)


@needs_skab
@pytest.mark.parametrize("size", [7, 100, 500])
@pytest.mark.parametrize("name", ["t2", "t2-q"])
def test_a_saved_control_chart_gives_the_published_counts(
    name: str, size: int, recordings: tuple[Recording, ...], detector: Callable[[str], Any]
) -> None:
    assert pooled(detector(name), recordings, size=size) == PUBLISHED[name]


@needs_skab
@pytest.mark.parametrize("size", [100, 500])
def test_the_saved_isolation_forest_gives_the_published_counts(
    size: int, recordings: tuple[Recording, ...], detector: Callable[[str], Any]
) -> None:
    assert pooled(detector("isolation-forest"), recordings, size=size) == PUBLISHED["isolation-forest"]


@needs_skab
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_one_row_at_a_time_is_answered_as_in_one_frame(
    name: str, recordings: tuple[Recording, ...], detector: Callable[[str], Any]
) -> None:
    model, recording = detector(name), recordings[0]
    rows = recording.test[:120]
    single = answers(model, recording.asset, rows, size=1)
    np.testing.assert_array_equal(single, answers(model, recording.asset, rows, size=120))


@needs_skab
def test_a_machine_that_was_never_seen_is_named(detector: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="valve9-9"):
        answers(detector("t2"), "valve9-9", np.ones((10, len(TAGS))), size=10)


def pooled(model: Any, recordings: tuple[Recording, ...], *, size: int) -> Counts:
    """TP, TN, FP, FN over the scored part of every recording."""
    total = np.zeros(4, dtype=np.int64)
    for recording in recordings:
        predicted = answers(model, recording.asset, recording.test, size=size) == 1
        total += counts(predicted, recording.anomaly[-len(predicted) :])
    tp, tn, fp, fn = (int(count) for count in total)
    return tp, tn, fp, fn


def test_the_control_limit_of_t2_grows_with_its_dimensions() -> None:
    limits = [t2_limit(samples=400, dimensions=m) for m in range(1, 9)]
    assert limits == sorted(limits)
    assert limits[7] == pytest.approx(
        27.2, abs=0.3
    )  # chi² with 8 degrees at 0.999 is 26.1; finite samples add


def test_the_control_limit_of_q_is_that_of_one_pooled_variance() -> None:
    # With θᵢ = θⁱ and h0 = 1/3 the published limit is θ·(1 + 3.09·√2/3 - 2/9)³.
    limit = q_limit(np.diag([4.0, 0.5, 0.5]), kept=1)
    assert limit == pytest.approx((1 + 3.09 * np.sqrt(2) / 3 - 2 / 9) ** 3, rel=1e-2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's candidates, by name, and the benches they are tried on."""
    rng = np.random.default_rng(0)
    pumps = {f"pump-{number}": build_pump(rng) for number in (1, 2)}
    train = {a: simulate(rng=rng, rows=7_200, start=0, pump=pump).values for a, pump in pumps.items()}
    trial = {
        asset: simulate(rng=rng, rows=3_000, start=0, episodes=plan_episodes(rng, 3_000), pump=pump)
        for asset, pump in pumps.items()
    }
    made = save_candidates(tmp_path_factory.mktemp("candidates"), train)
    return {"paths": {candidate.name: candidate.path for candidate in made}, "trial": trial}


@pytest.mark.parametrize(
    ("name", "low", "high"), [("t2q", 0.8, 1.0), ("forest", 0.7, 0.95), ("envelope", 0.3, 0.65)]
)
def test_a_good_candidate_passes_the_demo_and_the_bad_one_fails(
    name: str, low: float, high: float, demo: dict[str, Any]
) -> None:
    model = mlflow.pyfunc.load_model(str(demo["paths"][name]))
    total = np.zeros(4, dtype=np.int64)
    for asset, bench in demo["trial"].items():
        total += counts(answers(model, asset, bench.values, size=500) == 1, bench.anomaly)
    assert low < f1(total) < high


@pytest.mark.parametrize("name", ["t2q", "forest", "envelope"])
def test_a_demo_candidate_answers_alike_in_frames_of_any_size(name: str, demo: dict[str, Any]) -> None:
    model = mlflow.pyfunc.load_model(str(demo["paths"][name]))
    rows = demo["trial"]["pump-1"].values[:700]
    whole = answers(model, "pump-1", rows, size=700)
    for size in (13, 100):
        np.testing.assert_array_equal(answers(model, "pump-1", rows, size=size), whole)


@pytest.mark.parametrize("name", ["t2q", "forest", "envelope"])
def test_a_missing_reading_is_answered_with_no_answer(name: str, demo: dict[str, Any]) -> None:
    model = mlflow.pyfunc.load_model(str(demo["paths"][name]))
    rows = demo["trial"]["pump-1"].values[:50].copy()
    rows[30, TAGS.index("Current")] = np.nan
    predicted = answers(model, "pump-1", rows, size=50)
    assert np.isnan(predicted[30])
    assert not np.isnan(predicted[:30]).any()


@pytest.mark.parametrize("name", ["t2q", "forest", "envelope"])
def test_a_candidate_is_loaded_without_any_package_of_the_platform(name: str, demo: dict[str, Any]) -> None:
    script = (
        "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1]);"
        "own = {'infra', 'agents', 'streams', 'models', 'schemas'} & {m.split('.')[0] for m in sys.modules};"
        "sys.exit(f'loaded {own}' if own else 0)"
    )
    command = [sys.executable, "-I", "-c", script, str(demo["paths"][name])]
    done = subprocess.run(command, cwd=Path(demo["paths"][name]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(Path(demo["paths"][name]).glob("uv.lock"))
