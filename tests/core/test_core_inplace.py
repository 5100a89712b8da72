"""x[i] = v and x += y: a new value under the old name, and gradients that stay right."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(4)
X, V = RNG.normal(size=(3, 4)), RNG.normal(size=4)


def leaf(a):
    return Tensor(np.array(a), requires_grad=True)


def test_assignment_differentiates_both_sides():
    x, v = leaf(X), leaf(V)
    y = x * 2.0
    y[1] = v
    (y * y).sum().backward()
    expected = 8 * X
    expected[1] = 0
    np.testing.assert_allclose(x.grad.data, expected)
    np.testing.assert_allclose(v.grad.data, 2 * V)


def test_who_read_the_old_value_keeps_it():
    x = leaf(X)
    y = x * 1.0
    square, view = y * y, y[0]
    y[0] = 100.0
    np.testing.assert_array_equal(view.data, X[0])  # a view taken before does not follow
    (square.sum() + y.sum()).backward()
    expected = 2 * X + 1
    expected[0] -= 1
    np.testing.assert_allclose(x.grad.data, expected)


@pytest.mark.parametrize("symbol", ["+=", "-=", "*=", "/=", "**=", "@="])
def test_in_place_operators_equal_the_plain_ones(symbol):
    other = X.T[:, :3] @ X[:3] if symbol == "@=" else np.abs(X) + 0.5

    def in_place(x, o):
        y = old = x * x + 1.0
        scope = {"y": y, "o": o}
        exec(f"y {symbol} o", scope)
        if isinstance(y, Tensor):
            assert scope["y"] is old
        return scope["y"]

    def plain(x, o):
        return eval(f"y {symbol[:-1]} o", {"y": x * x + 1.0, "o": o})

    np.testing.assert_allclose(in_place(Tensor(X), Tensor(other)).data, plain(X, other))
    assert gradcheck(in_place, [X, other])
    assert gradgradcheck(in_place, [X, other])


def test_a_loop_that_fills_an_array():
    def f(x):
        out = Tensor(np.zeros((3, 4))) * 1.0
        total = Tensor(np.zeros(()))
        for i in range(3):
            out[i] = tg.exp(x[i]) if i % 2 else x[i] * total
            total += out[i].sum()
        return out[::-1] * total

    tensors = lambda x: f(x if isinstance(x, Tensor) else Tensor(x)) if isinstance(x, Tensor) else f(Tensor(x)).data  # noqa: E731
    assert gradcheck(tensors, X)


def test_where_an_index_repeats_the_last_value_stays():
    x, v = leaf(X), leaf(RNG.normal(size=(3, 4)))
    y = x * 1.0
    y[np.array([1, 1, 0])] = v
    np.testing.assert_array_equal(y.data[1], v.data[1])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data.any(1), [False, False, True])
    np.testing.assert_array_equal(v.grad.data.any(1), [False, True, True])


def test_the_dtype_of_what_is_assigned_into_stays():
    y = Tensor(X.astype(np.float32)) * 1.0
    v = leaf(V)
    y[0] = v
    assert y.dtype == np.float32
    y.sum().backward()
    assert v.grad.dtype == np.float64
    n = Tensor(np.arange(3))
    n[0] = 7.9
    assert n.dtype == np.int64 and n.data[0] == 7


def test_indices_may_be_tensors():
    y = Tensor(X) * 1.0
    y[Tensor(np.array([0, 2]))] = 0.0
    y[1, Tensor(np.array(True))] = 1.0
    np.testing.assert_array_equal(y.data, [[0] * 4, [1] * 4, [0] * 4])
    np.testing.assert_array_equal(Tensor(X)[Tensor(X[:, 0]) > 0].data, X[X[:, 0] > 0])


def test_a_leaf_that_requires_a_gradient_refuses():
    x = leaf(X)
    with pytest.raises(RuntimeError, match="cannot assign into a leaf that requires a gradient; use no_grad"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="cannot add into a leaf"):
        x += 1.0
    np.testing.assert_array_equal(x.data, X)


def test_under_no_grad_a_leaf_is_written_in_place_and_stays_a_leaf():
    x = leaf(X)
    array = x.data
    with tg.no_grad():
        x -= 0.5
        x[0] = 9.0
    expected = X - 0.5
    expected[0] = 9
    assert x.data is array and x.requires_grad and x.is_leaf
    np.testing.assert_array_equal(array, expected)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.data, 2 * expected)


def test_an_untracked_tensor_becomes_tracked_by_what_it_is_given():
    y, x = Tensor(np.zeros((3, 4))), leaf(X)
    y += x
    y[0] = x[1] * 2.0
    assert y.requires_grad
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[0] * 4, [3] * 4, [1] * 4])


def test_the_callers_array_is_not_written_to():
    mine = X.copy()
    y = Tensor(mine)
    y += 1.0
    y[0] = 5.0
    np.testing.assert_array_equal(mine, X)
    np.testing.assert_array_equal(y.data[1:], X[1:] + 1)


def test_shapes_that_do_not_fit():
    y = Tensor(V)
    with pytest.raises(ValueError, match=r"cannot add into a tensor of shape \(4,\): the result has shape \(3, 4\)"):
        y += X
    with pytest.raises(ValueError, match=r"setitem\(x: float64 \(3, 4\), v: float64 \(3,\)"):
        z = Tensor(X)
        z[0] = np.ones(3)
    with pytest.raises(IndexError, match="setitem"):
        z[7] = 1.0


def test_integers_do_not_take_what_has_a_gradient():
    x = Tensor([1, 2, 3])
    with pytest.raises(TypeError, match="int64 cannot carry the gradient of what is assigned"):
        x[0] = Tensor(2.5, requires_grad=True)


def test_a_repeated_index_may_be_a_tuple():
    x = Tensor([1.0, 2.0], requires_grad=True)
    x[(0, 0),].sum().backward()
    assert x.grad.tolist() == [2.0, 0.0]


def test_under_no_grad_a_computed_tensor_changes_its_value_and_keeps_its_history():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3.0
    with tg.no_grad():
        y += 10.0
    assert y.tolist() == [13.0, 16.0] and y.requires_grad
    (y * np.array([1.0, 5.0], np.float32)).sum().backward()
    assert x.grad.tolist() == [3.0, 15.0]
