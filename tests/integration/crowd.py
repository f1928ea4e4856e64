"""Candidates side by side on one machine, some of them hostile: their trial, and all that the platform kept of it."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from infra.kafka import admin as kafka_admin
from infra.recordings import export_of
from infra.replay import replay
from schemas.agreement import Agreement, Limits
from schemas.evaluation import Verdict
from schemas.events import DeploymentStarted, DeploymentSuspended
from schemas.faults import Fault
from schemas.requests import StartTrial
from schemas.terms import Quotas
from streams import topics
from streams.export_plan import plan
from streams.ledger_codec import OutcomeRows, decode
from tests.integration.models import save_one
from tests.integration.plants import BEGIN_US, MAKER, SECOND_US, Site, agreement

HONEST, HOSTILE = 7, ("floods", "eats", "crashes")

#: What hostile candidates do is written there.
MOODS = Path(__file__).parents[1] / "contract" / "moods.py"

ASSETS = ("m1", "m2")
ROWS_PER_FRAME = 100

#: What the clock makes of an outcome: all the rest of it is the candidate's.
CLOCKED = {"appended_ms", "cpu_us", "wall_us", "peak_kb"}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the platform kept of one trial, by candidate.

    Attributes:
        outcomes: of every due frame in the order of the log, as bytes, without what the clock makes of them.
        finals: the last evaluation with its verdict, without what the clock makes of them.
        walls_us: how long each frame took from its turn to its answer.
        suspended: the faults after which candidates were suspended, as the facts tell them.
        cpu_share: what the installation used of the machine's cores while frames came, 0 … 1.
    """

    outcomes: Mapping[str, list[bytes]]
    finals: Mapping[str, str]
    walls_us: Mapping[str, list[int]]
    suspended: Mapping[str, Fault]
    cpu_share: float


def save_crowd(root: Path) -> dict[str, Path]:
    """Save seven honest models and the three hostile ones; their folders by name."""
    sys.path.insert(0, str(MOODS.parent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for span in range(2, 2 + HONEST):
                options = {"context_rows": 4 * span, "score": True, "model_config": {"span": span}}
                save_one(root / f"steady-{span}", "steady", **options)
            for way in HOSTILE:
                save_one(root / way, "hostile", model_config={"way": way}, code_paths=[str(MOODS)])
    finally:
        sys.path.remove(str(MOODS.parent))
        sys.modules.pop(MOODS.stem, None)
    return {path.name: path for path in root.iterdir() if (path / "MLmodel").exists()}


def terms() -> Agreement:
    """Terms under which a small machine carries ten candidates, and the CPU time of a frame is limited."""
    return agreement(assets=ASSETS).model_copy(
        update={"limits": Limits(memory_mb=128, cpu_s=2), "quotas": Quotas(candidates=10)}
    )


def hold(site: Site, models: Mapping[str, Path], *, seconds: float, frames_s: float) -> Seen:
    """Hold a trial of these candidates at a plant of their own, from the submissions to the verdicts.

    Args:
        site: a plant with ASSETS; its pairing is called like it.
        models: the folders of the candidates by name.
        seconds: how long frames come.
        frames_s: how many come a second.
    """
    pairing = site.name
    site.propose(pairing, terms())
    ids = {
        site.submit(pairing, path, f"{site.name}-{name}").candidate.id: name for name, path in models.items()
    }
    site.ask(MAKER, StartTrial(pairing=pairing))
    site.seen.wait(
        lambda: ids.keys() <= _loaded(site, pairing), "every candidate to be loaded", timeout_s=200
    )
    share = _send(site, seconds=seconds, frames_s=frames_s)
    for asset in ASSETS:
        site.label(f"bad-{asset}", 100, 200, "anomaly", asset=asset)
        site.label(f"good-{asset}", 200, 1_000_000, "normal", asset=asset)
        site.complete(1_000_000, asset=asset)
    site.end(pairing)
    verdicts: dict[str, Verdict] = site.seen.wait(
        lambda: (found := site.seen.verdicts(site.name, pairing)).keys() >= ids.keys() and found,
        "every verdict",
        timeout_s=400,
    )
    kept: dict[str, list[OutcomeRows]] = {name: [] for name in models}
    for one in _outcomes(site, pairing):
        if (name := ids.get(_candidate(one.meta.deployment))) is not None:
            kept[name].append(one)
    suspended = {ident: _suspended(site, f"{pairing}/{ident}") for ident in ids}
    return Seen(
        outcomes={name: [_kept(one, site.name) for one in each] for name, each in kept.items()},
        finals={name: _final(verdicts[ident], site.name) for ident, name in ids.items()},
        walls_us={name: [one.meta.wall_us for one in each] for name, each in kept.items()},
        suspended={ids[ident]: fault for ident, fault in suspended.items() if fault is not None},
        cpu_share=share,
    )


# --- what the plant sends -------------------------------------------------------------------------------------------


def _send(site: Site, *, seconds: float, frames_s: float) -> float:
    """Send frames at that rate; what that took of the machine's cores."""
    rows = int(seconds * frames_s / len(ASSETS)) * ROWS_PER_FRAME
    times = BEGIN_US + np.arange(rows, dtype=np.int64) * SECOND_US
    rng = np.random.default_rng(5)
    exports = []
    for asset in ASSETS:
        x = 0.4 + 0.3 * np.sin(np.arange(rows) / 40) + rng.normal(scale=0.1, size=rows)
        exports.append(export_of(f"crowd-{asset}", asset, times, ("x",), x[:, None]))
    speed = frames_s / len(ASSETS) * ROWS_PER_FRAME
    frames = plan(exports, rows_per_frame=ROWS_PER_FRAME, watermarks=False)
    before, began = used_s(), time.monotonic()
    replay(frames, bootstrap=site.client.bootstrap, plant=site.name, speed=speed)
    return (used_s() - before) / (time.monotonic() - began) / len(os.sched_getaffinity(0))


def used_s() -> float:
    """CPU time of all that this process has started and that still runs."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


# --- what was kept --------------------------------------------------------------------------------------------------


def _candidate(deployment: str) -> str:
    return deployment.partition("/")[2]


def _loaded(site: Site, pairing: str) -> set[str]:
    """Candidates whose model is loaded."""
    facts = [fact.body for fact in site.seen.facts]
    return {
        _candidate(one.deployment)
        for one in facts
        if isinstance(one, DeploymentStarted) and one.pairing == pairing
    }


def _suspended(site: Site, deployment: str) -> Fault | None:
    facts = [fact.body for fact in site.seen.facts]
    return next(
        (one.fault for one in facts if isinstance(one, DeploymentSuspended) and one.deployment == deployment),
        None,
    )


def _outcomes(site: Site, pairing: str) -> Iterable[OutcomeRows]:
    """Outcomes that count: the first of each frame."""
    seen: set[tuple[str, int, int]] = set()
    for record in kafka_admin.read_all(site.client.bootstrap, topics.ledger(site.name)):
        entry = decode(record)
        if isinstance(entry, OutcomeRows) and entry.meta.pairing == pairing:
            place = (entry.meta.deployment, entry.meta.partition, entry.meta.last)
            if place not in seen:
                seen.add(place)
                yield entry


def _kept(outcome: OutcomeRows, name: str) -> bytes:
    """An outcome with its rows, under the same name whatever the plant is called."""
    meta = outcome.meta.model_dump_json(exclude=CLOCKED).replace(name, "plant")
    scores = b"" if outcome.scores is None else outcome.scores.tobytes()
    return meta.encode() + outcome.times_us.tobytes() + outcome.answers.tobytes() + scores


def _final(verdict: Verdict, name: str) -> str:
    """A verdict with its evaluation, likewise."""
    clocked = {"at": True, "chain": True, "ledger_offset": True, "service": True}
    delays = {"delay_p50_ms", "delay_p90_ms"}
    told = verdict.model_dump_json(exclude={"evaluation": {**clocked, "labels": delays}})
    return told.replace(name, "plant")
