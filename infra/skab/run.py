"""SKAB through the whole platform: every recording an asset, three published detectors as candidates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.poc.folder import PocFolder, PocPairing
from infra.recordings import export_of
from infra.results import Scoreboard
from infra.skab.files import TAGS, read_folder
from infra.trial import Entry, Recorded
from schemas.agreement import Acceptance, Agreement, Baseline, Task
from schemas.parties import Asset, Need, Organisation, Plant, Programme, Role, Tag

PAIRING = "skab-2026-01"

#: The detectors' names as they are printed, by the names of their models.
PRINTED = {"t2-q": "t2q", "t2": "t2", "isolation-forest": "isolation_forest"}

#: F1 of the published isolation forest is 0.29, of T² 0.66, of T²+Q 0.76.
THRESHOLD = 0.5


def recorded(data: Path) -> tuple[Recorded, Mapping[str, object]]:
    """The trial on all recordings, and what the detectors learn from: shape (400, 8) by asset."""
    recordings = read_folder(data)
    trial = Recorded(
        folder=_folder(tuple(one.asset for one in recordings)),
        history=[
            export_of(f"{one.asset}-train", one.asset, one.ts[:400], TAGS, one.train) for one in recordings
        ],
        rows=[
            export_of(f"{one.asset}-test", one.asset, one.ts[400:], TAGS, one.test, labels=one.anomaly[400:])
            for one in recordings
        ],
        rows_per_frame=100,
    )
    return trial, {one.asset: one.train for one in recordings}


def _folder(assets: tuple[str, ...]) -> PocFolder:
    agreement = Agreement(
        task=Task.ANOMALY,
        assets=assets,
        inputs=TAGS,
        baselines=(Baseline(name="no-alarm", answer="normal"),),
        acceptance=Acceptance(metric="f1", at_least=THRESHOLD, min_rows=10_000),
    )
    return PocFolder(
        organisations=(
            Organisation(id="skab-bench", name="SKAB test bench", roles=(Role.MANUFACTURER,)),
            Organisation(id="skab-authors", name="SKAB's published detectors", roles=(Role.STARTUP,)),
            Organisation(id="skab-table", name="SKAB's leaderboard", roles=(Role.COORDINATOR,)),
        ),
        programme=Programme(id="skab", name="Skoltech Anomaly Benchmark", operators=("skab-table",)),
        plant=Plant(
            id="skab-plant",
            name="Water circulation test bench",
            owner="skab-bench",
            time_zone="UTC",
            partitions=4,
            assets=tuple(Asset(name=name) for name in assets),
            tags=tuple(Tag(name=name) for name in TAGS),
        ),
        needs=(
            Need(
                id="skab-anomalies", programme="skab", plant="skab-plant", title="Find anomalies of the bench"
            ),
        ),
        pairings=(
            PocPairing(id=PAIRING, need="skab-anomalies", startup="skab-authors", agreement=agreement),
        ),
    )


def entries(directory: Path, train: Mapping[str, object]) -> list[Entry]:
    """Fit the detectors and submit them to the one pairing."""
    from infra.skab.detectors import save_detectors

    paths = save_detectors(directory, train)  # type: ignore[arg-type]
    return [Entry(pairing=PAIRING, name=name, path=path) for name, path in paths.items()]


def counts(board: Scoreboard) -> list[dict[str, object]]:
    """One record a detector: the pooled confusion counts."""
    found = []
    for model, printed in PRINTED.items():
        for verdict in board.verdicts.values():
            if verdict.candidate.rsplit("-v", 1)[0] == model:
                cells = verdict.evaluation.confusion
                found.append(
                    {
                        "detector": printed,
                        "tp": cells["anomaly/anomaly"],
                        "tn": cells["normal/normal"],
                        "fp": cells["normal/anomaly"],
                        "fn": cells["anomaly/normal"],
                    }
                )
    return found
