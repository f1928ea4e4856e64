"""What a party's feed carries: facts, evaluations and verdicts of its pairings, as far as the agreement lets it see them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.base import Digest, Ident, Moment, Record
from schemas.evaluation import (
    Audit,
    Corrections,
    Counts,
    ErrorDrift,
    Guarantee,
    InputDrift,
    LabelStatistics,
    Outcome,
    Ranking,
    Ratio,
    Service,
    SliceScores,
    Spent,
    Standing,
)
from schemas.events import Fact
from schemas.faults import Fault


class FeedFact(Record):
    """A fact about the party's pairing, or the refusal of its own request."""

    kind: Literal["fact"] = "fact"
    fact: Fact


class FeedEvaluation(Record):
    """What the party may see of an evaluation."""

    kind: Literal["evaluation"] = "evaluation"
    pairing: Ident
    candidate: str
    baseline: bool
    phase: Literal["rehearsal", "trial"]
    at: Moment
    final: bool
    ledger_offset: int
    #: The ledger's hash chain: whoever sees the ledger can tell that it is the same one.
    chain: Digest
    counts: Counts | None = None
    audit: Audit | None = None
    metrics: dict[str, float] | None = None
    confusion: dict[str, int] | None = None
    cost: Spent | None = None
    slices: tuple[SliceScores, ...] = ()
    input_drift: InputDrift | None = None
    error_drift: ErrorDrift | None = None
    labels: LabelStatistics | None = None
    #: Where the decision by units stands.
    decision: Standing | None = None
    service: Service | None = None
    #: Faults of its candidate, for the start-up and the plant to mend.
    faults: tuple[Fault, ...] = ()


class FeedVerdict(Record):
    """What the party may see of a verdict."""

    kind: Literal["verdict"] = "verdict"
    pairing: Ident
    candidate: str
    verdict: Outcome
    rule: str
    reason: str
    value: float | None = None
    threshold: float
    guarantee: Guarantee = "none"
    decision: Standing | None = None
    ratio: Ratio | None = None
    ranking: Ranking | None = None
    corrections: Corrections | None = None
    agreement_digest: Digest
    chain: Digest


FeedItem = Annotated[FeedFact | FeedEvaluation | FeedVerdict, Field(discriminator="kind")]

FEED_ITEM: TypeAdapter[FeedFact | FeedEvaluation | FeedVerdict] = TypeAdapter(FeedItem)
