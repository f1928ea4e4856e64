"""Conditions of requests: each holds, or refuses with a reason that the request's sender can act on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from schemas.agreement import Agreement
from schemas.base import Ident, Offsets
from schemas.pairing import BASELINES, OVER, Pairing, Phase
from schemas.parties import Organisation, Plant, Role
from streams import topics
from streams.lifecycle import Installation

T = TypeVar("T")


class Refusal(Exception):
    """A request that may not be granted; its text says why and what to do."""


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise Refusal(reason)


def listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def existing(what: str, ident: Ident, known: Mapping[Ident, T]) -> T:
    if ident not in known:
        raise Refusal(f"there is no {what} {ident!r}; known: {listed(known)}")
    return known[ident]


def new_or_same(what: str, ident: Ident, record: object, known: Mapping[Ident, object]) -> None:
    there = known.get(ident)
    if there is not None and there != record:
        raise Refusal(
            f"the {what} {ident!r} exists with other content; choose a new id, or restore the old content"
        )


def asked_by(party: Ident, parties: Collection[Ident], what: str, pairing: Pairing) -> None:
    require(party in parties, f"{what} by {' or '.join(parties)}, not by {party}; it is about {pairing.id}")


def asked_by_plant_side(party: Ident, pairing: Pairing, what: str) -> None:
    asked_by(party, (pairing.manufacturer, *pairing.coordinators), what, pairing)


def asked_by_workers(party: Ident, pairing: Pairing) -> None:
    require(party == pairing.plant, f"only the workers of {pairing.plant} report on {pairing.id}")


def stands_in(pairing: Pairing, phases: Collection[Phase], rule: str) -> None:
    require(
        pairing.phase in phases,
        f"{rule}; {pairing.id} is {pairing.phase} since {pairing.since:%Y-%m-%d %H:%M} UTC",
    )


def not_over(pairing: Pairing) -> None:
    require(pairing.phase not in OVER, f"{pairing.id} is over: it is {pairing.phase}")


def unpaused(pairing: Pairing) -> None:
    require(
        not pairing.paused, f"{pairing.plant} is paused; its owner {pairing.manufacturer} resumes it first"
    )


def something_ran(pairing: Pairing) -> None:
    require(
        bool(pairing.present()),
        f"nothing has run in {pairing.id}: its start-up {pairing.startup} submits a candidate first, "
        "or the pairing is stopped",
    )


def asked_by_owner(party: Ident, plant: Ident, state: Installation) -> None:
    owner = existing("plant", plant, state.plants).owner
    require(party == owner, f"{plant} is paused and resumed by its owner {owner}")


def with_role(ident: Ident, role: Role, state: Installation) -> Organisation:
    organisation = existing("organisation", ident, state.organisations)
    require(role in organisation.roles, f"{ident} is no {role}; register it with that role")
    return organisation


def fits(assets: Collection[str], inputs: Collection[str], plant: Plant) -> None:
    for what, wanted, there in (
        ("asset", assets, {asset.name for asset in plant.assets}),
        ("tag", inputs, {tag.name for tag in plant.tags}),
    ):
        unknown = [name for name in wanted if name not in there]
        require(not unknown, f"{plant.id} has no {what} {', '.join(unknown)}")


def fits_candidates(agreement: Agreement, pairing: Pairing) -> None:
    """What was submitted stays submitted: new terms have to hold it."""
    names = {BASELINES, *(one.name for one in agreement.baselines)}
    taken = sorted(names & {one.id for one in pairing.candidates})
    require(not taken, f"{', '.join(taken)} is a candidate of {pairing.id}; rename the baseline")
    count, quota = places_taken(pairing), agreement.quotas.candidates
    require(
        count <= quota,
        f"{count} candidates of {pairing.id} were submitted; allow at least as many, not {quota}",
    )
    for one in pairing.candidates:
        most = agreement.limits.context_rows
        require(
            not pairing.runs(one) or one.context_rows <= most,
            f"{one.id} asks for {one.context_rows} preceding rows; allow as many, not {most}, or retire it",
        )


def places_taken(pairing: Pairing) -> int:
    """Candidates that count against the quota: a retired one does, one that the platform gave back does not."""
    return len(pairing.candidates) - len(pairing.returned)


def begin_at(pairing: Pairing, ends: Mapping[str, Offsets]) -> dict[str, Offsets]:
    return {
        "telemetry_from": ends[topics.telemetry(pairing.plant)],
        "labels_from": ends[topics.labels(pairing.plant)],
    }
