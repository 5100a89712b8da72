"""Norms, softmax, rotary embedding, directions and attention where samples do not reach: masks, points, formulas."""

import re

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.ops import normalization
from tinygrad_lm.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(5)
INF = np.inf


def numbers(*shape):
    return RNG.normal(size=shape)


def total(f):
    """f as one number, in which no two elements have the same weight."""

    def number(*xs):
        y = f(*xs)
        return (y * np.cos(1.0 + np.arange(y.size)).reshape(y.shape)).sum()

    return number


def gradients(f, *arrays, order=1):
    """The gradients of that number; of that of the gradient for order 2, and so on."""
    for _ in range(order - 1):
        f = tg.grad(total(f))
    return tg.grad(total(f), tuple(range(len(arrays))))(*arrays)


# ------------------------------------------------------------------------------------------------ softmax


MASK = np.array([[True, False, True], [False, False, False], [True, True, True]])


@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masked_softmax_is_that_of_what_is_left_and_0_where_nothing_is(axis, dtype):
    x = numbers(3, 3).astype(dtype)
    e = np.where(MASK, np.exp(x), 0)
    total = e.sum(axis=axis, keepdims=True)
    expected = e / np.where(total == 0, 1, total)
    for function, wanted in ((tg.softmax, expected), (tg.log_softmax, np.log(np.where(expected > 0, expected, 1)))):
        y = function(np.where(MASK, x, -INF).astype(dtype), axis=axis)
        assert y.dtype == dtype
        np.testing.assert_allclose(y[expected > 0], wanted[expected > 0], rtol=1e-5, atol=1e-6)
        assert (y[expected == 0] == (0 if function is tg.softmax else -INF)).all()


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kernels", ["reference", None])
def test_no_order_of_derivative_is_nan_behind_a_mask(order, kernels):
    """Nothing flows into what is hidden, and the rest has the derivatives of a softmax of the rest."""

    def masked(x):
        return tg.softmax(tg.where(MASK, x, -INF)) ** 3

    def of_the_rest(x):
        e = tg.where(MASK, tg.exp(x), 0.0)
        return (e / (e.sum(axis=-1, keepdims=True) + ~MASK.any(axis=-1, keepdims=True))) ** 3

    x = numbers(3, 3)
    with tg.use_kernels(kernels or tg.kernels_in_use()):
        (g,) = gradients(masked, x, order=order)
    np.testing.assert_allclose(g, gradients(of_the_rest, x, order=order)[0], rtol=1e-9, atol=1e-12)
    assert not g[~MASK].any()


def test_a_hidden_row_of_log_softmax_passes_nothing():
    x = np.array([[-INF, -INF], [0.3, -INF]])
    y, pull = tg.vjp(tg.log_softmax, x)
    assert y.tolist() == [[-INF, -INF], [0.0, -INF]]
    assert pull(np.array([[1.0, 2.0], [3.0, 0.0]]))[0].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_softmax_of_nan_is_nan_and_of_large_numbers_is_not():
    assert np.isnan(tg.softmax(np.array([-INF, np.nan, -INF]))).all()
    np.testing.assert_array_equal(tg.softmax(np.array([1e300, -1e300, 1e300])), [0.5, 0.0, 0.5])
    np.testing.assert_array_equal(tg.log_softmax(np.array([1e300, 0.0])), [0.0, -1e300])


def test_softmax_of_nothing():
    for function in (tg.softmax, tg.log_softmax):
        y, pull = tg.vjp(function, np.zeros((2, 0)))
        assert y.shape == pull(y)[0].shape == (2, 0)


# ------------------------------------------------------------------------------------------------ norms


def standard(x, axis, eps):
    apart = x - tg.mean(x, axis=axis, keepdims=True)
    return apart / tg.sqrt(tg.mean(apart * apart, axis=axis, keepdims=True) + eps)


FORMULAS = {
    "layer": (tg.layer_norm, lambda x, eps: standard(x, -1, eps)),
    "batch": (tg.batch_norm, lambda x, eps: standard(x, (0, 2, 3), eps)),
    "group": (
        lambda x, eps: tg.group_norm(x, num_groups=2, eps=eps),
        lambda x, eps: standard(x.reshape((2, 2, -1)), -1, eps).reshape(x.shape),
    ),
    "instance": (tg.instance_norm, lambda x, eps: standard(x, (2, 3), eps)),
    "rms": (tg.rms_norm, lambda x, eps: x / tg.sqrt(tg.mean(x * x, axis=-1, keepdims=True) + eps)),
}


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize(("ours", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_every_order_is_that_of_the_formula(ours, formula, eps, order):
    """torch's fused norms are no oracle at the third order: the formula in simple ops is."""
    x = numbers(2, 4, 3, 2)
    mine = gradients(lambda x: ours(x, eps=eps) ** 2, x, order=order)[0]
    theirs = gradients(lambda x: formula(x, eps) ** 2, x, order=order)[0]
    np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-9 * np.abs(theirs).max())


def test_statistics_in_evaluation_are_inputs_with_gradients():
    x, mean, variance = numbers(3, 2, 2), numbers(2), np.array([0.5, 2.0])
    call = lambda m, v: tg.batch_norm_eval(x, m, v, np.array([2.0, -1.0]))  # noqa: E731
    assert gradcheck(call, (mean, variance)) and gradgradcheck(call, (mean, variance))
    y = tg.batch_norm_eval(Tensor(x, requires_grad=True), mean, variance)
    assert y.node is not None and len([p for p in y.node.parents if p is not None]) == 1


def test_with_its_own_statistics_evaluation_is_training_but_not_in_its_derivative():
    x = numbers(5, 3)
    y, mean, _, variance = tg.batch_norm.with_aux(x)
    np.testing.assert_allclose(variance.reshape(-1), x.var(axis=0))
    again = tg.batch_norm_eval(x, mean.reshape(-1), variance.reshape(-1))
    np.testing.assert_allclose(again, y, rtol=1e-12)
    (training,) = gradients(tg.batch_norm, x)
    (evaluation,) = gradients(lambda x: tg.batch_norm_eval(x, mean.reshape(-1), variance.reshape(-1)), x)
    assert np.abs(training.sum(axis=0)).max() < 1e-12 < 0.1 < np.abs(evaluation.sum(axis=0)).max()


def test_a_constant_batch_is_0_and_its_gradient_finite():
    for norm in (tg.batch_norm, tg.layer_norm):
        y, pull = tg.vjp(norm, np.full((4, 3), 7.0))
        assert not y.any() and np.isfinite(pull(numbers(4, 3))[0]).all()


# ------------------------------------------------------------------------------------------------ directions


def test_normalize_at_0_is_its_formula():
    x = np.array([[3.0, -4.0], [0.0, 0.0]])
    y, pull = tg.vjp(lambda x: tg.normalize(x, eps=0.01), x)
    np.testing.assert_allclose(y, [[0.6, -0.8], [0, 0]])
    g = pull(np.array([[1.0, 2.0], [3.0, -1.0]]))[0]
    np.testing.assert_allclose(g[1], [300.0, -100.0])
    np.testing.assert_allclose(g[0], (np.eye(2) - np.outer(y[0], y[0])) @ [1.0, 2.0] / 5)
    second = gradients(lambda x: tg.normalize(x, eps=0.01), x, order=2)[0]
    assert np.isfinite(second).all() and not second[1].any()


def test_the_cosine_along_an_axis_of_one_and_with_zeros():
    a, b = np.array([[2.0], [-3.0]]), numbers(2, 4)
    expected = np.sign(a[:, 0]) * b.sum(axis=1) / 2 / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(tg.cosine_similarity(a, b), expected)
    da, db = gradients(tg.cosine_similarity, a, b)
    assert np.abs(da).max() < 1e-15 and da.shape == (2, 1) and gradcheck(lambda b: tg.cosine_similarity(a, b), b)
    assert tg.cosine_similarity(np.zeros(3), numbers(3)) == 0 == tg.cosine_similarity(np.zeros(3), np.zeros(3))
    for g in gradients(tg.cosine_similarity, np.zeros((1, 3)), np.zeros((1, 3)), order=2):
        assert np.isfinite(g).all()


# ------------------------------------------------------------------------------------------------ rotary embedding


@pytest.mark.parametrize("interleaved", [True, False])
def test_products_of_rotated_vectors_depend_on_their_distance(interleaved):
    q, k = numbers(6), numbers(6)
    turn = lambda x, at: tg.rotary_embedding(x, np.array(at), interleaved=interleaved)  # noqa: E731
    for distance in (0, 1, 7):
        products = [turn(q, at + distance) @ turn(k, at) for at in (0, 3, 1000)]
        np.testing.assert_allclose(products, products[0], rtol=1e-9)
    assert abs(turn(q, 3) @ turn(k, 0) - turn(q, 0) @ turn(k, 0)) > 1e-3
    np.testing.assert_allclose(np.linalg.norm(turn(q, 12345)), np.linalg.norm(q))
    np.testing.assert_array_equal(tg.rotary_embedding(q, 3, interleaved=interleaved), turn(q, 3))


def test_rotary_pairs_and_inverse():
    x = np.arange(4.0)
    half, neighbours = (tg.rotary_embedding(x, np.array(2), interleaved=i) for i in (False, True))
    for y, pairs in ((half, [(0, 2), (1, 3)]), (neighbours, [(0, 1), (2, 3)])):
        for i, (a, b) in enumerate(pairs):
            turned = (x[a] + 1j * x[b]) * np.exp(2j * 10000.0 ** (-2 * i / 4))
            np.testing.assert_allclose([y[a], y[b]], [turned.real, turned.imag])
    x = numbers(2, 5, 6)
    np.testing.assert_allclose(tg.rotary_embedding(tg.rotary_embedding(x), inverse=True), x, rtol=1e-12)


def test_far_positions_keep_float32s_accuracy():
    """The angles are computed in float64: in float32 those of position 100,000 would be off by a hundredth."""
    x = numbers(2, 8).astype(np.float32)
    at = np.array([100_000, 1_000_003])
    y = tg.rotary_embedding(x, at)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, tg.rotary_embedding(x.astype(float), at), atol=1e-6)


# ------------------------------------------------------------------------------------------------ attention


def test_heads_of_the_query_share_those_of_keys_and_values():
    q, k, v = numbers(2, 6, 3, 4), numbers(2, 2, 5, 4), numbers(2, 2, 5, 3)
    wide = lambda a: np.repeat(a, 3, axis=1)  # noqa: E731
    masks = (None, numbers(6, 3, 5) > 0, numbers(2, 1, 3, 5), numbers(3, 5) > -1)
    for mask in masks:
        expected = tg.attention(q, wide(k), wide(v), mask)
        np.testing.assert_allclose(tg.attention(q, k, v, mask), expected, rtol=1e-12)
    g = gradients(lambda q, k, v: tg.attention(q, k, v, masks[1]), q, k, v)
    wide_g = gradients(lambda q, k, v: tg.attention(q, k, v, masks[1]), q, wide(k), wide(v))
    np.testing.assert_allclose(g[0], wide_g[0], atol=1e-12)
    for mine, theirs in zip(g[1:], wide_g[1:], strict=True):
        np.testing.assert_allclose(mine, theirs.reshape(2, 2, 3, *theirs.shape[-2:]).sum(axis=2), atol=1e-12)
    with pytest.raises(ValueError, match="nor has q a multiple of the heads of k and v"):
        tg.attention(q[:, :5], k, v)


def test_dropout_of_attention_is_that_of_its_weights():
    q, k, v, key = numbers(2, 4, 3), numbers(2, 5, 3), np.eye(5), (9, 1)
    weights = tg.attention(q, k, v)  # with v = 1, the output is the weights
    dropped = tg.attention(q, k, v, dropout=0.4, key=key)
    np.testing.assert_allclose(dropped, tg.dropout(weights, rate=0.4, key=key), rtol=1e-12)
    assert (dropped == 0).any() and (dropped != 0).any()
    for bad, message in (({"dropout": 0.5}, "needs a key"), ({"dropout": 1.0, "key": key}, r"must be in \[0, 1\)")):
        with pytest.raises(ValueError, match=message):
            tg.attention(q, k, v, **bad)


# ------------------------------------------------------------------------------------------------ what is refused


X = np.ones((4, 6, 2))
REFUSED = {
    "no channels": (lambda: tg.batch_norm(np.ones(3)), "x needs the axes (batch, channels, ...), got shape (3,)"),
    "weight": (
        lambda: tg.batch_norm(X, np.ones(2)),
        "weight must have shape (6,), one number for each channel, got (2",
    ),
    "one value": (lambda: tg.batch_norm(X[:1, :, :1]), "more than one value per channel, x (1, 6, 1) has 1: use a"),
    "no value": (
        lambda: tg.batch_norm(X[:0]),
        "more than one value per channel, x (0, 6, 2) has 0: use a larger batch",
    ),
    "statistics": (
        lambda: tg.batch_norm_eval(X, np.ones(6), np.ones(5)),
        "variance must have shape (6,), one number for each channel, got (5,)",
    ),
    "groups": (lambda: tg.group_norm(X, num_groups=4), "num_groups must divide the 6 channels, got 4"),
    "no group": (lambda: tg.group_norm(X, num_groups=0), "num_groups must divide the 6 channels, got 0"),
    "empty group": (lambda: tg.group_norm(X[..., :0]), "a group needs at least one value, got x (4, 6, 0)"),
    "no space": (lambda: tg.instance_norm(X[..., 0]), "instance_norm: x needs the axes (batch, channels, space, ...)"),
    "rms weight": (lambda: tg.rms_norm(X, np.ones(3)), "must have shape (2,), got (3,)"),
    "one rms weight": (lambda: tg.rms_norm(X, np.ones(1)), "must have shape (2,), got (1,)"),
    "one layer weight": (lambda: tg.layer_norm(X, np.ones(1)), "must have shape (2,), got (1,)"),
    "one layer bias": (lambda: tg.layer_norm(X, np.ones(2), np.ones(1)), "must have shape (2,), got (2,) and (1,)"),
    "no width": (
        lambda: tg.layer_norm(np.ones((2, 0))),
        "x needs a last axis of at least one element, got shape (2, 0",
    ),
    "no axis": (lambda: tg.rms_norm(np.array(1.0)), "x needs a last axis of at least one element, got shape ()"),
    "a number": (lambda: tg.rotary_embedding(np.array(1.0), np.array(0)), "in pairs and must be even, got x ()"),
    "odd": (lambda: tg.rotary_embedding(np.ones((2, 3))), "turned in pairs and must be even, got x (2, 3)"),
    "positions": (
        lambda: tg.rotary_embedding(np.ones((2, 4)), np.arange(3)),
        "positions must fit (2,), the axes of x but the last, got (3,)",
    ),
    "no length": (lambda: tg.rotary_embedding(np.ones(4)), "or positions must be given, got x (4,)"),
    "eps": (lambda: tg.normalize(X, eps=0.0), "eps must be above 0, got 0.0"),
    "softmax axis": (lambda: tg.softmax(X, axis=3), "axis 3 is out of bounds for array of dimension 3"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises((ValueError, IndexError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_instance_norm_along_one_axis():
    x, weight = numbers(2, 3, 5), numbers(3)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight[:, None]
    np.testing.assert_allclose(tg.instance_norm(x, weight), expected, atol=1e-12)
    assert gradcheck(tg.instance_norm, (x, weight, numbers(3)))


def test_a_scaled_norm_is_written_where_it_was_computed():
    y, weight, bias = numbers(3, 4), numbers(4), numbers(4)
    expected = y * weight + bias
    assert normalization.scaled(np, y, weight, bias) is y
    np.testing.assert_array_equal(y, expected)
    assert normalization.scaled(np, y, weight, None) is y and normalization.scaled(np, y, None, bias) is y
    half = y.astype(np.float32)
    before = half.copy()
    assert normalization.scaled(np, half, weight, bias).dtype == np.float64
    np.testing.assert_array_equal(half, before)


CHANNELS = [(tg.batch_norm, n) for n in ("weight", "bias")] + [(tg.group_norm, n) for n in ("weight", "bias")]
CHANNELS += [(tg.batch_norm_eval, n) for n in ("mean", "variance", "weight", "bias")]


@pytest.mark.parametrize(("function", "wrong"), CHANNELS, ids=lambda p: getattr(p, "__name__", p))
def test_whatever_belongs_to_a_channel_has_one_number_for_each(function, wrong):
    given = {n: np.ones(6) for f, n in CHANNELS if f is function}
    function(X, **given)
    with pytest.raises(ValueError, match=rf"{wrong} must have shape \(6,\), one number for each channel, got \(1,\)"):
        function(X, **{**given, wrong: np.ones(1)})


def test_the_smallest_batches_and_groups_that_have_statistics():
    np.testing.assert_allclose(tg.batch_norm(np.array([[1.0], [3.0]]), eps=0.0), [[-1.0], [1.0]])
    np.testing.assert_allclose(tg.batch_norm(np.array([[[1.0, 3.0]]]), eps=0.0), [[[-1.0, 1.0]]])
    np.testing.assert_allclose(tg.group_norm(np.array([[[1.0, 3.0]]]), eps=0.0), [[[-1.0, 1.0]]])
    np.testing.assert_allclose(tg.group_norm(np.array([[[1.0], [3.0]]]), eps=0.0), [[[-1.0], [1.0]]])
    with pytest.raises(ValueError, match=r"a group needs at least one value, got x \(2, 0, 3\)"):
        tg.group_norm(np.ones((2, 0, 3)))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 3, 4)])
def test_what_all_rows_share_is_summed_over_all_of_them(shape: tuple[int, ...]) -> None:
    """By the gradient itself, not only by the walk behind it."""
    rng = np.random.default_rng(0)
    dy, x, weight = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=4)
    _, dweight, dbias = normalization.layer_norm_grad(dy, x, weight)
    _, of_rms = normalization.rms_norm_grad(dy, x, weight)
    rows = tuple(range(len(shape) - 1))
    assert dweight.shape == of_rms.shape == (4,) and np.allclose(dbias, dy.sum(rows))


def test_where_nothing_is_the_gradient_of_log_softmax_is_zero_by_simple_operations_too() -> None:
    y, dy = np.array([[-np.inf, -np.inf], [0.0, -np.inf]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    gradient = normalization.log_softmax_grad
    for found in (gradient(dy, y), gradient.op.plain(dy, y, axis=-1)):
        assert found.tolist() == [[0.0, 0.0], [-6.0, 6.0]]
