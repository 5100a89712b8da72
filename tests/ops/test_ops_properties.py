"""Random expressions, shapes and indices, against finite differences and NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import (
    array_shapes,
    basic_indices,
    broadcastable_shapes,
    integer_array_indices,
    mutually_broadcastable_shapes,
)

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.core.walk import unbroadcast
from tinygrad_lm.testing import gradcheck, gradgradcheck

BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1.0),
    "mse": lambda a, b: tg.mse_loss(a, b, reduction="none"),
}
UNARY = {  # bounded, so that a chain of them stays where finite differences mean something
    "sin": tg.sin,
    "tanh": tg.tanh,
    "exp": lambda x: tg.exp(-x * x),
    "square": lambda x: tg.cos(x) ** 2,
    "ratio": lambda x: x / (1.0 + x * x),
}


def numbers(shape, seed):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


@st.composite
def expressions(draw):
    """(function of the leaves, their shapes): a random tree over inputs that broadcast, inputs used more than once."""
    shapes = draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3, min_side=0)).input_shapes
    step = st.tuples(*map(st.sampled_from, (sorted(BINARY), sorted(UNARY), range(10), range(10))))
    steps = draw(st.lists(step, min_size=1, max_size=4))

    def f(*leaves):
        values = list(leaves)
        for binary, unary, i, j in steps:
            values.append(UNARY[unary](BINARY[binary](values[i % len(values)], values[-1 - j % len(values)])))
        return values[-1]

    return f, shapes


@given(expressions(), st.integers(0, 99))
def test_expressions_that_broadcast(expression, seed):
    f, shapes = expression
    inputs = [numbers(s, seed + i) for i, s in enumerate(shapes)]
    assert gradcheck(f, inputs, atol=1e-6)
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    u = numbers(y.shape, seed)
    y.backward(u)
    for x, g in zip(leaves, tg.vjp(f, *inputs)[1](u), strict=True):
        ours = np.zeros(x.shape) if x.grad is None else x.grad.data
        np.testing.assert_allclose(ours, g, atol=1e-13)


@given(expressions(), st.integers(0, 99))
def test_second_order_of_expressions_that_broadcast(expression, seed):
    f, shapes = expression
    assert gradgradcheck(f, [numbers(s, seed + i) for i, s in enumerate(shapes)], atol=1e-5)


@given(st.data())
def test_unbroadcast_is_the_transpose_of_broadcasting(data):
    shape = data.draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    target = data.draw(broadcastable_shapes(shape, max_dims=4, max_side=3, min_side=0))
    full = np.broadcast_shapes(shape, target)
    x, u = numbers(shape, 1), numbers(full, 2)
    g = unbroadcast(u, shape)
    assert g.shape == shape
    np.testing.assert_allclose((g * x).sum(), (u * np.broadcast_to(x, full)).sum(), atol=1e-12)


@st.composite
def indexed(draw):
    """(shape, index): basic, integer arrays, a boolean mask, or a mixture."""
    shape = draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(basic_indices(shape, allow_ellipsis=True, allow_newaxis=True))
    if kind == "integers":
        return shape, draw(integer_array_indices(shape))
    mask = draw(st.integers(0, 99).map(lambda s: numbers(shape[:1], s) > 0))
    if kind == "mask":
        return shape, draw(st.sampled_from([mask, (mask, ...)]))
    rows = draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=3))
    return shape, draw(st.sampled_from([(np.array(rows), ...), (rows, ...), (..., None, slice(None, None, -1)), rows]))


@given(indexed(), st.integers(0, 9))
def test_reading_by_any_index(case, seed):
    shape, index = case
    x = numbers(shape, seed)
    y = Tensor(x, requires_grad=True)[index]
    np.testing.assert_array_equal(y.data, x[index])
    u = numbers(y.shape, seed)
    (g,) = tg.vjp(lambda x: x[index], Tensor(x))[1](u)
    expected = np.zeros(shape)
    np.add.at(expected, index, u)
    np.testing.assert_allclose(g.data, expected, atol=1e-13)
    assert gradgradcheck(lambda x: x[index] ** 2, x)


@given(indexed(), st.integers(0, 9), st.booleans())
def test_writing_by_any_index(case, seed, one_number):
    shape, index = case
    x, place = numbers(shape, seed), np.zeros(shape)[index].shape
    v = numbers(() if one_number else place, seed + 1)

    def f(x, v):
        y = x * 1.0
        y[index] = v * 2.0
        return y * y

    expected = x.copy()
    expected[index] = 2 * v
    np.testing.assert_array_equal(f(Tensor(x), Tensor(v)).data, expected**2)
    assert gradcheck(f, [x, v])


@given(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_matmul_of_any_batch(dims, m, k, seed):
    batch = [(), (2,), (1,), (3, 2)][dims], [(), (1,), (2,), (1, 2)][seed % 4]
    a, b = numbers((*batch[0], m, k), seed), numbers((*batch[1], k, 3), seed + 1)
    np.testing.assert_allclose(tg.matmul(a, b), a @ b, atol=1e-13)
    assert gradcheck(tg.matmul, [a, b])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(-2, 1))
def test_splitting_undoes_joining(sizes, axis):
    pieces = [numbers((n, 2) if axis in (0, -2) else (2, n), i) for i, n in enumerate(sizes)]
    joined = tg.concatenate(pieces, axis=axis)
    cuts = np.cumsum(sizes)[:-1].tolist()
    for piece, again in zip(pieces, tg.split(joined, cuts, axis=axis), strict=True):
        np.testing.assert_array_equal(piece, again)

    def squares(*xs):
        return [y * y for y in tg.split(tg.concatenate(list(xs), axis=axis), cuts, axis=axis)]

    assert gradcheck(squares, pieces)
