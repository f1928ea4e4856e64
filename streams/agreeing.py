"""Terms of a proof: what control asks before an agreement lies on the table, and before it is consented to."""

from __future__ import annotations

from schemas.agreement import Agreement
from schemas.base import Ident, Offsets
from schemas.events import AgreementAmended, ConsentGiven, PairingProposed
from schemas.pairing import Pairing, Phase
from schemas.parties import Role
from schemas.requests import AmendAgreement, ConsentToAgreement, ProposePairing
from schemas.words import Phrase
from streams import names, topics
from streams.conditions import asked_by, existing, fits, fits_candidates, require, stands_in, with_role
from streams.lifecycle import Installation, who_acts_next


def proposed(party: Ident, command: ProposePairing, state: Installation) -> PairingProposed:
    """The fact that a pairing lies on the table.

    Raises:
        Refusal: it may not; the reason says what to do. So do all of these.
    """

    def operated(programme: Ident) -> bool:
        return party in state.programmes[programme].operators

    need = existing(names.NEED, command.need, state.needs, lambda one: operated(one.programme))
    operators = ", ".join(state.programmes[need.programme].operators)
    require(
        operated(need.programme),
        f"pairings of {need.programme} are proposed by {operators}; {command.need} belongs to it",
        f"수요 {command.need} 쪽 매칭은 사업 {need.programme}의 운영기관만 제안할 수 있습니다: {operators}.",
    )
    with_role(command.startup, Role.STARTUP, state)
    require(
        command.pairing not in state.pairings,
        f"the pairing {command.pairing!r} exists; choose a new id",
        f"ID가 {command.pairing!r}인 매칭이 이미 있습니다. 새 ID를 써 주세요.",
    )
    fits(command.agreement.assets, command.agreement.inputs, state.plants[need.plant])
    _seals_keys_in_use(command.agreement, need.plant, state)
    return PairingProposed(
        pairing=command.pairing,
        need=command.need,
        startup=command.startup,
        agreement=command.agreement,
        agreement_digest=command.agreement.digest(),
    )


def _seals_keys_in_use(agreement: Agreement, plant: Ident, state: Installation) -> None:
    sealed = agreement.keys
    require(
        sealed is None
        or (sealed.plant, sealed.control) == (state.keys.get(plant), state.keys.get(topics.OPERATOR)),
        f"`keys` names others than those of {plant} and of this installation; "
        "leave it out and the keys in use are sealed, or see them with `fieldproof evidence keys`",
        f"`keys`가 공장 {plant}와 이 설치의 서명 키와 다릅니다. 빼 두면 사용 중인 키가 들어갑니다. "
        "`fieldproof evidence keys`로 확인할 수 있습니다.",
    )


def amended(party: Ident, command: AmendAgreement, pairing: Pairing, state: Installation) -> AgreementAmended:
    """The fact that another agreement lies on the table."""
    agreement, digest = command.agreement, command.agreement.digest()
    sides = (pairing.manufacturer, pairing.startup, *pairing.coordinators)
    asked_by(party, sides, Phrase("the agreement is amended", "협약 변경"), pairing)
    stands_in(
        pairing,
        (Phase.PROPOSED, Phase.AGREED, Phase.RUNNING),
        Phrase(
            "an agreement is amended before the trial, or while it runs",
            "협약은 실증을 시작하기 전이나 실증 중에만 변경할 수 있습니다.",
        ),
    )
    fits(agreement.assets, agreement.inputs, state.plants[pairing.plant])
    _seals_keys_in_use(agreement, pairing.plant, state)
    fits_candidates(agreement, pairing)
    on_table = pairing.amendment.agreement_digest if pairing.amendment else pairing.agreement_digest
    require(
        digest != on_table,
        f"this agreement lies on the table of {pairing.id} already; consent to it, or change it",
        f"매칭 {pairing.id}에 이미 올라와 있는 협약입니다. 그 협약에 동의하거나 내용을 바꿔 주세요.",
    )
    if pairing.phase is Phase.RUNNING:
        _while_it_runs(agreement, pairing)
    return AgreementAmended(
        pairing=pairing.id, agreement=agreement, agreement_digest=digest, reason=command.reason
    )


def _while_it_runs(agreement: Agreement, pairing: Pairing) -> None:
    before = pairing.agreement
    require(
        agreement.digest() != pairing.agreement_digest,
        f"the trial of {pairing.id} runs under this agreement; nothing is amended",
        f"매칭 {pairing.id}의 실증은 이미 이 협약으로 진행되고 있습니다. 바뀐 내용이 없으니 다른 조건을 올려 주세요.",
    )
    require(
        (agreement.task, agreement.classes, agreement.target) == (before.task, before.classes, before.target),
        f"what the trial of {pairing.id} predicts is not amended on the way; propose another pairing for it",
        f"매칭 {pairing.id}의 예측 대상은 실증 중에 바꿀 수 없습니다. 새 매칭을 제안해 주세요.",
    )


def consented(party: Ident, command: ConsentToAgreement, pairing: Pairing, until: Offsets) -> ConsentGiven:
    """The fact that one side consents.

    Args:
        until: where a trial ends that runs under other terms, if this is the last consent.
    """
    sides = (pairing.manufacturer, pairing.startup)
    asked_by(party, sides, Phrase("an agreement is consented to", "협약 동의"), pairing)
    amendment = pairing.amendment
    if amendment is None:
        rule = Phrase(
            "consent is given while an agreement lies on the table",
            "동의는 협약안이 올라와 있는 동안에만 할 수 있습니다.",
        )
        stands_in(pairing, (Phase.PROPOSED,), rule)
    digest = pairing.agreement_digest if amendment is None else amendment.agreement_digest
    theirs, mine = f"{digest[:12]}…", f"{command.agreement_digest[:12]}…"
    require(
        command.agreement_digest == digest,
        f"the agreement on the table of {pairing.id} has the hash {theirs}, "
        f"you consent to {mine}; read it again with `fieldproof agreement show {pairing.id}`",
        f"매칭 {pairing.id}에 올라와 있는 협약의 해시는 {theirs}인데, 동의하신 협약의 해시는 {mine}입니다. "
        f"`fieldproof agreement show {pairing.id}`로 협약을 다시 확인해 주세요.",
    )
    others = [one for one in who_acts_next(pairing) if one != party]
    require(
        not pairing.consented(party),
        f"{party} has consented to the agreement of {pairing.id} already; {', '.join(others)} has to consent next",
        f"매칭 {pairing.id}의 협약에 대한 {party}의 동의는 이미 받았습니다. 남은 동의: {', '.join(others)}.",
    )
    if amendment is not None:
        # Candidates were submitted under the present terms meanwhile.
        fits_candidates(amendment.agreement, pairing)
    ends = until if amendment is not None and not others else None
    return ConsentGiven(
        pairing=pairing.id, agreement_digest=command.agreement_digest, person=command.person, until=ends
    )
