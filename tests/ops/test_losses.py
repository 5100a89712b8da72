"""Losses against torch and their definitions: what samples do not show."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.testing import gradcheck

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    pytest.skip("losses are compared with torch", allow_module_level=True)

RNG = np.random.default_rng(3)
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def agree(ours, theirs, inputs, seed=0):
    """The two functions have the same values and gradients."""
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = theirs(*leaves)
    y, pull = tg.vjp(ours, *inputs)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    u = np.random.default_rng(seed).normal(size=np.shape(y))
    grads = torch.autograd.grad(expected, leaves, torch.tensor(u))
    for g, h in zip(pull(u), grads, strict=True):
        np.testing.assert_allclose(g, h.numpy(), rtol=1e-8, atol=1e-10)


# ------------------------------------------------------------------------------------------------ torch's formulas


@given(REDUCTIONS, st.integers(0, 99), st.floats(0.1, 3))
def test_losses_of_differences(reduction, seed, width):
    x, y = np.random.default_rng(seed).normal(size=(2, 3, 4)) * 2
    params = {"reduction": reduction}
    agree(lambda x, y: tg.mse_loss(x, y, **params), lambda x, y: F.mse_loss(x, y, **params), [x, y])
    agree(lambda x, y: tg.l1_loss(x, y, **params), lambda x, y: F.l1_loss(x, y, **params), [x, y])
    agree(
        lambda x, y: tg.smooth_l1_loss(x, y, beta=width, **params),
        lambda x, y: F.smooth_l1_loss(x, y, beta=width, **params),
        [x, y],
    )
    agree(
        lambda x, y: tg.huber_loss(x, y, delta=width, **params),
        lambda x, y: F.huber_loss(x, y, delta=width, **params),
        [x, y],
    )


@given(REDUCTIONS, st.integers(0, 7))
def test_losses_of_two_classes(reduction, seed):
    rng = np.random.default_rng(seed)
    x, p, y = rng.normal(size=(3, 4)) * 9, rng.uniform(0.01, 0.99, (3, 4)), rng.uniform(size=(3, 4))
    weight, positive = rng.uniform(0.5, 2, (2, 4))
    w, pos = torch.tensor(weight), torch.tensor(positive)
    agree(
        lambda p, y: tg.binary_cross_entropy(p, y, weight, reduction=reduction),
        lambda p, y: F.binary_cross_entropy(p, y, w, reduction=reduction),
        [p, y],
    )
    agree(
        lambda x, y: tg.binary_cross_entropy_with_logits(x, y, weight, positive, reduction=reduction),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, w, pos_weight=pos, reduction=reduction),
        [x, y],
    )
    x = x / 9
    np.testing.assert_allclose(tg.binary_cross_entropy_with_logits(x, y), tg.binary_cross_entropy(tg.sigmoid(x), y))


@given(REDUCTIONS, st.integers(0, 1), st.sampled_from([0.0, 0.3]), st.booleans(), st.booleans())
def test_losses_of_many_classes(reduction, seed, smoothing, weighted, soft):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(5, 4)) * 3, rng.uniform(0.5, 2, 4) if weighted else None
    w = None if weight is None else torch.tensor(weight)
    targets = rng.integers(0, 4, 5)
    params = {"reduction": reduction}
    if soft:
        p = rng.dirichlet(np.ones(4), 5)
        agree(
            lambda x, p: tg.cross_entropy(x, p, weight, label_smoothing=smoothing, **params),
            lambda x, p: F.cross_entropy(x, p, w, label_smoothing=smoothing, **params),
            [x, p],
        )
        return
    targets[seed % 5] = -100
    t = torch.tensor(targets)
    agree(
        lambda x: tg.cross_entropy(x, targets, weight, label_smoothing=smoothing, **params),
        lambda x: F.cross_entropy(x, t, w, label_smoothing=smoothing, **params),
        [x],
    )
    agree(lambda x: tg.nll_loss(x, targets, weight, **params), lambda x: F.nll_loss(x, t, w, **params), [x])
    t = torch.tensor(np.maximum(targets, 0))
    agree(
        lambda x: tg.multi_margin_loss(x, t.numpy(), margin=0.7, **params),
        lambda x: F.multi_margin_loss(x, t, margin=0.7, **params),
        [x],
    )


@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "batchmean", "sum", "none"])
@pytest.mark.filterwarnings("ignore:reduction")
def test_kl_div(reduction, log_target):
    x, q = tg.log_softmax(RNG.normal(size=(3, 4))), RNG.dirichlet(np.ones(4), 3)
    target = np.log(q) if log_target else q
    params = {"log_target": log_target, "reduction": reduction}
    agree(lambda x, q: tg.kl_div(x, q, **params), lambda x, q: F.kl_div(x, q, **params), [x, target])
    q[0] = [0, 0.5, 0.5, 0]  # where torch's gradient of the target is nan
    agree(
        lambda x: tg.kl_div(x, q, reduction=reduction), lambda x: F.kl_div(x, torch.tensor(q), reduction=reduction), [x]
    )


def test_integers_may_be_one_hot_targets():
    x, targets = RNG.normal(size=(3, 4)).astype(np.float32), np.array([0, 3, 1])
    y = tg.cross_entropy(x, np.eye(4, dtype=int)[targets])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, tg.cross_entropy(x, targets), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ far out, at corners


def test_smooth_l1_without_a_smooth_part_is_l1():
    x, y, u = (np.random.default_rng(i).normal(size=(3, 2)) for i in range(3))
    for reduction in ("mean", "sum", "none"):
        ours, pull = tg.vjp(lambda x, y: tg.smooth_l1_loss(x, y, beta=0.0, reduction=reduction), x, y)  # noqa: B023
        theirs, pull_l1 = tg.vjp(lambda x, y: tg.l1_loss(x, y, reduction=reduction), x, y)  # noqa: B023
        np.testing.assert_array_equal(ours, theirs)
        g = u if reduction == "none" else np.array(0.7)
        for a, b in zip(pull(g), pull_l1(g), strict=True):
            np.testing.assert_array_equal(a, b)


def test_losses_do_not_overflow():
    far = np.array([1e300, -1e300])
    for f in (tg.smooth_l1_loss, tg.huber_loss, tg.l1_loss):
        assert f(far, np.zeros(2)) == pytest.approx(1e300)
        np.testing.assert_array_equal(tg.grad(f)(far, np.zeros(2)), [0.5, -0.5])
    x, y = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])
    f = lambda x: tg.binary_cross_entropy_with_logits(x, y, reduction="none")  # noqa: E731
    np.testing.assert_array_equal(f(x), [0, 0, 1e4, 1e4])
    np.testing.assert_array_equal(tg.vjp(f, x)[1](np.ones(4))[0], [0, 0, 1, -1])


def test_probabilities_of_0_and_1_have_finite_losses_and_slopes():
    p, y = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    f = lambda p: tg.binary_cross_entropy(p, y, reduction="none")  # noqa: E731
    np.testing.assert_array_equal(f(p), F.binary_cross_entropy(*map(torch.tensor, (p, y)), reduction="none"))
    np.testing.assert_array_equal(tg.vjp(f, p)[1](np.ones(4))[0], [1, -1, 0, 0])
    assert gradcheck(lambda q: tg.binary_cross_entropy(q, np.ones(2)), np.array([0.01, 0.99]))
    log_p = np.array([[-np.inf, 0.0]])
    assert tg.nll_loss(log_p, np.array([1])) == 0 and tg.kl_div(log_p, np.array([[0.0, 1.0]])) == 0
    np.testing.assert_array_equal(tg.grad(tg.nll_loss)(log_p, np.array([1])), [[0, -1]])


def test_the_flat_side_of_each_hinge():
    x = np.array([[1.0, 0.0, 0.5]])
    np.testing.assert_allclose(tg.grad(tg.multi_margin_loss)(x, np.array([0])), [[-1 / 3, 0, 1 / 3]])
    np.testing.assert_array_equal(
        tg.grad(tg.hinge_loss)(np.array([1.0, 0.5, -1.0]), np.array([1, 1, -1])) * 3, [0, -1, 0]
    )


OF_NOTHING = {
    "mse": lambda x: tg.mse_loss(x, x),
    "l1": lambda x: tg.l1_loss(x, x),
    "huber": lambda x: tg.huber_loss(x, x),
    "smooth": lambda x: tg.smooth_l1_loss(x, x),
    "kl": lambda x: tg.kl_div(x, np.zeros((0, 3)), reduction="batchmean"),
    "bce": lambda x: tg.binary_cross_entropy(x, x),
    "logits": lambda x: tg.binary_cross_entropy_with_logits(x, x),
    "hinge": lambda x: tg.hinge_loss(x, np.ones((0, 3), int)),
    "margin": lambda x: tg.multi_margin_loss(x, np.zeros(0, int)),
    "nll": lambda x: tg.nll_loss(x, np.zeros(0, int), np.ones(3)),
    "cross entropy": lambda x: tg.cross_entropy(x, np.zeros(0, int), np.ones(3)),
    "soft": lambda x: tg.cross_entropy(x, np.zeros((0, 3))),
    "ctc": lambda x: tg.ctc_loss(x[None], np.zeros((0, 2), int), np.zeros(0, int), np.zeros(0, int)),
}


@pytest.mark.parametrize("loss", OF_NOTHING.values(), ids=OF_NOTHING)
def test_the_mean_over_nothing_is_0(loss):
    y, g = tg.value_and_grad(loss)(np.zeros((0, 3)))
    assert y == 0 and g.shape == (0, 3)


def test_targets_without_weight_count_for_nothing():
    x, targets, weight = RNG.normal(size=(2, 3)), np.array([0, 1]), np.array([0.0, 1.0, 1.0])
    assert tg.cross_entropy(x, targets, weight) == pytest.approx(tg.cross_entropy(x[1:], targets[1:]))
    for f in (tg.cross_entropy, tg.nll_loss):
        y, g = tg.value_and_grad(f)(x, np.zeros(2, int), weight)
        assert y == 0 and not g.any()


def test_bad_input_is_refused_with_a_sentence():
    x, t = np.zeros((2, 3)), np.array([0, 1])
    lengths = np.array([2, 2])
    path, ones = np.zeros((2, 2, 3)), np.ones((2, 2), int)
    for call, kind, words in (
        (lambda: tg.mse_loss(x, x, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.l1_loss(x, x, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.huber_loss(x, x, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.smooth_l1_loss(x, x, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.hinge_loss(x, x + 1, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.nll_loss(x, t, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.cross_entropy(x, t, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.multi_margin_loss(x, t, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.binary_cross_entropy(x, x, reduction="all"), ValueError, "one of mean, sum, none, got 'all'"),
        (lambda: tg.binary_cross_entropy_with_logits(x, x, reduction="all"), ValueError, "mean, sum, none, got 'all'"),
        (lambda: tg.smooth_l1_loss(x, x, beta=-1.0), ValueError, "beta must not be negative, got -1.0"),
        (lambda: tg.huber_loss(x, x, delta=0.0), ValueError, "delta must be positive, got 0.0"),
        (lambda: tg.binary_cross_entropy(x + 2, x), ValueError, "must be from 0 to 1, they reach from 2 to 2"),
        (lambda: tg.binary_cross_entropy(x, x - 1), ValueError, "targets must be from 0 to 1"),
        (lambda: tg.binary_cross_entropy_with_logits(x, x + 5), ValueError, "targets must be from 0 to 1"),
        (lambda: tg.binary_cross_entropy(x * np.nan, x), ValueError, "reach from nan to nan"),
        (lambda: tg.hinge_loss(x, x), ValueError, "labels must be 1 or -1; from 0 and 1 make them by 2 * y - 1"),
        (lambda: tg.kl_div(x, x - 1), ValueError, "none may be negative, got -1; or log_target=True?"),
        (lambda: tg.kl_div(x, x, reduction="average"), ValueError, "one of mean, sum, none, batchmean, got 'average'"),
        (lambda: tg.nll_loss(x, t + 2), IndexError, "targets reach from 2 to 3, there are 3 classes"),
        (lambda: tg.nll_loss(x, t, np.ones(2)), ValueError, "one number for each of the 3 classes, got (2,)"),
        (lambda: tg.nll_loss(x, t[:1]), ValueError, "needs targets of shape (2,), got (1,)"),
        (lambda: tg.nll_loss(x, t + 2, ignore_index=None), IndexError, "from 2 to 3, there are 3 classes ["),
        (lambda: tg.nll_loss(x, t - 7), IndexError, "there are 3 classes (and ignore_index=-100)"),
        (lambda: tg.nll_loss(x[0, 0], t), ValueError, "must be a last axis of at least one class, got shape ()"),
        (lambda: tg.nll_loss(x[:, :0], t), ValueError, "must be a last axis of at least one class, got shape (2, 0)"),
        (lambda: tg.multi_margin_loss(x[:, :0], t), ValueError, "of at least one class, got shape (2, 0)"),
        (lambda: tg.cross_entropy(x[0, 0], t), ValueError, "need a last axis of at least one class, got shape ()"),
        (lambda: tg.cross_entropy(x[:, :0], t), ValueError, "need a last axis of at least one class, got shape (2, 0)"),
        (lambda: tg.multi_margin_loss(x, t * 1.0), TypeError, "targets must be integers"),
        (lambda: tg.cross_entropy(x, t, np.ones(2)), ValueError, "one number for each of the 3 classes, got (2,)"),
        (lambda: tg.cross_entropy(x, x - 1), ValueError, "none may be negative, got -1"),
        (lambda: tg.cross_entropy(x, t, label_smoothing=2.0), ValueError, "label_smoothing must be from 0 to 1, got 2"),
        (lambda: tg.ctc_loss(x, x, t, t), ValueError, "logits are (time, batch, classes) and targets (batch, labels)"),
        (lambda: tg.ctc_loss(path, t[None], lengths, lengths), ValueError, "targets (batch, labels), got"),
        (lambda: tg.ctc_loss(path, np.ones((2, 2)), lengths, lengths), TypeError, "must be integers (labels)"),
        (lambda: tg.ctc_loss(path, np.zeros((2, 2), int), lengths, lengths), IndexError, "and not blank=0"),
        (lambda: tg.ctc_loss(path, np.full((2, 2), 3), lengths, lengths), IndexError, "they reach from 3 to 3"),
        (lambda: tg.ctc_loss(path, ones, lengths + 1, lengths), ValueError, "input_lengths must be from 0"),
        (lambda: tg.ctc_loss(path, ones, lengths, -lengths), ValueError, "target_lengths must be from 0"),
        (lambda: tg.ctc_loss(path, ones, lengths, t[:1]), ValueError, "one for each sequence, got int64 (1,)"),
        (lambda: tg.ctc_loss(path, ones, lengths, lengths * 1.0), ValueError, "be 2 integers, one for each sequence"),
        (lambda: tg.ctc_loss(path, ones, lengths, lengths, reduction="all"), ValueError, "mean, sum, none, got 'all'"),
        (lambda: tg.ctc_loss(path, ones, lengths, lengths, blank=3), ValueError, "one of the 3 classes"),
    ):  # fmt: skip
        with pytest.raises(kind, match=re.escape(words)) as caught:
            call()
        assert "\n" not in str(caught.value) and __file__ in str(caught.value)


# ------------------------------------------------------------------------------------------------ ctc


@st.composite
def sequences(draw):
    """(logits, targets, input_lengths, target_lengths, blank): any lengths, labels that repeat, several sequences."""
    T, B, L, C = (draw(st.integers(1, n)) for n in (9, 3, 4, 4))
    C += 1
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    blank = draw(st.integers(0, C - 1))
    labels = np.delete(np.arange(C), blank)
    targets = labels[rng.integers(0, draw(st.integers(1, C - 1)), (B, L))]
    return rng.normal(size=(T, B, C)) * 4, targets, rng.integers(1, T + 1, B), rng.integers(0, L + 1, B), blank


@given(sequences(), REDUCTIONS)
def test_ctc_is_torchs(sequence, reduction):
    logits, targets, *lengths, blank = sequence
    params = {"blank": blank, "reduction": reduction, "zero_infinity": True}
    theirs = [torch.tensor(a) for a in (targets, *lengths)]
    agree(
        lambda x: tg.ctc_loss(x, targets, *lengths, **params),
        lambda x: F.ctc_loss(x.log_softmax(-1), *theirs, **params),
        [logits],
    )


def test_ctc_of_what_cannot_be_aligned():
    """Two equal labels need a blank between them, and so three steps."""
    logits, targets = RNG.normal(size=(3, 2, 3)), np.array([[1, 1], [1, 2]])
    lengths = np.array([2, 3]), np.array([2, 2])
    f = lambda x, **params: tg.ctc_loss(x, targets, *lengths, reduction="none", **params)  # noqa: E731
    y, pull = tg.vjp(f, logits)
    assert y[0] == np.inf and np.isfinite(y[1])
    g = pull(np.ones(2))[0]
    assert np.isnan(g[:2, 0]).all() and not g[2, 0].any() and np.isfinite(g[:, 1]).all()
    y, pull = tg.vjp(lambda x: f(x, zero_infinity=True), logits)
    g = pull(np.ones(2))[0]
    assert y[0] == 0 and not g[:, 0].any() and g[:, 1].all()
    np.testing.assert_allclose(g.sum(-1), 0, atol=1e-12)


def test_ctc_of_long_sequences_stays_finite():
    logits = RNG.normal(size=(400, 2, 5)).astype(np.float32) * 10
    targets = RNG.integers(1, 5, (2, 60))
    lengths = np.array([400, 150]), np.array([60, 60])
    y, pull = tg.vjp(lambda x: tg.ctc_loss(x, targets, *lengths, reduction="sum"), logits)
    g = pull(np.ones((), np.float32))[0]
    assert y.dtype == g.dtype == np.float32 and np.isfinite(y) and np.isfinite(g).all() and not g[150:, 1].any()
    exact = F.ctc_loss(
        torch.tensor(logits, dtype=torch.float64).log_softmax(-1),
        *map(torch.tensor, (targets, *lengths)),
        reduction="sum",
    )
    np.testing.assert_allclose(y, exact, rtol=1e-5)


def test_ctc_with_classes_that_are_ruled_out():
    logits = RNG.normal(size=(4, 1, 3))
    logits[:, :, 2] = -np.inf
    y, g = tg.value_and_grad(lambda x: tg.ctc_loss(x, np.array([[1]]), np.array([4]), np.array([1])))(logits)
    assert np.isfinite(y) and np.isfinite(g).all() and not g[:, :, 2].any()


def test_what_pads_the_labels_does_not_matter():
    logits, lengths = np.random.default_rng(3).normal(size=(6, 2, 4)), np.array([1, 2])
    losses = [
        tg.ctc_loss(logits, np.array([[2, pad, pad], [1, 3, pad]]), np.array([6, 5]), lengths, reduction="none")
        for pad in (0, 3, -1, 999)
    ]
    for loss in losses[1:]:
        np.testing.assert_array_equal(loss, losses[0])


def test_one_class_and_whole_numbers_for_logits():
    """Of one class the loss is 0, also where targets are ignored; whole numbers take the dtype of soft targets."""
    one, targets = np.zeros((3, 1)), np.array([0, -100, 0])
    for loss in (tg.cross_entropy, tg.nll_loss):
        np.testing.assert_array_equal(loss(one, targets, reduction="none"), np.zeros(3))
    logits, soft = np.array([[1, 2], [3, 0]]), np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    loss = tg.cross_entropy(logits, soft)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, tg.cross_entropy(logits * 1.0, soft.astype(float)), rtol=1e-6)
    assert tg.cross_entropy(logits * 0.1, soft).dtype == np.float64  # floating logits keep theirs
