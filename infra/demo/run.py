"""The demo: a pump bench, two start-ups, three candidates, live to verdicts; simulated, or the recorded SKAB bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from infra.demo.pump import TAGS, Bench, build_pump, plan_episodes, simulate
from infra.poc.folder import PocFolder, read_folder
from infra.recordings import export_of
from infra.skab.files import Recording
from infra.skab.files import read_folder as read_skab
from infra.trial import Entry, Recorded
from schemas.labels import IntervalLabel
from schemas.parties import Asset
from streams.frames import micros, moment

#: The folder that describes the demo's proof; here it is a link to the example, so that a package holds it too.
EXAMPLE = Path(__file__).with_name("uijeongbu-pump")

#: Seconds of fault-free running before the trial, and of the trial.
HISTORY_S = 7200
TRIAL_S = 4200
START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)

#: Data seconds a second; the trial takes about ten seconds.
SPEED = 420.0
LABEL_DELAY_US = 600 * 1_000_000

#: Which start-up's candidates run in which pairing.
PAIRINGS = {"startup-a": "pump-2026-01", "startup-b": "pump-2026-02"}


def simulated(seed: int) -> tuple[Recorded, Mapping[str, np.ndarray]]:
    """The simulated trial and, by asset, the rows that start-ups learn from: shape (n, 8)."""
    folder = read_folder(EXAMPLE)
    histories: dict[str, Bench] = {}
    trials: dict[str, Bench] = {}
    for number, asset in enumerate(folder.plant.assets):
        rng = np.random.default_rng([seed, number])
        pump = build_pump(rng)
        histories[asset.name] = simulate(rng=rng, rows=HISTORY_S, start=micros(START), pump=pump)
        trials[asset.name] = simulate(
            rng=rng,
            rows=TRIAL_S,
            start=micros(START) + HISTORY_S * 1_000_000,
            episodes=plan_episodes(rng, TRIAL_S),
            pump=pump,
        )
    recorded = Recorded(
        folder=folder,
        history=[
            export_of(f"{name}-history", name, one.ts, TAGS, one.values) for name, one in histories.items()
        ],
        rows=[export_of(f"{name}-trial", name, one.ts, TAGS, one.values) for name, one in trials.items()],
        labels=[label for name, one in trials.items() for label in _labels(name, one)],
        label_delay_us=LABEL_DELAY_US,
        speed=SPEED,
        rows_per_frame=60,
    )
    return recorded, {name: one.values for name, one in histories.items()}


def _labels(asset: str, bench: Bench) -> list[IntervalLabel]:
    return [
        IntervalLabel(
            id=f"{asset}-{number}",
            asset=asset,
            start=moment(episode.start_ts),
            end=moment(episode.end_ts),
            value="anomaly",
        )
        for number, episode in enumerate(bench.episodes, start=1)
    ]


def recorded_bench(data: Path) -> tuple[Recorded, Mapping[str, np.ndarray]]:
    """The same trial on recordings of the real bench: their first 400 rows are the history."""
    chosen = read_skab(data)
    recorded = Recorded(
        folder=_of_recordings(read_folder(EXAMPLE), chosen),
        history=[export_of(f"{one.asset}-train", one.asset, one.ts[:400], TAGS, one.train) for one in chosen],
        rows=[
            export_of(f"{one.asset}-test", one.asset, one.ts[400:], TAGS, one.test, labels=one.anomaly[400:])
            for one in chosen
        ],
        rows_per_frame=60,
    )
    return recorded, {one.asset: one.train for one in chosen}


def _of_recordings(folder: PocFolder, chosen: Sequence[Recording]) -> PocFolder:
    assets = tuple(one.asset for one in chosen)
    plant = folder.plant.model_copy(
        update={
            "name": "SKAB 순환수 시험대 (실측)",
            "simulated": False,
            "assets": tuple(Asset(name=name) for name in assets),
        }
    )
    pairings = []
    for one in folder.pairings:
        pairings.append(replace(one, agreement=one.agreement.model_copy(update={"assets": assets})))
    return replace(folder, plant=plant, pairings=tuple(pairings))


def entries(directory: Path, train: Mapping[str, np.ndarray]) -> list[Entry]:
    """Train the candidates and say where each runs."""
    from infra.demo.candidates import save_candidates

    return [
        Entry(pairing=PAIRINGS[made.startup], name=made.name, path=made.path)
        for made in save_candidates(directory, train)
    ]
