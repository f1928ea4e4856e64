"""A plant of a test's own in a running installation: its pairings, frames and labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from infra.client import Answer, Client
from infra.submission import Submitted, submit
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Limits
from schemas.evaluation import Counts, Evaluation, Verdict
from schemas.labels import IntervalLabel, Watermark, Withdrawal
from schemas.parties import Asset, Need, Organisation, Plant, Programme, RejectLimit, Role, Tag
from schemas.requests import (
    AdmitPlant,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndTrial,
    OpenProgramme,
    ProposePairing,
    RegisterOrganisation,
    StartTrial,
)
from streams import topics
from streams.envelope import ARROW, FRAME, LABEL, Headers, headers
from streams.frames import encode_frame, moment
from tests.integration.topic_records import Topics

MAKER, STARTUP, RIVAL, CENTRE = "maker", "startup", "rival", "centre"

#: The time of the first row of every frame that a test sends.
BEGIN_US = 1_772_400_000_000_000
SECOND_US = 1_000_000


def at(second: float) -> datetime:
    """The moment so many seconds after the first row."""
    return moment(BEGIN_US + int(second * SECOND_US))


def agreement(
    *,
    assets: Sequence[str] = ("m1",),
    deadline_s: float = 14 * 86_400,
    timeout_s: float = 30,
    min_rows: int = 1,
    absent_means: str = "unlabelled",
) -> Agreement:
    """Anomalies of x, accepted from an F1 of one half on."""
    return Agreement(
        task="anomaly",
        assets=tuple(assets),
        inputs=("x",),
        labels=LabelRule(deadline_days=deadline_s / 86_400, absent_means=absent_means),
        baselines=(Baseline(name="no-alarm", answer="normal"),),
        acceptance=Acceptance(metric="f1", at_least=0.5, min_rows=min_rows),
        limits=Limits(timeout_s=timeout_s),
    )


class Site:
    """A plant with one need, admitted when it is made."""

    def __init__(
        self,
        client: Client,
        seen: Topics,
        name: str,
        *,
        assets: Sequence[str] = ("m1",),
        tags: Sequence[str] = ("x", "secret"),
        partitions: int = 1,
        rejects: RejectLimit = RejectLimit(),
    ) -> None:
        self.client, self.seen, self.name = client, seen, name
        self.plant = Plant(
            id=name,
            name=name,
            owner=MAKER,
            partitions=partitions,
            assets=tuple(Asset(name=asset) for asset in assets),
            tags=tuple(Tag(name=tag) for tag in tags),
            rejects=rejects,
        )
        for ident, role in (
            (MAKER, Role.MANUFACTURER), (STARTUP, Role.STARTUP), (RIVAL, Role.STARTUP), (CENTRE, Role.COORDINATOR),
        ):  # fmt: skip
            self.ask(
                topics.OPERATOR,
                RegisterOrganisation(organisation=Organisation(id=ident, name=ident, roles=(role,))),
            )
        self.ask(CENTRE, OpenProgramme(programme=Programme(id="trials", name="Trials", operators=(CENTRE,))))
        self.ask(MAKER, AdmitPlant(plant=self.plant))
        self.ask(
            MAKER, DeclareNeed(need=Need(id=f"need-{name}", programme="trials", plant=name, title="faults"))
        )

    def ask(self, party: str, command: Command) -> Answer:
        """Ask for what has to be granted."""
        answer = self.client.ask(party, command)
        assert answer.refused is None, answer.refused
        return answer

    def propose(self, pairing: str, agreed: Agreement) -> Answer:
        """Put a pairing of the start-up on the table, and have both sides consent to it."""
        need = f"need-{self.name}"
        proposed = ProposePairing(pairing=pairing, need=need, startup=STARTUP, agreement=agreed)
        answer = self.ask(CENTRE, proposed)
        for party in (MAKER, STARTUP):
            consent = ConsentToAgreement(pairing=pairing, agreement_digest=agreed.digest(), person=party)
            answer = self.ask(party, consent)
        return answer

    def open(self, pairing: str, agreed: Agreement) -> Answer:
        """Agree on a pairing of the start-up and start its trial."""
        self.propose(pairing, agreed)
        return self.ask(MAKER, StartTrial(pairing=pairing))

    def submit(self, pairing: str, model: Path, name: str) -> Submitted:
        """Submit a model; its candidate is called `NAME-v1`. Names are the installation's: a test takes its own."""
        found = submit(self.client, pairing, str(model), name=name)
        assert found.answer.refused is None, found.answer.refused
        return found

    def end(self, pairing: str) -> Answer:
        """End a trial."""
        return self.ask(MAKER, EndTrial(pairing=pairing))

    # --- what the plant sends -----------------------------------------------------------------------------------

    def frame(self, ident: str, start_s: float, x: Sequence[float], *, asset: str = "m1") -> None:
        """Rows a second apart."""
        times = BEGIN_US + (np.arange(len(x)) + start_s).astype(np.int64) * SECOND_US
        value = encode_frame(times, {"x": np.asarray(x, dtype=np.float64)})
        self.raw(
            topics.telemetry(self.name),
            asset,
            value,
            headers(FRAME, source="/test", ident=ident, content=ARROW),
        )

    def raw(self, topic: str, key: str | bytes, value: bytes, listed: Headers = []) -> None:  # noqa: B006
        """Any bytes."""
        self.client.send(topic, key.encode() if isinstance(key, str) else key, value, listed)

    def label(self, ident: str, start_s: float, end_s: float, value: object, *, asset: str = "m1") -> None:
        """An interval from one second up to another."""
        label = IntervalLabel(id=ident, asset=asset, start=at(start_s), end=at(end_s), value=value)
        self.send_label(label)

    def withdraw(self, ident: str, *, asset: str = "m1") -> None:
        """Take a label back."""
        self.send_label(Withdrawal(id=ident, asset=asset))

    def complete(self, until_s: float, *, asset: str = "m1") -> None:
        """Labels are complete before that second."""
        self.send_label(Watermark(asset=asset, until=at(until_s)))

    def send_label(self, label: IntervalLabel | Withdrawal | Watermark) -> None:
        """Send one label record."""
        listed = headers(LABEL, source="/test", ident=f"label-{label.asset}")
        self.raw(topics.labels(self.name), label.asset, label.to_json(), listed)

    # --- what comes of it ---------------------------------------------------------------------------------------

    def latest(self, pairing: str, candidate: str) -> Evaluation | None:
        """The latest evaluation of a candidate."""
        found = self.seen.evaluations(self.name, pairing, candidate)
        return found[-1] if found else None

    def wait_counts(self, pairing: str, candidate: str, **counts: int) -> Evaluation:
        """The latest evaluation, once its counts are these."""

        def look() -> Evaluation | None:
            latest = self.latest(pairing, candidate)
            matches = latest is not None and all(
                getattr(latest.counts, name) == n for name, n in counts.items()
            )
            return latest if matches else None

        def told() -> str:
            latest = self.latest(pairing, candidate)
            return "no evaluation yet" if latest is None else str(latest.counts)

        try:
            found: Evaluation = self.seen.wait(look, f"{candidate} with {counts}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it has {told()}") from error
        assert found.counts.hold()
        return found

    def verdict(self, pairing: str, candidate: str) -> Verdict:
        """The verdict on a candidate, once it is there."""
        found: Verdict = self.seen.wait(
            lambda: self.seen.verdicts(self.name, pairing).get(candidate),
            f"a verdict on {pairing} {candidate}",
        )
        assert found.recomputed_equal
        assert found.evaluation.counts.hold()
        assert found.evaluation.final
        return found


def settled(counts: Counts) -> dict[str, int]:
    """Counts that are not zero."""
    return {name: n for name, n in counts.model_dump().items() if n}
