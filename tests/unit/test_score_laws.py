"""Laws of the whole way from a ledger to evaluations and verdicts: order, repetition, delay and silence."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.evaluation import Audit, Evaluation
from schemas.ledger import Tick
from streams.ledger_codec import Entry, LabelRows
from tests.unit.drawn_trials import OVER_MS, Trial, folded, judged, told, trials
from tests.unit.trial_examples import PAIRING

SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def appended_ms(entry: Entry) -> int:
    meta = entry.meta if isinstance(entry, LabelRows) else entry
    return meta.source.appended_ms  # type: ignore[union-attr,no-any-return]


def in_some_order(trial: Trial, draw: Any) -> list[Entry]:
    """The same ledger in another order: outcomes of a partition stay in theirs, labels stand anywhere, some of them twice.

    Deadlines pass on the way, as far as the labels before them are there.
    """
    again = [one for one in trial.labels if draw(st.booleans())]
    queues = [*trial.outcomes(), *([one] for one in (*trial.labels, *again, *trial.ends()))]
    turns = draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    heads = [iter(queue) for queue in queues]
    order = [next(heads[turn]) for turn in turns]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(order)))
        missing = [one for one in trial.labels if not any(one is there for there in order[:at])]
        passed = min((appended_ms(one) for one in missing), default=OVER_MS)
        order.insert(at, Tick(pairing=PAIRING, at_ms=passed, telemetry=dict(enumerate(trial.until))))
    # A label may stand there before anyone has begun.
    starts, early = trial.starts(), draw(st.integers(0, 2))
    labels_first = [one for one in order if one in again][:early]
    return [*labels_first, *draw(st.permutations(starts)), *order, *trial.close()]


def final_bytes(book: Any) -> list[bytes]:
    """Final evaluations and verdicts, without what tells ledgers apart: their chain, and entries that did not count."""

    def plain(one: Evaluation) -> Evaluation:
        audit = Audit(**{**one.audit.model_dump(), "duplicates": 0, "gaps": 0})
        return one.model_copy(update={"chain": "0" * 64, "audit": audit})

    evaluations = [plain(one) for one in told(book)]
    verdicts = [one.model_copy(update={"evaluation": plain(one.evaluation)}) for one in judged(book)]
    return [one.to_json() for one in (*evaluations, *verdicts)]


@SLOW
@given(trials(), st.data())
def test_final_bytes_are_the_same_under_every_order_and_repetition(trial: Trial, data: st.DataObject) -> None:
    expected = final_bytes(folded(trial.whole()))
    book = folded([])
    for entry in in_some_order(trial, data.draw):
        folded([entry], book)
        if data.draw(st.integers(0, 3)) == 0 and not book.closed:
            told(book, final=False)
    assert final_bytes(book) == expected
