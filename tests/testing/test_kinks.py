"""Corners, jumps and singular points: found, named, and judged by what no direction refutes."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.core import flatten, raw
from tinygrad_lm.testing import GradcheckError, check_vjp, gradcheck
from tinygrad_lm.testing.kinks import behaviour


def along(f, x, **options):
    """The behaviour of a function of one number."""
    x, eps = float(x), np.full(1, 2.0**-52)
    unit = max(1.0, abs(x))
    smallest = min(1e-12 * unit, abs(x) * 1e-5 or unit)

    def values(h):
        return np.array([f(np.float64(x + h))], float), (x + h) - x

    with np.errstate(all="ignore"):
        return behaviour(values, np.array([f(np.float64(x))], float), np.ones(1), eps, unit, smallest)


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (np.sin, 1, np.cos(1)),
        (np.sin, 1e8, np.cos(1e8)),
        (np.log, 1e-8, 1e8),
        (np.log, 1e-30, 1e30),
        (np.exp, 100, np.exp(100)),
        (lambda x: np.sin(x) + 5, 1e-8, 1.0),
        (lambda x: 1 - np.cos(x), 1e-4, np.sin(1e-4)),
        (lambda x: (x + 1e8) - 1e8, 1.0, 1.0),
        (lambda x: float(np.sin(np.float32(x))), 1.0, np.cos(1.0)),
        (lambda x: x**3, 0, 0.0),
        (lambda x: x * abs(x), 0, 0.0),
        (abs, 1e-6, 1.0),
        (lambda x: 3.0, 0, 0.0),
    ],
)
def test_smooth_points_at_every_scale(f, x, slope):
    found = along(f, x)
    assert found.kind == "smooth" and found.allows(slope, 1e-12 * abs(slope))
    assert found.high - found.low <= 1e-3 * abs(slope) + 1e-10
    assert not found.allows(1.01 * slope + 1e-3)


@pytest.mark.parametrize(
    ("f", "x", "kind", "left", "right"),
    [
        (abs, 0, "kink", -1, 1),
        (lambda x: max(x, 0.0), 0, "kink", 0, 1),
        (lambda x: abs(x - 3) + 100 * x, 3, "kink", 99, 101),
        (np.sign, 0, "jump", 0, 0),
        (lambda x: np.floor(x) + 2 * x, 2, "jump", 2, 2),
        (lambda x: 2 * x if x >= 0 else np.nan, 0, "edge", 2, 2),
    ],
)
def test_kinks_jumps_and_edges_with_their_slopes(f, x, kind, left, right):
    found = along(f, x)
    assert found.kind == kind
    assert (found.left, found.right) == (pytest.approx(left, abs=1e-9), pytest.approx(right, abs=1e-9))
    assert found.allows(left) and found.allows(right) and found.allows((left + right) / 2)
    assert not found.allows(right + 0.01) and not found.allows(left - 0.01) and not found.allows(np.nan)


def test_singular_points():
    for f, x, right_sign in ((np.sqrt, 0, 1), (np.cbrt, 0, 1), (np.arccos, 1, -1)):
        found = along(f, x)
        assert found.kind == "singular"
        assert found.allows(np.inf * right_sign) and not found.allows(-np.inf * right_sign)
        assert not found.allows(np.nan)
    assert along(lambda x: x if x == 3 else np.nan, 3).kind == "undefined"


# ------------------------------------------------------------------------------------------------ judged in a check

A, B = np.array([1.0, 2.0, 5.0]), np.array([1.0, 2.0, 4.0])


def shared(of_a, of_b):
    def rule(g, a, b):
        return g * np.where(a == b, of_a, a > b), g * np.where(a == b, of_b, b > a)

    return rule


@pytest.mark.parametrize(("of_a", "of_b"), [(0.5, 0.5), (1, 0), (0, 1), (0.3, 0.7)])
def test_a_tie_may_be_shared_in_any_way_that_adds_up(of_a, of_b):
    kinks = check_vjp(np.maximum, shared(of_a, of_b), (A, B)).kinks
    assert [(k.input, k.index) for k in kinks] == [(0, (0,)), (0, (1,)), (1, (0,)), (1, (1,))]
    assert kinks[0].tied == ["input 1[0]"] and kinks[0].kind == "kink"
    assert (*kinks[0].one_sided, kinks[0].analytic) == pytest.approx((0, 1, of_a), abs=1e-9)
    assert str(kinks[0]).startswith("kink at input 0[0] (tied with input 1[0]): slopes 0 and 1")


@pytest.mark.parametrize(("of_a", "of_b"), [(0, 0), (1, 1), (0.5, 0.4), (2, -1), (-0.5, 1.5)])
def test_a_tie_that_does_not_add_up_is_refuted(of_a, of_b):
    with pytest.raises(GradcheckError) as caught:
        check_vjp(np.maximum, shared(of_a, of_b), (A, B))
    if of_a + of_b != 1:
        assert "moved together" in str(caught.value) and "not in the subdifferential" in caught.value.cause
    else:
        assert caught.value.index == (0,) and "numeric between" in str(caught.value)


def test_ties_within_one_input_and_among_many_entries():
    def largest(share):
        def rule(g, x):
            top = x == x.max(-1, keepdims=True)
            return g[..., None] * top / (top.sum(-1, keepdims=True) if share else 1.0)

        return rule

    x = np.array([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0]])
    assert len(check_vjp(lambda x: x.max(-1), largest(True), x).kinks) == 4
    with pytest.raises(GradcheckError, match=r"input 0\[0, 0\], input 0\[0, 1\] moved together"):
        check_vjp(lambda x: x.max(-1), largest(False), x)
    many = np.random.default_rng(0).normal(size=1500)
    right, wrong = shared(0.5, 0.5), shared(0.0, 0.0)
    assert check_vjp(np.maximum, right, (many, many.copy()))
    with pytest.raises(GradcheckError, match="moved together"):
        check_vjp(np.maximum, wrong, (many, many.copy()))

    def one_wrong(g, a, b):  # at the last of 1500 ties
        da, db = right(g, a, b)
        da[-1] = db[-1] = 0.0
        return da, db

    with pytest.raises(GradcheckError, match="a direction that keeps ties"):
        check_vjp(np.maximum, one_wrong, (many, many.copy()))


@pytest.mark.parametrize(("slope", "right"), [(-1, True), (0, True), (0.4, True), (1, True), (1.01, False)])
def test_the_slope_of_abs_at_zero(slope, right):
    def rule(g, x):
        return g * np.where(x == 0, slope, np.sign(x))

    x = np.array([-2.0, 0.0, 1.0])
    if right:
        assert [k.index for k in check_vjp(np.abs, rule, x).kinks] == [(1,)]
    else:
        with pytest.raises(GradcheckError, match=r"input 0 at index \(1,\).*a kink"):
            check_vjp(np.abs, rule, x)


def test_what_is_done_about_kinks_can_be_chosen():
    x = np.array([-2.0, 0.0, 1.0])
    with pytest.raises(GradcheckError, match=r"kink at input 0\[1\]: slopes -1 and 1, the rule says 0") as caught:
        gradcheck(tg.abs, x, kinks="error")
    assert caught.value.cause == "kink" and caught.value.index == (1,)
    assert gradcheck(tg.abs, x[[0, 2]], kinks="error")
    verdict = check_vjp(np.abs, lambda g, x: g * np.where(x == 0, 7.0, np.sign(x)), x, kinks="avoid")
    assert [k.analytic for k in verdict.kinks] == pytest.approx([7.0])
    with pytest.raises(GradcheckError):
        check_vjp(np.abs, lambda g, x: g * np.where(x == 1, 7.0, np.sign(x)), x, kinks="avoid")


def test_jumps_and_singular_points_are_reported():
    assert [k.kind for k in gradcheck(tg.sign, np.array([0.0, 1.0])).kinks] == ["jump"]
    with pytest.raises(GradcheckError, match="a jump"):
        check_vjp(np.sign, lambda g, x: g * (x == 0), np.array([0.0, 1.0]))
    (kink,) = gradcheck(tg.sqrt, np.array([0.0, 1.0])).kinks
    assert kink.kind == "singular" and np.isinf(kink.analytic)
    with pytest.raises(GradcheckError, match="0 times inf in a branch not taken"):
        gradcheck(lambda x: tg.where(x > 0, tg.log(tg.abs(x)), 0.0), np.array([0.0, 1.0]))
    verdict = check_vjp(np.log, lambda g, x: g / np.where(x == 0, 1.0, x), np.array([0.0, 1.0]))
    assert verdict.notes == ["1 results are not finite and left out"]
    assert gradcheck(tg.softmax, np.array([-np.inf, 1.0, 2.0])).entries == 2


def test_declared_kinks_of_operations_are_not_refuted():
    checked = 0
    for op in tg.OPS.values():
        for kink in op.facts.get("kinks", ()):
            if all(np.isfinite(np.asarray(g, float)).all() for g in kink.grads):
                names = [n for n, _ in zip(op.inputs, kink.inputs, strict=False) if op.rules[n] is not None]
                given = {n: np.array(v, float) for n, v in zip(op.inputs, kink.inputs, strict=False)}
                if any("float" not in str(v.dtype) for v in given.values()) or not names:
                    continue

                def f(*xs, op=op, given=given, names=names, kink=kink):
                    return op.function(**{**given, **dict(zip(names, xs, strict=True))}, **kink.params)

                if not all(np.isfinite(raw(y)).all() for y in flatten(f(*[given[n] for n in names]))[0]):
                    continue  # no difference can be taken from an infinite value
                assert gradcheck(f, [given[n] for n in names], second_order=False), op
                checked += 1
    assert checked > 20
