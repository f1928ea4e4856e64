"""Who and what takes part: what control asks before it takes organisations, programmes, plants and needs."""

from __future__ import annotations

from schemas.base import Ident
from schemas.events import (
    CapacityReported,
    KeyPublished,
    NeedDeclared,
    OrganisationRegistered,
    PlantAdmitted,
    PlantPaused,
    PlantResumed,
    ProgrammeOpened,
)
from schemas.parties import Need, Organisation, Plant, Programme, Role
from schemas.requests import PausePlant, PublishKey, ReportCapacity, ReportRejections
from streams import names, topics
from streams.conditions import asked_by_owner, existing, free, new_or_same, require, with_role
from streams.deadlines import CLOCK
from streams.lifecycle import Installation

#: Ids that no organisation or plant may bear.
RESERVED = frozenset({topics.OPERATOR, CLOCK})

#: Why a plant is paused that nobody paused.
TOO_MUCH = "too many of its messages had to be rejected"


def registered(party: Ident, organisation: Organisation, state: Installation) -> OrganisationRegistered:
    """The fact that an organisation is known.

    Raises:
        Refusal: it may not be; the reason says what to do. So do all of these.
    """
    require(
        party == topics.OPERATOR,
        f"only the operator of the installation registers organisations; ask it to register {organisation.id}",
        f"기관 등록은 설치 운영자만 할 수 있습니다. 운영자에게 {organisation.id} 등록을 요청해 주세요.",
    )
    new_or_same(names.ORGANISATION, organisation.id, organisation, state.organisations)
    free(organisation.id, organisation.id in state.plants or organisation.id in RESERVED, names.ORGANISATION)
    return OrganisationRegistered(organisation=organisation)


def opened(party: Ident, programme: Programme, state: Installation) -> ProgrammeOpened:
    """The fact that a programme is open."""
    operators = ", ".join(programme.operators)
    require(
        party in programme.operators,
        f"{programme.id} is opened by one of its operators: {operators}",
        f"사업 {programme.id}의 개설은 그 운영기관만 할 수 있습니다: {operators}.",
    )
    # The asker first: only a coordinator is told which organisations there are.
    for operator in sorted(programme.operators, key=lambda one: one != party):
        with_role(operator, Role.COORDINATOR, state)
    new_or_same(names.PROGRAMME, programme.id, programme, state.programmes)
    return ProgrammeOpened(programme=programme)


def admitted(party: Ident, plant: Plant, state: Installation) -> PlantAdmitted:
    """The fact that a plant is admitted."""
    require(
        party == plant.owner,
        f"{plant.id} is admitted by its owner {plant.owner}",
        f"공장 {plant.id}의 등록은 소유 기업인 {plant.owner}에서만 할 수 있습니다.",
    )
    with_role(plant.owner, Role.MANUFACTURER, state)
    free(plant.id, plant.id in state.organisations or plant.id in RESERVED, names.PLANT)
    new_or_same(names.PLANT, plant.id, plant, state.plants)
    return PlantAdmitted(plant=plant)


def declared(party: Ident, need: Need, state: Installation) -> NeedDeclared:
    """The fact that a plant has a need."""
    owner = _plant(party, need.plant, state).owner
    require(
        party == owner,
        f"only {owner} declares needs of {need.plant}",
        f"공장 {need.plant}의 수요는 소유 기업인 {owner}에서만 등록할 수 있습니다.",
    )
    existing(names.PROGRAMME, need.programme, state.programmes)
    new_or_same(names.NEED, need.id, need, state.needs)
    return NeedDeclared(need=need)


def keyed(party: Ident, command: PublishKey, state: Installation) -> KeyPublished:
    """The fact that evidence is signed under a key."""
    if command.holder == topics.OPERATOR:
        require(
            party == topics.OPERATOR,
            "only the operator of the installation publishes the key of control",
            "제어 서명 키는 설치 운영자만 공개할 수 있습니다.",
        )
    else:
        owner = _plant(party, command.holder, state).owner
        require(
            party == owner,
            f"the key of {command.holder} is published by its owner {owner}",
            f"공장 {command.holder}의 서명 키는 소유 기업인 {owner}에서만 공개할 수 있습니다.",
        )
    others = [holder for holder, key in state.keys.items() if key == command.key and holder != command.holder]
    require(
        not others,
        f"{', '.join(others)} signs with this key: one signature would stand for both; publish a key of {command.holder}'s own",
        f"{', '.join(others)}에서 쓰는 서명 키입니다. 서명 하나가 두 곳을 대신하게 되므로 {command.holder}의 키를 따로 공개해 주세요.",
    )
    return KeyPublished(holder=command.holder, key=command.key)


def paused(party: Ident, command: PausePlant, state: Installation) -> PlantPaused:
    """The fact that a plant's telemetry is paused."""
    _plant(party, command.plant, state)
    asked_by_owner(party, command.plant, state)
    _not_paused(command.plant, state)
    return PlantPaused(plant=command.plant, reason=command.reason)


def held(party: Ident, command: ReportRejections, state: Installation) -> PlantPaused:
    """The fact that a plant is paused because too much of what it sends has to be rejected."""
    _plant(party, command.plant, state)
    require(
        party == command.plant,
        f"only the workers of {command.plant} report what they had to reject",
        f"공장 {command.plant}의 거부된 메시지는 그 공장의 작업 프로세스만 보고할 수 있습니다.",
    )
    _not_paused(command.plant, state)
    return PlantPaused(plant=command.plant, reason=TOO_MUCH, rejections=command.rejections)


def _not_paused(plant: Ident, state: Installation) -> None:
    require(
        plant not in state.paused,
        f"{plant} is paused already; nothing has to be done",
        f"공장 {plant}의 계측은 이미 일시 중지되어 있습니다. 다시 요청하지 않아도 됩니다.",
    )


def resumed(party: Ident, plant: Ident, state: Installation) -> PlantResumed:
    """The fact that a plant goes on."""
    _plant(party, plant, state)
    asked_by_owner(party, plant, state)
    require(
        plant in state.paused,
        f"{plant} is not paused: its telemetry is taken as it comes",
        f"공장 {plant}에는 일시 중지가 걸려 있지 않습니다. 계측은 들어오는 대로 처리되고 있습니다.",
    )
    return PlantResumed(plant=plant)


def measured(party: Ident, command: ReportCapacity, state: Installation) -> CapacityReported:
    """The fact that a plant's machine can carry so much."""
    _plant(party, command.plant, state)
    require(
        party == command.plant,
        f"only the workers of {command.plant} report what its machine can carry",
        f"공장 {command.plant}의 장비 용량은 그 공장의 작업 프로세스만 보고할 수 있습니다.",
    )
    return CapacityReported(plant=command.plant, capacity=command.capacity)


def _plant(party: Ident, ident: Ident, state: Installation) -> Plant:
    return existing(names.PLANT, ident, state.plants, lambda one: party in (one.owner, one.id))
