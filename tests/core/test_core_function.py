"""tg.Function: a derivative in PyTorch's shape."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Function, Tensor
from tinygrad_lm.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))


def leaf(a):
    return Tensor(np.array(a), requires_grad=True)


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = tg.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Scaled(Function):
    """Saves inputs, keeps a number, takes arguments that are no tensors, has two outputs."""

    @staticmethod
    def forward(ctx, x, n, y, label):
        ctx.n = n
        ctx.save_for_backward(x, None, y)
        return x * y * n, x + y

    @staticmethod
    def backward(ctx, g, h):
        x, nothing, y = ctx.saved_tensors
        assert nothing is None and {type(t) for t in (g, h, x, y)} == {Tensor}
        return g * y * ctx.n + h, None, g * x * ctx.n + h, None


def applied(f):
    """`f` for gradcheck, which also calls it with raw arrays."""
    return lambda *xs: f(*[Tensor(x) if isinstance(x, np.ndarray) else x for x in xs])


def test_first_and_second_order_with_a_saved_output():
    assert gradcheck(applied(Exp.apply), X) and gradgradcheck(applied(Exp.apply), X)
    third = tg.grad(tg.grad(tg.grad(lambda x: Exp.apply(x * 2.0).sum())))
    np.testing.assert_allclose(third(np.array(0.3)), 8 * np.exp(0.6))


def test_several_outputs_and_saved_inputs():
    f = applied(lambda x, y: Scaled.apply(x, 3, y, None))
    assert gradcheck(f, [X, Y]) and gradgradcheck(f, [X, Y])
    x, y = leaf(X), leaf(Y)
    Scaled.apply(x, 2.0, y, "text")[0].sum().backward()  # one of the two used: the other's gradient is zeros
    np.testing.assert_allclose(x.grad.data, 2 * Y)
    np.testing.assert_allclose(y.grad.data, 2 * X)


def test_nothing_is_recorded_inside_forward_and_outside_only_what_is_tracked():
    inside = []

    class Peek(Function):
        @staticmethod
        def forward(ctx, x, y):
            inside.append(((x * 2.0).requires_grad, ctx.needs_input_grad))
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g, g  # the second is not asked for, and dropped

    x = leaf(X)
    Peek.apply(x, Tensor(Y)).sum().backward()
    assert inside == [(False, (True, False))]
    np.testing.assert_array_equal(x.grad.data, np.ones((2, 3)))
    assert not Peek.apply(Tensor(X), Tensor(Y)).requires_grad
    with tg.no_grad():
        assert not Peek.apply(x, Tensor(Y)).requires_grad


def test_needs_input_grad_saves_work():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y if ctx.needs_input_grad[0] else None, g * x if ctx.needs_input_grad[1] else None

    y = leaf(Y)
    Product.apply(Tensor(X), y).sum().backward()
    np.testing.assert_array_equal(y.grad.data, X)
    assert gradgradcheck(applied(Product.apply), [X, Y])


def test_wrong_numbers_of_gradients():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(ValueError, match="Wrong.backward returned 1 gradients for 2 arguments of forward"):
        Wrong.apply(leaf(X), leaf(Y)).sum().backward()


def test_a_gradient_of_a_wrong_shape():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g[:1, :2]

    with pytest.raises(ValueError, match=r"gradient of shape \(1, 2\) for an input of shape \(2, 3\)"):
        Wrong.apply(leaf(X)).sum().backward()


def test_a_function_without_its_methods():
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="static method forward"):
        Empty.apply(leaf(X))


def test_a_second_backward_and_what_is_kept():
    x = leaf(X)
    y = Exp.apply(x * 1.0)
    assert set(y.node.parents[0].kept()) == {"saved_tensors[0]"}
    z = y.sum()
    z.backward(retain_graph=True)
    z.backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.exp(X))
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()
    y = Exp.apply(leaf(X))
    array, total = weakref.ref(y.data), y.sum()
    del y
    assert array() is not None
    total.backward()
    assert array() is None


def test_a_function_that_returns_its_input_or_an_array_or_an_integer():
    class Mixed(Function):
        @staticmethod
        def forward(ctx, x):
            return x, x.data * 2.0, tg.argmax(x)

        @staticmethod
        def backward(ctx, g, h, nothing):
            return g + h * 2.0

    x = leaf(X)
    same, double, where = Mixed.apply(x)
    assert same is not x and same.node is not x.node and not where.requires_grad
    (same + double).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 3.0))


def test_a_second_derivative_through_what_was_computed_in_forward_is_refused():
    class Cube(tg.Function):
        @staticmethod
        def forward(ctx, x):
            square = x * x
            ctx.save_for_backward(square)
            return square * x

        @staticmethod
        def backward(ctx, g):
            (square,) = ctx.saved_tensors
            return 3.0 * square * g

    first = tg.grad(Cube.apply)
    assert first(np.array(2.0)) == 12.0
    with pytest.raises(tg.NotDifferentiable, match="Cube saved what is neither an input nor an output"):
        tg.grad(first)(np.array(2.0))


def test_saved_integers_are_constants_of_second_derivatives():
    class Picked(Function):
        @staticmethod
        def forward(ctx, x):
            largest = np.argsort(x.data)[-2:]
            ctx.save_for_backward(x, Tensor(largest))
            return x[largest] ** 3

        @staticmethod
        def backward(ctx, g):
            x, largest = ctx.saved_tensors
            return tg.scatter_add(0.0 * x, largest, 3.0 * g * x[largest] ** 2, axis=0)

    assert gradgradcheck(Picked.apply, np.array([3.0, 1.0, 2.0, -1.0]))
