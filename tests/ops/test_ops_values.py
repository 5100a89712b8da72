"""What operations promise at special values, and those that are functions of others and so are not in the registry."""

from __future__ import annotations

import math
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.ops import softmax_attention
from tinygrad_lm.testing import gradcheck

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 3, 4))


def gradient(f, x):
    return tg.grad(lambda x: f(x).sum())(np.asarray(x, float))


# ------------------------------------------------------------------------------------------------ far out


@pytest.mark.parametrize("x", [-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])
def test_activations_do_not_overflow(x):
    e = math.exp(-abs(x))
    sigmoid = (1 if x >= 0 else e) / (1 + e)
    np.testing.assert_allclose(tg.sigmoid(np.array(x)), sigmoid, rtol=1e-15)
    np.testing.assert_allclose(tg.silu(np.array(x)), x * sigmoid, rtol=1e-15)
    for f in (tg.sigmoid, tg.silu, tg.gelu, tg.tanh, tg.erf, lambda x: tg.gelu(x, approximate="tanh")):
        assert np.isfinite(f(np.array(x))) and np.isfinite(gradient(f, x))


def test_gelu_against_its_formula():
    x = np.linspace(-6, 6, 101)
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(tg.gelu(x), exact, rtol=1e-9, atol=1e-15)
    tanh = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(tg.gelu(x, approximate="tanh"), tanh, atol=1e-14)
    assert np.abs(tanh - exact).max() < 5e-4
    with pytest.raises(ValueError, match="'none' or 'tanh', got 'fast'"):
        tg.gelu(x, approximate="fast")


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float64, 4), (np.float32, 4)])
def test_erf_to_the_last_digits(dtype, ulps):
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.0, -0.0, 1e-30, np.inf, -np.inf, 1.0, -1.0]]).astype(dtype)
    exact = np.array([math.erf(v) for v in x.tolist()])
    assert (np.abs(tg.erf(x) - exact) <= ulps * np.spacing(np.abs(exact).astype(dtype))).all()
    assert np.isnan(tg.erf(np.array(np.nan, dtype)))


@pytest.mark.parametrize("kernels", [nullcontext(), tg.use_kernels("reference")], ids=["default", "reference"])
def test_softmax_family_is_stable_and_sums_to_one(kernels):
    with kernels:
        softmax_family_is_stable_and_sums_to_one()


def softmax_family_is_stable_and_sums_to_one():
    x = np.array([[1000.0, 1000.0, -1000.0], [-1e30, 0.0, 1e30], [0.0, -np.inf, 0.0]])
    np.testing.assert_allclose(tg.softmax(x), [[0.5, 0.5, 0], [0, 0, 1], [0.5, 0, 0.5]])
    np.testing.assert_allclose(tg.logsumexp(x, axis=-1), [1000 + math.log(2), 1e30, math.log(2)])
    np.testing.assert_allclose(tg.log_softmax(x[0]), [-math.log(2), -math.log(2), -2000 - math.log(2)])
    np.testing.assert_allclose(tg.log_softmax(x[2]), [-math.log(2), -np.inf, -math.log(2)])


def test_logsumexp_of_nothing():
    x = np.array([[-np.inf, -np.inf], [0.0, 0.0]])
    np.testing.assert_array_equal(tg.logsumexp(x, axis=1), [-np.inf, np.log(2)])
    np.testing.assert_allclose(gradient(lambda x: tg.logsumexp(x, axis=1), x), [[0, 0], [0.5, 0.5]])
    assert tg.logsumexp(np.array([np.inf, 0.0])) == np.inf


def test_powers_where_the_formula_has_holes():
    """No nan for an input whose gradient nobody asked for, and none where the limit exists."""
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(gradient(lambda x: x**3, [-2.0, 0.0]), [12.0, 0.0])
        np.testing.assert_array_equal(gradient(lambda x: x ** np.array([3.0, 0.0]), [-2.0, 0.0]), [12.0, 0.0])
        np.testing.assert_array_equal(gradient(lambda x: x**0, [0.0, -1.0]), [0.0, 0.0])
        np.testing.assert_array_equal(gradient(lambda x: x**1, [0.0, -1.0]), [1.0, 1.0])
        np.testing.assert_array_equal(gradient(lambda b: 0.0**b, [2.0]), [0.0])
        second = tg.grad(lambda x: tg.grad(lambda z: (z**2).sum())(x).sum())
        np.testing.assert_array_equal(second(np.array([0.0, 3.0])), [2.0, 2.0])


def test_where_passes_nothing_through_the_side_not_chosen():
    x = np.array([-1.0, 2.0])
    f = lambda x: tg.where(x > 0, tg.log(tg.where(x > 0, x, 1.0)), 0.0)  # noqa: E731
    np.testing.assert_array_equal(gradient(f, x), [0.0, 0.5])


def test_maximum_takes_nan_and_shares_ties_of_three():
    assert np.isnan(tg.maximum(np.array(np.nan), 1.0)) and np.isnan(tg.minimum(1.0, np.array(np.nan)))
    np.testing.assert_allclose(gradient(lambda x: tg.max(x), [2.0, 2.0, 1.0, 2.0]), [1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(gradient(lambda x: tg.min(x, axis=0), [[2.0, 1.0], [2.0, 3.0]]), [[0.5, 1], [0.5, 0]])


# ------------------------------------------------------------------------------------------------ losses


def test_cross_entropy_is_the_mean_over_what_counts():
    logits, targets = RNG.normal(size=(5, 4)), np.array([0, 3, -100, 2, -100])
    each = [-np.log(np.exp(r[t]) / np.exp(r).sum()) for r, t in zip(logits, targets, strict=True) if t >= 0]
    np.testing.assert_allclose(tg.cross_entropy(logits, targets), np.mean(each))
    np.testing.assert_allclose(tg.cross_entropy(logits, targets, reduction="sum"), np.sum(each))
    none = tg.cross_entropy(logits, targets, reduction="none")
    assert none.shape == (5,) and (none[[2, 4]] == 0).all()
    g = tg.grad(lambda x: tg.cross_entropy(x, targets))(logits)
    assert not g[[2, 4]].any() and g[[0, 1, 3]].all()


def test_cross_entropy_of_nothing_is_zero():
    g = Tensor(RNG.normal(size=(2, 3)), requires_grad=True)
    loss = tg.cross_entropy(g, np.array([-1, -1]), ignore_index=-1)
    loss.backward()
    assert loss.item() == 0 and not g.grad.data.any()


def test_cross_entropy_far_out_and_smoothed():
    logits = np.array([[1e4, 0.0, -1e4]])
    assert tg.cross_entropy(logits, np.array([2])) == 2e4
    x = np.array([[0.3, -1.2, 0.7]])
    p = tg.log_softmax(x)[0]
    expected = -(0.8 * p[1] + 0.2 * p.mean())
    np.testing.assert_allclose(tg.cross_entropy(x, np.array([1]), label_smoothing=0.2), expected)


def test_cross_entropy_refuses():
    logits = np.zeros((2, 3))
    for targets, kind, words in (
        (np.array([0, 3]), IndexError, "there are 3 classes"),
        (np.array([0, -1]), IndexError, "there are 3 classes"),
        (np.array([0.0, 1.0]), TypeError, "must be integers"),
        (np.array([0]), ValueError, r"need targets of shape \(2,\), got \(1,\)"),
    ):
        with pytest.raises(kind, match=words):
            tg.cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="one of mean, sum, none"):
        tg.cross_entropy(logits, np.array([0, 1]), reduction="average")
    with pytest.raises(ValueError, match="one of mean, sum, none"):
        tg.mse_loss(logits, logits, reduction="average")


# ------------------------------------------------------------------------------------------------ attention


def by_hand(q, k, v, see, scale):
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for i in range(len(q)):
        js = [j for j in range(len(k)) if see(i, j)]
        if js:
            e = np.exp([q[i] @ k[j] * scale for j in js])
            out[i] = sum(w * v[j] for w, j in zip(e / e.sum(), js, strict=True))
    return out


@pytest.mark.parametrize(("T", "S"), [(4, 4), (2, 5), (5, 2), (1, 6)])
def test_causal_attention_aligns_the_last_query_with_the_last_key(T, S):
    q, k, v = RNG.normal(size=(T, 3)), RNG.normal(size=(S, 3)), RNG.normal(size=(S, 2))
    expected = by_hand(q, k, v, lambda i, j: j <= i + S - T, 1 / math.sqrt(3))
    np.testing.assert_allclose(tg.attention(q, k, v, causal=True), expected, atol=1e-13)


def test_masks_boolean_and_additive_and_scale():
    q, k, v = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
    mask = RNG.integers(0, 2, (4, 5)).astype(bool)
    expected = by_hand(q, k, v, lambda i, j: mask[i, j], 0.7)
    np.testing.assert_allclose(tg.attention(q, k, v, mask, scale=0.7), expected, atol=1e-13)
    added, seeing = np.where(mask, 0, -1e300), mask.any(1)
    np.testing.assert_allclose(tg.attention(q, k, v, added, scale=0.7)[seeing], expected[seeing])
    heads = [np.stack([a] * 2) for a in (q, k, v)]
    both = tg.attention(*heads, np.stack([mask, ~mask]), scale=0.7)
    np.testing.assert_allclose(both[0], expected, atol=1e-13)
    np.testing.assert_allclose(both[1], by_hand(q, k, v, lambda i, j: not mask[i, j], 0.7), atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_that_may_look_nowhere_gets_zero_and_no_gradient(dtype):
    leaves = [Tensor(RNG.normal(size=(3, 2)).astype(dtype), requires_grad=True) for _ in range(3)]
    mask = np.array([[True, False, True], [False, False, False], [True, True, False]])
    y = tg.attention(*leaves, mask)
    assert not y.data[1].any() and y.dtype == dtype
    y.backward(np.array([[0, 0], [1, 2], [0, 0]], dtype))
    assert not any(x.grad.data.any() for x in leaves)
    everything_hidden = [Tensor(x.data, requires_grad=True) for x in leaves]
    tg.attention(*everything_hidden, np.zeros((3, 3), bool)).sum().backward()
    assert not any(x.grad.data.any() for x in everything_hidden)


def test_an_additive_mask_has_a_gradient():
    q, k, v = (RNG.normal(size=(3, 2)) for _ in range(3))
    assert gradcheck(lambda m: tg.attention(q, k, v, m), RNG.normal(size=(3, 3)))
    assert gradcheck(lambda m: tg.attention(q, k, v, m, causal=True), RNG.normal(size=(3,)))


def test_attention_with_large_scores_does_not_overflow():
    q = np.full((2, 4), 100.0)
    np.testing.assert_allclose(tg.attention(q, np.stack([q[0], -q[0]]), np.eye(2), scale=1.0), [[1, 0], [1, 0]])


# ------------------------------------------------------------------------------------------------ random


def test_dropout_keeps_the_mean_and_repeats_by_its_key():
    x = np.ones((200, 50))
    y = tg.dropout(x, rate=0.3, key=(1, 2))
    assert set(np.unique(y)) == {0.0, 1 / 0.7} and abs(y.mean() - 1) < 0.02
    np.testing.assert_array_equal(y, tg.dropout(x, rate=0.3, key=(1, 2)))
    for other in ((1, 3), (2, 2)):
        assert abs((y != tg.dropout(x, rate=0.3, key=other)).mean() - 2 * 0.3 * 0.7) < 0.02
    np.testing.assert_array_equal(tg.grad(lambda x: tg.dropout(x, rate=0.3, key=(1, 2)).sum())(x), y)
    for rate in (-0.1, 1.0, 1.5):
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1\)"):
            tg.dropout(x, rate=rate, key=(1, 2))


# --------------------------------------------------------------------------------- functions of registered operations


W = RNG.normal(size=(4, 3))
PAIRS = [
    (lambda x: tg.swapaxes(x, 0, -1), lambda x: np.swapaxes(x, 0, -1)),
    (lambda x: tg.expand_dims(x, 1), lambda x: np.expand_dims(x, 1)),
    (lambda x: tg.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1))),
    (lambda x: tg.squeeze(tg.expand_dims(x, (1, 3))), lambda x: x),
    (lambda x: tg.squeeze(tg.expand_dims(x, (1, -1)), -1), lambda x: np.expand_dims(x, 1)),
    (lambda x: tg.squeeze(tg.expand_dims(x, (0, 2)), (2, 0)), lambda x: x),
    (lambda x: tg.take(x, np.array([2, 0, 2]), axis=1), lambda x: np.take(x, [2, 0, 2], axis=1)),
    (lambda x: tg.take(x, np.array([[3, -1]]), axis=-1), lambda x: np.take(x, [[3, -1]], axis=-1)),
    (lambda x: tg.take(x, 1), lambda x: x[1]),
    (lambda x: tg.split(x, 2, axis=2)[1], lambda x: np.split(x, 2, axis=2)[1]),
    (lambda x: tg.split(x, [1], axis=-2)[1], lambda x: x[:, 1:]),
    (lambda x: tg.einsum("abc,cd->adb", x, W), lambda x: np.einsum("abc,cd->adb", x, W)),
    (lambda x: tg.einsum("abc", x), lambda x: x),
    (lambda x: tg.einsum("cab, bd -> d", x, W), lambda x: np.einsum("cab,bd->d", x, W)),
    (lambda x: tg.einsum("bca,ad", x, W), lambda x: np.einsum("bca,ad", x, W)),
    (lambda x: tg.reshape(x, shape=(4, -1)), lambda x: x.reshape(4, -1)),
]


@pytest.mark.parametrize(("ours", "numpys"), PAIRS)
def test_functions_made_of_operations(ours, numpys):
    np.testing.assert_allclose(ours(X), numpys(X), atol=1e-14)
    assert gradcheck(ours, X)


def test_methods_are_the_functions():
    x = Tensor(X, requires_grad=True)
    pairs = [
        (x.sum(axis=1), X.sum(1)), (x.mean((0, 2), True), X.mean((0, 2), keepdims=True)), (x.var(-1), X.var(-1)),
        (x.max(), X.max()), (x.min(axis=0), X.min(0)), (x.cumsum(1), X.cumsum(1)), (x.argmax(2), X.argmax(2)),
        (x.argmin(), X.argmin()), (x.swapaxes(0, 1), X.swapaxes(0, 1)), (x[:1].squeeze(0), X[0]), (x.exp(), np.exp(X)),
        (x.expand_dims(0), X[None]), (x[0, 0].broadcast_to((2, 4)), np.stack([X[0, 0]] * 2)), (x.T, X.T),
        (x.flip(1), np.flip(X, 1)), (x.abs(), np.abs(X)), (x.clip(-1, 1), X.clip(-1, 1)), (x.tanh(), np.tanh(X)),
        (x.relu(), np.maximum(X, 0)), (x.transpose(2, 0, 1), X.transpose(2, 0, 1)), (x.transpose(), X.T),
        (x.transpose((1, 0, 2)), X.transpose(1, 0, 2)), (x.reshape(-1), X.reshape(-1)), (x.sin(), np.sin(X)),
        (x.reshape((6, 4)), X.reshape(6, 4)), (x.reshape(4, 6), X.reshape(4, 6)), (x.cos(), np.cos(X)),
        (x.take(np.array([1]), 2), X[:, :, [1]]), (x.split(2, 2)[1], X[:, :, 2:]), (x.copy(), X),
        ((x * x).sqrt(), np.abs(X)), ((x * x).log(), np.log(X * X)), (x.softmax(1).sum(1), np.ones((2, 4))),
        (x.log_softmax().exp().sum(-1), np.ones((2, 3))), (x.logsumexp(), np.log(np.exp(X).sum())),
        (x.sigmoid() + (-x).sigmoid(), np.ones(X.shape)), (x.silu(), X / (1 + np.exp(-X))), (x.gelu(), tg.gelu(X)),
    ]  # fmt: skip
    for ours, expected in pairs:
        assert type(ours) is Tensor and ours.requires_grad == (ours.dtype.kind == "f")
        np.testing.assert_allclose(ours.data, expected, atol=1e-13)


def test_astype_carries_the_gradient_back_in_its_own_dtype():
    x = Tensor(X.astype(np.float32), requires_grad=True)
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    (y * X).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.data, X.astype(np.float32))
    assert not x.astype(int).requires_grad and x.astype("int32").dtype == np.int32
    assert tg.astype(x, np.float16).dtype == np.float16


def test_iterating_and_copying():
    x = Tensor(X[0], requires_grad=True)
    rows = list(x)
    assert len(x) == len(rows) == 3 and all(r.shape == (4,) and r.requires_grad for r in rows)
    with pytest.raises(TypeError):
        iter(x[0, 0])
    plain = Tensor(X)
    assert plain.copy().data is not plain.data and not np.shares_memory(x.copy().data, x.data)


def test_the_mixed_derivative_of_a_power_where_the_exponent_is_zero():
    a, b = np.array([2.0, 0.5]), np.zeros(2)

    def slope(which):
        return lambda *ab: tg.grad(lambda *ab: tg.pow(*ab).sum(), which)(*ab).sum()

    for first, second in ((0, 1), (1, 0)):  # d2/da db a^b = a^(b-1) (1 + b log a)
        np.testing.assert_allclose(tg.grad(slope(first), second)(a, b), 1 / a)


def test_an_axis_that_does_not_exist_is_refused():
    x = np.ones((2, 3))
    for call in (lambda: tg.take(x, np.array([0]), axis=2), lambda: tg.swapaxes(x, 0, 5)):
        with pytest.raises(ValueError, match="is out of bounds for array of dimension 2"):
            call()


def test_masks_are_combined_by_operators():
    x = Tensor([-1.0, 0.5, 2.0], requires_grad=True)
    inside = (x > 0) & (x < 1)
    assert inside.tolist() == [False, True, False] and (~inside | (x.data > 5)).tolist() == [True, False, True]
    assert (np.array([True, True, False]) ^ inside).tolist() == [True, False, False]


def test_bounds_that_are_learnt_get_the_gradient_of_what_they_cut_off():
    def cut(x, low, high):
        return tg.clip(x, low, high).sum()

    got = tg.grad(cut, (0, 1, 2))(np.array([-2.0, -1.0, 0.5, 3.0, 4.0]), np.array(-1.5), np.array(1.0))
    assert [g.tolist() for g in got] == [[0, 1, 1, 0, 0], 1, 2]


def test_two_infinities_tie():
    a = np.array([np.inf, -np.inf, np.inf])
    for function in (tg.maximum, tg.minimum):
        ga, gb = tg.vjp(function, a, a.copy())[1](np.array([1.0, 2.0, 3.0]))
        assert ga.tolist() == gb.tolist() == [0.5, 1.0, 1.5]


def test_an_ignored_row_of_nan_has_no_gradient():
    logits = np.array([[1.0, 2.0], [np.nan, np.nan]])
    g = tg.grad(lambda x: tg.cross_entropy(x, np.array([0, -100])))(logits)
    assert g[1].tolist() == [0.0, 0.0] and np.isfinite(g).all()


def test_einsum_refuses_sizes_that_differ():
    with pytest.raises(ValueError, match="axis 'j' is 3 here and 1 there"):
        tg.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((1, 4)))


def test_split_takes_any_whole_number():
    assert [p.tolist() for p in tg.split(np.arange(4.0), np.int64(2))] == [[0.0, 1.0], [2.0, 3.0]]


def test_a_wider_parameter_widens_the_result():
    x, wide = RNG.normal(size=(2, 3)).astype(np.float32), np.ones(3)
    assert tg.layer_norm(x, wide).dtype == tg.layer_norm(x, None, wide).dtype == np.float64
    assert tg.linear(x, np.ones((3, 3), np.float32), wide).dtype == np.float64


WHOLE = np.array([[3, 1, 0, 2], [0, 2, 1, 1]])
OF_WHOLE = {
    "softmax": tg.softmax,
    "log_softmax": tg.log_softmax,
    "gelu": lambda x: tg.gelu(x, approximate="tanh"),
    "dropout": lambda x: tg.dropout(x, 0.3, (1, 2)),
    "rotary_embedding": tg.rotary_embedding,
    "batch_norm_eval": lambda x: tg.batch_norm_eval(x, x[0] * 0, x[0]),
    "rnn": lambda x: tg.rnn(x[None], x[:, :1], x[:1], x[:1, :1])[0],
    "lstm": lambda x: tg.lstm(x[None], x[:, :1], x[:, :1], x[[0, 1, 0, 1]], x[[0, 1, 0, 1], :1])[0],
    "gru": lambda x: tg.gru(x[None], x[:, :1], x[[0, 1, 0]], x[[0, 1, 0], :1])[0],
    "ctc_loss": lambda x: tg.ctc_loss(x[:, None], np.array([[1]]), np.array([2]), np.array([1])),
}


@pytest.mark.parametrize("name", OF_WHOLE)
def test_whole_numbers_are_computed_as_floats(name):
    ours, expected = OF_WHOLE[name](WHOLE), OF_WHOLE[name](WHOLE.astype(float))
    assert np.asarray(ours).dtype == np.float64
    np.testing.assert_allclose(ours, expected, rtol=1e-15)


@pytest.mark.parametrize("loss", [tg.binary_cross_entropy, tg.binary_cross_entropy_with_logits])
@pytest.mark.parametrize("kind", [bool, int])
def test_targets_that_are_no_floats_widen_no_loss(loss, kind):
    x, y = np.array([0.2, 0.9, 0.6], np.float32), np.array([True, False, True])
    assert loss(x, y.astype(kind)).dtype == np.float32
    np.testing.assert_array_equal(loss(x, y.astype(kind)), loss(x, y.astype(np.float32)))
    assert tg.grad(lambda x: loss(x, y.astype(kind)))(x).dtype == np.float32


def test_a_jacobian_of_whole_numbers_is_refused():
    with pytest.raises(TypeError, match="needs a floating array, got int64"):
        tg.jacobian(tg.exp)(np.array([1, 2]))


def test_nothing_is_imported_for_the_sake_of_a_declaration():
    code = "import sys, tinygrad_lm; print('numpy.ma' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_attention_shifts_each_row_of_scores_by_its_own_largest():
    q, k, v = np.array([[1000.0], [-1000.0]]), np.array([[1.0], [1.001]]), np.eye(2)
    low = 1 / (1 + np.exp(1.0))
    expected = np.array([[low, 1 - low], [1 - low, low]])
    np.testing.assert_allclose(tg.attention(q, k, v, scale=1.0), expected, rtol=1e-9)
    for mask in (None, np.array([[True, False], [True, True]])):
        p = softmax_attention.weights(q, k, mask, False, 1.0)
        np.testing.assert_allclose(p, expected if mask is None else [[1.0, 0.0], expected[1]], rtol=1e-9)
        assert np.isfinite(tg.hvp(lambda q: (tg.attention(q, k, v, mask, scale=1.0)[:, 0] ** 2).sum(), q, q)).all()  # noqa: B023


def test_heads_without_an_axis_are_shared_by_all():
    q, k, v = RNG.normal(size=(4, 3, 2)), RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    one = np.stack([tg.attention(q[i], k, v) for i in range(4)])
    np.testing.assert_allclose(tg.attention(q, k, v), one, rtol=1e-12)
    mask = RNG.random((3, 4)) < 0.7
    k, v = RNG.normal(size=(2, 4, 2)), RNG.normal(size=(2, 4, 2))
    one = np.stack([tg.attention(q[i], k[i // 2], v[i // 2], mask) for i in range(4)])
    np.testing.assert_allclose(tg.attention(q, k, v, mask), one, rtol=1e-12)  # grouped heads
    each = RNG.random((4, 3, 4)) < 0.7
    one = np.stack([tg.attention(q[i], k[i // 2], v[i // 2], each[i]) for i in range(4)])
    np.testing.assert_allclose(tg.attention(q, k, v, each), one, rtol=1e-12)


def test_numpys_functions_of_a_tracked_tensor_say_what_they_cannot_do():
    x = Tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match=r"^np.add with dtype, casting has no gradient here; use an operation"):
        np.add(x, 1.0, dtype="float32", casting="same_kind")
    with pytest.raises(TypeError, match=r"^np.spacing has no gradient here; use an operation"):
        np.spacing(x)
    with pytest.raises(TypeError, match=r"^np.add.reduce"):
        np.add.reduce(x)


def test_transposing_properties_explain_themselves():
    assert "reverse order" in Tensor.T.__doc__ and "transposed" in Tensor.mT.__doc__


def test_methods_that_have_no_function_of_their_name():
    x = Tensor(X, requires_grad=True)
    np.testing.assert_array_equal(x.mT.data, np.swapaxes(X, -1, -2))
    np.testing.assert_array_equal(x.flatten().data, X.reshape(-1))
    u = RNG.normal(size=(2, 4, 3))
    (x.mT * u).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.swapaxes(u, -1, -2))
    mask = Tensor(X > 0)
    for ours, theirs in ((True & mask, X > 0), (True ^ mask, X <= 0), (False | mask, X > 0)):
        assert isinstance(ours, Tensor)
        np.testing.assert_array_equal(ours.data, theirs)
    whole = Tensor(np.array([6, 3]))
    assert (5 & whole).tolist() == [4, 1] and (1 | whole).tolist() == [7, 3] and (5 ^ whole).tolist() == [3, 6]
