"""Looking after every unit: the answers of the decision itself, in one go, and back again after a correction."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import path as module
from models.decision import UNIT, Gains, bounds, lower_bound
from models.path import Looks, Path, bounds_of

ALPHA = Decimal("0.05")
GAINS = st.lists(st.one_of(st.sampled_from([-UNIT, 0, UNIT, 300_000]), st.integers(-UNIT, UNIT)), max_size=60)


def path_of(gains: list[int] | np.ndarray) -> Path:
    path = Path()
    path.extend(np.array(gains, dtype=np.int64))
    return path


@settings(max_examples=60, deadline=None)
@given(GAINS, st.integers(-UNIT, UNIT), st.integers(-UNIT, UNIT))
def test_a_look_at_every_unit_says_what_each_bound_says(gains: list[int], low: int, high: int) -> None:
    path, looks = path_of(gains), Looks(64, ALPHA / 2)
    found = [
        (bool(a), bool(b))
        for stretch in path.stretches(0, len(path))
        for a, b in zip(looks.lower_reaches(stretch, low), looks.upper_reaches(stretch, high), strict=True)
    ]
    expected = []
    for k in range(1, len(gains) + 1):
        one = bounds(Gains.of(gains[:k]), planned=64, alpha=ALPHA)
        expected.append((one.lower >= low, one.upper <= high))
    assert found == expected


@settings(max_examples=30, deadline=None)
@given(GAINS.filter(bool))
def test_the_level_of_the_bound_itself_is_reached_and_the_next_is_not(gains: list[int]) -> None:
    """The nearest that a look can come to its bound: one millionth."""
    path, looks = path_of(gains), Looks(64, ALPHA / 2)
    one = bounds(path.end, planned=64, alpha=ALPHA)
    (stretch,) = path.stretches(len(path) - 1, len(path))
    assert looks.lower_reaches(stretch, one.lower)[0]
    assert not looks.lower_reaches(stretch, one.lower + 1)[0]
    assert looks.upper_reaches(stretch, one.upper)[0]
    assert not looks.upper_reaches(stretch, one.upper - 1)[0]


def test_what_is_too_close_for_floats_is_left_to_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = np.random.default_rng(3).integers(-UNIT, UNIT, 300)
    path, looks = path_of(gains), Looks(1000, ALPHA / 2)
    levels = [-50_000, 0, 70_000]
    floats = [looks.lower_reaches(one, level) for level in levels for one in path.stretches(0, 300)]
    asked = []
    exactly = Looks._exactly

    def counted(self: Looks, total: int, spread: int) -> bool:
        asked.append(total)
        return exactly(self, total, spread)

    monkeypatch.setattr(Looks, "_exactly", counted)
    monkeypatch.setattr(module, "_SURE", 1e9)
    decimals = [looks.lower_reaches(one, level) for level in levels for one in path.stretches(0, 300)]
    assert len(asked) > 300
    assert all(np.array_equal(a, b) for a, b in zip(floats, decimals, strict=True))


@settings(max_examples=40, deadline=None)
@given(GAINS, st.data())
def test_a_path_that_was_cut_and_went_on_is_the_path_that_went_straight(
    gains: list[int], data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, len(gains)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRIDE", 7)
        path = path_of([*gains[:k], UNIT, -UNIT, 5])
        path.cut(k)
        for gain in gains[k:]:
            path.extend(np.array([gain]))
        assert path.end == Gains.of(gains)
        assert [path.at(i) for i in range(len(gains) + 1)] == [
            Gains.of(gains[:i]) for i in range(len(gains) + 1)
        ]
        stretches = list(path.stretches(k, len(gains)))
        assert [one.gains(i).k for one in stretches for i in range(one.k.size)] == list(
            range(k + 1, len(gains) + 1)
        )
        assert path.gains().tolist() == gains


def test_sums_stay_exact_where_a_plan_is_long() -> None:
    path = Path()
    gains = np.where(np.arange(30_000) % 3 == 0, -UNIT, UNIT)
    path.extend(gains)
    assert path.end == Gains.of(gains.tolist())
    with pytest.raises(ValueError, match="gains lie between"):
        path.extend(np.array([UNIT + 1]))


def test_bounds_take_labels_that_never_came_at_their_worst_below_and_their_best_above() -> None:
    low, high = Gains.of([0] * 50), Gains.of([UNIT] * 50)
    found = bounds_of(low, high, 100, ALPHA)
    assert found.lower == bounds(low, planned=100, alpha=ALPHA).lower
    assert found.upper == bounds(high, planned=100, alpha=ALPHA).upper == UNIT


def test_one_side_alone_takes_gains_above_one_and_none_below_minus_one() -> None:
    gains = [UNIT, 0, 300_000] * 30
    assert lower_bound(Gains.never_below(gains), planned=100, a=ALPHA / 2) == (
        bounds(Gains.of(gains), planned=100, alpha=ALPHA).lower
    )
    assert lower_bound(Gains.never_below([5 * UNIT] * 30), planned=100, a=ALPHA) > 0
    assert lower_bound(Gains(), planned=100, a=ALPHA) == -UNIT
    with pytest.raises(ValueError, match="never below"):
        Gains.never_below([-UNIT - 1])
