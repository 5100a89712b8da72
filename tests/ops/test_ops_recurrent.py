"""Recurrent operations where samples do not reach: larger layers, saturation, pieces, and what is refused."""

import re
import warnings

import numpy as np
import pytest

import tinygrad_lm as tg

RNG = np.random.default_rng(6)


def layer(op, T=6, batch=3, inputs=4, width=5):
    """Arrays for a layer, in the order of the operation's inputs."""
    gates, states = {"rnn": (1, 1), "lstm": (4, 2), "gru": (3, 1)}[op.__name__]
    shapes = [(T, batch, inputs), *[(batch, width)] * states, (gates * width, inputs), (gates * width, width)]
    shapes += [(gates * width,)] * 2
    return [RNG.uniform(-1, 1, s) for s in shapes]


def weighed(f):
    """f's outputs as one number, in which each element counts differently and not linearly."""

    def total(*arrays):
        parts = [(y * y * np.cos(np.arange(y.size)).reshape(y.shape)).sum() for y in f(*arrays)]
        return sum(parts[1:], parts[0])

    return total


LAYERS = [tg.rnn, tg.lstm, tg.gru]


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.__name__)
def test_both_orders_are_those_of_the_steps(op):
    """Back through time by hand against the derivative of a loop of simple operations, larger than samples can be."""
    arrays = layer(op)
    every = tuple(range(len(arrays)))
    params = {"nonlinearity": "tanh"} if op is tg.rnn else {}
    steps = weighed(lambda *a: op.op.plain(*a, **params))
    fused = weighed(op)
    for g, h in zip(tg.grad(fused, every)(*arrays), tg.grad(steps, every)(*arrays), strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-10, atol=1e-13)

    def second(f):
        return tg.grad(weighed(lambda *a: tg.grad(f, every)(*a)), every)(*arrays)

    for g, h in zip(second(fused), second(steps), strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-9, atol=1e-11)


def test_gates_stand_in_torchs_order():
    """With all weights 0 the biases alone decide: (i, f, g, o), and (r, z, n) where r acts on the hidden bias."""
    x, zero = np.zeros((1, 1, 1)), np.zeros((1, 1))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    i, f, g, o = b = np.array([0.1, 0.2, 0.3, 0.4])
    _, h, c = tg.lstm(x, zero, zero + 2.0, np.zeros((4, 1)), np.zeros((4, 1)), b)
    np.testing.assert_allclose(c, [[sigmoid(f) * 2 + sigmoid(i) * np.tanh(g)]])
    np.testing.assert_allclose(h, sigmoid(o) * np.tanh(c))
    r, z, n = b = np.array([0.1, 0.2, 0.3])
    _, h = tg.gru(x, zero + 2.0, np.zeros((3, 1)), np.zeros((3, 1)), b, np.array([0.0, 0.0, 5.0]))
    candidate = np.tanh(n + sigmoid(r) * 5.0)
    np.testing.assert_allclose(h, [[(1 - sigmoid(z)) * candidate + sigmoid(z) * 2]])


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_saturated_gates_do_not_overflow(op, dtype):
    arrays = [(100 * a).astype(dtype) for a in layer(op)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outputs = op(*arrays)
        grads = tg.grad(weighed(op), tuple(range(len(arrays))))(*arrays)
    assert all(np.isfinite(y).all() and y.dtype == dtype for y in outputs)
    assert all(np.isfinite(g).all() and g.dtype == dtype for g in grads)


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.__name__)
def test_the_widest_type_wins(op):
    """Each input in turn is float64, the others float32."""
    arrays = [a.astype(np.float32) for a in layer(op)]
    exact = op(*[a.astype(float) for a in arrays])
    for i in range(len(arrays)):
        mixed = [a.astype(float) if i == k else a for k, a in enumerate(arrays)]
        ys, *states = op(*mixed)
        assert ys.dtype == np.float64
        np.testing.assert_allclose(ys, exact[0], atol=1e-6)


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.__name__)
def test_outputs_are_arrays_of_their_own(op):
    arrays = layer(op)
    outputs = op(*arrays)
    for i, y in enumerate(outputs):
        assert not any(np.shares_memory(y, a) for a in (*arrays, *outputs[:i]))


H = np.ones((2, 3))
REFUSED = {
    "axes": (lambda: tg.rnn(np.ones((4, 2)), H, H, H), "x must have the axes (time, batch, inputs), got shape (4, 2)"),
    "no step": (
        lambda: tg.gru(np.ones((0, 2, 3)), H, np.ones((9, 3)), np.ones((9, 3))),
        "a sequence needs at least one step, got x (0, 2, 3)",
    ),
    "h0": (
        lambda: tg.rnn(np.ones((4, 2, 3)), np.ones((1, 3)), np.ones((3, 3)), np.ones((3, 3))),
        "h0 must have shape (2, 3), got (1, 3)",
    ),
    "c0": (
        lambda: tg.lstm(np.ones((4, 2, 3)), H, np.ones((3, 2)), np.ones((12, 3)), np.ones((12, 3))),
        "c0 must have shape (2, 3), got (3, 2)",
    ),
    "gates": (
        lambda: tg.gru(np.ones((4, 2, 3)), H, np.ones((12, 3)), np.ones((12, 3))),
        "w_ih must have shape (9, 3), got (12, 3)",
    ),
    "hidden": (
        lambda: tg.gru(np.ones((4, 2, 3)), H, np.ones((9, 3)), np.ones((12, 3))),
        "w_hh must have shape (9, 3), got (12, 3)",
    ),
    "bias": (
        lambda: tg.rnn(np.ones((4, 2, 3)), H, np.ones((3, 3)), np.ones((3, 3)), None, np.ones(2)),
        "b_hh must have shape (3,), got (2,)",
    ),
    "nonlinearity": (
        lambda: tg.rnn(np.ones((4, 2, 3)), H, np.ones((3, 3)), np.ones((3, 3)), nonlinearity="sin"),
        "nonlinearity must be one of tanh, relu, got 'sin'",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
