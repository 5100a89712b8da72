"""checkpoint: the same gradients, less kept, the same random numbers, any order."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Generator, Tensor, checkpoint, config

RNG = np.random.default_rng(3)
X, W = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 6))


def layer(x, w):
    for _ in range(3):
        x = tg.tanh(tg.layer_norm(x) @ w) + x
    return x


def kept_bytes(y):
    """What the whole graph below `y` keeps; nothing in it may be a freed node."""
    seen, todo, total = set(), [y.node], 0
    while todo:
        node = todo.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            todo.extend(node.parents)
            total += sum(a.nbytes for a in node.saved if isinstance(a, np.ndarray))
    return total


def leaves():
    return Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)


def test_the_same_gradients_and_less_kept():
    x, w = leaves()
    plain = layer(layer(x, w), w)
    cx, cw = leaves()
    cheap = checkpoint(layer, checkpoint(layer, cx, cw), cw)
    np.testing.assert_array_equal(plain.data, cheap.data)
    assert kept_bytes(cheap) == 0 < kept_bytes(plain)
    u = RNG.normal(size=X.shape)
    plain.backward(u)
    cheap.backward(u)
    np.testing.assert_array_equal(x.grad.data, cx.grad.data)
    np.testing.assert_array_equal(w.grad.data, cw.grad.data)


def test_the_function_runs_once_more_and_only_once():
    runs = []

    def f(x):
        runs.append(1)
        return tg.sin(tg.exp(x))

    x = Tensor(X, requires_grad=True)
    y = checkpoint(f, x)
    assert len(runs) == 1
    y.sum().backward()
    assert len(runs) == 2
    with tg.no_grad():
        assert not checkpoint(f, x).requires_grad


def test_memory_of_the_second_run_falls_while_the_gradient_passes():
    alive, seen = [], []

    def f(x):
        alive.clear()
        for _ in range(6):
            x = tg.exp(x * 0.1)
            alive.append(weakref.ref(x.data))
        return x

    y = checkpoint(f, Tensor(X, requires_grad=True)).sum()
    with tg.watch(lambda node, g, grads: seen.append(sum(a() is not None for a in alive))):
        y.backward()
    assert max(seen) >= 5 and seen[-1] <= 1


def test_what_is_closed_over_gets_its_gradient():
    w = Tensor(W, requires_grad=True)
    checkpoint(lambda x: tg.tanh(x @ w), Tensor(X)).sum().backward()
    np.testing.assert_allclose(w.grad.data, X.T @ (1 - np.tanh(X @ W) ** 2))


def test_random_numbers_are_drawn_again_the_same():
    own = Generator(9)

    def f(x):
        y = tg.dropout(tg.exp(x), rate=0.5, key=tg.default_generator().key())
        return tg.dropout(y * y, rate=0.5, key=own.key())

    x = Tensor(X, requires_grad=True)
    y = checkpoint(f, x)
    tg.default_generator().uniform((3,))
    states = tg.default_generator().state(), own.state()
    y.backward(np.ones(X.shape))
    assert (tg.default_generator().state(), own.state()) == states  # the second run takes nothing from the streams
    np.testing.assert_allclose(x.grad.data, 2 * y.data)  # the mask of y: d/dx m (exp x)^2 = 2 m (exp x)^2
    assert (y.data == 0).any() and y.data.any()


def test_regions_nest():
    runs = {"inner": 0, "outer": 0}

    def inner(x):
        runs["inner"] += 1
        return tg.sin(tg.exp(x))

    def outer(x):
        runs["outer"] += 1
        return tg.tanh(checkpoint(inner, x) * 2.0) + checkpoint(inner, x * 0.5)

    x, y = Tensor(X, requires_grad=True), Tensor(X, requires_grad=True)
    checkpoint(outer, x).sum().backward()
    assert runs == {"inner": 2 * 3, "outer": 2}
    (tg.tanh(inner(y) * 2.0) + inner(y * 0.5)).sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.grad.data)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_higher_orders(order):
    f = plain = lambda x: (tg.sin(x) * tg.exp(x * 0.5)).sum()  # noqa: E731
    g = lambda x: checkpoint(f, x)  # noqa: E731
    for _ in range(order):
        plain = tg.grad(lambda x, below=plain: below(x).sum())
        g = tg.grad(lambda x, below=g: below(x).sum())
    np.testing.assert_allclose(g(X), plain(X), rtol=1e-12)


def test_create_graph_and_retain_graph():
    x = Tensor(X, requires_grad=True)
    y = checkpoint(lambda x: tg.exp(x) * x, x).sum()
    y.backward(create_graph=True)
    first = x.grad
    np.testing.assert_allclose(first.data, np.exp(X) * (X + 1))
    x.grad = None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.data, np.exp(X) * (X + 2))
    x.grad = None
    y = checkpoint(lambda x: tg.exp(x) * x, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.exp(X) * (X + 1))
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_gradient_inside_a_region():
    def inner(x):
        return tg.grad(lambda z: (z**3).sum(), create_graph=True)(x) * x

    x = Tensor(X, requires_grad=True)
    checkpoint(inner, x).sum().backward()
    np.testing.assert_allclose(x.grad.data, 9 * X**2)


def test_the_second_run_is_under_the_switches_of_the_first():
    dtypes = []

    def f(x):
        y = tg.exp(x) * Tensor([1.0])
        dtypes.append(y.dtype)
        return y * tg.grad(lambda z: (z * x[0, 0].detach()).sum())(np.ones(1))

    x = Tensor(X.astype(np.float16), requires_grad=True)
    with tg.default_dtype("float64"):
        y = checkpoint(f, x)
        z = tg.grad(lambda x: checkpoint(f, x).sum())(x.data)
    y.sum().backward()
    assert dtypes == [np.float64] * 4
    np.testing.assert_array_equal(x.grad.data, z)


def test_a_region_inside_debug_mode_and_a_function_in_it():
    class Cube(tg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3.0 * g * x * x

    x = Tensor(X, requires_grad=True)
    with tg.debug():
        y = checkpoint(lambda x: tg.sum(Cube.apply(tg.sin(x))), x)
        y.backward()
    np.testing.assert_allclose(x.grad.data, 3 * np.sin(X) ** 2 * np.cos(X))
    x.data += 1  # nothing is locked any more


def test_several_outputs_of_which_one_is_used():
    x = Tensor(X, requires_grad=True)
    a, b = checkpoint(lambda x: tg.split(tg.exp(x), 2), x)
    (b * b).sum().backward()
    np.testing.assert_allclose(x.grad.data[2:], 2 * np.exp(X[2:]) ** 2)
    assert not x.grad.data[:2].any()


def test_a_nested_region_does_not_keep_what_the_outer_one_gave_up():
    kept = []

    def outer(x):
        middle = tg.exp(x)
        kept.append(weakref.ref(middle.data))
        return checkpoint(tg.sin, middle)

    y = checkpoint(outer, Tensor(X, requires_grad=True))
    assert kept[0]() is None
    assert y.requires_grad


def test_a_function_that_does_something_else_when_run_again_is_caught():
    turns = iter([tg.sin, tg.cos])
    y = checkpoint(lambda x: next(turns)(x), Tensor(X, requires_grad=True)).sum()
    with pytest.raises(RuntimeError, match="it must be deterministic"):
        y.backward()


def test_a_function_that_does_more_when_run_again_is_caught():
    calls = []

    def f(x):
        calls.append(1)
        for _ in calls:
            x = tg.sin(x)
        return x

    x = Tensor(X, requires_grad=True)
    y = checkpoint(f, x).sum()
    with pytest.raises(RuntimeError, match="made 1 nodes at first and 2 others when it was run again; it must be"):
        y.backward()


def test_a_region_is_let_go_as_it_passes():
    x = Tensor(X, requires_grad=True)
    held = weakref.ref(x)
    loss = checkpoint(lambda x: (x * x).sum(), x)
    loss.backward()
    del x
    assert held() is None and loss.item() == (X * X).sum()


def test_a_function_can_know_that_it_is_run_again():
    seen = []

    def noted(x):
        seen.append(config.recomputing.get())
        return x * x

    x = Tensor(X, requires_grad=True)
    y = tg.checkpoint(noted, x)
    assert seen == [False]
    y.sum().backward()
    assert seen == [False, True] and not config.recomputing.get()
