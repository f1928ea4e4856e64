"""What is tried at home: a model, an agreement, and as much of a plant as the agreement names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from infra.environments.environment import Environment
from infra.mlflow.files import digest_of
from infra.sandbox.command import Level
from infra.submission import readable
from models.contract import Contract
from schemas.agreement import Agreement
from schemas.pairing import BASELINES, Candidate, Deployment, Pairing, Phase, deployment_id
from schemas.parties import Asset, Plant, RejectLimit, Tag
from streams.export_text import Problem
from streams.exports import AssetRows, Export
from streams.frames import moment

#: What evaluations at home call the pairing, the plant and the start-up.
PAIRING, PLANT, STARTUP = "try-out", "here", "start-up"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A model under an agreement on this machine."""

    #: The folder of the MLflow model.
    model: Path
    contract: Contract
    agreement: Agreement
    plant: Plant
    environment: Environment
    #: How the model's code is held.
    level: Level

    def candidate(self) -> Candidate:
        """The model as it would be submitted, before the registry has given it a version."""
        name = readable(self.model.resolve().name)
        return Candidate(
            id=name,
            startup=STARTUP,
            model=name,
            version="0",
            digest=digest_of(self.model),
            context_rows=self.contract.context_rows,
            with_ts=self.contract.with_ts,
            with_asset=self.contract.with_asset,
        )

    def pairing(self, *, now_ms: int) -> Pairing:
        """The pairing as it would stand in a trial that has just begun; its first deployment is the candidate's."""
        candidate = self.candidate()
        return Pairing(
            id=PAIRING,
            programme=PAIRING,
            need=PAIRING,
            plant=self.plant.id,
            manufacturer=self.plant.owner,
            startup=STARTUP,
            coordinators=(),
            agreement=self.agreement,
            agreement_digest=self.agreement.digest(),
            phase=Phase.RUNNING,
            since=moment(now_ms * 1000),
            why="it is tried at home",
            candidates=(candidate,),
            telemetry_from={0: 0},
            labels_from={0: 0},
            deployments=(_deployment(candidate), *self._baselines()),
            trials=1,
            simulated=self.plant.simulated,
            fact=0,
        )

    def _baselines(self) -> Iterable[Deployment]:
        names = tuple(one.name for one in self.agreement.baselines)
        if names:
            yield Deployment(id=deployment_id(PAIRING, BASELINES), subjects=names, starts={0: 0})


def _deployment(candidate: Candidate) -> Deployment:
    ident = deployment_id(PAIRING, candidate.id)
    return Deployment(id=ident, subjects=(candidate.id,), candidate=candidate, starts={0: 0})


def plant_of(agreement: Agreement) -> Plant:
    """A plant that has what the agreement names and nothing more."""
    return Plant(
        id=PLANT,
        name=PLANT,
        owner=PLANT,
        assets=tuple(Asset(name=name) for name in agreement.assets),
        tags=tuple(Tag(name=name) for name in agreement.inputs),
        # Nobody is there who would mend and resume it.
        rejects=RejectLimit(share=1),
    )


def lacking(exports: Iterable[Export], agreement: Agreement) -> list[Problem]:
    """Inputs of the agreement that files do not have: their rows would be refused on the platform."""
    problems = []
    for export in exports:
        there = {tag for rows in export.assets for tag in rows.values}
        problems += [
            Problem(
                file=export.file,
                detail=f"there is no column for the input {name!r}; name it with --tag 'COLUMN={name}'",
            )
            for name in agreement.inputs
            if name not in there
        ]
    return problems


def first_rows(exports: Iterable[Export], count: int) -> list[Export]:
    """The first rows of each machine in each file."""
    return [replace(one, assets=tuple(_first(rows, count) for rows in one.assets)) for one in exports]


def _first(rows: AssetRows, count: int) -> AssetRows:
    return AssetRows(
        asset=rows.asset,
        times=rows.times[:count],
        values={tag: column[:count] for tag, column in rows.values.items()},
        labels=None if rows.labels is None else rows.labels.slice(0, count),
    )
