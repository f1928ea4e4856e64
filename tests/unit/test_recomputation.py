"""Published numbers are the fold of the ledger: computed again they are the same bytes, and what is not is found."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agents import scorer as module
from agents.recomputation import Recomputation, recompute
from agents.unit_losses import standing_again, unit_losses
from infra.evidence.export import write_losses
from infra.evidence.verify_verdicts import follows, losses_by_rival
from schemas.agreement import Agreement
from schemas.evaluation import Evaluation, Standing
from schemas.ledger import Closed, Tick
from streams import topics
from streams.envelope import RawRecord
from streams.ledger import Book
from streams.ledger_codec import Entry, OutcomeRows, decode, encode
from tests.unit import ledger_examples as examples
from tests.unit import trial_examples as trials
from tests.unit.drawn_trials import CANDIDATES, Trial, folded
from tests.unit.drawn_trials import trials as drawn
from tests.unit.test_scorer import World
from tests.unit.twins import PAIRING, PLANT, a_deployment, a_pairing, an_agreement, ended

LEDGER = topics.ledger(PLANT)
NAN = float("nan")


def records_of(world: World, topic: str) -> list[bytes]:
    return [one.value or b"" for one in world.broker.of(topic)]


def evaluations_of(world: World) -> list[bytes]:
    return records_of(world, topics.evaluations(PLANT))


def verdicts_of(world: World) -> list[bytes]:
    return records_of(world, topics.verdicts(PLANT))


def record(entry: Entry, offset: int, *, ms: int = 0) -> RawRecord:
    key, value, listed = encode(entry, source="/test", ident="x")
    return RawRecord(
        topic=LEDGER,
        partition=0,
        offset=offset,
        timestamp_ms=ms,
        key=key,
        value=value,
        headers=tuple(listed),
    )


def a_trial() -> list[Entry]:
    """Three frames, a correction, a duplicate, a late label, and an end."""
    return [
        examples.label(0, 0, 1500, 0),
        examples.started(an_agreement()),
        examples.outcome(0, answers=[1, 0]),
        examples.outcome(1, answers=[1]),
        examples.outcome(1, answers=[0]),
        examples.label(1, 0, 1500, 1, ident="l0"),
        examples.outcome(2, answers=[0, NAN]),
        examples.label(2, 1500, 2500, 0),
        examples.tick(5),
        examples.ended(3),
    ]


async def scored(entries: Sequence[Entry], *, stop: bool = False) -> World:
    """What a scorer makes of a trial that comes in three parts, with another pairing's entries between them."""
    world = World(pairing=a_pairing() if stop else ended(a_pairing(), 3))
    other = encode(examples.started(an_agreement()), source="/test", ident="x")
    async with world.running():
        for number, entry in enumerate(entries):
            world.write(entry, ms=10 * number)
            world.broker.append(LEDGER, other[1], key=b"another-one", listed=other[2], at_ms=10 * number + 3)
            if number % 3 == 0:
                await world.caught_up()
        await world.caught_up()
        await world.caught_up()
    return world


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cadences are for people; the tests wait for facts."""
    monkeypatch.setattr(module, "LOOK_S", 0)
    monkeypatch.setattr(module, "CADENCE_S", 0)
    monkeypatch.setattr(module, "WAIT_S", 0.002)


@lru_cache
def world_of_a_trial() -> World:
    return asyncio.run(scored(a_trial()))


@pytest.fixture
def world(_look_at_once: None) -> World:
    """A trial that was scored once; nobody changes it."""
    return world_of_a_trial()


def again(
    world: World,
    *,
    ledger: Sequence[RawRecord] | None = None,
    published: Sequence[bytes] | None = None,
    verdicts: Sequence[bytes] | None = None,
    retired: frozenset[str] = frozenset(),
) -> Recomputation:
    return recompute(
        PAIRING,
        world.broker.of(LEDGER) if ledger is None else ledger,
        evaluations_of(world) if published is None else published,
        verdicts_of(world) if verdicts is None else verdicts,
        retired=retired,
    )


def changed(value: bytes, change: Callable[[dict[str, object]], None]) -> bytes:
    read = json.loads(value)
    change(read)
    return json.dumps(read, separators=(",", ":"), ensure_ascii=False).encode()


# --- what was published is what the ledger gives ----------------------------------------------------------------------


def test_everything_that_a_scorer_published_is_computed_again_byte_for_byte(world: World) -> None:
    found = again(world)
    assert (found.differences, found.problems) == ([], [])
    assert found.closed
    assert found.verdicts == 1
    assert found.evaluations == len(evaluations_of(world)) > 2
    final = Evaluation.model_validate_json(evaluations_of(world)[-1])
    assert found.chain == final.chain
    # The duplicate did not count, and neither did another pairing's.
    assert found.entries == len(found.counted) == len(a_trial())


def test_evaluations_published_at_another_pairing_s_entry_are_computed_again_without_it(world: World) -> None:
    own = [one for one in world.broker.of(LEDGER) if one.key == PAIRING.encode()]
    running = {Evaluation.model_validate_json(one).ledger_offset for one in evaluations_of(world)}
    assert running - {one.offset for one in own}, "some were published at another's entry"
    assert again(world, ledger=own).equal


def test_a_pairing_that_was_broken_off_is_compared_as_far_as_it_was_published() -> None:
    world = asyncio.run(scored(a_trial()[:-1], stop=True))
    found = again(world)
    assert found.equal
    assert not found.closed
    assert found.evaluations == len(evaluations_of(world)) > 0


def test_a_rehearsal_and_a_trial_that_was_amended_are_told_by_the_latest_round() -> None:
    amended = an_agreement(min_rows=2)
    rehearsed = examples.started(an_agreement(), deployment=f"{PAIRING}/t2q-v1.rehearsal-1").model_copy(
        update={"phase": "rehearsal"}
    )
    second = f"{PAIRING}/t2q-v1.trial-2"
    entries: list[Entry] = [
        rehearsed,
        examples.outcome(0, answers=[1, 0], deployment=rehearsed.deployment),
        examples.label(0, 0, 1500, 1),
        examples.ended(1, deployment=rehearsed.deployment),
        examples.started(an_agreement(), starts={0: 1}),
        examples.outcome(1, answers=[1]),
        examples.ended(2),
        examples.started(amended, deployment=second, starts={0: 2}),
        examples.outcome(2, answers=[0, 0], deployment=second),
        examples.label(1, 1500, 2500, 0),
        examples.ended(3, deployment=second),
    ]

    async def scenario() -> World:
        deployment = a_deployment(until=3).model_copy(update={"id": second, "round": 2})
        pairing = ended(a_pairing(deployment, agreed=amended), 3).model_copy(update={"trials": 2})
        world = World(pairing=pairing)
        async with world.running():
            for number, entry in enumerate(entries):
                world.write(entry, ms=number)
                await world.caught_up()
            await world.caught_up()
        return world

    world = asyncio.run(scenario())
    found = again(world)
    assert (found.differences, found.problems) == ([], [])
    assert found.book.judged == (second,)
    assert world.verdicts()[0].agreement_digest == amended.digest()
    phases = {Evaluation.model_validate_json(one).phase for one in evaluations_of(world)}
    assert phases == {"rehearsal", "trial"}


def test_who_was_retired_is_judged_as_retired(world: World) -> None:
    found = again(world, retired=frozenset({"t2q-v1"}))
    assert [(one.what, one.path) for one in found.differences] == [("verdict", "verdict")]


def test_a_scorer_that_was_started_again_may_tell_the_last_moment_that_it_still_knew(world: World) -> None:
    ledger = world.broker.of(LEDGER)
    running = [Evaluation.model_validate_json(one) for one in evaluations_of(world)]
    told = next(one for one in running if ledger[one.ledger_offset].key != PAIRING.encode())
    at, before = ledger[told.ledger_offset], ledger[told.ledger_offset - 1]

    def at_ms(ms: int) -> bytes:
        moment = told.at.replace(microsecond=1000 * ms)
        return told.model_copy(update={"at": moment}).to_json()

    assert again(world, published=[*evaluations_of(world), at_ms(before.timestamp_ms)]).equal
    for ms in (before.timestamp_ms - 1, at.timestamp_ms + 1):
        found = again(world, published=[*evaluations_of(world), at_ms(ms)])
        assert [one.path for one in found.differences] == ["at"]


# --- wounds -----------------------------------------------------------------------------------------------------------


def without(world: World, offset: int) -> list[RawRecord]:
    return [one for one in world.broker.of(LEDGER) if one.offset != offset]


def offset_of(world: World, number: int) -> int:
    """Where the pairing's own n-th entry stands."""
    return [one.offset for one in world.broker.of(LEDGER) if one.key == PAIRING.encode()][number]


def test_an_entry_that_is_missing_added_or_changed_shows_in_the_chain_of_what_follows(world: World) -> None:
    gone = again(world, ledger=without(world, offset_of(world, 2)))
    assert gone.differences
    assert gone.differences[0].ledger_offset >= offset_of(world, 2)
    assert "chain" in {one.path for one in gone.differences}

    label = examples.label(9, 0, 10, 1)
    at = offset_of(world, 3) + 1
    added = [*world.broker.of(LEDGER)]
    added[at] = record(label, at, ms=added[at].timestamp_ms)
    assert not again(world, ledger=added).equal

    other = [*world.broker.of(LEDGER)]
    place = offset_of(world, 2)
    other[place] = record(examples.outcome(0, answers=[0, 0]), place, ms=other[place].timestamp_ms)
    assert not again(world, ledger=other).equal


def test_entries_in_another_order_are_no_ledger(world: World) -> None:
    ledger = world.broker.of(LEDGER)
    swapped = [ledger[0], ledger[2], ledger[1], *ledger[3:]]
    assert "out of order at offset 1" in again(world, ledger=swapped).problems[0]
    mixed = [*ledger[:3], replace(ledger[3], partition=1), *ledger[4:]]
    assert "out of order" in again(world, ledger=mixed).problems[0]
    # The same places, and other contents in them.
    one, two = offset_of(world, 2), offset_of(world, 3)
    changed_places = [*ledger]
    changed_places[one] = replace(ledger[two], offset=one)
    changed_places[two] = replace(ledger[one], offset=two)
    assert not again(world, ledger=changed_places).equal


def test_a_number_that_was_changed_is_named_with_both_values(world: World) -> None:
    published = evaluations_of(world)
    published[-1] = changed(published[-1], lambda one: one["metrics"].update({"accuracy": 0.99}))  # type: ignore[attr-defined]
    (one,) = again(world, published=published).differences
    assert (one.what, one.candidate, one.path, one.published) == (
        "evaluation",
        "t2q-v1",
        "metrics.accuracy",
        0.99,
    )
    assert isinstance(one.recomputed, float)


def test_a_verdict_that_was_turned_is_named(world: World) -> None:
    turned = [changed(one, lambda read: read.update(verdict="accepted")) for one in verdicts_of(world)]
    (one,) = again(world, verdicts=turned).differences
    assert (one.what, one.path, one.published, one.recomputed) == (
        "verdict",
        "verdict",
        "accepted",
        "rejected",
    )


def test_other_bytes_of_the_same_values_are_told_apart(world: World) -> None:
    published = evaluations_of(world)
    published[0] = published[0].replace(b",", b", ", 1)
    (one,) = again(world, published=published).differences
    assert (one.path, one.published, one.recomputed) == ("", "other bytes", "the same values")


def test_results_that_were_left_out_or_added_are_told(world: World) -> None:
    final = [one for one in evaluations_of(world) if not Evaluation.model_validate_json(one).final]
    assert again(world, published=final).problems == ["no final evaluation was published of t2q-v1"]
    assert again(world, verdicts=[]).problems == ["no verdict was published of t2q-v1"]
    stranger = [
        changed(one, lambda read: read.update(candidate="nobody")) for one in evaluations_of(world)[-1:]
    ]
    (added,) = again(world, published=[*evaluations_of(world), *stranger]).differences
    assert (added.candidate, added.published, added.recomputed) == ("nobody", "published", "nothing")


@pytest.mark.parametrize(
    "garbage", [b"", b"null", b"[]", b"\xff", b"[" * 5000, b'{"kind":"evaluation"}', b"9" * 5000]
)
def test_what_cannot_be_read_is_a_problem_and_no_error(world: World, garbage: bytes) -> None:
    found = again(
        world,
        published=[garbage, *evaluations_of(world)],
        verdicts=[*verdicts_of(world), garbage],
    )
    assert found.problems == [
        "1 evaluations were published that this version cannot read",
        "a verdict was published that this version cannot read",
    ]
    assert not found.differences


def test_an_offset_that_no_ledger_has_is_a_problem_and_no_error(world: World) -> None:
    far = [changed(one, lambda read: read.update(ledger_offset=2**70)) for one in evaluations_of(world)[:1]]
    assert "cannot read" in again(world, published=[*far, *evaluations_of(world)]).problems[0]
    behind = [changed(one, lambda read: read.update(ledger_offset=9999)) for one in evaluations_of(world)[:1]]
    assert "at offsets up to 9999" in again(world, published=[*behind, *evaluations_of(world)]).problems[0]


def test_a_ledger_without_its_end_does_not_bear_a_verdict(world: World) -> None:
    ledger = [one for one in world.broker.of(LEDGER) if not isinstance(decode(one), Closed)]
    problems = again(world, ledger=ledger).problems
    assert "final evaluations or verdicts were published, and the ledger is not closed" in problems


def test_a_ledger_without_its_beginning_says_that_it_is_gone(world: World) -> None:
    """A topic loses its beginning only; what is left of a pairing begins in its midst."""
    found = again(world, ledger=world.broker.of(LEDGER)[offset_of(world, 3) :])
    assert "does not begin with its beginning: what stood before is gone" in found.problems[0]
    nothing = again(world, ledger=[])
    assert nothing.problems[0] == f"evaluations were published, and the ledger holds no entry of {PAIRING}"


def test_what_stands_behind_the_close_is_not_looked_at(world: World) -> None:
    ledger = world.broker.of(LEDGER)
    late = record(examples.label(8, 0, 10, 0), len(ledger) + 3)
    assert again(world, ledger=[*ledger, late]).equal


# --- the decision from the losses of its units ------------------------------------------------------------------------

PATIENT = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def standings(book: Book, agreement: Agreement) -> list[tuple[Standing | None, str]]:
    from agents.decisions import standing_of

    book.settle()
    return [
        (standing_of(book, run.started), run.started.subjects[0])
        for run in book.runs.values()
        if not run.started.baseline
    ]


def held(book: Book, agreement: Agreement) -> dict[str, Standing]:
    """The standings of a book, each of which the losses that are disclosed give again."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.parquet"
        write_losses(path, book)
        tables = losses_by_rival(path)
        for standing, name in standings(book, agreement):
            assert standing is not None
            assert agreement.decision is not None
            run = next(run for run in book.runs.values() if run.started.subjects == (name,))
            assert standing_again(agreement.decision, list(unit_losses(book, run.started))) == standing
            assert follows(agreement, tables.get(name, {}), name, standing)
            found[name] = standing
    return found


@PATIENT
@given(drawn())
def test_the_losses_of_units_give_the_published_decision_again(trial: Trial) -> None:
    """Whatever happened: early outcomes, dropped units, labels that never came, runs, events, costs."""
    found = held(folded(trial.whole()), trial.agreement)
    assert found.keys() == set(CANDIDATES)


def test_an_early_outcome_and_dropped_and_unlabelled_units_are_read_again() -> None:
    rows = 80
    times = [row * trials.MINUTE_US for row in range(rows)]
    agreed = trials.agreement(
        unit=trials.DecisionUnit(kind="row"), planned=rows, early=True, least_units=5, margin=0.01
    )
    entries: list[Entry] = [
        trials.started(agreed, constant=0.0),
        trials.started(agreed, subject="first", constant=0.0),
    ]
    for offset in range(0, rows, 4):
        # What the baselines' worker could not answer is the platform's fault; one label in twenty never comes.
        lost = offset == 8
        entries += trials.pair(
            offset // 4,
            times[offset : offset + 4],
            [[0.0] * 4],
            [1.0] * 4,
            results=("failed" if lost else "answered", "answered"),
        )
    entries += [examples.label(row, times[row], times[row] + 1, 1.0) for row in range(rows) if row % 20 != 5]
    entries += [
        *trials.ends(rows // 4),
        Tick(pairing=PAIRING, at_ms=9 * trials.DAY_MS, telemetry={0: rows // 4}),
    ]
    (standing,) = held(folded(entries), agreed).values()
    assert standing.fell_at is not None
    assert standing.unlabelled
    assert standing.dropped == 4


def test_before_the_first_closed_unit_there_is_nothing_to_read_and_it_says_so() -> None:
    agreed = trials.agreement(unit=trials.DecisionUnit(kind="row"))
    book = trials.fold([trials.started(agreed), trials.started(agreed, subject="first")])
    (standing,) = held(book, agreed).values()
    assert standing.units == 0


def test_an_outcome_that_was_changed_in_the_ledger_is_no_outcome_of_another_shape() -> None:
    """An answer of a class that there is not counts nowhere, in either fold."""
    good = examples.outcome(0, answers=[1, 0])
    odd = replace(good, answers=good.answers + 7)
    entries = [examples.started(an_agreement()), odd, good]
    found = recompute(PAIRING, [record(one, i) for i, one in enumerate(entries)], [], [], retired=frozenset())
    assert found.entries == 2
    assert isinstance(odd, OutcomeRows)
