"""Corrections: in time they change exactly what they should, too late they are recorded and change nothing; the history shows both."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings

from schemas.evaluation import Evaluation, Outcome
from schemas.ledger import Tick
from streams.corrections import corrections
from tests.unit import trial_examples as trials_
from tests.unit.drawn_trials import Trial, folded, told, trials
from tests.unit.ledger_examples import agreement as simple
from tests.unit.ledger_examples import fold, label, outcome, started
from tests.unit.test_scorer import World, _look_at_once, by_units  # noqa: F401
from tests.unit.trial_examples import DAY_MS, MINUTE_US, PAIRING
from tests.unit.twins import until

START = started(simple())
FRAME = outcome(0, answers=[1, 1, 1])


def test_the_history_tells_what_was_changed_and_what_came_too_late() -> None:
    said = [
        label(0, 0, 3, 1, ident="a"),
        label(1, 0, 2, 0, ident="b", ms=5),
        label(2, 0, 0, None, ident="a", ms=6),
        label(3, 0, 3, 1, ident="b", ms=DAY_MS + 1),
    ]
    (first, second, late) = corrections(fold(START, FRAME, *said))
    assert (first.label, first.changed, first.late) == ("b", {"anomaly/normal": 2}, {})
    # What "a" had said of the third row is taken back; the others are b's.
    assert (second.label, second.changed, second.late) == ("a", {"anomaly/unlabelled": 1}, {})
    assert (late.label, late.changed, late.late) == ("b", {}, {"normal/anomaly": 2})
    assert [one.appended_ms for one in (first, second, late)] == [5, 6, DAY_MS + 1]


def test_a_history_without_corrections_is_empty() -> None:
    assert corrections(fold()) == []
    assert corrections(fold(START, FRAME, label(0, 0, 3, 1), label(1, 0, 3, 1))) == []


@settings(max_examples=60, deadline=None)
@given(trials())
def test_the_history_adds_up_to_the_corrections_of_an_evaluation(trial: Trial) -> None:
    book = folded(trial.whole())
    evaluations = {one.candidate: one for one in told(book)}
    labels = evaluations["low"].labels
    assert labels is not None
    sums: dict[str, int] = {}
    for one in corrections(book):
        for name, count in one.changed.items():
            sums[name] = sums.get(name, 0) + count
    assert sums == labels.corrections
    assert sum(sums.values()) == evaluations["low"].audit.corrected


def of_first(world: World) -> Evaluation:
    """The latest evaluation of the candidate."""
    return next(one for one in reversed(world.evaluations()) if one.candidate == "first")


#: What a correction may change.
SCORES = {"counts", "confusion", "metrics", "cost", "slices", "decision", "error_drift"}


def test_a_correction_before_the_cut_off_changes_its_rows_and_one_after_it_nothing_but_the_record() -> None:
    async def scenario() -> None:
        pairing, entries = by_units()
        world = World(pairing=pairing)
        world.write(*entries)
        async with world.running():
            await world.caught_up()
            await until(lambda: world.evaluations() and of_first(world).counts.scored == 41)
            before = of_first(world)
            world.write(label(90, 3 * MINUTE_US, 4 * MINUTE_US, 0, ident="fix", ms=7))
            await world.caught_up()
            await until(lambda: of_first(world).audit.corrected == 1)
            after = of_first(world)
            assert after.confusion == {
                **before.confusion,
                "anomaly/anomaly": before.confusion["anomaly/anomaly"] - 1,
                "normal/anomaly": before.confusion["normal/anomaly"] + 1,
            }
            assert after.labels is not None and after.labels.corrections == {"anomaly/normal": 1}
            seen = [one.decision.comparisons[0].seen for one in (before, after) if one.decision is not None]
            units = after.decision.units if after.decision is not None else 0
            # One unit that the candidate alone had right is one that the baseline alone has right.
            assert seen[0] is not None and seen[1] is not None
            assert seen[0] - seen[1] == pytest.approx(2 / units)

            world.write(label(91, 0, 41 * MINUTE_US, 0, ident="fix", ms=2 * DAY_MS))
            world.write(Tick(pairing=PAIRING, at_ms=3 * DAY_MS))
            await world.caught_up()
            await until(lambda: of_first(world).audit.labels_late)
            late = of_first(world)
            assert late.model_dump(include=SCORES) == after.model_dump(include=SCORES)
            assert late.labels == after.labels
            (counted, missed) = corrections(world.scorer._partitions[0].books[PAIRING])
            assert (counted.changed, counted.late) == ({"anomaly/normal": 1}, {})
            assert missed.changed == {} and missed.late == {"anomaly/normal": 40}

            world.write(*trials_.ends(41))
            await world.caught_up()
            await until(lambda: len(world.verdicts()) == 1)
        (verdict,) = world.verdicts()
        assert verdict.recomputed_equal
        assert verdict.evaluation.model_dump(include=SCORES) == after.model_dump(include=SCORES)
        assert verdict.corrections is not None
        assert (verdict.corrections.toward, verdict.corrections.away) == (0, 1)
        assert verdict.corrections.with_late is Outcome.REJECTED
        assert verdict.verdict is Outcome.ACCEPTED

    asyncio.run(scenario())
