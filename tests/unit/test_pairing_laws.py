"""The laws of a pairing's life, held against random requests of anyone, sent again, late, and judged after restarts.

The table of transitions is written down here once more, from the description of the life and not from the code. So is
what a test has to know beside it: which terms lie on the table, who has consented to them, and which hold.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.base import Offsets
from schemas.events import Body, ConsentGiven, Fact, RequestRefused
from schemas.pairing import BASELINES, ENDED, Deployment, Pairing, Phase
from schemas.requests import Command, ConsentToAgreement
from streams.deadlines import CLOCK, end_of, overdue, time_up
from streams.judgement import judge, offsets_needed, subject
from streams.lifecycle import Installation
from tests.unit.pairing_requests import (
    PAIRINGS,
    PARTICIPANTS,
    PARTIES,
    STARTUPS,
    asked_by,
    likely,
    possible,
)
from tests.unit.twins import PLANT

P = Phase
Moves = dict[Phase, frozenset[Phase]]

SIDES = ("maker", "city")
BEFORE = (P.PROPOSED, P.AGREED, P.REHEARSING, P.RUNNING, P.CLOSING)


def stays(*phases: Phase) -> Moves:
    return {one: frozenset({one}) for one in phases}


def moves(origins: tuple[Phase, ...], *targets: Phase) -> Moves:
    return dict.fromkeys(origins, frozenset(targets))


#: By kind of fact: from which phase to which ones it may lead, and who may bring it about. `startup` is the pairing's own.
LAW: dict[str, tuple[Moves, tuple[str, ...]]] = {
    "agreement_amended": (
        moves((P.PROPOSED, P.AGREED), P.PROPOSED) | stays(P.RUNNING),
        ("maker", "startup", "city"),
    ),
    "consent_given": (
        moves((P.PROPOSED,), P.PROPOSED, P.AGREED) | moves((P.RUNNING,), P.RUNNING, P.AGREED),
        ("maker", "startup"),
    ),
    "rehearsal_started": (moves((P.AGREED,), P.REHEARSING), SIDES),
    "rehearsal_ended": (stays(P.REHEARSING), (*SIDES, PLANT, CLOCK)),
    "rehearsal_reported": (moves((P.REHEARSING,), P.AGREED), (PLANT,)),
    "trial_started": (moves((P.AGREED,), P.RUNNING), SIDES),
    "candidate_submitted": (stays(P.AGREED, P.REHEARSING, P.RUNNING), ("startup",)),
    "candidate_retired": (stays(P.PROPOSED, P.AGREED, P.REHEARSING, P.RUNNING), ("startup",)),
    "candidate_returned": (stays(P.AGREED, P.REHEARSING, P.RUNNING, P.CLOSING), (PLANT,)),
    "candidate_resumed": (stays(P.REHEARSING, P.RUNNING, P.CLOSING), SIDES),
    "deployment_started": (stays(*BEFORE), (PLANT,)),
    "deployment_ended": (stays(*BEFORE), (PLANT,)),
    "deployment_suspended": (stays(*BEFORE), (PLANT,)),
    "audit_reported": (stays(*BEFORE), (PLANT,)),
    "trial_ended": (moves((P.RUNNING,), P.CLOSING), (*SIDES, CLOCK)),
    "pairing_concluded": (moves((P.CLOSING,), P.CONCLUDED), (PLANT,)),
    "objection_period_opened": (moves((P.CONCLUDED,), P.OBJECTION_PERIOD), (CLOCK,)),
    "objection_raised": (stays(P.OBJECTION_PERIOD), ("maker", "startup")),
    "objection_resolved": (stays(P.OBJECTION_PERIOD), ("city",)),
    "pairing_settled": (moves((P.OBJECTION_PERIOD,), P.SETTLED), (CLOCK,)),
    "follow_up_recorded": (moves((P.SETTLED,), P.FOLLOWED_UP), ("city",)),
    "pairing_stopped": (moves(BEFORE, P.STOPPED), SIDES),
    "pairing_withdrawn": (moves(BEFORE, P.WITHDRAWN), ("startup",)),
    "pairing_expired": (moves((P.PROPOSED, P.AGREED), P.EXPIRED), (CLOCK,)),
}
#: Facts that are about no pairing's own life.
ELSEWHERE = frozenset({"capacity_reported", "plant_paused", "plant_resumed", "request_refused"})

#: What a fact may change of the deployments that are there. Other facts change nothing of them.
CHANGES: dict[str, frozenset[str]] = {
    "deployment_started": frozenset({"started", "sandbox", "loads"}),
    "deployment_ended": frozenset({"ended"}),
    "deployment_suspended": frozenset({"suspended"}),
    "candidate_resumed": frozenset({"suspended"}),
    **dict.fromkeys(
        (
            "rehearsal_ended",
            "candidate_retired",
            "consent_given",
            "trial_ended",
            "pairing_stopped",
            "pairing_withdrawn",
        ),
        frozenset({"until"}),
    ),
}
#: Facts that begin deployments.
BEGINS = frozenset({"rehearsal_started", "trial_started", "candidate_submitted"})

#: What a candidate may need beside the memory that is agreed, in MB, and the candidates' share of the machine.
BESIDE_MB, SHARE = 400, 0.8


def both(pairing: str) -> set[str]:
    return {"maker", STARTUPS[pairing]}


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
        #: The agreement that holds, or would hold once both consent to it before a trial.
        self.holds: dict[str, str] = {}
        #: Pairings whose last rehearsal under that agreement passed.
        self.passed: set[str] = set()
        #: What came about and is easily missed.
        self.happened: set[str] = set()

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

    @rule(pairing=st.sampled_from(PAIRINGS), dice=st.randoms(use_true_random=False))
    def someone_asks_what_fits(self, pairing: str, dice: Random) -> None:
        self.ask_what_fits(pairing, dice)

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
                    self.ask_what_fits(pairing, dice)
            self.everything_holds()

    def ask_anything(self, pairing: str, dice: Random) -> None:
        command = dice.choice(possible(pairing, self.state.pairings.get(pairing)))
        self.ask(dice.choice([asked_by(command), *PARTIES]), command)

    def ask_what_fits(self, pairing: str, dice: Random) -> None:
        command = likely(pairing, self.state.pairings.get(pairing), dice)
        party = asked_by(command)
        if isinstance(command, ConsentToAgreement):
            party = dice.choice(["maker", STARTUPS[pairing]])
        self.ask(party, command)

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

    # --- what has to hold of each fact ----------------------------------------------------------------------------

    def hold_the_law(self, fact: Fact, before: dict[str, Pairing]) -> None:
        body = fact.body
        name = getattr(body, "pairing", None)
        for other, pairing in self.state.pairings.items():
            if other != name:
                changed = pairing.model_dump(exclude={"paused", "held", "fact"})
                assert other in before and changed == before[other].model_dump(
                    exclude={"paused", "held", "fact"}
                )
        if isinstance(body, RequestRefused):
            assert self.state.pairings == before
            self.hold_the_law_of_refusals(fact, body, self.sent[-1][2])
        elif body.kind == "capacity_reported":
            assert fact.party == PLANT and self.state.capacities == {PLANT: body.capacity}
        elif body.kind == "pairing_proposed":
            assert name not in before and fact.party == "city"
            assert self.state.pairings[body.pairing].phase is P.PROPOSED
            self.table[body.pairing] = body.agreement_digest, set()
            self.holds[body.pairing] = body.agreement_digest
        elif name is not None:
            after = self.state.pairings[name]
            origins, who = LAW[body.kind]
            assert after.phase in origins[before[name].phase]
            assert fact.party in [STARTUPS[name] if one == "startup" else one for one in who]
            self.hold_the_law_of_terms(fact, before[name], after)
            self.hold_the_law_of_deployments(fact, before[name], after)
            self.hold_the_law_of_candidates(body, before[name], after)

    def hold_the_law_of_refusals(self, fact: Fact, body: RequestRefused, command: Command) -> None:
        """Each names the thing, in both languages, and both tell the same numbers and names."""
        english, korean = body.reason, body.reason_ko or ""
        thing = getattr(command, "candidate", PLANT)
        names = (fact.subject, "programme-1", PLANT, getattr(thing, "id", thing))
        assert any(one in english for one in names), english
        assert re.search("[가-힣]", korean) and not re.search("[가-힣]", english), korean
        parties = (*PARTIES, "v1", "v2", "v3", "v4")
        for one in (*names, *parties):
            assert (one in english) == (one in korean), (one, english, korean)
        assert set(re.findall(r"\d+", english)) == set(re.findall(r"\d+", korean)), (english, korean)

    def hold_the_law_of_terms(self, fact: Fact, before: Pairing, after: Pairing) -> None:
        """Consent is to what lies on the table; a trial goes on under its own terms until both agree on others."""
        body, name = fact.body, before.id
        digest, consented = self.table[name]
        if body.kind == "agreement_amended":
            assert body.agreement_digest != digest
            self.table[name] = body.agreement_digest, set()
            if before.phase is P.RUNNING:
                self.happened.add("amended anew" if before.amendment else "amended while it runs")
                assert (after.agreement, after.since) == (before.agreement, before.since)
                assert after.present() == before.present()
            else:
                self.holds[name] = body.agreement_digest
                self.passed.discard(name)
                assert after.rehearsal is None
        elif isinstance(body, ConsentGiven):
            assert body.agreement_digest == digest and fact.party not in consented
            consented.add(fact.party)
            done = consented == both(name)
            assert (after.phase is P.AGREED) == done
            assert (body.until is not None) == (done and before.phase is P.RUNNING)
            if done and before.phase is P.RUNNING:
                assert all(one.until is not None for one in after.deployments)
                self.holds[name] = digest
                self.passed.discard(name)
                assert after.rehearsal is None, "a rehearsal counts under its own terms alone"
                self.happened.add("ended by consent")
        elif before.phase is P.RUNNING and after.phase is not P.RUNNING:
            # What was still on the table when the trial ended is dropped.
            self.happened |= {"ended with terms on the table"} if before.amendment else set()
            self.table[name] = self.holds[name], both(name)
        if body.kind == "rehearsal_reported":
            (self.passed.add if body.rehearsal.passed else self.passed.discard)(name)
        if body.kind == "trial_started":
            assert consented == both(name)
            assert not after.agreement.phases.rehearsal_rows or name in self.passed
        if body.kind in ("rehearsal_started", "trial_started"):
            assert not after.paused

    def hold_the_law_of_deployments(self, fact: Fact, before: Pairing, after: Pairing) -> None:
        """None disappears, begins elsewhere or ends anew; each fact changes what it is about, and nothing else."""
        body, kept = fact.body, {one.id for one in before.deployments}
        for one in before.deployments:
            now = after.deployment(one.id)
            if now is None:
                assert body.kind == "candidate_returned" and one.started is None
                assert one.subjects == (body.candidate,)
                continue
            different = {name for name, value in dict(one).items() if getattr(now, name) != value}
            assert different <= CHANGES.get(body.kind, frozenset()), (body.kind, different)
            assert one.until is None or now.until == one.until
            self.hold_the_law_of_reports(fact, one, now)
        begun = [one for one in after.deployments if one.id not in kept]
        assert not begun or body.kind in BEGINS
        for one in begun:
            assert (one.starts, one.until, one.started) == (after.telemetry_from, None, None)
        if body.kind in ("rehearsal_started", "trial_started"):
            self.hold_the_law_of_rounds(before, after, begun)
        open_ = [one for one in before.deployments if one.until is None]
        if body.kind == "rehearsal_ended":
            assert open_
        if body.kind == "trial_ended":
            assert before.present()
        if body.kind == "candidate_submitted" and before.rehearsed():
            assert not begun, "a rehearsal that has ended takes no more"

    def hold_the_law_of_reports(self, fact: Fact, one: Deployment, now: Deployment) -> None:
        body = fact.body
        if getattr(body, "deployment", None) != one.id:
            assert body.kind not in ("deployment_started", "deployment_ended", "deployment_suspended") or (
                now == one
            )
        elif body.kind == "deployment_started":
            assert (now.started, now.loads) == (one.started or fact.at, one.loads + 1)
        elif body.kind == "deployment_ended":
            assert one.until is not None and one.ended is None and now.ended == fact.at
        elif body.kind == "deployment_suspended":
            assert one.candidate is not None and one.suspended is None and now.suspended == body.fault

    def hold_the_law_of_rounds(self, before: Pairing, after: Pairing, begun: list[Deployment]) -> None:
        """Each rehearsal and each trial is a round of its own, of everyone who is still there."""
        trial = after.phase is P.RUNNING
        self.happened |= {"second trial"} if after.trials > 1 else set()
        assert (after.trials, after.rehearsals) == (before.trials + trial, before.rehearsals + (not trial))
        assert after.present() == tuple(begun)
        assert {one.round for one in begun} <= {after.trials if trial else after.rehearsals}
        there = {one.id for one in after.candidates} - set(after.retired) - set(after.returned)
        baselines = {one.name for one in after.agreement.baselines}
        assert {name for one in begun for name in one.subjects} == there | baselines

    def hold_the_law_of_candidates(self, body: Body, before: Pairing, after: Pairing) -> None:
        gone = {*before.retired, *before.returned}
        places = [len(one.candidates) - len(one.returned) for one in (before, after)]
        if body.kind == "candidate_returned":
            assert body.candidate not in gone and places[1] == places[0] - 1
            ran = [one for one in before.present() if body.candidate in one.subjects]
            assert all(one.started is None for one in ran), "what it answered counts"
            assert not [one for one in after.present() if body.candidate in one.subjects]
            self.happened |= {"never began"} if ran else set()
        elif body.kind == "candidate_retired":
            assert body.candidate not in gone and places[1] == places[0]
        elif body.kind == "candidate_submitted":
            assert places[1] == places[0] + 1 <= before.agreement.quotas.candidates
            self.hold_the_law_of_the_machine()
        elif body.kind == "candidate_resumed":
            held = [one for one in before.present() if body.candidate in one.subjects]
            assert any(one.suspended is not None for one in held)
            assert all(one.suspended is None for one in after.present() if body.candidate in one.subjects)
        elif body.kind == "audit_reported":
            assert after.alarms == body.alarms
        if body.kind != "audit_reported":
            assert after.alarms == before.alarms

    def hold_the_law_of_the_machine(self) -> None:
        """No candidate is taken that the plant's machine cannot carry with the others."""
        machine = self.state.capacities.get(PLANT)
        if machine is None:
            return
        open_ = [one for one in self.state.pairings.values() if one.phase in BEFORE]
        wanted = [
            one.agreement.limits.memory_mb + BESIDE_MB
            for one in open_
            for each in one.candidates
            if each.id not in one.retired and each.id not in one.returned
        ]
        assert sum(wanted) <= SHARE * machine.memory_mb and len(wanted) <= 8 * machine.cores

    # --- what always has to hold ----------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        assert [fact.number for fact in self.facts] == list(range(1, self.state.number + 1))
        for pairing in self.state.pairings.values():
            self.terms_are_those_on_the_table(pairing)
            self.candidates_stay_within_the_quota(pairing)
            self.deployments_are_sane(pairing)
            assert pairing.paused == (PLANT in self.state.paused)
            if pairing.phase in ENDED:
                assert pairing.due is None and pairing.waits_for == ()
                assert all(one.until is not None for one in pairing.deployments)

    def terms_are_those_on_the_table(self, pairing: Pairing) -> None:
        digest, consented = self.table[pairing.id]
        missing = both(pairing.id) - consented
        assert pairing.agreement_digest == pairing.agreement.digest() == self.holds[pairing.id]
        assert (pairing.amendment is not None) == (pairing.phase is P.RUNNING and bool(missing))
        if pairing.amendment is not None:
            assert pairing.amendment.agreement_digest == pairing.amendment.agreement.digest() == digest
        if pairing.phase is P.PROPOSED or pairing.amendment is not None:
            assert set(pairing.waits_for) == missing != set()
        for side in both(pairing.id):
            assert pairing.consented(side) == (side in consented)

    def candidates_stay_within_the_quota(self, pairing: Pairing) -> None:
        names = [one.id for one in pairing.candidates]
        assert len(set(names)) == len(names)
        assert len(names) - len(pairing.returned) <= pairing.agreement.quotas.candidates
        assert set(pairing.retired) | set(pairing.returned) <= set(names)
        assert not set(pairing.retired) & set(pairing.returned)
        assert not {BASELINES, *(one.name for one in pairing.agreement.baselines)} & set(names)

    def deployments_are_sane(self, pairing: Pairing) -> None:
        ids = [one.id for one in pairing.deployments]
        assert len(set(ids)) == len(ids)
        for one in pairing.deployments:
            assert one.until is None or one.starts[0] <= one.until[0] <= self.end
            assert one.until is not None or may_go_on(pairing, one)
        present = pairing.present()
        assert len({(one.phase, one.round) for one in present}) <= 1
        if pairing.phase in (P.REHEARSING, P.RUNNING, P.CLOSING):
            assert all(one.starts == pairing.telemetry_from for one in present)
        subjects = [name for one in present for name in one.subjects]
        assert len(set(subjects)) == len(subjects)


def may_go_on(pairing: Pairing, deployment: Deployment) -> bool:
    """Whether a deployment may have no end yet."""
    if deployment.candidate is not None and not pairing.runs(deployment.candidate):
        return False
    if deployment.phase == "rehearsal":
        return pairing.phase is P.REHEARSING and deployment.round == pairing.rehearsals
    return pairing.phase is P.RUNNING and deployment.round == pairing.trials


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
    happened: set[str] = set()
    for seed in range(20):
        life = PairingLife()
        life.everyone_takes_part()
        life.much_happens(Random(seed), 300)
        life.control_starts_again()
        seen |= {fact.body.kind for fact in life.facts}
        happened |= life.happened
    assert {*LAW, *ELSEWHERE} <= seen
    assert happened == {
        "amended while it runs",
        "amended anew",
        "ended by consent",
        "ended with terms on the table",
        "never began",
        "second trial",
    }
