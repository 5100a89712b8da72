"""Independent witnesses: right where they speak, silent where they cannot know, and the odd one out is named."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.testing import GradcheckError, gradcheck
from tinygrad_lm.testing.adapters import subject_of
from tinygrad_lm.testing.oracles import Declined, complex_step, forward_mode

RNG = np.random.default_rng(8)
X, W, D = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=18)


def declare(analytic=True, slope=1.0, forward=1.0, name="cubed_by_a_test"):
    """x^3 whose vjp and jvp rules are off by factors."""

    @tg.op(name=name, analytic=analytic)
    def cubed(xp, x):
        return x * x * x

    cubed.vjp("x")(lambda g, x: slope * 3.0 * g * x * x)
    if forward is not None:
        cubed.jvp("x")(lambda t, x: forward * 3.0 * t * x * x)
    return cubed


def network(cubed):
    return lambda x, w: [cubed(x @ w) * 0.5, tg.sin(x) - x]


@pytest.mark.parametrize("oracle", [complex_step, forward_mode])
def test_both_know_the_directional_derivative(oracle):
    subject = subject_of(network(declare()), (X, W))
    h = 1e-6
    expected = (subject(subject.x + h * D) - subject(subject.x - h * D)) / (2 * h)
    np.testing.assert_allclose(oracle(subject, subject.x, D), expected, rtol=1e-7, atol=1e-8)
    scalar = subject_of(lambda x: declare()(x) + x.sum(), np.array(2.0))  # 0-d results are known by their id as well
    np.testing.assert_allclose(oracle(scalar, scalar.x, np.ones(1)), [13.0], rtol=1e-15)
    once = subject_of(lambda x: x * 0.0 + 1.0, X)
    np.testing.assert_array_equal(oracle(once, once.x, D[:6]), np.zeros(6))


def test_several_outputs_and_what_does_not_move():
    @tg.op(name="halves_by_a_test", analytic=True)
    def halves(xp, x):
        return x[:1] * 1.0, x[1:] * 2.0

    halves.vjp("x")(lambda g: tg.concatenate([g[0], g[1] * 2.0]))
    halves.jvp("x")(lambda t: (t[:1], t[1:] * 2.0))
    verdict = gradcheck(lambda x: [*halves(x), np.ones(2)], X)
    assert verdict.oracles["forward mode"] == verdict.oracles["complex step"] == "agrees along a random direction"


def test_who_cannot_tell_says_why():
    subject = subject_of(network(declare(analytic=False, forward=None)), (X, W))
    with pytest.raises(Declined, match="cubed_by_a_test is not declared analytic"):
        complex_step(subject, subject.x, D)
    with pytest.raises(Declined, match="cubed_by_a_test has no forward-mode rule"):
        forward_mode(subject, subject.x, D)
    oracles = gradcheck(network(declare(analytic=False, forward=None)), (X, W)).oracles
    assert oracles["complex step"] == "declined, cubed_by_a_test is not declared analytic"
    assert oracles["forward mode"] == "declined, cubed_by_a_test has no forward-mode rule"
    assert oracles["tg.jvp"] == "not asked, it is made of the rules under test"


def test_a_function_that_leaves_the_operations_is_not_judged_by_them():
    def outside(x):
        return Tensor(np.exp(x.data)) * x  # a constant to the tape, to forward mode and, half, to the differences

    class Exp(tg.Function):
        @staticmethod
        def forward(ctx, x):
            y = Tensor(np.exp(np.real(x.data)))
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    verdict = gradcheck(lambda x: Exp.apply(x) * x, X)
    assert verdict.oracles["complex step"] == verdict.oracles["forward mode"]
    assert verdict.oracles["complex step"] == "declined, something is computed outside of operations"
    with pytest.raises(GradcheckError):
        gradcheck(outside, X)


def test_a_wrong_forward_mode_rule_is_named():
    with pytest.raises(
        GradcheckError, match="rule agree .*the forward-mode rule of cubed_by_a_test disagrees"
    ) as caught:
        gradcheck(network(declare(forward=1.001)), (X, W))
    assert caught.value.cause == "forward mode of cubed_by_a_test is the odd one out"


def test_an_operation_that_is_not_as_analytic_as_declared_is_named():
    @tg.op(name="modulus_by_a_test", analytic=True)
    def modulus(xp, x):
        return (x * xp.conj(x)).real if xp.iscomplexobj(x) else x * x

    modulus.vjp("x")(lambda g, x: 2.0 * g * x)
    with pytest.raises(GradcheckError, match="modulus_by_a_test, declared analytic but is not"):
        gradcheck(modulus, X)


def test_a_rule_that_is_wrong_in_the_eleventh_digit():
    """Central differences cannot see it here; two exact witnesses that agree can."""
    tiny = 1 + 1e-11
    with pytest.raises(GradcheckError, match="the complex step and forward mode agree") as caught:
        gradcheck(lambda x: declare(slope=tiny)(x) * 1.0, X)
    assert caught.value.cause == "the rule is the odd one out"
    alone = gradcheck(lambda x: declare(slope=tiny, forward=None)(x) * 1.0, X)
    assert "which differences cannot see" in alone.oracles["complex step"]


def test_rules_that_are_wrong_in_the_same_way_are_refuted_by_differences():
    with pytest.raises(GradcheckError, match=r"input 0 at index \(0, 0\).*a factor of 1.01"):
        gradcheck(declare(slope=1.01, forward=1.01), X)


def test_the_derived_forward_mode_agrees_with_a_wrong_rule_and_is_no_witness():
    wrong = declare(slope=1.5)
    np.testing.assert_allclose(tg.jvp(wrong, (X,), (X,))[1], 1.5 * 3 * X**3)
    with pytest.raises(GradcheckError):
        gradcheck(wrong, X)
