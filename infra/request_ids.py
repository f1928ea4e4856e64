"""Ids of requests that follow from what is asked: asking the same again has the same id, and so acts once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from schemas.events import (
    AgreementAmended,
    ConsentGiven,
    DeploymentSuspended,
    Fact,
    KeyPublished,
    PlantPaused,
    PlantResumed,
    RehearsalReported,
    RehearsalStarted,
    TrialStarted,
)
from schemas.requests import (
    AmendAgreement,
    Command,
    ConsentToAgreement,
    EndRehearsal,
    EndTrial,
    PausePlant,
    PublishKey,
    ResumeCandidate,
    ResumePlant,
    StartRehearsal,
    StartTrial,
)


def request_id(party: str, command: Command, *, after: int = 0) -> str:
    """The id of a request: 32 hexadecimal digits.

    Args:
        party: who asks.
        command: what is asked for.
        after: number of the fact that refused the same request before, or that undid it; 0 for the first time.
    """
    content = {"party": party, "command": command.to_dict(), "after": after}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def undone(command: Command, facts: Iterable[Fact]) -> int:
    """The number of the last fact after which the same words ask for something new; 0 where there is none.

    A plant that was resumed can be paused again, a second rehearsal or trial be started and ended, a candidate that was
    suspended again be resumed, an agreement that returned to the table be consented to.
    """
    return max((fact.number for fact in facts if _undoes(fact, command)), default=0)


def _undoes(fact: Fact, command: Command) -> bool:
    match command, fact.body:
        case (PausePlant(plant=plant), PlantResumed(plant=other)) | (
            ResumePlant(plant=plant),
            PlantPaused(plant=other),
        ):
            return plant == other
        case (StartRehearsal(pairing=pairing), RehearsalReported(pairing=other)) | (
            EndRehearsal(pairing=pairing),
            RehearsalStarted(pairing=other),
        ):
            return pairing == other
        case (EndTrial(pairing=pairing), TrialStarted(pairing=other)) | (
            ResumeCandidate(pairing=pairing),
            DeploymentSuspended(pairing=other),
        ):
            return pairing == other
        case StartTrial(pairing=pairing), ConsentGiven(pairing=other, until=until):
            # With this consent the trial ended that ran under other terms.
            return pairing == other and until is not None
        case ConsentToAgreement() as consent, AgreementAmended() as amended:
            # Only where the agreement returned: an earlier consent to terms that were replaced stays what it was.
            same = consent.agreement_digest == amended.agreement_digest
            return same and consent.pairing == amended.pairing
        case AmendAgreement() as asked, AgreementAmended() as amended:
            return asked.pairing == amended.pairing and asked.agreement.digest() != amended.agreement_digest
        case PublishKey() as asked, KeyPublished() as published:
            return asked.holder == published.holder and asked.key != published.key
        case _:
            return False
