"""Results that others have published, from the public recordings, through the whole platform.

Models are submitted as a start-up does and answer in their sandboxes; rows and labels come over the broker; what is looked at
are the final evaluations that the plant's scorer publishes. `tests/unit/test_published_results.py` has the fold alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.recordings import export_of
from infra.replay import replay
from infra.skab.files import TAGS
from schemas.agreement import Acceptance, Agreement, Baseline, Limits, Task
from schemas.evaluation import Evaluation, Verdict
from schemas.labels import PointLabel
from schemas.requests import StartTrial
from schemas.terms import Quotas
from streams.export_plan import plan
from streams.exports import Export
from streams.frames import moment
from tests.integration.conftest import Shared
from tests.integration.models import save_one
from tests.integration.plants import BEGIN_US, MAKER, SECOND_US, Site
from tests.published import (
    DETECTORS,
    LIVES,
    SENSORS,
    SKAB_ROWS,
    Detector,
    Life,
    Temperature,
    answers_of,
    confusion,
    engines,
    fitted,
    lives_left,
    machine_temperature,
    needs,
    predictions,
    skab,
)
from tests.unit.nab_formula import PROFILES, nab_score

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

#: The three trials run one after the other; every model of one of them answers at the same time.
PATIENCE_S = 300


def hold(
    site: Site,
    pairings: Mapping[str, tuple[Agreement, Mapping[str, Path]]],
    exports: Sequence[Export],
    labels: Sequence[PointLabel] = (),
    *,
    rows_per_frame: int = 500,
) -> dict[str, Verdict]:
    """Hold the trials of pairings on the same telemetry; the verdicts by the models' names."""
    ids: dict[str, dict[str, str]] = {}
    for pairing, (agreed, models) in pairings.items():
        site.propose(pairing, agreed)
        ids[pairing] = {name: site.submit(pairing, path, name).candidate.id for name, path in models.items()}
        site.ask(MAKER, StartTrial(pairing=pairing))
    messages = plan(exports, labels, rows_per_frame=rows_per_frame)
    replay(messages, bootstrap=site.client.bootstrap, plant=site.name)
    for pairing in pairings:
        site.end(pairing)
    found = {
        name: one for pairing in pairings for name, one in _verdicts(site, pairing, ids[pairing]).items()
    }
    assert not site.seen.rejected(site.name)
    return found


def _verdicts(site: Site, pairing: str, names: Mapping[str, str]) -> dict[str, Verdict]:
    found: dict[str, Verdict] = site.seen.wait(
        lambda: (there := site.seen.verdicts(site.name, pairing)).keys() >= set(names.values()) and there,
        f"every verdict on {pairing}",
        timeout_s=PATIENCE_S,
    )
    verdicts = {name: found[ident] for name, ident in names.items()}
    for verdict in verdicts.values():
        assert verdict.recomputed_equal
        assert verdict.evaluation == published(site, pairing, verdict.candidate)
    return verdicts


def published(site: Site, pairing: str, candidate: str) -> Evaluation:
    """The one final evaluation of a candidate, with every row accounted for."""
    (final,) = [one for one in site.seen.evaluations(site.name, pairing, candidate) if one.final]
    assert final.counts.hold()
    assert final.sandbox in ("full", "reduced")
    audit = final.audit
    assert (audit.gaps, audit.frames_refused, audit.frames_repeated, audit.labels_late) == (0, 0, 0, 0)
    return final


# --- SKAB: eight detectors ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detectors(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The verdict on each of the eight detectors, which replay what they are known to have answered."""
    root, parts = tmp_path_factory.mktemp("detectors"), skab()
    models = {detector.name: _save_replayed(root, detector.name) for detector in DETECTORS}
    assets = tuple(part.asset for part in parts)
    agreed = Agreement(
        task=Task.ANOMALY,
        assets=assets,
        inputs=TAGS,
        baselines=(Baseline(name="no-alarm", answer="normal"),),
        acceptance=Acceptance(metric="f1", at_least=0.5),
        limits=Limits(memory_mb=128),
        quotas=Quotas(candidates=len(DETECTORS)),
    )
    site = Site(shared.client, shared.topics, "bench", assets=assets, tags=TAGS, partitions=4)
    rows = [
        export_of(part.asset, part.asset, part.ts, TAGS, part.values, labels=part.anomaly) for part in parts
    ]
    return hold(site, {"skab": (agreed, models)}, rows)


def _save_replayed(root: Path, name: str) -> Path:
    stored = {}
    for asset, (times, answers) in predictions(name).items():
        order = np.argsort(times)
        stored |= {f"{asset}.ts": times[order], f"{asset}.answers": answers[order]}
    artifact = root / f"{name}.npz"
    np.savez_compressed(artifact, **stored)
    save_one(root / name, "replayed", inputs=("ts", "asset"), artifacts={"answers": str(artifact)})
    return root / name


@needs("skab", "skab-predictions")
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_a_published_detector_is_scored_as_published(
    detectors: dict[str, Verdict], detector: Detector
) -> None:
    final = detectors[detector.name].evaluation
    cells = final.confusion
    tp, fn = cells["anomaly/anomaly"], cells["anomaly/normal"]
    tn, fp = cells["normal/normal"], cells["normal/anomaly"]
    # From the confusion by the table's own formulas, and as the platform publishes them.
    by_hand = (tp / (tp + (fn + fp) / 2), fp / (fp + tn), fn / (fn + tp))
    for f1, far, mar in (by_hand, tuple(final.metrics[name] for name in ("f1", "far", "mar"))):
        shown = (round(f1, 2), round(100 * far, 2), round(100 * mar, 2))
        assert shown == (detector.f1, detector.far, detector.mar)
    assert detector.counts in (None, (tp, tn, fp, fn))
    print(f"{detector.name}: {shown}, TP/TN/FP/FN {tp}/{tn}/{fp}/{fn}, {final.counts}")


@needs("skab", "skab-predictions")
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_every_row_is_counted_and_a_missing_prediction_is_not_a_normal_one(
    detectors: dict[str, Verdict], detector: Detector
) -> None:
    final, predicted, parts = detectors[detector.name].evaluation, predictions(detector.name), skab()
    answers = np.concatenate([answers_of(part, predicted) for part in parts])
    truth = np.concatenate([part.anomaly for part in parts])
    assert np.count_nonzero(np.isnan(answers)) == detector.silent
    assert final.confusion == confusion(truth, answers)
    counts = final.counts
    assert counts.rows_in == SKAB_ROWS
    assert (counts.abstained, counts.scored) == (detector.silent, SKAB_ROWS - detector.silent)
    assert sum(final.confusion.values()) == counts.scored


@needs("skab", "skab-predictions")
def test_the_agreed_threshold_parts_the_detectors_as_the_table_does(detectors: dict[str, Verdict]) -> None:
    verdicts = {name: str(verdict.verdict) for name, verdict in detectors.items()}
    assert verdicts == {one.name: "accepted" if one.f1 >= 0.5 else "rejected" for one in DETECTORS}


# --- C-MAPSS: remaining useful life ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lives(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The verdict on each of the models, which see every cycle of 100 engines; what was left is known of each last one."""
    root, train, test = tmp_path_factory.mktemp("lives"), engines("train"), engines("test")
    models = {life.name: _save_fitted(root, life, train) for life in LIVES}
    rows: list[Export] = []
    labels: list[PointLabel] = []
    for (engine, part), left in zip(test.groupby("engine"), lives_left().tolist(), strict=True):
        asset = f"engine-{engine:03.0f}"
        hours = BEGIN_US + part["cycle"].to_numpy(np.int64) * 3600 * SECOND_US
        rows.append(export_of(asset, asset, hours, SENSORS, part[list(SENSORS)].to_numpy()))
        labels.append(PointLabel(id=asset, asset=asset, ts=moment(int(hours[-1])), value=left))
    assets = tuple(label.asset for label in labels)
    agreed = Agreement(
        task=Task.RUL,
        assets=assets,
        inputs=SENSORS,
        target="remaining cycles",
        baselines=(Baseline(name="half-a-life", answer=75),),
        acceptance=Acceptance(metric="rmse", at_most=25),
        limits=Limits(memory_mb=512),
    )
    site = Site(shared.client, shared.topics, "fleet", assets=assets, tags=SENSORS, partitions=2)
    return hold(site, {"cmapss": (agreed, models)}, rows, labels)


def _save_fitted(root: Path, life: Life, train: pd.DataFrame) -> Path:
    from mlflow.models import ModelSignature
    from mlflow.sklearn import save_model
    from mlflow.types import ColSpec, Schema

    columns = Schema([ColSpec("double", name) for name in SENSORS])
    save_model(
        fitted(life, train),
        str(root / life.name),
        signature=ModelSignature(inputs=columns, outputs=Schema([ColSpec("double")])),
        pip_requirements=["mlflow", "scikit-learn"],
    )
    return root / life.name


@needs("cmapss")
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_model_of_remaining_life_is_scored_as_published(lives: dict[str, Verdict], life: Life) -> None:
    final = lives[life.name].evaluation
    assert (round(final.metrics["rmse"], 6), round(final.metrics["r2"], 6)) == (life.rmse, life.r2)
    if life.phm08 is not None:
        assert round(final.metrics["phm08"], 1) == life.phm08
    counts = final.counts
    assert (counts.rows_in, counts.scored, counts.unlabelled) == (13_096, 100, 12_996)
    assert lives[life.name].verdict == ("accepted" if life.rmse <= 25 else "rejected")
    print(f"{life.name}: {final.metrics}, {counts}")


# --- NAB: a clock that was put back ---------------------------------------------------------------------------------

#: What lies outside is an alarm: seldom, often, and as the twins of the next trial need it.
RANGES = {"wide": (30.0, 108.0), "narrow": (75.0, 95.0), "upper": (0.0, 94.0)}

#: Of rows with the same time some pairs lie in one frame, others in two.
NAB_FRAME = 317


@pytest.fixture(scope="module")
def series() -> Temperature:
    return machine_temperature()


@pytest.fixture(scope="module")
def ranges(
    shared: Shared, series: Temperature, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Verdict]:
    """The verdicts on ranges at two machines with this series.

    Of `machine` the benchmark's windows are the truth. Of `twin` every row is anomalous whose time an earlier row has had.
    """
    root = tmp_path_factory.mktemp("ranges")
    for name, (low, high) in RANGES.items():
        save_one(root / name, "limits", model_config={"low": low, "high": high})
    truths = {"machine": series.anomaly, "twin": series.twice}
    site = Site(shared.client, shared.topics, "furnace", assets=tuple(truths), tags=("x",), partitions=2)
    rows = [
        export_of(asset, asset, series.ts, ("x",), series.values[:, None], labels=truth)
        for asset, truth in truths.items()
    ]
    asked = {"machine": ("wide", "narrow"), "twin": ("upper",)}
    pairings = {
        f"nab-{asset}": (_on(asset), {name: root / name for name in names}) for asset, names in asked.items()
    }
    return hold(site, pairings, rows, rows_per_frame=NAB_FRAME)


def _on(asset: str) -> Agreement:
    return Agreement(
        task=Task.ANOMALY,
        assets=(asset,),
        inputs=("x",),
        baselines=(Baseline(name="no-alarm", answer="normal"),),
        acceptance=Acceptance(metric="nab", at_least=40),
        limits=Limits(memory_mb=128),
    )


def alarms_of(series: Temperature, name: str) -> np.ndarray:
    low, high = RANGES[name]
    return (series.values < low) | (series.values > high)


@needs("nab")
@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_on_a_series_with_a_clock_put_back_the_score_is_the_benchmarks(
    ranges: dict[str, Verdict], series: Temperature, name: str
) -> None:
    final, alarms = ranges[name].evaluation, alarms_of(series, name)
    assert final.counts.rows_in == final.counts.scored == len(series.ts) == 22_695
    assert final.confusion == confusion(series.anomaly, alarms)
    for profile in PROFILES:
        expected = nab_score(alarms.tolist(), series.edges, profile)
        assert final.metrics[profile] == pytest.approx(expected, rel=1e-8, abs=1e-8)
    print(f"{name}: { {profile: final.metrics[profile] for profile in PROFILES} }, {final.confusion}")


@needs("nab")
def test_rows_of_one_time_have_the_labels_of_their_own_frame_and_place(
    ranges: dict[str, Verdict], series: Temperature
) -> None:
    final, alarms = ranges["upper"].evaluation, alarms_of(series, "upper")
    assert final.counts.rows_in == final.counts.scored == 22_695
    assert final.confusion == confusion(series.twice, alarms)
    # By their times alone both rows of a pair would have the label of one.
    pairs = np.isin(series.ts, series.ts[series.twice])
    assert final.confusion != confusion(pairs, alarms)
    firsts, seconds = np.flatnonzero(pairs & ~series.twice), np.flatnonzero(series.twice)
    same_frame = firsts // NAB_FRAME == seconds // NAB_FRAME
    assert same_frame.any() and not same_frame.all()
    print(f"upper: {final.confusion}")
