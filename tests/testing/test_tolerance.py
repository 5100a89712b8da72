"""What may differ is computed: it must hold for rounding, and for nothing more."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.testing import GradcheckError, assert_grad_close, gradcheck
from tinygrad_lm.testing.adapters import EPS
from tinygrad_lm.testing.tolerance import conditioned, detection, rounding

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_the_bound_holds_for_sums_and_is_not_far_above_them(dtype, n):
    a, b = RNG.normal(size=(200, n)).astype(dtype), RNG.normal(size=(200, n)).astype(dtype)
    exact = (a.astype(float) * b.astype(float)).sum(-1)
    total = np.zeros(200, dtype)
    for i in range(n):  # one after the other, every step rounded
        total = (total + a[:, i] * b[:, i]).astype(dtype)
    terms = np.abs(a.astype(float) * b.astype(float)).sum(-1)
    assert_grad_close(total, exact, length=n, condition=terms / np.abs(exact))
    worst = (np.abs(total - exact) / terms).max()
    assert worst <= rounding(n, EPS[dtype]) <= 400 * worst + 16 * EPS[dtype]
    with pytest.raises(GradcheckError):
        assert_grad_close((total + 0.3 * terms).astype(dtype), exact, length=n, condition=terms / np.abs(exact))


def test_the_message_names_the_worst_entry():
    desired = np.array([[1.0, 2.0], [3.0, 4.0]])
    actual = desired.copy()
    actual[1, 0], actual[0, 1] = 3.5, 2.1
    with pytest.raises(GradcheckError, match=r"index \(1, 0\): 3.5, expected 3 .*2 of 4 entries") as caught:
        assert_grad_close(actual, desired)
    assert (caught.value.index, caught.value.analytic, caught.value.numeric) == ((1, 0), 3.5, 3.0)
    with pytest.raises(GradcheckError, match=r"shape \(2,\), expected \(2, 2\)"):
        assert_grad_close(actual[0], desired)
    with pytest.raises(GradcheckError, match="1 gradients, expected 2"):
        assert_grad_close([actual], [desired, desired])
    with pytest.raises(GradcheckError):
        assert_grad_close(np.array([np.nan]), np.array([1.0]))
    assert_grad_close([tg.Tensor(desired), np.array([np.inf])], [desired, np.array([np.inf])])
    assert_grad_close(np.zeros((0, 3)), np.zeros((0, 3)))


def test_what_has_few_bits_may_differ_more():
    exact = np.array([1.0, 1e-3])
    for dtype in ("float32", "float16"):
        assert_grad_close(exact.astype(dtype), exact)
        with pytest.raises(GradcheckError):
            assert_grad_close(exact.astype(dtype).astype(float), exact)


def test_the_condition_is_measured():
    eps = np.full(2, 1e-8)
    _, well = conditioned(lambda x: x[:1] + x[1:], np.array([1.0, 1.0]), eps, RNG, 20)
    _, badly = conditioned(lambda x: x[:1] / (x[:1] - x[1:]), np.array([1.0, 0.999]), eps, RNG, 20)
    assert 1e-9 < well[0] <= 2e-8 and badly[0] > 1e-6 * 1000


# ------------------------------------------------------------------------------------------------ power


@pytest.mark.parametrize("directions", [1, 3])
def test_the_stated_power_is_the_rate_at_which_errors_are_found(directions):
    """One entry is off by 1 %; the directions that see it, counted."""
    slopes = RNG.normal(size=50) * 10.0 ** RNG.integers(-3, 3, 50)
    resolution, trials = 0.01, 20_000
    entries = RNG.integers(50, size=trials)
    z = RNG.normal(size=(trials, directions))
    found = (np.abs(0.01 * slopes[entries, None] * z) > resolution).any(1).mean()
    stated = detection(slopes, [resolution] * directions)
    assert 0.05 < stated < 0.95 and abs(found - stated) < 4 * np.sqrt(0.25 / trials)


@pytest.mark.parametrize(("n", "measured"), [(10, 0.68), (100, 0.33), (1000, 0.14), (10_000, 0.04)])
def test_the_power_of_one_direction_with_a_tolerance_of_a_thousandth(n, measured):
    """With the usual rule, 1e-3 of the slope along the direction, the resolution grows as the root of n."""
    stated = []
    for _ in range(200 if n < 10_000 else 20):
        slopes = RNG.normal(size=n)
        stated.append(detection(slopes, [1e-3 * abs(slopes @ RNG.normal(size=n))]))
    assert np.mean(stated) == pytest.approx(measured, abs=0.05)
    three = 1 - (1 - 0.04) ** 3
    assert three == pytest.approx(0.12, abs=0.01)


def test_a_check_of_many_entries_finds_planted_errors_as_often_as_it_says():
    """A function that rounds coarsely, so that directions cannot see everything."""
    x = RNG.normal(size=2000)
    slopes = 10.0 ** RNG.uniform(-6, 0, 2000)

    def f(x):
        return (x * slopes).sum() + 1e3

    @tg.op(name="planted_by_a_test")
    def planted(xp, x):
        return (x * slopes).sum() + 1e3

    off = np.ones(2000)
    planted.vjp("x")(lambda g, x: g * slopes * off)
    verdict = gradcheck(planted, x, second_order=False, directions=3)
    assert 0.3 < verdict.power < 1.0
    found = 0
    for i in RNG.permutation(2000)[:60]:
        off[:] = 1.0
        off[i] = 1.01
        try:
            gradcheck(planted, x, second_order=False, directions=3, seed=int(i))
        except GradcheckError as error:
            assert error.index == (i,)
            found += 1
    assert found / 60 == pytest.approx(verdict.power, abs=0.2)


def test_an_infinite_entry_excuses_no_other():
    with pytest.raises(GradcheckError, match=r"at index \(1,\): 1, expected 2"):
        assert_grad_close(np.array([np.inf, 1.0]), np.array([np.inf, 2.0]))
    assert_grad_close(np.array([np.inf, 1.0]), np.array([np.inf, 1.0]))


def test_what_is_no_real_gradient_is_refused():
    with pytest.raises(TypeError, match="compares real gradients, got complex ones"):
        assert_grad_close(np.array([1 + 1j]), np.array([1 + 2j]))
    with pytest.raises(GradcheckError, match=r"there is no gradient, expected one of shape \(2,\)"):
        assert_grad_close(None, np.ones(2))
    with pytest.raises(GradcheckError, match="there is a gradient, expected None"):
        assert_grad_close(np.ones(2), None)
    with pytest.raises(GradcheckError, match="computed for float64 and sums of 1"):
        assert_grad_close(1.0, 2.0)
