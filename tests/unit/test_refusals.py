"""Refusals of requests about a pairing: each names the thing and says what to do, and changes nothing."""

from __future__ import annotations

import pytest

from infra.request_ids import request_id, undone
from schemas.agreement import Agreement, Baseline
from schemas.evaluation import Outcome
from schemas.events import Fact, RequestRefused
from schemas.pairing import Phase, Rehearsal
from schemas.parties import Role
from schemas.requests import (
    AdmitPlant,
    AmendAgreement,
    Command,
    ConsentToAgreement,
    EndRehearsal,
    EndTrial,
    PausePlant,
    RecordFollowUp,
    ReportConclusion,
    ReportRehearsal,
    ResolveObjection,
    ResumePlant,
    RetireCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from schemas.terms import Phases, Quotas
from streams import topics
from streams.lifecycle import Installation
from tests.unit.test_control import LIFE, after, grant, organisation
from tests.unit.twins import PAIRING, PLANT, a_candidate, a_plant, an_agreement

Step = tuple[str, Command]


def changed(**terms: object) -> Agreement:
    return an_agreement().model_copy(update=terms)


def amend(agreed: Agreement, party: str = "city") -> Step:
    return party, AmendAgreement(pairing=PAIRING, agreement=agreed, reason="better")


def consents(agreed: Agreement) -> list[Step]:
    return [
        (party, ConsentToAgreement(pairing=PAIRING, agreement_digest=agreed.digest(), person=party))
        for party in ("maker", "startup-1")
    ]


def submit(ident: str, *, context_rows: int = 0) -> Step:
    one = a_candidate(ident=ident, context_rows=context_rows)
    return "startup-1", SubmitCandidate(pairing=PAIRING, candidate=one)


def report(*, passed: bool) -> Step:
    shown = Rehearsal(passed=passed, rows=5, labelled=1.0, answered=1.0)
    return PLANT, ReportRehearsal(pairing=PAIRING, rehearsal=shown)


REHEARSE: Step = ("maker", StartRehearsal(pairing=PAIRING))
END_REHEARSAL: Step = ("maker", EndRehearsal(pairing=PAIRING))
START: Step = ("maker", StartTrial(pairing=PAIRING))
END: Step = ("maker", EndTrial(pairing=PAIRING))
STOP: Step = ("maker", StopPairing(pairing=PAIRING, reason="rebuilt"))
PAUSE: Step = ("maker", PausePlant(plant=PLANT, reason="repairs"))
RESUME: Step = ("maker", ResumePlant(plant=PLANT))
BARE = changed(baselines=())

#: What went before (after both consents), the request, and the parts of its refusal.
REFUSALS: dict[str, tuple[list[Step], Step, tuple[str, ...]]] = {
    "a hash that is no longer on the table": (
        [amend(changed(target="leaks"))],
        consents(an_agreement())[1],
        (f"the agreement on the table of {PAIRING} has the hash", "fieldproof agreement show"),
    ),
    "another start-up": (
        [],
        ("startup-2", SubmitCandidate(pairing=PAIRING, candidate=a_candidate())),
        ("by startup-1", "not by startup-2", PAIRING),
    ),
    "one candidate too many": (
        [
            amend(changed(quotas=Quotas(candidates=1))),
            *consents(changed(quotas=Quotas(candidates=1))),
            submit("v1"),
        ],
        submit("v2"),
        ("allows 1 candidates and 1 were submitted", "a retired one keeps its place"),
    ),
    "a retired one keeps its place": (
        [
            amend(changed(quotas=Quotas(candidates=1))),
            *consents(changed(quotas=Quotas(candidates=1))),
            submit("v1"),
            ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="old")),
        ],
        submit("v2"),
        ("allows 1 candidates",),
    ),
    "an unknown candidate": (
        [submit("v1")],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v7", reason="old")),
        ("no candidate 'v7'", "known: v1"),
    ),
    "a candidate that is retired": (
        [submit("v1"), ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="old"))],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="again")),
        ("v1 is retired", PAIRING),
    ),
    "a rehearsal that is agreed and was not passed": (
        [
            amend(changed(phases=Phases(rehearsal_rows=5))),
            *consents(changed(phases=Phases(rehearsal_rows=5))),
            REHEARSE,
            END_REHEARSAL,
            report(passed=False),
        ],
        START,
        ("a rehearsal of 5 rows that passed", "start one first"),
    ),
    "a rehearsal passed under other terms": (
        [
            REHEARSE,
            END_REHEARSAL,
            report(passed=True),
            amend(changed(phases=Phases(rehearsal_rows=5))),
            *consents(changed(phases=Phases(rehearsal_rows=5))),
        ],
        START,
        ("a rehearsal of 5 rows that passed",),
    ),
    "a rehearsal that ended": ([REHEARSE, END_REHEARSAL], END_REHEARSAL, (PAIRING, "has ended already")),
    "a rehearsal that still runs": ([REHEARSE], report(passed=True), (PAIRING, "end it first")),
    "a rehearsal of nothing": (
        [amend(BARE), *consents(BARE), REHEARSE],
        END_REHEARSAL,
        ("nothing has run", "startup-1 submits a candidate first"),
    ),
    "a trial of nothing": (
        [amend(BARE), *consents(BARE), START],
        END,
        ("nothing has run", PAIRING, "or the pairing is stopped"),
    ),
    "a paused plant": ([PAUSE], START, (PLANT, "its owner maker resumes it first")),
    "a plant that is paused": ([PAUSE], PAUSE, (PLANT, "paused already")),
    "a plant that is not paused": ([], RESUME, (PLANT, "not paused")),
    "another's plant": ([], ("city", PausePlant(plant=PLANT, reason="x")), ("by its owner maker",)),
    "an unknown plant": (
        [],
        ("maker", PausePlant(plant="plant-9", reason="x")),
        ("'plant-9'", f"known: {PLANT}"),
    ),
    "an objection that nobody raised": (
        [],
        ("city", ResolveObjection(pairing=PAIRING, objection="x", resolution="upheld", reason="x")),
        (PAIRING, "no open objection 'x'", "open: none"),
    ),
    "a follow-up before the settlement": (
        [],
        ("city", RecordFollowUp(pairing=PAIRING, outcome="none")),
        ("once the pairing is settled", PAIRING, "agreed"),
    ),
    "what is over": (
        [STOP],
        ("startup-1", WithdrawPairing(pairing=PAIRING, reason="x")),
        (PAIRING, "stopped"),
    ),
    "terms too narrow for the candidates there are": (
        [submit("v1"), submit("v2")],
        amend(changed(quotas=Quotas(candidates=1))),
        ("2 candidates", "allow at least as many"),
    ),
    "a baseline named as a candidate": (
        [submit("v1")],
        amend(changed(baselines=(Baseline(name="v1", answer="normal"),))),
        ("v1 is a candidate", "rename the baseline"),
    ),
    "fewer preceding rows than a candidate asks for": (
        [submit("v1", context_rows=900)],
        amend(changed(limits=an_agreement().limits.model_copy(update={"context_rows": 10}))),
        ("v1 asks for 900", "or retire it"),
    ),
    "the very agreement that is on the table": (
        [],
        amend(an_agreement()),
        (PAIRING, "already", "consent to it"),
    ),
    "a report by someone else": (
        [],
        ("maker", ReportConclusion(pairing=PAIRING, verdicts={"v1": Outcome.ACCEPTED})),
        (f"only the workers of {PLANT}", PAIRING),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_the_thing_and_says_what_to_do(name: str) -> None:
    before, (party, command), parts = REFUSALS[name]
    state = after(9)
    for step in before:
        body = grant(state, *step).body
        assert not isinstance(body, RequestRefused), body.reason
    known = dict(state.pairings)
    body = grant(state, party, command).body
    assert isinstance(body, RequestRefused) and body.command == command.kind
    for part in parts:
        assert part in body.reason
    assert state.pairings == known


@pytest.mark.parametrize("name", ["operator", "clock"])
def test_reserved_names_are_given_to_nobody(name: str) -> None:
    body = grant(after(0), topics.OPERATOR, organisation(name, Role.STARTUP)).body
    assert isinstance(body, RequestRefused) and f"{name!r} is taken; choose another" in body.reason
    plant = AdmitPlant(plant=a_plant().model_copy(update={"id": name}))
    body = grant(after(3), "maker", plant).body
    assert isinstance(body, RequestRefused) and f"{name!r} is taken; choose another" in body.reason


def test_an_agreement_that_returns_to_the_table_is_consented_to_anew() -> None:
    """Both had consented to it before; what both had agreed on in between was put aside."""
    state = after(9)
    for step in (amend(changed(target="leaks")), amend(an_agreement())):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    pairing = state.pairings[PAIRING]
    assert pairing.phase is Phase.PROPOSED and not pairing.consented("maker")
    for step in consents(an_agreement()):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    assert state.pairings[PAIRING].phase is Phase.AGREED


def test_a_candidate_that_comes_while_a_rehearsal_is_looked_at_joins_the_trial_alone() -> None:
    state = after(9)
    for step in (REHEARSE, END_REHEARSAL, submit("late"), report(passed=True), START):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    found = [one.id for one in state.pairings[PAIRING].deployments if "late" in one.subjects]
    assert found == [f"{PAIRING}/late"]


# --- asking the same again --------------------------------------------------------------------------------------------


class Asker:
    """Asks as a command does: the id follows from the content, and from what undid it."""

    def __init__(self, state: Installation) -> None:
        self.state = state
        self.facts: list[Fact] = []

    def ask(self, party: str, command: Command) -> bool:
        """Whether a new fact came of it."""
        ident = request_id(party, command, after=undone(command, self.facts))
        if (party, ident) in self.state.granted:
            return False
        fact = grant(self.state, party, command, request=ident)
        assert not isinstance(fact.body, RequestRefused), fact.body.reason
        self.facts.append(fact)
        return True


def test_what_was_undone_can_be_asked_for_again_in_the_same_words() -> None:
    asker = Asker(after(9))
    leaks = changed(target="leaks")
    for step in (PAUSE, RESUME, PAUSE, RESUME, REHEARSE, END_REHEARSAL):
        assert asker.ask(*step), step
        assert not asker.ask(*step), "asked twice it acts once"
    grant_report = grant(asker.state, *report(passed=False))
    asker.facts.append(grant_report)
    for step in (REHEARSE, END_REHEARSAL):
        assert asker.ask(*step)
        assert not asker.ask(*step)
    asker.facts.append(grant(asker.state, *report(passed=True)))
    for step in (
        amend(leaks),
        *consents(leaks),
        amend(an_agreement()),
        *consents(an_agreement()),
        amend(leaks),
    ):
        assert asker.ask(*step), step
        assert not asker.ask(*step)
    assert asker.state.pairings[PAIRING].agreement == leaks
    # A consent to terms that were replaced stays what it was: asked for again, it is not a stale one.
    assert LIFE[7][1] != consents(leaks)[0][1]
    assert not asker.ask(*consents(an_agreement())[0])
