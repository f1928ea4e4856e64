"""Exponential and logarithm: right to the last few bits, and made of nothing that differs between machines."""

from __future__ import annotations

import ast
import inspect
import sys
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import elementary
from models.elementary import exp_minus_one, logarithm

ULP = Decimal(2) ** -53


@given(st.floats(-59, 709).filter(lambda x: abs(x) > 1e-30 or x == 0))
def test_the_exponential_is_right_to_a_few_bits(value: float) -> None:
    (found,) = exp_minus_one(np.array([value])).tolist()
    with localcontext() as context:
        context.prec = 80
        wanted = Decimal(value).exp() - 1
        assert abs(Decimal(found) - wanted) <= 8 * ULP * abs(wanted)


@given(st.floats(sys.float_info.min, sys.float_info.max))
def test_the_logarithm_is_right_to_a_few_bits(value: float) -> None:
    (found,) = logarithm(np.array([value])).tolist()
    with localcontext() as context:
        context.prec = 80
        wanted = Decimal(value).ln()
        assert abs(Decimal(found) - wanted) <= 8 * ULP * abs(wanted)


def test_at_the_ends_the_exponential_stays_a_number() -> None:
    found = exp_minus_one(np.array([0.0, 1e-300, -1e-300, -60.0, -1e308, 709.0, 709.1, 1e308]))
    most = sys.float_info.max
    assert found[:5].tolist() == [0.0, 1e-300, -1e-300, -1.0, -1.0]
    assert 8e307 < found[5] < most and found[6:].tolist() == [most, most]


def test_the_bits_are_those_that_every_machine_gives() -> None:
    values = np.array([-13.5, -0.7, 1e-9, 0.1, 1.0, 12.3, 700.0])
    assert [one.hex() for one in exp_minus_one(values).tolist()] == EXPONENTIALS
    assert [one.hex() for one in logarithm(np.abs(values)).tolist()] == LOGARITHMS


def test_nothing_of_a_library_that_rounds_as_it_likes_is_called() -> None:
    called = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(elementary)))
        if isinstance(node, ast.Attribute)
    }
    assert not called & {"exp", "expm1", "log", "log1p", "power", "sum", "dot", "tanh"}


EXPONENTIALS = [
    "-0x1.ffffd1ff8d163p-1",
    "-0x1.01bf92311555fp-1",
    "0x1.12e0be84bbb51p-30",
    "0x1.aec7b35a00d3ap-4",
    "0x1.b7e151628aed3p+0",
    "0x1.ad177e8ccf016p+17",
    "0x1.d945df4f8ec8ep+1009",
]
LOGARITHMS = [
    "0x1.4d24ef844f614p+1",
    "-0x1.6d3c324e13f4fp-2",
    "-0x1.4b927f32bffb8p+4",
    "-0x1.26bb1bbb55515p+1",
    "0x0.0p+0",
    "0x1.413a8c72fd8bep+1",
    "0x1.a344e6741ebabp+2",
]
