"""Reductions, running products and sorting: values beside NumPy's, and derivatives at zeros, ties, nan and extremes."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import Tensor

RNG = np.random.default_rng(8)
INF, NAN = math.inf, math.nan


def gradient(f, x):
    return tg.grad(lambda x: f(x).sum())(np.asarray(x, float))


def hessian(f, x):
    """Row by row, through the recorded gradient."""
    x = np.asarray(x, float)
    rows = [tg.grad(lambda z, e=e: (tg.grad(lambda y: f(y).sum())(z) * e).sum())(x) for e in np.eye(x.size)]
    return np.stack(rows)


# ------------------------------------------------------------------------------------------------ NumPy's values

NUMPYS = {
    "sum": np.sum, "mean": np.mean, "var": np.var, "std": np.std, "prod": np.prod, "max": np.max, "min": np.min,
    "median": np.median, "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero,
    "norm": np.linalg.vector_norm,
}  # fmt: skip


@st.composite
def reduced(draw):
    """(array with ties and zeros, axis, keepdims)."""
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(-2, 3, shape) * 0.5
    axes = [None, *range(-x.ndim, x.ndim), *itertools.combinations(range(x.ndim), 2)]
    return np.asarray(x), draw(st.sampled_from(axes)), draw(st.booleans())


@pytest.mark.parametrize("name", NUMPYS)
@given(reduced())
def test_a_reduction_is_numpys(name, case):
    x, axis, keepdims = case
    ours = getattr(tg, name)(x, axis=axis, keepdims=keepdims)
    theirs = NUMPYS[name](x, axis=axis, keepdims=keepdims)
    assert np.shape(ours) == np.shape(theirs) and np.asarray(ours).dtype == np.asarray(theirs).dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-15)


@given(reduced(), st.sampled_from([0, 0.5, 1, 2, 3, 4.5, INF, -INF]))
def test_norms_are_numpys(case, ord):
    x, axis, keepdims = case
    ours = tg.norm(x, ord=ord, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(ours, np.linalg.vector_norm(x, ord=ord, axis=axis, keepdims=keepdims), rtol=1e-14)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(reduced())
def test_the_first_of_those_that_tie_is_named(name, case):
    x, axis, keepdims = case
    axis = axis[0] if isinstance(axis, tuple) else axis
    ours = getattr(tg, name)(x, axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(ours, getattr(np, name)(x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize("name", ["var", "std"])
def test_the_correction_is_numpys(name):
    x = RNG.normal(size=(3, 5))
    for correction in (0, 1, 0.5, 2):
        ours = getattr(tg, name)(x, axis=1, correction=correction)
        np.testing.assert_allclose(ours, getattr(np, name)(x, axis=1, ddof=correction), rtol=1e-14)


def test_what_no_elements_come_to():
    nothing = np.ones((2, 0))
    for f, value in ((tg.sum, 0), (tg.prod, 1), (tg.norm, 0), (tg.logsumexp, -INF), (tg.any, False), (tg.all, True)):
        np.testing.assert_array_equal(f(nothing, axis=1), [value, value])
        assert f(nothing, axis=0).shape == (0,) and np.shape(f(nothing)) == ()
    assert tg.norm(nothing, INF) == tg.norm(nothing, 1) == tg.count_nonzero(nothing) == 0
    assert tg.grad(tg.prod)(np.ones(0)).shape == (0,)


@pytest.mark.parametrize("name", ["mean", "var", "std", "median", "norm", "logsumexp"])
def test_integers_become_floats(name):
    x = np.array([[250, 5, 7]], np.uint8)
    ours = getattr(tg, name)(x)
    assert ours.dtype.kind == "f"
    np.testing.assert_allclose(ours, getattr(tg, name)(x.astype(ours.dtype)))


def test_a_spread_without_a_degree_of_freedom_is_nan_and_says_no_more():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (tg.var, tg.std):
            assert np.isnan(f(np.ones(2), correction=2)) and np.isnan(f(np.array(1.0), correction=1))
            assert np.isnan(gradient(lambda x: f(x, correction=2), [1.0, 2.0])).all()  # noqa: B023


# ------------------------------------------------------------------------------------------------ products

ZEROS = ([2.0, 3.0, -0.5], [0.0, 2.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0, 0.0, 2.0])


def others(x, left_out):
    return math.prod(v for i, v in enumerate(x) if i not in left_out)


@pytest.mark.parametrize("x", ZEROS, ids=str)
def test_derivatives_of_a_product_are_exact_at_zeros(x):
    places = range(len(x))
    np.testing.assert_array_equal(gradient(tg.prod, x), [others(x, {i}) for i in places])
    second = [[0.0 if i == j else others(x, {i, j}) for j in places] for i in places]
    np.testing.assert_array_equal(hessian(tg.prod, x), second)


def test_the_third_derivative_of_a_product_at_three_zeros():
    def slope(which):
        return lambda f: lambda x: tg.grad(f)(x)[which]

    f = tg.prod
    for which in (0, 1, 2):
        f = slope(which)(f)
    assert f(np.array([0.0, 0.0, 0.0, 5.0])) == 5.0


@pytest.mark.parametrize("x", ZEROS, ids=str)
def test_derivatives_of_running_products_are_exact_at_zeros(x):
    n = len(x)
    u = RNG.normal(size=n)
    first = [sum(u[k] * others(x[: k + 1], {i}) for k in range(i, n)) for i in range(n)]
    f = lambda z: tg.cumprod(z, axis=0) * u  # noqa: E731
    np.testing.assert_allclose(gradient(f, x), first, atol=1e-15)
    second = [
        [0.0 if i == j else sum(u[k] * others(x[: k + 1], {i, j}) for k in range(max(i, j), n)) for j in range(n)]
        for i in range(n)
    ]
    np.testing.assert_allclose(hessian(f, x), second, atol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 100])
def test_a_recurrence_in_doubling_steps_is_the_one_in_single_steps(n):
    a, b = RNG.uniform(-1, 1, (2, 3, n))
    s = np.zeros((3, n + 1))
    for i in range(n):
        s[:, i] = b[:, i] + a[:, i] * s[:, i - 1]  # s[:, -1] is 0 yet
    np.testing.assert_allclose(tg.OPS["recurrence"].function(a, b), s[:, :n], rtol=1e-13, atol=1e-14)


def test_a_long_running_product_has_a_gradient():
    x = RNG.uniform(0.99, 1.01, 5000)
    x[4000] = 0.0
    g = gradient(lambda x: tg.cumprod(x, axis=0), x)
    assert np.isfinite(g).all() and not g[4001:].any() and g[4000] > 0


# ------------------------------------------------------------------------------------------------ norm


@pytest.mark.parametrize("ord", [0.5, 1, 2, 3, INF])
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_a_norm_neither_overflows_nor_vanishes(ord, size):
    x = np.array([3.0, -4.0, 1.0])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(tg.norm(x * size, ord=ord) / size, tg.norm(x, ord=ord), rtol=1e-14)
        slope = gradient(lambda x: tg.norm(x, ord=ord), x * size)
    np.testing.assert_allclose(slope, gradient(lambda x: tg.norm(x, ord=ord), x), rtol=1e-13)


def test_a_norm_of_float32_stays_in_range():
    x = np.array([3e30, 4e30], np.float32)
    y, g = tg.value_and_grad(tg.norm)(x)
    assert y.dtype == g.dtype == np.float32
    np.testing.assert_allclose(y, 5e30, rtol=1e-6)
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("ord", [0, 0.5, 1, 2, 3, 4, INF, -INF])
def test_at_the_zero_vector_all_derivatives_of_a_norm_are_zero(ord):
    with np.errstate(all="raise"):
        assert gradient(lambda x: tg.norm(x, ord=ord), [0.0, 0.0]).tolist() == [0.0, 0.0]
        assert not hessian(lambda x: tg.norm(x, ord=ord), [0.0, 0.0]).any()


def test_one_zero_row_does_not_disturb_the_others():
    x = np.array([[0.0, 0.0], [3.0, -4.0]])
    g = gradient(lambda x: tg.norm(x, axis=1), x)
    np.testing.assert_allclose(g, [[0, 0], [0.6, -0.8]])


def test_an_even_norm_is_smooth_where_an_element_is_zero():
    """The fourth derivative of (x^4 + 1)^(1/4) at 0 is 6."""
    f = lambda x: tg.norm(tg.stack([x, np.array(1.0)]), ord=4)  # noqa: E731
    for _ in range(4):
        f = tg.grad(f)
    np.testing.assert_allclose(f(np.array(0.0)), 6.0, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ spread


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e10, 0.0])
def test_equal_elements_have_no_spread_and_no_slope(value):
    x = np.full(3, value)  # whose mean, summed up, is not quite it
    with np.errstate(all="raise"):
        assert tg.std(x) == tg.var(x) == 0
        assert gradient(tg.std, x).tolist() == [0, 0, 0] and not hessian(tg.std, x).any()
    rows = np.stack([x, [1.0, 2.0, 3.0]])
    g = gradient(lambda x: tg.std(x, axis=1), rows)
    np.testing.assert_allclose(g, [[0, 0, 0], np.array([-1, 0, 1]) / 6**0.5], atol=1e-15)


def test_a_spread_far_from_zero_is_accurate():
    x = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(tg.std(x + 2.0**40), tg.std(x), rtol=1e-15)


# ------------------------------------------------------------------------------------------------ nan and ties


def test_nan_wins_and_has_the_gradient():
    x = np.array([1.0, NAN, 3.0, NAN])
    for f in (tg.max, tg.min, tg.median):
        with np.errstate(all="raise"):
            assert np.isnan(f(x))
            assert gradient(f, x).tolist() == [0, 0.5, 0, 0.5]
    rows = np.stack([x, [4.0, 2.0, 1.0, 3.0]])
    np.testing.assert_array_equal(tg.median(rows, axis=1), [NAN, 2.5])
    np.testing.assert_array_equal(gradient(lambda x: tg.median(x, axis=1), rows)[1], [0, 0.5, 0, 0.5])
    assert tg.argmax(x) == tg.argmin(x) == 1 and tg.any(x * 0) and tg.count_nonzero(x) == 4
    assert np.isnan(tg.norm(x)) and np.isnan(tg.prod(x)) and np.isnan(tg.logsumexp(x))


def test_infinite_gradients_do_not_leak_to_what_was_not_chosen():
    for f in (tg.max, tg.median):
        _, pull = tg.vjp(f, np.array([1.0, 2.0, 2.0, 2.0, 5.0]) if f is tg.median else np.array([1.0, 5.0]))
        (g,) = pull(np.array(INF))
        assert not np.isnan(g).any() and set(g.tolist()) == {0.0, INF}


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=7))
def test_a_median_shares_its_gradient_among_those_that_tie_with_a_middle(numbers):
    x, n = np.array(numbers, float), len(numbers)
    g = gradient(tg.median, x)
    ordered = np.sort(x)
    expected = np.zeros(n)
    for middle in (ordered[(n - 1) // 2], ordered[n // 2]):
        expected += 0.5 * (x == middle) / (x == middle).sum()
    np.testing.assert_allclose(g, expected, rtol=1e-15)
    np.testing.assert_allclose(g.sum(), 1.0)


# ------------------------------------------------------------------------------------------------ sorting


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, NAN, INF, -INF]), max_size=8), st.booleans())
def test_sorting_is_stable_either_way_round(numbers, descending):
    x = np.array(numbers, float)
    key = [(math.inf, 1) if math.isnan(v) else (v, 0) for v in numbers]  # nan beyond inf
    order = sorted(range(x.size), key=lambda i: key[i], reverse=descending)  # Python's is stable both ways
    np.testing.assert_array_equal(tg.argsort(x, descending=descending), np.array(order, int))
    np.testing.assert_array_equal(tg.sort(x, descending=descending), x[order])
    u = np.arange(1.0, x.size + 1)
    g = tg.vjp(lambda x: tg.sort(x, descending=descending), x)[1](u)[0]
    np.testing.assert_array_equal(g[order], u)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sorting_along_an_axis(axis):
    x = RNG.normal(size=(4, 5))
    np.testing.assert_array_equal(tg.sort(x, axis=axis), np.sort(x, axis))
    np.testing.assert_array_equal(tg.sort(x, axis=axis, descending=True), np.flip(np.sort(x, axis), axis))
    np.testing.assert_array_equal(tg.take_along_axis(x, tg.argsort(x, axis=axis), axis=axis), np.sort(x, axis))


@given(st.integers(0, 4), st.sampled_from([0, 1]), st.booleans(), st.integers(0, 99))
def test_the_top_is_the_beginning_of_what_is_sorted(k, axis, largest, seed):
    x = np.random.default_rng(seed).integers(0, 3, (4, 5)) * 1.0
    values, indices = tg.topk(Tensor(x, requires_grad=True), k, axis=axis, largest=largest)
    expected = np.take(tg.sort(x, axis=axis, descending=largest), range(k), axis)
    np.testing.assert_array_equal(values.data, expected)
    np.testing.assert_array_equal(np.take_along_axis(x, indices.data, axis), expected)
    assert indices.dtype.kind == "i" and values.requires_grad and not indices.requires_grad
    g = tg.vjp(lambda x: tg.topk(x, k, axis=axis, largest=largest)[0], x)[1](expected + 1.0)[0]
    assert np.count_nonzero(g) == values.size
    np.testing.assert_array_equal(np.take_along_axis(g, indices.data, axis), expected + 1.0)


def test_what_is_chosen_can_be_differentiated_further():
    x = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(hessian(lambda x: tg.topk(x, 2)[0] ** 3, x), np.diag([18.0, 0.0, 12.0]))
    np.testing.assert_allclose(
        hessian(lambda x: tg.sort(x) ** 2 * np.array([1.0, 10.0, 100.0]), x), np.diag([200, 2, 20])
    )


# ------------------------------------------------------------------------------------------------ bad input

BAD = [
    (lambda x: tg.sum(x, axis=2), IndexError, "axis 2 is out of bounds for array of dimension 2; its axes are 0 to 1"),
    (lambda x: tg.mean(x, axis=(0, 0)), ValueError, "names an axis twice"),
    (lambda x: tg.norm(x, axis=-3), IndexError, "axis -3 is out of bounds"),
    (lambda x: tg.median(x, axis=5), IndexError, "axis 5 is out of bounds"),
    (lambda x: tg.sort(x, axis=2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.topk(x, 1, axis=2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.cumprod(x, axis=2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.sort(x[0, 0]), IndexError, "this is one number"),
    (lambda x: tg.max(x[:0]), ValueError, r"shape \(0, 3\) has no elements, .* give it at least one"),
    (lambda x: tg.min(x[:0], axis=0), ValueError, "no elements along axis 0"),
    (lambda x: tg.argmin(x[:, :0], axis=1), ValueError, "no elements along axis 1"),
    (lambda x: tg.median(x[:0]), ValueError, "no elements"),
    (lambda x: tg.norm(x[:0], -INF), ValueError, "no elements"),
    (lambda x: tg.norm(x, -1), ValueError, "ord must be positive, 0, inf or -inf, got -1"),
    (lambda x: tg.norm(x, NAN), ValueError, "ord must be positive"),
    (lambda x: tg.topk(x, 4), ValueError, "k=4 elements of axis -1, which has 3: ask for 0 to 3"),
    (lambda x: tg.topk(x, -1), ValueError, "ask for 0 to 3"),
]


@pytest.mark.parametrize(("call", "kind", "words"), BAD, ids=[words[:30] for _, _, words in BAD])
def test_bad_input_is_refused_in_one_sentence(call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(Tensor(np.ones((2, 3)), requires_grad=True))
    assert "\n" not in str(caught.value) and __file__ in str(caught.value)


def test_logsumexp_far_out_in_both_modes():
    """Each slice is shifted by its own largest element; nothing but -inf, or nothing, has no slope."""
    x, t = np.array([[1000.0, 1000.0], [-1000.0, -1001.0]]), np.array([[1.0, 3.0], [2.0, 4.0]])
    weight = 1 / (1 + np.exp(-1.0))
    value, pushed = tg.logsumexp.op.push([x], [t], axis=1)
    np.testing.assert_allclose(value, [1000 + np.log(2), -1000 - np.log(weight)])
    np.testing.assert_allclose(pushed, [2.0, 2 * weight + 4 * (1 - weight)])
    np.testing.assert_array_equal(tg.logsumexp(np.ones((0, 3)), axis=0, keepdims=True), np.full((1, 3), -np.inf))
    np.testing.assert_array_equal(tg.grad(lambda x: tg.exp(tg.logsumexp(x)))(np.full(2, -np.inf)), [0.0, 0.0])


def test_a_norm_is_scaled_by_the_largest_of_its_own_elements():
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [0.0, 0.0]])
    np.testing.assert_allclose(tg.norm(x, axis=1), [5e200, 5e-200, 0.0])
    np.testing.assert_allclose(tg.norm(x, axis=1, ord=3), [91 ** (1 / 3) * 1e200, 91 ** (1 / 3) * 1e-200, 0.0])
