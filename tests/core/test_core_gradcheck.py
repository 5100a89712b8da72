"""The checker itself: it must refuse what is wrong, and say where."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.testing import GradcheckError, gradcheck, gradgradcheck

X = np.random.default_rng(9).normal(size=(2, 3))


def wrong(slope):
    """An operation x^2 whose rule multiplies with `slope(x)`."""

    @tg.op
    def square(xp, x):
        return x * x

    square.vjp("x")(lambda g, x: g * slope(x))
    return square


def test_what_is_right_passes():
    assert gradcheck(tg.sin, X) and gradcheck(tg.sin, [X]) and gradcheck(tg.sin, Tensor(X, requires_grad=True))
    assert gradcheck(tg.sin, X.astype(np.float32))  # checked in float64
    assert gradcheck(lambda x, n, ids: x[ids] * n, (X, 3, np.array([0, 0])))
    assert gradcheck(lambda x: {"a": [x * x, tg.argmax(x)], "b": (tg.exp(x),)}, X)
    assert gradcheck(lambda x: x * 2, np.ones((0, 3)))
    assert gradgradcheck(tg.tanh, X) and gradgradcheck(lambda x, n: x**n, [X, 3])


def test_inputs_are_not_touched():
    before = X.copy()
    gradcheck(tg.sin, X)
    frozen = X.copy()
    frozen.flags.writeable = False
    gradcheck(tg.sin, frozen)
    np.testing.assert_array_equal(X, before)


SLOPES = [lambda x: -2 * x, lambda x: 2.001 * x, lambda x: 2 * x + 1e-5, lambda x: x * np.nan, lambda x: 0.0 * x]


@pytest.mark.parametrize("slope", SLOPES)
def test_a_wrong_slope_fails(slope):
    with pytest.raises(GradcheckError):
        gradcheck(wrong(slope), X)


def test_the_message_names_input_index_and_both_values():
    off = np.zeros((2, 3))
    off[1, 2] = 1.0
    with pytest.raises(AssertionError) as caught:
        gradcheck(lambda n, y, x: wrong(lambda x: 2 * x + off)(x) * y, [2, X, X])
    message = str(caught.value)
    assert message.startswith("gradcheck: input 2 at index (1, 2): analytic ") and "numeric" in message
    assert "\n" not in message
    with pytest.raises(GradcheckError, match=r"gradcheck: input 0: analytic \S+, numeric"):
        gradcheck(wrong(lambda x: x), np.array(1.0))  # 0-d: there is no index to name


def test_a_second_derivative_that_is_wrong_though_the_first_is_right():
    def detached(x):
        return Tensor(x.data) if isinstance(x, Tensor) else x

    once = wrong(lambda x: 2.0 * detached(x))
    assert gradcheck(once, X)
    with pytest.raises(GradcheckError, match=r"gradgradcheck: input 0 at index \(0, 0\)"):
        gradgradcheck(once, X)


def test_nothing_to_check():
    with pytest.raises(ValueError, match="none of the 2 inputs is a floating array"):
        gradcheck(lambda a, b: a, [np.arange(3), 2.0])


def test_the_seed_chooses_the_cotangents():
    cancelling = wrong(lambda x: 2 * x)
    for seed in range(3):
        assert gradcheck(cancelling, X, seed=seed)
    seen = []

    def f(x):
        return tg.Tensor(x) if not isinstance(x, Tensor) else x

    with tg.watch(lambda node, g, grads: seen.append(g)):
        gradcheck(lambda x: f(x) * 1.0, X, seed=1)
        gradcheck(lambda x: f(x) * 1.0, X, seed=1)
        gradcheck(lambda x: f(x) * 1.0, X, seed=2)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).all() and (np.abs(seen[0] - 1) > 1e-9).all()


def test_a_function_without_a_floating_result_is_no_success():
    with pytest.raises(ValueError, match="nothing to check: the function returned no floating"):
        gradcheck(tg.argmax, np.array([1.0, 2.0]))
