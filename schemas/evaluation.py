"""Evaluations and verdicts: what the ledger says about a candidate."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from schemas.agreement import Task
from schemas.base import Digest, Ident, Moment, Record
from schemas.faults import Fault


class Counts(Record):
    """What became of every row that was due, and nothing else: the law of counts."""

    rows_in: int = 0
    scored: int = 0
    awaiting_label: int = 0
    unlabelled: int = 0
    abstained: int = 0
    failed: int = 0
    refused: int = 0

    def hold(self) -> bool:
        """Whether every row that came in is accounted for, once."""
        return self.rows_in == self.told()

    def told(self) -> int:
        """The rows of which something became, each once for each thing that became of it."""
        parts = self.scored + self.awaiting_label + self.unlabelled
        return parts + self.abstained + self.failed + self.refused


class Audit(Record):
    """What the ledger says about its own wholeness."""

    frames: int = 0
    frames_refused: int = 0
    #: Frames that their sender sent again under the same id; their rows count once.
    frames_repeated: int = 0
    #: Outcomes that were written again, and skipped.
    duplicates: int = 0
    #: Outcomes that arrived before one that is still missing.
    gaps: int = 0
    #: Labels that came after the deadline of the rows they are for.
    labels_late: int = 0
    #: Rows whose label something said later changed, each time again.
    corrected: int = 0
    failed_by_kind: dict[str, int] = {}


class Service(Record):
    """What answering cost, measured from outside the candidate. A quantile is exact to within an eighth of itself."""

    #: Frames that the candidate was asked.
    frames: int
    #: From a frame's turn to its answer, in microseconds.
    p50_us: int
    p95_us: int
    p99_us: int
    #: CPU time of all its threads for a thousand rows.
    cpu_us_per_1000_rows: int
    #: The largest resident memory that was seen.
    peak_mb: int


class LabelStatistics(Record):
    """What is known of labels beside what they say (라벨 통계)."""

    #: Rows that were answered or failed, and those of them that have a label, silence that means normal included.
    rows: int = 0
    labelled: int = 0
    #: From a row's arrival to a label for it, over rows and versions that came in time; exact to within an eighth.
    delay_p50_ms: int | None = None
    delay_p90_ms: int | None = None
    #: Rows whose label something said later changed: `from/to`, `from/unlabelled`; of numbers `up`, `down`, `unlabelled`.
    corrections: dict[str, int] = {}


class SliceScores(Record):
    """Scores of the rows in one part of a slice (구간별 결과). Rows of frames that were refused are in none."""

    #: `asset`, `shift`, or the tag that cuts.
    by: str
    #: The part: a machine, a shift, a range, `unknown`.
    value: str
    counts: Counts
    metrics: dict[str, float]


class TagDrift(Record):
    """How far the values of one input have moved since the reference. It is told, and weighs nothing."""

    tag: str
    #: Rows with a value, and the share of rows without one, now and in the reference.
    rows: int
    missing: float
    missing_before: float
    #: Population stability index over tenths of the reference.
    psi: float
    #: The largest difference of the distribution functions (Kolmogorov and Smirnov).
    ks: float


class InputDrift(Record):
    """How far inputs have moved (입력 변화): since the rehearsal, else since the first day with enough rows."""

    reference: Literal["rehearsal", "first_day"]
    tags: tuple[TagDrift, ...]


class ErrorDrift(Record):
    """The error of the earlier and of the later half of the scored rows, cut between two days (오차 변화)."""

    #: `error_rate`: share of wrong answers; or `mae`.
    error: str
    rows_before: int
    rows_after: int
    before: float
    after: float


class Spent(Record):
    """What the scored answers cost the manufacturer, by the agreement's costs (비용)."""

    #: ISO 4217.
    currency: str
    #: Whole units of the currency.
    amount: int


class Outcome(StrEnum):
    """What the agreement's rule gives at the close."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


#: `anytime_valid`: it may be looked at as often as one likes. `none`: true of this trial's numbers, and no more.
Guarantee = Literal["anytime_valid", "none"]


class Comparison(Record):
    """How much less a candidate loses than one rival, on average over the units so far (비교)."""

    #: A baseline, or a constant answer such as `always normal`.
    rival: str
    #: With the agreed confidence the mean lies between these, for every number of units at once: −1 … 1, six digits.
    lower: float
    upper: float
    #: The mean that was seen; None where labels that never came leave it open.
    seen: float | None = None


class Standing(Record):
    """Where the decision by units stands (판정 현황)."""

    #: Units that count so far, in the order of the telemetry, and units planned; more never count.
    units: int
    planned: int
    #: The chance of a wrong answer that this candidate has, both sides of each interval together.
    alpha: float
    margin: float
    comparisons: tuple[Comparison, ...] = ()
    #: What the rule would give if the trial ended here; at the close what it gives.
    outcome: Outcome
    #: Some rival can no longer be beaten by the margin.
    acceptance_excluded: bool = False
    #: The number of units after which the outcome fell, where the agreement allows an early one.
    fell_at: int | None = None
    #: Events that began in these units.
    events: int = 0
    #: Units with a row whose label never came: below and above take them at their worst and best for the candidate.
    unlabelled: int = 0
    #: Units that a fault of the platform took out, for candidate and rivals alike.
    dropped: int = 0
    guarantee: Guarantee = "anytime_valid"


class Ratio(Record):
    """What the units say about the agreed threshold of a metric (지표 기준)."""

    #: Whether the number over the whole trial meets it; None where it is not defined.
    met: bool | None = None
    #: Whether it is shown, with the agreed confidence, that the metric meets it; None where no bound is known for it.
    shown: bool | None = None
    #: Above 0 it is shown: the lower bound of what a unit adds towards the threshold, of which no unit takes away more than 1.
    lower: float | None = None
    #: Rows of the largest unit, by which every unit is counted.
    rows: int | None = None
    #: Errors beyond this count as this.
    capped_at: float | None = None
    guarantee: Guarantee = "none"


class Preference(Record):
    """Of two candidates the one that is shown to lose less."""

    better: str
    worse: str
    #: By so much at least and at most, on average over the units that both were compared on.
    lower: float
    upper: float


class Ranking(Record):
    """Which candidates are shown to be better than which: a partial order (순위)."""

    #: The chance of a wrong answer that each pair has; the order as a whole has the agreement's alpha.
    alpha: float
    preferences: tuple[Preference, ...] = ()
    #: The one that is better than every other; None where none is.
    winner: str | None = None


class Corrections(Record):
    """What corrected labels did to the candidate's losses (라벨 정정의 영향)."""

    #: Rows whose first label was corrected in time, so that the candidate loses less, and so that it loses more.
    toward: int = 0
    away: int = 0
    #: What the outcome would be if labels counted that came too late; None where none did.
    with_late: Outcome | None = None


class Evaluation(Record):
    """Scores of one subject of a pairing at one position of the ledger."""

    kind: Literal["evaluation"] = "evaluation"
    pairing: Ident
    plant: Ident
    startup: Ident
    #: The candidate, or the baseline.
    candidate: str
    baseline: bool
    #: A rehearsal's evaluations are for looking at; none of them counts in a verdict.
    phase: Literal["rehearsal", "trial"] = "trial"
    task: Task
    #: Where the ledger stood, and the hash chain of the entries counted so far.
    ledger_partition: int
    ledger_offset: int
    chain: Digest
    at: Moment
    final: bool
    counts: Counts
    audit: Audit
    #: Confusion by `actual/predicted` class names; empty in regression.
    confusion: dict[str, int] = {}
    metrics: dict[str, float]
    #: Where costs are agreed.
    cost: Spent | None = None
    #: Where the agreement names slices.
    slices: tuple[SliceScores, ...] = ()
    input_drift: InputDrift | None = None
    error_drift: ErrorDrift | None = None
    labels: LabelStatistics | None = None
    #: Of candidates, where a decision by units is agreed.
    decision: Standing | None = None
    #: What answering cost; nothing for baselines, which cost nothing.
    service: Service | None = None
    #: What went wrong, the most frequent first; the rest of the kinds is in `audit.failed_by_kind`.
    faults: tuple[Fault, ...] = ()
    #: How the candidate's code was held, such as `full`.
    sandbox: str
    simulated: bool = False


class Verdict(Record):
    """The end of a candidate's proof: the agreement's rule applied to the final evaluation."""

    kind: Literal["verdict"] = "verdict"
    pairing: Ident
    plant: Ident
    startup: Ident
    candidate: str
    verdict: Outcome
    #: The rule in words, such as `f1 at least 0.7 over at least 500 rows`.
    rule: str
    #: The metric that the rule names; None where no row was scored, or it is not defined.
    value: float | None = None
    threshold: float
    #: `none`: numbers of this trial, without a statistical guarantee.
    guarantee: Guarantee = "none"
    reason: str
    #: Where a decision by units is agreed: what it says, and what the units say of the threshold.
    decision: Standing | None = None
    ratio: Ratio | None = None
    #: The candidates of the pairing against one another.
    ranking: Ranking | None = None
    corrections: Corrections | None = None
    evaluation: Evaluation
    agreement_digest: Digest
    #: Whether folding the range again from its start gave the same bytes.
    recomputed_equal: bool
