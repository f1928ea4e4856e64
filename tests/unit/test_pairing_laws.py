"""The laws of a pairing's life, held against random requests of anyone, sent again, late, and judged after restarts.

The table of transitions is written down here once more, from the description of the life and not from the code.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.agreement import Agreement
from schemas.base import Offsets
from schemas.evaluation import Outcome
from schemas.events import Body, Fact, RequestRefused
from schemas.pairing import ENDED, Candidate, Deployment, Pairing, Phase, Rehearsal
from schemas.parties import Need, Organisation, Programme, Role
from schemas.requests import (
    AdmitPlant,
    AmendAgreement,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndRehearsal,
    EndTrial,
    ObjectToVerdict,
    OpenProgramme,
    PausePlant,
    ProposePairing,
    RecordFollowUp,
    RegisterOrganisation,
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
from streams.deadlines import CLOCK, end_of, overdue, time_up
from streams.judgement import judge, offsets_needed, subject
from streams.lifecycle import Installation
from tests.unit.twins import PLANT, a_candidate, a_plant, an_agreement

P = Phase
SIDES = ("maker", "city")
BEFORE = frozenset({P.PROPOSED, P.AGREED, P.REHEARSING, P.RUNNING, P.CLOSING})

#: By kind of fact: the phases in which it may fall, the phases in which it may leave a pairing (none: where it stood),
#: and who may bring it about. `startup` is the pairing's own.
LAW: dict[str, tuple[frozenset[Phase], frozenset[Phase], tuple[str, ...]]] = {
    "agreement_amended": (
        frozenset({P.PROPOSED, P.AGREED}),
        frozenset({P.PROPOSED}),
        ("maker", "startup", "city"),
    ),
    "consent_given": (frozenset({P.PROPOSED}), frozenset({P.PROPOSED, P.AGREED}), ("maker", "startup")),
    "rehearsal_started": (frozenset({P.AGREED}), frozenset({P.REHEARSING}), SIDES),
    "rehearsal_ended": (frozenset({P.REHEARSING}), frozenset(), (*SIDES, CLOCK)),
    "rehearsal_reported": (frozenset({P.REHEARSING}), frozenset({P.AGREED}), (PLANT,)),
    "trial_started": (frozenset({P.AGREED}), frozenset({P.RUNNING}), SIDES),
    "candidate_submitted": (frozenset({P.AGREED, P.REHEARSING, P.RUNNING}), frozenset(), ("startup",)),
    "candidate_retired": (BEFORE - {P.CLOSING}, frozenset(), ("startup",)),
    "trial_ended": (frozenset({P.RUNNING}), frozenset({P.CLOSING}), (*SIDES, CLOCK)),
    "pairing_concluded": (frozenset({P.CLOSING}), frozenset({P.CONCLUDED}), (PLANT,)),
    "objection_period_opened": (frozenset({P.CONCLUDED}), frozenset({P.OBJECTION_PERIOD}), (CLOCK,)),
    "objection_raised": (frozenset({P.OBJECTION_PERIOD}), frozenset(), ("maker", "startup")),
    "objection_resolved": (frozenset({P.OBJECTION_PERIOD}), frozenset(), ("city",)),
    "pairing_settled": (frozenset({P.OBJECTION_PERIOD}), frozenset({P.SETTLED}), (CLOCK,)),
    "follow_up_recorded": (frozenset({P.SETTLED}), frozenset({P.FOLLOWED_UP}), ("city",)),
    "pairing_stopped": (BEFORE, frozenset({P.STOPPED}), SIDES),
    "pairing_withdrawn": (BEFORE, frozenset({P.WITHDRAWN}), ("startup",)),
    "pairing_expired": (frozenset({P.PROPOSED, P.AGREED}), frozenset({P.EXPIRED}), (CLOCK,)),
}

STARTUPS = {f"pump-{number}": f"startup-{1 + number % 2}" for number in range(4)}
PAIRINGS = tuple(STARTUPS)
PARTIES = (topics.OPERATOR, "maker", "city", "startup-1", "startup-2", PLANT, "stranger", CLOCK)


def terms(number: int) -> Agreement:
    """Three agreements that differ in what the life depends on."""
    return an_agreement().model_copy(
        update={
            "target": f"faults {number}",
            "phases": Phases(
                rehearsal_rows=5 if number == 1 else 0,
                rehearsal_days=2 if number else None,
                trial_days=30 if number else None,
            ),
            "quotas": Quotas(candidates=1 + number),
            "baselines": an_agreement().baselines if number != 2 else (),
        }
    )


AGREEMENTS = [terms(number) for number in range(3)]


def organisation(ident: str, role: Role) -> RegisterOrganisation:
    return RegisterOrganisation(organisation=Organisation(id=ident, name=ident, roles=(role,)))


PARTICIPANTS: list[tuple[str, Command]] = [
    (topics.OPERATOR, organisation("maker", Role.MANUFACTURER)),
    (topics.OPERATOR, organisation("city", Role.COORDINATOR)),
    (topics.OPERATOR, organisation("startup-1", Role.STARTUP)),
    (topics.OPERATOR, organisation("startup-2", Role.STARTUP)),
    ("city", OpenProgramme(programme=Programme(id="programme-1", name="Cohort", operators=("city",)))),
    ("maker", AdmitPlant(plant=a_plant())),
    ("maker", DeclareNeed(need=Need(id="need-1", programme="programme-1", plant=PLANT, title="Pumps"))),
]


def asked_by(command: Command) -> str:
    """Someone who may ask this."""
    own = STARTUPS.get(getattr(command, "pairing", ""), "startup-1")
    match command:
        case SubmitCandidate() | RetireCandidate() | WithdrawPairing() | ObjectToVerdict():
            return own
        case ProposePairing() | ResolveObjection() | RecordFollowUp():
            return "city"
        case ReportRehearsal() | ReportConclusion():
            return PLANT
        case _:
            return "maker"


class PairingLife(RuleBasedStateMachine):
    """Control's desk, without a broker: requests are judged against the facts before them."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Installation()
        self.facts: list[Fact] = []
        self.now = datetime(2026, 3, 2, tzinfo=UTC)
        self.end = 0
        self.sent: list[tuple[str, str, Command]] = []
        #: What the test itself knows of each pairing: the agreement on the table, and who has consented to it since.
        self.table: dict[str, tuple[str, set[str]]] = {}
        #: Pairings whose last rehearsal under that agreement passed.
        self.passed: set[str] = set()

    @initialize()
    def everyone_takes_part(self) -> None:
        for party, command in PARTICIPANTS:
            self.ask(party, command)
        assert not any(isinstance(fact.body, RequestRefused) for fact in self.facts)

    # --- what may happen ------------------------------------------------------------------------------------------

    def ask(self, party: str, command: Command, ident: str | None = None) -> None:
        request = ident or f"request-{len(self.sent)}"
        self.sent.append((party, request, command))
        before = len(self.facts)
        if (party, request) in self.state.granted:
            return
        ends: dict[str, Offsets] = {topic: {0: self.end} for topic in offsets_needed(command, self.state)}
        self.add(
            party, request, subject(command), judge(party, command, self.state, request=request, ends=ends)
        )
        assert len(self.facts) == before + 1

    def add(self, party: str, request: str, about: str, body: Body) -> None:
        fact = Fact(
            number=self.state.number + 1, at=self.now, party=party, request=request, subject=about, body=body
        )
        before = dict(self.state.pairings)
        assert self.state.fold(fact)
        assert not self.state.fold(fact)
        self.facts.append(fact)
        self.hold_the_law(fact, before)

    @rule(pairing=st.sampled_from(PAIRINGS), dice=st.randoms(use_true_random=False))
    def someone_asks(self, pairing: str, dice: Random) -> None:
        self.ask_anything(pairing, dice)

    def much_happens(self, dice: Random, steps: int) -> None:
        """A stretch of life in which most requests may be made: single steps alone seldom come far."""
        for _ in range(steps):
            pairing = dice.choice(PAIRINGS)
            match dice.randrange(24):
                case 0:
                    self.time_passes(dice.choice([0.1, 0.1, 1.0, 3.0, 15.0]))
                case 1 | 2:
                    self.telemetry_comes(dice.randrange(1, 5))
                case 3:
                    self.comes_again(*dice.choice(self.sent))
                case 4 | 5:
                    self.ask_anything(pairing, dice)
                case _:
                    command = likely(pairing, self.state.pairings.get(pairing), dice)
                    party = asked_by(command)
                    if isinstance(command, ConsentToAgreement):
                        party = dice.choice(["maker", STARTUPS[pairing]])
                    self.ask(party, command)
            self.everything_holds()

    def ask_anything(self, pairing: str, dice: Random) -> None:
        command = dice.choice(possible(pairing, self.state.pairings.get(pairing)))
        self.ask(dice.choice([asked_by(command), *PARTIES]), command)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_request_comes_again(self, data: st.DataObject) -> None:
        """At once or long after, in whatever order the broker hands them out."""
        self.comes_again(*data.draw(st.sampled_from(self.sent)))

    def comes_again(self, party: str, request: str, command: Command) -> None:
        granted = self.state.granted.get((party, request))
        before = self.state.pairings.copy(), len(self.facts)
        self.ask(party, command, request)
        if granted is not None:
            assert (self.state.pairings, len(self.facts)) == before

    @rule(frames=st.integers(1, 5))
    def telemetry_comes(self, frames: int) -> None:
        self.end += frames

    @rule(days=st.sampled_from([0.1, 1.0, 3.0, 15.0, 31.0]))
    def time_passes(self, days: float) -> None:
        self.now += timedelta(days=days)
        for _ in range(2):
            for request, body in list(overdue(self.state, self.now)):
                self.add(CLOCK, request, body.pairing, body)  # type: ignore[union-attr]
            for request, pairing in list(time_up(self.state, self.now)):
                self.add(CLOCK, request, pairing.id, end_of(pairing, {0: self.end}))
        assert not list(overdue(self.state, self.now)), "what time has brought about happens once"
        assert not list(time_up(self.state, self.now))

    @rule()
    def control_starts_again(self) -> None:
        again = Installation()
        for fact in self.facts:
            again.fold(Fact.model_validate_json(fact.to_json()))
        assert again == self.state
        self.state = again

    # --- what has to hold -----------------------------------------------------------------------------------------

    def hold_the_law(self, fact: Fact, before: dict[str, Pairing]) -> None:
        body = fact.body
        name = getattr(body, "pairing", None)
        for other, pairing in self.state.pairings.items():
            if other != name:
                changed = pairing.model_dump(exclude={"paused", "fact"})
                assert other in before and changed == before[other].model_dump(exclude={"paused", "fact"})
        if isinstance(body, RequestRefused):
            assert self.state.pairings == before
            thing = getattr(self.sent[-1][2], "candidate", PLANT)
            names = (fact.subject, "programme-1", PLANT, getattr(thing, "id", thing))
            assert any(one in body.reason for one in names), body.reason
            return
        if name is None:
            return
        after = self.state.pairings[name]
        if body.kind == "pairing_proposed":
            assert name not in before and after.phase is P.PROPOSED and fact.party == "city"
            self.table[name] = body.agreement_digest, set()
            return
        origins, targets, who = LAW[body.kind]
        assert before[name].phase in origins
        assert after.phase in (targets or {before[name].phase})
        assert fact.party in [STARTUPS[name] if one == "startup" else one for one in who]
        self.hold_the_law_of_deployments(body, before[name], after)
        if body.kind == "agreement_amended":
            self.table[name] = body.agreement_digest, set()
            self.passed.discard(name)
        if body.kind == "rehearsal_reported":
            (self.passed.add if body.rehearsal.passed else self.passed.discard)(name)
        if body.kind == "consent_given":
            digest, consented = self.table[name]
            assert body.agreement_digest == digest
            assert fact.party not in consented
            consented.add(fact.party)
            assert (after.phase is P.AGREED) == (consented == {"maker", STARTUPS[name]})
        if body.kind == "trial_started":
            assert self.table[name][1] == {"maker", STARTUPS[name]}
            assert not after.agreement.phases.rehearsal_rows or name in self.passed
        if body.kind in ("rehearsal_started", "trial_started"):
            assert not after.paused

    @invariant()
    def everything_holds(self) -> None:
        self.facts_are_numbered_without_a_gap()
        self.candidates_stay_within_the_quota_and_stay()
        self.deployments_are_sane()
        self.pauses_are_seen()
        self.what_has_ended_waits_for_nobody()

    def hold_the_law_of_deployments(self, body: Body, before: Pairing, after: Pairing) -> None:
        """None disappears, begins elsewhere, or ends anew; what ends something had something to end."""
        for one in before.deployments:
            now = after.deployment(one.id)
            assert now is not None and (now.starts, now.subjects) == (one.starts, one.subjects)
            assert one.until is None or now.until == one.until
        open_ = [one for one in before.deployments if one.until is None]
        if body.kind == "rehearsal_ended":
            assert open_
        if body.kind == "trial_ended":
            assert before.of_phase("trial")
        if (
            body.kind == "candidate_submitted"
            and before.phase is P.REHEARSING
            and before.present()
            and not open_
        ):
            assert after.deployments == before.deployments, "a rehearsal that has ended takes no more"

    def facts_are_numbered_without_a_gap(self) -> None:
        assert [fact.number for fact in self.facts] == list(range(1, self.state.number + 1))

    def candidates_stay_within_the_quota_and_stay(self) -> None:
        for pairing in self.state.pairings.values():
            assert len(pairing.candidates) <= pairing.agreement.quotas.candidates
            assert len({one.id for one in pairing.candidates}) == len(pairing.candidates)
            baselines = {one.name for one in pairing.agreement.baselines}
            assert not baselines & {one.id for one in pairing.candidates}

    def deployments_are_sane(self) -> None:
        for pairing in self.state.pairings.values():
            ids = [one.id for one in pairing.deployments]
            assert len(set(ids)) == len(ids)
            for one in pairing.deployments:
                assert one.until is None or one.starts[0] <= one.until[0] <= self.end
                assert one.until is not None or runs(pairing, one)
            for one in pairing.of_phase("trial"):
                assert one.starts == pairing.telemetry_from
            subjects = [name for one in pairing.of_phase("trial") for name in one.subjects]
            assert len(set(subjects)) == len(subjects)

    def pauses_are_seen(self) -> None:
        for pairing in self.state.pairings.values():
            assert pairing.paused == (PLANT in self.state.paused)

    def what_has_ended_waits_for_nobody(self) -> None:
        for pairing in self.state.pairings.values():
            if pairing.phase in ENDED:
                assert pairing.due is None
                assert all(one.until is not None for one in pairing.deployments)


def runs(pairing: Pairing, deployment: Deployment) -> bool:
    """Whether a deployment may have no end yet."""
    if deployment.candidate is not None and deployment.candidate.id in pairing.retired:
        return False
    current = f".rehearsal-{pairing.rehearsals}"
    if deployment.phase == "rehearsal":
        return pairing.phase is P.REHEARSING and deployment.id.endswith(current)
    return pairing.phase is P.RUNNING


def possible(pairing: str, known: Pairing | None) -> list[Command]:
    """Every request that may be made of a pairing, in any phase."""
    digests = [one.digest() for one in AGREEMENTS]
    names = ["v1", "v2", "v3", "v4", "always-normal"]
    objections = [one.id for one in known.objections] if known is not None else []
    return [
        *(proposal(pairing, agreed) for agreed in AGREEMENTS),
        *(AmendAgreement(pairing=pairing, agreement=agreed, reason="better") for agreed in AGREEMENTS),
        *(ConsentToAgreement(pairing=pairing, agreement_digest=digest, person="A") for digest in digests),
        StartRehearsal(pairing=pairing),
        EndRehearsal(pairing=pairing),
        StartTrial(pairing=pairing),
        EndTrial(pairing=pairing),
        StopPairing(pairing=pairing, reason="no"),
        WithdrawPairing(pairing=pairing, reason="no"),
        PausePlant(plant=PLANT, reason="repairs"),
        ResumePlant(plant=PLANT),
        ReportConclusion(pairing=pairing, verdicts={"v1": Outcome.ACCEPTED}),
        ObjectToVerdict(pairing=pairing, person="A", reason="labels"),
        RecordFollowUp(pairing=pairing, outcome="contract"),
        *(SubmitCandidate(pairing=pairing, candidate=candidate(pairing, name)) for name in names),
        *(RetireCandidate(pairing=pairing, candidate=name, reason="old") for name in names),
        *(ReportRehearsal(pairing=pairing, rehearsal=shown(passed=passed)) for passed in (True, False)),
        *(
            ResolveObjection(pairing=pairing, objection=one, resolution="dismissed", reason="looked at")
            for one in (*objections, "none")
        ),
    ]


#: What is mostly asked for where a pairing stands; what breaks it off comes seldom enough by `possible`.
LIKELY: dict[Phase | None, tuple[str, ...]] = {
    None: ("propose_pairing",),
    P.PROPOSED: (*["consent_to_agreement"] * 5, "amend_agreement", "resume_plant"),
    P.AGREED: (
        *["start_rehearsal", "start_trial", "submit_candidate", "submit_candidate"] * 2,
        "resume_plant",
        "amend_agreement",
        "retire_candidate",
    ),
    P.REHEARSING: (
        "submit_candidate",
        "retire_candidate",
        "end_rehearsal",
        "report_rehearsal",
        "report_rehearsal",
    ),
    P.RUNNING: ("submit_candidate", "retire_candidate", "end_trial", "pause_plant", "resume_plant"),
    P.CLOSING: ("report_conclusion", "submit_candidate", "stop_pairing"),
    P.OBJECTION_PERIOD: ("object_to_verdict", "resolve_objection"),
    P.SETTLED: ("record_follow_up",),
}


def likely(pairing: str, known: Pairing | None, dice: Random) -> Command:
    """A request that fits the phase; any where little fits."""
    every = possible(pairing, known)
    kind = dice.choice(LIKELY.get(known.phase if known is not None else None, ("",)))
    found = [one for one in every if one.kind == kind and not _stale(one, known)]
    return dice.choice(found or every)


def _stale(command: Command, known: Pairing | None) -> bool:
    return (
        isinstance(command, ConsentToAgreement)
        and known is not None
        and command.agreement_digest != known.agreement_digest
    )


def proposal(pairing: str, agreed: Agreement) -> ProposePairing:
    return ProposePairing(pairing=pairing, need="need-1", startup=STARTUPS[pairing], agreement=agreed)


def shown(*, passed: bool) -> Rehearsal:
    return Rehearsal(passed=passed, rows=1, labelled=1.0, answered=1.0)


def candidate(pairing: str, name: str) -> Candidate:
    return a_candidate(ident=name).model_copy(update={"startup": STARTUPS[pairing]})


PairingLife.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_no_order_of_requests_breaks_the_laws_of_a_pairings_life = PairingLife.TestCase


def test_long_lives_of_several_pairings_keep_the_laws_and_see_every_kind_of_fact() -> None:
    """A law that nothing puts to the test would hold by itself."""
    seen: set[str] = set()
    for seed in range(20):
        life = PairingLife()
        life.everyone_takes_part()
        life.much_happens(Random(seed), 300)
        life.control_starts_again()
        seen |= {fact.body.kind for fact in life.facts}
    assert set(LAW) <= seen
