"""The confidence sequence of a decision, and how many units a verdict needs."""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import decision
from models.decision import UNIT, Bounds, Gains, bounds
from models.planning import NINE_IN_TEN, Rates, forecast, units_a_day, units_needed, units_needed_at
from models.reading import Rule
from schemas.evaluation import Outcome
from schemas.terms import Decision, DecisionUnit, Expected

ALPHA = Decimal("0.05")
PATTERN = [UNIT * one for one in (1, 0, 0, 1, -1, 0, 1, 0, 0, 0)]


def rule(
    *, planned: int = 1000, alpha: Decimal = ALPHA, margin: Decimal = Decimal(0), slots: int = 1
) -> Rule:
    return Rule(planned=planned, alpha=alpha / slots, margin=margin)


@pytest.fixture(scope="module")
def in_python() -> ModuleType:
    """The module a second time, on the decimals that are written in Python instead of C."""
    import _pydecimal

    spec = importlib.util.spec_from_file_location("decision_in_python", decision.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "decimal", _pydecimal)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("k", "expected"),
    [(100, Bounds(lower=-39_967, upper=435_011)), (1000, Bounds(lower=132_636, upper=264_331))],
)
def test_the_published_vector_comes_out_to_the_last_digit(k: int, expected: Bounds) -> None:
    gains = Gains.of(PATTERN * (k // 10))
    assert bounds(gains, planned=1000, alpha=ALPHA) == expected


@pytest.mark.parametrize("k", [1, 100, 1000])
def test_decimals_in_c_and_in_python_give_the_same_bounds_before_and_after_rounding(
    in_python: ModuleType, k: int
) -> None:
    import _pydecimal

    assert in_python.Decimal is _pydecimal.Decimal is not decision.Decimal
    gains = (PATTERN * 100)[:k]
    found = bounds(Gains.of(gains), planned=1000, alpha=ALPHA)
    other = in_python.bounds(in_python.Gains.of(gains), planned=1000, alpha=_pydecimal.Decimal("0.05"))
    assert (other.lower, other.upper) == (found.lower, found.upper)
    assert str(radius(decision, Decimal(k))) == str(radius(in_python, _pydecimal.Decimal(k)))


def radius(module: ModuleType, spread: object) -> object:
    """One radius with all its 40 digits."""
    with module.localcontext(module.context()):
        return module.Mixture.of(1000, module.Decimal("0.025")).radius(spread)


def test_the_radius_is_where_the_mixture_reaches_its_bound() -> None:
    with decision.localcontext(decision.context()):
        mixture = decision.Mixture.of(1000, Decimal("0.025"))
        for spread in (Decimal(0), Decimal("0.5"), Decimal(300), Decimal(10**9)):
            r = mixture.radius(spread)
            terms = [
                (rate * r - cost * spread).exp()
                for rate, cost in zip(mixture.rates, mixture.costs, strict=True)
            ]
            assert abs(sum(terms) / 10 * Decimal("0.025") - 1) < Decimal("1e-24")


def test_bounds_are_mirrored_where_gains_are() -> None:
    # Means are rounded towards minus infinity on either side, which the last digit may show.
    found = bounds(Gains.of(PATTERN * 30), planned=1000, alpha=ALPHA)
    mirrored = bounds(Gains.of(-one for one in PATTERN * 30), planned=1000, alpha=ALPHA)
    assert abs(found.lower + mirrored.upper) <= 2
    assert abs(found.upper + mirrored.lower) <= 2


@settings(max_examples=60, deadline=None)
@given(gains=st.lists(st.integers(-UNIT, UNIT), max_size=40))
def test_bounds_hold_the_mean_and_stay_between_minus_one_and_one(gains: list[int]) -> None:
    found = bounds(Gains.of(gains), planned=64, alpha=ALPHA)
    assert -UNIT <= found.lower <= found.upper <= UNIT
    if gains:
        assert found.lower <= sum(gains) / len(gains) <= found.upper


def test_nothing_is_known_before_the_first_unit() -> None:
    assert bounds(Gains(), planned=1000, alpha=ALPHA) == Bounds(lower=-UNIT, upper=UNIT)


def test_a_plan_is_never_extended_and_a_gain_never_larger_than_one() -> None:
    with pytest.raises(ValueError, match="never extended"):
        bounds(Gains.of([0] * 11), planned=10, alpha=ALPHA)
    with pytest.raises(ValueError, match="a gain lies between"):
        Gains().add(UNIT + 1)
    for alpha in ("0", "1"):
        with pytest.raises(ValueError, match="alpha lies between"):
            bounds(Gains(), planned=10, alpha=Decimal(alpha))


@pytest.mark.parametrize(
    ("gain", "slots", "units"), [("1", 1, 18), ("0.3", 1, 33), ("0.1", 1, 83), ("1", 3, 22), ("0.1", 3, 101)]
)
def test_the_units_that_a_constant_gain_needs_are_those_at_which_its_bound_passes(
    gain: str, slots: int, units: int
) -> None:
    assert units_needed(rule(slots=slots), Rates.constant(Decimal(gain))) == units
    whole = int(Decimal(gain) * UNIT)
    before, after = (
        bounds(Gains.of([whole] * k), planned=1000, alpha=ALPHA / slots).lower for k in (units - 1, units)
    )
    assert before <= 0 < after


def test_a_candidate_needs_as_many_units_as_the_rival_it_gains_least_on() -> None:
    large, small = np.full(50, 300_000), np.tile([200_000, 400_000], 25)
    assert Rates.seen(small) == Rates(mean=Decimal("0.3"), sd=Decimal("0.1"))
    assert units_needed_at(rule(), [large]) == units_needed(rule(), Rates.constant(Decimal("0.3"))) == 33
    slow = np.full(50, 100_000)
    assert units_needed_at(rule(), [large, slow]) == units_needed_at(rule(), [slow]) == 83
    assert units_needed_at(rule(), [large, -slow]) is None
    nothing = np.empty(0, dtype=np.int64)
    assert Rates.seen(nothing) is None
    assert units_needed_at(rule(), [large, nothing]) is None
    assert units_needed_at(rule(), []) is None


def test_a_plan_of_fourteen_units_accepts_nobody_even_at_full_gain() -> None:
    # Fewer units than the eighteen of a plan for 1,000: a smaller plan has fewer terms in its mixture.
    assert units_needed(rule(planned=15), Rates.constant(Decimal(1))) == 15
    assert units_needed(rule(planned=14), Rates.constant(Decimal(1))) is None
    assert forecast(rule(planned=14), Rates.constant(Decimal(1))).plan == 15


def test_the_least_plan_is_enough_and_one_unit_less_is_not() -> None:
    rates = Rates.independent(Decimal("0.2"), Decimal("0.1"))
    plan = forecast(rule(planned=100), rates).plan
    assert plan is not None
    assert units_needed(rule(planned=plan), rates) == plan
    assert units_needed(rule(planned=plan - 1), rates) is None


@pytest.mark.parametrize("gain", ["1", "0.9", "0.8", "0.7", "0.6", "0.5"])
def test_the_least_plan_is_found_across_the_steps_of_the_mixture(gain: str) -> None:
    rates = Rates.constant(Decimal(gain))
    least = next(k for k in range(1, 100) if units_needed(rule(planned=k), rates) is not None)
    assert forecast(rule(), rates).plan == least


@pytest.mark.parametrize(("planned", "terms"), [(1, 4), (16, 4), (17, 5), (1000, 10), (1024, 10), (1025, 11)])
def test_the_mixture_has_as_many_terms_as_the_plan_has_doublings(planned: int, terms: int) -> None:
    assert len(decision.Mixture.of(planned, ALPHA).rates) == terms


def test_equivalence_is_forecast_where_the_bounds_of_such_gains_lie_within_the_margin() -> None:
    found = forecast(rule(margin=Decimal("0.1")), Rates.constant(Decimal("0.06"))).units
    state, needed = Gains(), None
    for k in range(1, 1001):
        state = state.add(60_000)
        if bounds(state, planned=1000, alpha=ALPHA).upper <= 100_000:
            needed = k
            break
    assert found is not None
    assert needed is not None
    # The forecast leaves out how the predicted gain is learnt in the first units.
    assert abs(found - needed) <= 2


def test_a_forecast_of_independent_units_is_what_half_of_simulated_trials_need() -> None:
    rates = Rates.independent(Decimal("0.3"), Decimal("0.1"))
    half = forecast(rule(), rates).units
    most = forecast(rule(), rates, quantile=NINE_IN_TEN).units
    assert half is not None
    assert most is not None
    random = np.random.default_rng(7)
    accepted = {half: 0, most: 0}
    for _ in range(200):
        losses = random.random((2, most)) < [[0.3], [0.1]]
        gains = (losses[0].astype(int) - losses[1].astype(int)) * UNIT
        for k in accepted:
            found = bounds(Gains.of(gains[:k].tolist()), planned=1000, alpha=ALPHA)
            accepted[k] += found.lower > 0
    assert 80 <= accepted[half] <= 120
    assert 165 <= accepted[most] <= 195


@pytest.mark.parametrize(
    ("mean", "outcome"),
    [
        ("0.3", Outcome.ACCEPTED),
        ("-0.3", Outcome.REJECTED),
        ("0.02", Outcome.EQUIVALENT),
        ("0.1", Outcome.INCONCLUSIVE),
    ],
)
def test_every_verdict_has_its_forecast(mean: str, outcome: Outcome) -> None:
    found = forecast(rule(margin=Decimal("0.1")), Rates(mean=Decimal(mean), sd=Decimal("0.2")))
    assert found.outcome is outcome
    assert (found.units is None) == (outcome is Outcome.INCONCLUSIVE)


def test_without_a_margin_equal_losses_never_give_a_verdict() -> None:
    assert forecast(rule(), Rates.constant(Decimal(0))).outcome is Outcome.INCONCLUSIVE


def test_alpha_is_shared_by_the_slots_of_an_agreement() -> None:
    assert Rule.of(Decision(planned_units=1000, slots=5, alpha=0.05)).alpha == Decimal("0.01")


def test_units_a_day_come_from_blocks_and_machines_or_from_what_is_expected() -> None:
    assert units_a_day(Decision(planned_units=10, unit=DecisionUnit(minutes=480)), 2) == 6
    assert units_a_day(Decision(planned_units=10, unit=DecisionUnit(kind="run")), 2) is None
    expected = Expected(units_a_day=0.5)
    assert units_a_day(Decision(planned_units=10, unit=DecisionUnit(kind="run"), expected=expected), 2) == 0.5
