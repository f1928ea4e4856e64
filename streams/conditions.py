"""Conditions of requests: each holds, or refuses with a reason that the request's sender can act on.

Reasons stand in English and Korean side by side. Behind a name, Korean has only particles that go with any name: how an
id is read aloud nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from schemas.agreement import Agreement
from schemas.base import Ident, Offsets
from schemas.pairing import BASELINES, OVER, Candidate, Pairing, Phase
from schemas.parties import Organisation, Plant, Role
from schemas.words import Phrase
from streams import names, topics
from streams.lifecycle import Installation

T = TypeVar("T")


class Refusal(Exception):
    """A request that may not be granted.

    Attributes:
        why: the reason, and what to do.
    """

    def __init__(self, en: str, ko: str) -> None:
        super().__init__(en)
        self.why = Phrase(en, ko)


def require(holds: bool, en: str, ko: str) -> None:
    """Refuse where something does not hold.

    Raises:
        Refusal: with that reason.
    """
    if not holds:
        raise Refusal(en, ko)


def listed(known: Collection[str]) -> Phrase:
    """Names in their order."""
    there = ", ".join(sorted(known))
    return Phrase(there or "none", there or "없음")


# --- what there is ----------------------------------------------------------------------------------------------------


def existing(
    what: Phrase, ident: Ident, known: Mapping[Ident, T], seen: Callable[[T], bool] = lambda _: True
) -> T:
    """What bears that id.

    Args:
        seen: whether its asker may know of one: no other is listed where the id is unknown.

    Raises:
        Refusal: nothing does.
    """
    if ident not in known:
        there = listed([name for name, one in known.items() if seen(one)])
        raise Refusal(
            f"there is no {what.en} {ident!r}; known: {there.en}",
            f"등록되지 않은 {what.ko}입니다: {ident!r}. 등록된 {what.ko}: {there.ko}.",
        )
    return known[ident]


def new_or_same(what: Phrase, ident: Ident, record: object, known: Mapping[Ident, object]) -> None:
    there = known.get(ident)
    require(
        there is None or there == record,
        f"the {what.en} {ident!r} exists with other content; choose a new id, or restore the old content",
        f"ID가 {ident!r}인 {what.ko} 정보가 이미 다른 내용으로 등록되어 있습니다. "
        "새 ID를 쓰거나 내용을 원래대로 되돌려 주세요.",
    )


def free(ident: Ident, taken: bool, what: Phrase) -> None:
    require(
        not taken,
        f"the id {ident!r} is taken; choose another for the {what.en}",
        f"ID {ident!r}에는 이미 주인이 있습니다. {what.ko}에 다른 ID를 써 주세요.",
    )


def with_role(ident: Ident, role: Role, state: Installation) -> Organisation:
    organisation = existing(names.ORGANISATION, ident, state.organisations)
    said = names.ROLES[role]
    require(
        role in organisation.roles,
        f"{ident} is no {said.en}; register it with that role",
        f"기관 {ident}에는 {said.ko} 역할이 없습니다. 그 역할로 등록해 주세요.",
    )
    return organisation


def fits(assets: Collection[str], inputs: Collection[str], plant: Plant) -> None:
    for what, wanted, there in (
        (names.ASSET, assets, {asset.name for asset in plant.assets}),
        (names.TAG, inputs, {tag.name for tag in plant.tags}),
    ):
        unknown = [name for name in wanted if name not in there]
        known = listed(there)
        require(
            not unknown,
            f"{plant.id} has no {what.en} {', '.join(unknown)}; it has: {known.en}",
            f"공장 {plant.id}에 없는 {what.ko}입니다: {', '.join(unknown)}. "
            f"공장에 있는 {what.ko}: {known.ko}.",
        )


# --- who asks ---------------------------------------------------------------------------------------------------------


def asked_by(party: Ident, parties: Collection[Ident], what: Phrase, pairing: Pairing) -> None:
    """Refuse anyone else.

    Args:
        what: what is asked for: an English clause such as `the trial is started`, and a Korean noun: `실증 시작`.
    """
    require(
        party in parties,
        f"{what.en} by {' or '.join(parties)}, not by {party}; it is about {pairing.id}",
        f"{what.ko}: {' 또는 '.join(parties)}만 요청할 수 있으며 {party}에는 권한이 없습니다"
        f"(매칭 {pairing.id}).",
    )


def asked_by_plant_side(party: Ident, pairing: Pairing, what: Phrase) -> None:
    asked_by(party, (pairing.manufacturer, *pairing.coordinators), what, pairing)


def asked_by_workers(party: Ident, pairing: Pairing) -> None:
    require(
        party == pairing.plant,
        f"only the workers of {pairing.plant} report on {pairing.id}",
        f"매칭 {pairing.id}에 관한 보고는 공장 {pairing.plant}의 작업 프로세스만 할 수 있습니다.",
    )


def asked_by_owner(party: Ident, plant: Ident, state: Installation) -> None:
    owner = existing(names.PLANT, plant, state.plants).owner
    require(
        party == owner,
        f"{plant} is paused and resumed by its owner {owner}",
        f"공장 {plant}의 일시 중지와 재개는 소유 기업인 {owner}에서만 요청할 수 있습니다.",
    )


# --- where a pairing stands -------------------------------------------------------------------------------------------


def stands_in(pairing: Pairing, phases: Collection[Phase], rule: Phrase) -> None:
    """Refuse in any other phase.

    Args:
        rule: an English clause, and a Korean sentence.
    """
    since = f"{pairing.since:%Y-%m-%d %H:%M} UTC"
    require(
        pairing.phase in phases,
        f"{rule.en}; {pairing.id} is {pairing.phase} since {since}",
        f"{rule.ko} 매칭 {pairing.id}의 현재 단계: {names.PHASES[pairing.phase].ko}({since}부터).",
    )


def not_over(pairing: Pairing) -> None:
    require(
        pairing.phase not in OVER,
        f"{pairing.id} is over: it is {pairing.phase}; what is still wanted needs another pairing",
        f"매칭 {pairing.id}의 측정은 이미 끝났습니다(단계: {names.PHASES[pairing.phase].ko}). "
        "더 진행하려면 새 매칭을 제안해 주세요.",
    )


def unpaused(pairing: Pairing) -> None:
    require(
        not pairing.paused,
        f"{pairing.plant} is paused; its owner {pairing.manufacturer} resumes it first",
        f"공장 {pairing.plant}의 계측이 일시 중지되어 있습니다. "
        f"소유 기업인 {pairing.manufacturer}에서 먼저 재개해 주세요.",
    )


def something_ran(pairing: Pairing) -> None:
    require(
        bool(pairing.present()),
        f"nothing has run in {pairing.id}: its start-up {pairing.startup} submits a candidate first, "
        "or the pairing is stopped",
        f"매칭 {pairing.id}에서 실행된 것이 없습니다. 스타트업 {pairing.startup}에서 먼저 후보 모델을 제출하거나, "
        "매칭을 중단해 주세요.",
    )


def still_runs(candidate: Candidate, pairing: Pairing) -> None:
    require(
        pairing.runs(candidate),
        f"{candidate.id} is retired from {pairing.id} already, or was given back; submit a new version",
        f"후보 모델 {candidate.id}: 매칭 {pairing.id}에서 이미 철수되었거나 반환되었습니다. 새 버전을 제출해 주세요.",
    )


def fits_candidates(agreement: Agreement, pairing: Pairing) -> None:
    """What was submitted stays submitted: new terms have to hold it."""
    reserved = {BASELINES, *(one.name for one in agreement.baselines)}
    taken = ", ".join(sorted(reserved & {one.id for one in pairing.candidates}))
    require(
        not taken,
        f"{taken} is a candidate of {pairing.id}; rename the baseline",
        f"매칭 {pairing.id}의 후보 모델 이름과 겹칩니다: {taken}. 비교 기준의 이름을 바꿔 주세요.",
    )
    count, quota = places_taken(pairing), agreement.quotas.candidates
    require(
        count <= quota,
        f"{count} candidates of {pairing.id} were submitted; allow at least as many, not {quota}",
        f"매칭 {pairing.id}에 이미 후보 모델 {count}개가 제출되었습니다. "
        f"제출 한도를 {quota}개가 아니라 {count}개 이상으로 정해 주세요.",
    )
    most = agreement.limits.context_rows
    for one in pairing.candidates:
        require(
            not pairing.runs(one) or one.context_rows <= most,
            f"{one.id} asks for {one.context_rows} preceding rows; allow as many, not {most}, or retire it",
            f"후보 모델 {one.id}에는 앞선 행 {one.context_rows}개가 필요합니다. "
            f"한도를 {most}개가 아니라 그 이상으로 정하거나, 그 후보 모델을 철수해 주세요.",
        )


def places_taken(pairing: Pairing) -> int:
    """Candidates that count against the quota: a retired one does, one that the platform gave back does not."""
    return len(pairing.candidates) - len(pairing.returned)


def begin_at(pairing: Pairing, ends: Mapping[str, Offsets]) -> dict[str, Offsets]:
    return {
        "telemetry_from": ends[topics.telemetry(pairing.plant)],
        "labels_from": ends[topics.labels(pairing.plant)],
    }
