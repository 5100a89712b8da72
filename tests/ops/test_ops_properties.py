"""Shapes that broadcast, indices of every kind, products of any batch: against NumPy and finite differences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import OPS, Tensor
from tinygrad_lm.core.walk import unbroadcast
from tinygrad_lm.testing import gradcheck, gradgradcheck
from tinygrad_lm.testing import strategies as some

PAIRS = {  # of arrays that broadcast; bounded, so that finite differences mean something
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1.0),
    "mse": lambda a, b: tg.mse_loss(a, b, reduction="none"),
}
pairs = st.sampled_from(sorted(PAIRS)).map(PAIRS.get)


@given(pairs, pairs, some.broadcastable(3, max_side=3), st.data())
def test_arrays_that_broadcast(f, h, arrays, data):
    """The gradient of each array has its shape, though it was stretched, and used twice."""

    def both(a, b, c):
        return tg.sin(h(f(a, b), c)) * a

    gradcheck(both, arrays)
    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    y = both(*leaves)
    assert y.shape == np.broadcast_shapes(*[x.shape for x in arrays])
    u = data.draw(some.cotangents(y))
    y.backward(u)
    for x, g in zip(leaves, tg.vjp(both, *arrays)[1](u), strict=True):
        np.testing.assert_allclose(x.grad.data, g, atol=1e-13 * np.abs(g).max(initial=1))


@given(pairs, some.broadcastable(2, max_side=2))
def test_second_order_of_arrays_that_broadcast(f, arrays):
    gradgradcheck(lambda a, b: tg.sin(f(a, b)) * b, arrays)


@given(st.data())
def test_unbroadcast_is_the_transpose_of_broadcasting(data):
    x, other = data.draw(some.broadcastable(2))
    full = np.broadcast_shapes(x.shape, other.shape)
    u = data.draw(some.cotangents(full))
    g = unbroadcast(u, x.shape)
    assert g.shape == x.shape
    np.testing.assert_allclose((g * x).sum(), (u * np.broadcast_to(x, full)).sum(), atol=1e-10)


@st.composite
def indexed(draw):
    """(array, index): any that NumPy takes."""
    x = draw(some.arrays(some.shapes(min_dims=1, min_side=1, max_side=4), layout=some.layouts(broadcast=False)))
    return x, draw(some.indices(x.shape))


@given(indexed(), st.data())
def test_reading_by_any_index(case, data):
    x, index = case
    y = Tensor(x, requires_grad=True)[index]
    np.testing.assert_array_equal(y.data, x[index])
    u = data.draw(some.cotangents(y.shape))
    (g,) = tg.vjp(lambda x: x[index], Tensor(x))[1](u)
    expected = np.zeros(x.shape)
    np.add.at(expected, index, u)
    np.testing.assert_allclose(g.data, expected, atol=1e-13 * np.abs(expected).max(initial=1))


@given(indexed())
def test_second_order_of_reading_by_any_index(case):
    x, index = case
    gradgradcheck(lambda x: x[index] ** 2, x)


@given(indexed(), st.booleans(), st.data())
def test_writing_by_any_index(case, one_number, data):
    x, index = case
    v = data.draw(some.arrays(() if one_number else x[index].shape))

    def f(x, v):
        y = x * 1.0
        y[index] = v * 2.0
        return y * y

    expected = x.copy()
    expected[index] = 2 * v
    np.testing.assert_array_equal(f(Tensor(x), Tensor(v)).data, expected**2)
    gradcheck(f, [x, v])


@given(st.data(), st.integers(0, 3), st.integers(1, 4), st.integers(1, 3))
def test_matmul_of_any_batch(data, rows, inner, columns):
    batches = data.draw(some.broadcastable(2, max_dims=2, max_side=2))
    a = data.draw(some.arrays((*batches[0].shape, rows, inner)))
    b = data.draw(some.arrays((*batches[1].shape, inner, columns)))
    np.testing.assert_allclose(tg.matmul(a, b), a @ b, atol=1e-13)
    gradcheck(tg.matmul, [a, b])


@given(st.data(), st.floats(0, 8), some.layouts(broadcast=False))
def test_solving_with_matrices_of_any_condition(data, digits, layout):
    """The backward error of a solution does not depend on the condition: a x is b, up to rounding."""
    a = data.draw(some.matrices(condition=10.0**digits, layout=layout))
    b = data.draw(some.arrays((len(a), 2)))
    x = OPS["solve"].function(a, b)
    np.testing.assert_allclose(a @ x, b, atol=1e-13 * (1 + np.abs(x).max()))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(-2, 1), st.data())
def test_splitting_undoes_joining(sizes, axis, data):
    pieces = [data.draw(some.arrays((n, 2) if axis in (0, -2) else (2, n))) for n in sizes]
    joined = tg.concatenate(pieces, axis=axis)
    cuts = np.cumsum(sizes)[:-1].tolist()
    for piece, again in zip(pieces, tg.split(joined, cuts, axis=axis), strict=True):
        np.testing.assert_array_equal(piece, again)

    def squares(*xs):
        return [y * y for y in tg.split(tg.concatenate(list(xs), axis=axis), cuts, axis=axis)]

    gradcheck(squares, pieces)


@given(st.data(), some.arrays())
def test_sums_over_any_axes(data, x):
    axis, keepdims = data.draw(some.axes(x.ndim)), data.draw(st.booleans())
    np.testing.assert_allclose(tg.sum(x, axis=axis, keepdims=keepdims), x.sum(axis, keepdims=keepdims), atol=1e-12)
    gradcheck(lambda x: tg.sum(x * x, axis=axis, keepdims=keepdims), x)
