"""What the tape keeps, when it lets go, and how deep it may be."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor

RNG = np.random.default_rng(0)


def tracked(*shape):
    return Tensor(RNG.normal(size=shape), requires_grad=True)


def kept_bytes(y):
    return sum(a.nbytes for a in y.node.kept().values() if isinstance(a, np.ndarray))


C = RNG.normal(size=(4, 4))
KEPT = {
    "product with a constant": (lambda x: x * C, {"b"}, 128),
    "product with itself": (lambda x: x * x, {"a", "b"}, 256),
    "product with a number": (lambda x: x * 3.0, {"b"}, 0),
    "sum of two": (lambda x: x + C, set(), 0),
    "exp": (lambda x: tg.exp(x), {"out"}, 128),
    "sin": (lambda x: tg.sin(x), {"x"}, 128),
    "relu": (lambda x: tg.relu(x), {"out"}, 128),
    "sum": (lambda x: x.sum(), {"x_shape", "axis", "keepdims"}, 0),
    "mean": (lambda x: x.mean(axis=0), {"x_shape", "axis", "keepdims"}, 0),
    "reshape": (lambda x: x.reshape(16), {"x_shape"}, 0),
    "broadcast_to": (lambda x: x.broadcast_to((2, 4, 4)), set(), 0),
    "matmul, constant on the right": (lambda x: x @ C, {"b", "a_shape"}, 128),
    "matmul, constant on the left": (lambda x: C @ x, {"a", "b_shape"}, 128),
    "linear": (lambda x: tg.linear(x, C), {"weight"}, 128),
    "slice": (lambda x: x[1], {"index", "x_shape"}, 0),
    "concatenate": (lambda x: tg.concatenate([x, C]), {"xs_shape", "axis"}, 0),
    "stack": (lambda x: tg.stack([x, C]), {"xs_shape", "axis"}, 0),
    "dropout": (lambda x: tg.dropout(x, rate=0.5, key=(1, 2)), {"rate", "key"}, 0),
    "softmax": (lambda x: tg.softmax(x), {"out", "axis"}, 128),
    "layer_norm": (lambda x: tg.layer_norm(x), {"x", "weight", "centre", "scale", "eps"}, 128 + 2 * 32),
    "attention": (
        lambda x: tg.attention(x, C, C),
        {"q", "k", "v", "mask", "out", "lse", "causal", "scale", "dropout", "key"},
        4 * 128 + 32,
    ),
}


@pytest.mark.parametrize(("call", "words", "size"), KEPT.values(), ids=KEPT)
def test_exactly_the_named_words_are_kept(call, words, size):
    y = call(tracked(4, 4))
    assert set(y.node.kept()) == words
    assert kept_bytes(y) == size


def test_an_input_that_no_rule_names_dies_at_once_and_a_kept_output_when_the_walk_has_passed():
    gc.disable()  # by reference counts alone
    try:
        x = tracked(100)
        middle = x * 2.0
        tensor, array = weakref.ref(middle), weakref.ref(middle.data)
        y = tg.exp(middle + 1.0)
        del middle
        assert tensor() is None and array() is None
        out = weakref.ref(y.data)
        z = y.sum()
        del y
        assert out() is not None
        z.backward()
        assert out() is None and z.node.parents is None
    finally:
        gc.enable()


def test_memory_falls_while_the_gradient_passes():
    alive = []
    y = x = tracked(1000)
    for _ in range(5):
        y = tg.exp(y * 0.1)
        alive.append(weakref.ref(y.data))
    seen = []
    z = y.sum()
    del y
    with tg.watch(lambda node, g, grads: seen.append(sum(a() is not None for a in alive))):
        z.backward()
    assert seen[0] == 5 and seen[-1] <= 1 and seen == sorted(seen, reverse=True)
    assert x.grad is not None


def test_what_arrives_later_is_added_into_the_first_sum():
    """Of five gradients of one tensor two make a new array, and three are added into it."""

    class Counted(np.ndarray):
        written = 0

        def __iadd__(self, other):
            Counted.written += 1
            return super().__iadd__(other)

    @tg.op
    def same(xp, x):
        return x * 1.0

    same.vjp("x")(lambda g: (g * 1.0).view(Counted))
    x = Tensor(np.ones(3), requires_grad=True)
    sum((same(x) for _ in range(5)), Tensor(0.0)).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 5.0)
    assert Counted.written == 3


def test_nothing_is_a_reference_cycle():
    gc.collect()
    gc.disable()
    try:
        x = tracked(3, 4)
        y = tg.layer_norm(tg.softmax(x), RNG.normal(size=4)) * 2.0
        parts = tg.split(y, 2, axis=1)
        parts[0].register_hook(lambda g: None)
        node = weakref.ref(y.node)
        call = weakref.ref(parts[1].node)
        del y, parts
        assert node() is None and call() is None
        z = (x * x).sum()
        z.backward(create_graph=True)
        z = weakref.ref(z.node)
        grad = weakref.ref(x.grad.node)
        x.grad = None
        assert z() is None and grad() is None
        value, pull = tg.vjp(lambda x: tg.exp(x), np.ones(3))
        held = weakref.ref(pull)
        del pull
        assert held() is None and gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["backward", "create_graph", "dropped"])
def test_a_chain_of_100_000_operations(how):
    length = 20_000 if how == "create_graph" else 100_000
    y = x = tracked(2)
    for _ in range(length):
        y = y + 0.001
    if how == "backward":
        y.sum().backward()
    elif how == "create_graph":
        y.sum().backward(create_graph=True)
    if how != "dropped":
        np.testing.assert_array_equal(x.grad.data, [1.0, 1.0])
    del y  # without recursion too


def test_a_deep_chain_of_products_is_freed_as_it_passes():
    y = x = Tensor(np.array([1.0001]), requires_grad=True)
    for _ in range(30_000):
        y = y * 1.0001
    last = y.node
    y.backward()
    assert last.parents is None and last.saved is None
    np.testing.assert_allclose(x.grad.data, 1.0001**30_000)


def test_what_needs_no_gradient_is_not_recorded():
    x = tracked(3)
    assert (x > 0).node is None and x.argmax().node is None  # every input is a constant there
    assert (Tensor(np.ones(3)) * 2).node is None
    assert x.detach().node is None and x.detach().data is x.data
    assert tg.embedding(np.array([0]), np.ones((2, 3))).__class__ is np.ndarray
    node = tg.where(x.data > 0, x, 0.0).node
    assert len(node.parents) == 1 and node.parents[0] is x.node
    assert tg.add(x, 1.0).node.parents == (x.node,)
