"""Losses, as numbers to be minimised: of what was predicted first, then of what should have been.

Names and formulas are torch's.  reduction: "mean" over all that counts (of nothing it is 0), "sum" or "none".
Classes are on the last axis.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.backend import backend_of, is_float
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.activation import softplus
from tinygrad_lm.ops.choosing import clip, where
from tinygrad_lm.ops.comparison import less
from tinygrad_lm.ops.exponential import exp, log, sigmoid
from tinygrad_lm.ops.indexing import getitem, take_along_axis
from tinygrad_lm.ops.normalization import log_softmax, softmax
from tinygrad_lm.ops.reduction import mean, sum
from tinygrad_lm.ops.rounding import sign
from tinygrad_lm.ops.samples import N, Spec, case, kink
from tinygrad_lm.ops.shape import broadcast_to, expand_dims

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "smooth_l1_loss",
]

# ruff: noqa: A004, F811  (every rule is named `_`)

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction, known=REDUCTIONS):
    if reduction not in known:
        raise ValueError(f"reduction must be one of {', '.join(known)}, got {reduction!r}")


def share(reduction, shape):
    """What each loss of an array of them counts for in the result."""
    if reduction == "mean":
        return 1.0 / (math.prod(shape) or 1)
    return 1.0 / (shape[0] or 1) if reduction == "batchmean" else 1.0


def beside(x, y):
    """Targets y in the dtype of x where they are integers or booleans, which would widen what is computed of both."""
    return y if is_float(y.dtype) else raw(y).astype(x.dtype)


def reduced(each, reduction):
    """The losses of an array as the result that was asked for; of arrays and Tensors."""
    return each if reduction == "none" else sum(each) * share(reduction, each.shape)


def passed(g, slope, reduction):
    """The gradient where each loss has this slope."""
    return slope * (g * share(reduction, slope.shape))


# ---------------------------------------------------------------------------------------------------- of differences


def pairs():
    """Predictions and what should have been: equal shapes, broadcast ones, 0-d and none."""
    return [
        case(N(3, 4), N(3, 4)),
        case(N(3), N(3), reduction="sum"),
        case(N(2, 3), N(3), reduction="none"),
        case(N(), N()),
        case(N(0, 2), N(0, 2), reduction="sum"),
        case(N(0), N(0)),
        case(N(2, 1), N(3)),
    ]


def with_keyword(**keyword):
    """The same with another value of a keyword."""
    return lambda: [*pairs(), case(N(4, 2), N(4, 2), **keyword), case(N(5), N(5), **keyword, reduction="none")]


@op(samples=pairs, analytic=True, cost=lambda x, y, **_: 3 * max(x.size, y.size))
def mse_loss(xp, x, y, *, reduction="mean"):
    """Mean (or sum, or each) of the squared differences (x - y)^2; shapes broadcast."""
    check_reduction(reduction)
    return reduced(xp.square(x - y), reduction)


@mse_loss.vjp("x", "y")
def _(g, x, y, *, reduction):
    dx = passed(g, 2.0 * (x - y), reduction)
    return dx, -dx


@mse_loss.jvp("x", "y")
def _(t, x, y, *, reduction):
    return reduced(2.0 * (x - y) * (t[0] - t[1]), reduction)


@op(
    samples=pairs,
    kinks=[kink((0.0, 0.0), (0.0, 0.0), "the middle of -1 and 1")],
    cost=lambda x, y, **_: 3 * max(x.size, y.size),
)
def l1_loss(xp, x, y, *, reduction="mean"):
    """Mean (or sum, or each) of the absolute differences |x - y|; shapes broadcast.  The slope at 0 is 0."""
    check_reduction(reduction)
    return reduced(xp.abs(x - y), reduction)


@l1_loss.vjp("x", "y")
def _(g, x, y, *, reduction):
    dx = passed(g, sign(x - y), reduction)
    return dx, -dx


@l1_loss.jvp("x", "y")
def _(t, x, y, *, reduction):
    return reduced(where(less(y, x), t[0] - t[1], where(less(x, y), t[1] - t[0], 0.0)), reduction)


@op(
    samples=with_keyword(beta=0.5),
    kinks=[
        kink((1.0, 0.0), (1.0, -1.0), "where the pieces meet both have slope 1"),
        kink((0.0, 0.0), (0.0, 0.0), "the middle of -1 and 1", beta=0.0),
    ],
    cost=lambda x, y, **_: 5 * max(x.size, y.size),
)
def smooth_l1_loss(xp, x, y, *, beta=1.0, reduction="mean"):
    """d^2 / (2 beta) where d = |x - y| is below beta, d - beta / 2 beyond (Girshick 2015); shapes broadcast.

    With beta = 0 it is `l1_loss`.
    """
    check_reduction(reduction)
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    d = xp.abs(x - y)
    near = xp.minimum(d, beta)  # d^2 would overflow far out
    return reduced(near * near / (2 * beta) + (d - near) if beta else d, reduction)


@smooth_l1_loss.vjp("x", "y")
def _(g, x, y, *, beta, reduction):
    dx = passed(g, clip((x - y) / beta, -1.0, 1.0) if beta else sign(x - y), reduction)
    return dx, -dx


@smooth_l1_loss.jvp("x", "y")
def _(t, x, y, *, beta, reduction):
    d, moving = x - y, t[0] - t[1]
    return reduced(
        where(less(abs(d), beta), moving * d / (beta or 1.0), where(less(0.0, d), moving, -moving)), reduction
    )


@op(
    samples=with_keyword(delta=0.5),
    kinks=[kink((1.0, 0.0), (1.0, -1.0), "where the pieces meet both have slope delta")],
    cost=lambda x, y, **_: 5 * max(x.size, y.size),
)
def huber_loss(xp, x, y, *, delta=1.0, reduction="mean"):
    """d^2 / 2 where d = |x - y| is below delta, delta (d - delta / 2) beyond (Huber 1964); shapes broadcast."""
    check_reduction(reduction)
    if not delta > 0:
        raise ValueError(f"delta must be positive, got {delta}")
    d = xp.abs(x - y)
    near = xp.minimum(d, delta)
    return reduced(near * near * 0.5 + (d - near) * delta, reduction)


@huber_loss.vjp("x", "y")
def _(g, x, y, *, delta, reduction):
    dx = passed(g, clip(x - y, -delta, delta), reduction)
    return dx, -dx


@huber_loss.jvp("x", "y")
def _(t, x, y, *, delta, reduction):
    d, moving = x - y, t[0] - t[1]
    return reduced(where(less(abs(d), delta), moving * d, delta * where(less(0.0, d), moving, -moving)), reduction)


# ---------------------------------------------------------------------------------------------------- of two classes


def U(*shape):
    """Probabilities, away from 0 and 1."""
    return Spec("uniform", shape, 0.1, 0.9)


FLOOR = -100.0  # what log 0 is taken for


@op(
    samples=lambda: [case(Spec("uniform", shape, 0.5, 2.0)) for shape in ((), (0,), (3,), (2, 3), (2, 1, 2))],
    kinks=[kink((0.0,), (0.0,), "held at -100")],
)
def clamped_log(xp, x):
    """log x, but never below -100; its slope is 0 where it is held there."""
    return xp.maximum(xp.log(xp.where(x > 0, x, 1)), FLOOR) + xp.where(x > 0, 0, FLOOR).astype(x.dtype)


@clamped_log.vjp("x")
def _(g, x):
    above = raw(x) > math.exp(FLOOR)
    return g * where(above, 1.0 / where(above, x, 1.0), 0.0)


@op(
    promote="p y weight",
    samples=lambda: [
        case(U(3, 4), U(3, 4)),
        case(U(3), U(3), reduction="sum"),
        case(U(2, 3), U(2, 3), U(3), reduction="none"),
        case(U(), U()),
        case(U(0, 2), U(0, 2)),
        case(U(2, 1), U(2, 3), U(2, 3)),
    ],
    kinks=[
        kink((0.0, 0.0), (1.0, 100.0), "one side only"),
        kink((1.0, 1.0), (-1.0, -100.0), "one side only"),
        kink((0.0, 1.0), (0.0, 100.0), "log 0 is held at -100"),
        kink((1.0, 0.0), (0.0, -100.0), "log 0 is held at -100"),
    ],
    cost=lambda p, *_, **__: 20 * p.size,
)
def binary_cross_entropy(xp, p, y, weight=None, *, reduction="mean"):
    """-(y log p + (1 - y) log(1 - p)) weight, for probabilities p and targets y in [0, 1]; shapes broadcast.

    Logarithms are held at -100, where their slope is 0: at p = 0 with y = 1 the gradient vanishes.  From logits
    `binary_cross_entropy_with_logits` is exact, and has no such point.
    """
    check_reduction(reduction)
    check_range(xp, "probabilities", p, "; for logits there is binary_cross_entropy_with_logits")
    check_range(xp, "targets", y)
    y = beside(p, y)
    each = -(y * clamped_log(p) + (1 - y) * clamped_log(1 - p))
    return reduced(each if weight is None else each * weight, reduction)


def check_range(xp, what, values, fix=""):
    if values.size and not (0 <= float(xp.min(values)) and float(xp.max(values)) <= 1):
        low, high = float(xp.min(values)), float(xp.max(values))
        raise ValueError(f"{what} must be from 0 to 1, they reach from {low:.4g} to {high:.4g}{fix}")


@binary_cross_entropy.composed
def _(p, y, weight, reduction):
    y = beside(p, y)
    each = -(y * clamped_log(p) + (1.0 - y) * clamped_log(1.0 - p))
    return reduced(each if weight is None else each * weight, reduction)


@op(
    promote="x y weight pos_weight",
    samples=lambda: [
        case(N(3, 4), U(3, 4)),
        case(N(3), U(3), reduction="sum"),
        case(N(2, 3), U(2, 3), U(3), U(3), reduction="none"),
        case(N(), U()),
        case(N(0, 2), U(0, 2)),
        case(N(2, 1), U(2, 3), None, U(3)),
    ],
    cost=lambda x, *_, **__: 20 * x.size,
)
def binary_cross_entropy_with_logits(xp, x, y, weight=None, pos_weight=None, *, reduction="mean"):
    """-(pos_weight y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) weight, without overflow; shapes broadcast.

    y: targets from 0 to 1; pos_weight: what a positive counts for, one number for each class.
    """
    check_reduction(reduction)
    check_range(xp, "targets", y)
    y = beside(x, y)
    positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * y
    each = (1 - y) * x + positive * (xp.maximum(-x, 0) + xp.log1p(xp.exp(-xp.abs(x))))
    return reduced(each if weight is None else each * weight, reduction)


@binary_cross_entropy_with_logits.vjp("x")
def _(g, x, y, weight, pos_weight, *, reduction):
    y = beside(x, y)
    positive = 1.0 if pos_weight is None else 1.0 + (pos_weight - 1.0) * y
    slope = 1.0 - y - positive * sigmoid(-x)
    return passed(g, slope if weight is None else slope * weight, reduction)


@binary_cross_entropy_with_logits.composed
def _(x, y, weight, pos_weight, reduction):
    y = beside(x, y)
    positive = 1.0 if pos_weight is None else 1.0 + (pos_weight - 1.0) * y
    each = (1.0 - y) * x + positive * softplus(-x)
    return reduced(each if weight is None else each * weight, reduction)


@binary_cross_entropy_with_logits.jvp("x")
def _(t, x, y, weight, pos_weight, *, reduction):
    p = sigmoid(x)  # d log p = (1 - p) dx, d log(1 - p) = -p dx
    slope = (1.0 - y) * p - (y if pos_weight is None else y * pos_weight) * (1.0 - p)
    return reduced((slope if weight is None else slope * weight) * t, reduction)


LABELS = np.array([[1, -1, 1], [-1, -1, 1]])


@op(
    promote="x y",
    samples=lambda: [
        case(N(2, 3), LABELS),
        case(N(3), LABELS[0], reduction="sum"),
        case(N(2, 3), LABELS[:, :1], margin=0.5, reduction="none"),
        case(N(), np.array(-1)),
        case(N(0, 3), LABELS[0]),
    ],
    kinks=[kink((1.0, 1.0), (0.0, 0.0), "the flat side")],
    cost=lambda x, *_, **__: 3 * x.size,
)
def hinge_loss(xp, x, y, *, margin=1.0, reduction="mean"):
    """max(0, margin - y x) for scores x and labels y, 1 or -1; shapes broadcast.  At the hinge the slope is 0."""
    check_reduction(reduction)
    if not bool((xp.abs(y) == 1).all()):
        raise ValueError("labels must be 1 or -1; from 0 and 1 make them by 2 * y - 1")
    return reduced(xp.maximum(margin - y * x, 0), reduction)


@hinge_loss.vjp("x")
def _(g, x, y, *, margin, reduction):
    y = beside(x, y)
    return passed(g, where(less(y * x, margin), -y, 0.0), reduction)


@hinge_loss.jvp("x")
def _(t, x, y, *, margin, reduction):
    return reduced(where(less(y * x, margin), -(y * t), 0.0), reduction)


hinge_loss.constant("y")


# ---------------------------------------------------------------------------------------------------- of many classes


def places(xp, targets, ignore_index, classes):
    """(which targets count, indices (..., 1) to look them up by); raises where one is out of range."""
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers (class indices), got {targets.dtype}")
    valid = targets != ignore_index
    counted = targets[valid]
    if counted.size and (int(counted.min()) < 0 or int(counted.max()) >= classes):
        ignoring = "" if ignore_index is None else f" (and ignore_index={ignore_index})"
        raise IndexError(
            f"targets reach from {int(counted.min())} to {int(counted.max())}, there are {classes} classes{ignoring}"
        )
    return valid, xp.where(valid, targets, 0)[..., None]


def why_not_classes(x, targets, weight=None, **_):
    if not x or not x[-1]:
        return f"there must be a last axis of at least one class, got shape {x}"
    if weight not in (None, x[-1:]):
        return f"weight has one number for each of the {x[-1]} classes, got {weight}"
    return f"(..., classes) {x} needs targets of shape {x[:-1]}, got {targets}" if targets != x[:-1] else None


INDICES, IGNORING = np.array([0, 2, 3]), np.array([[1, -100], [0, 2]])


@op(
    promote="log_p weight",
    diagnose=why_not_classes,
    samples=lambda: [
        case(N(3, 4), INDICES),
        case(N(3, 4), INDICES, U(4), reduction="sum"),
        case(N(2, 2, 3), IGNORING, U(3)),
        case(N(4), np.array(2)),
        case(N(2, 2, 3), IGNORING, reduction="none"),
        case(N(0, 3), np.zeros(0, int)),
    ],
    cost=lambda x, targets, *_, **__: 2 * targets.size,
)
def nll_loss(xp, log_p, targets, weight=None, *, ignore_index=-100, reduction="mean"):
    """-weight[target] log_p[target]; "mean" divides by the sum of the weights of the targets that count.

    log_p (..., V), logarithms of probabilities; targets (...), integers in [0, V) or `ignore_index`; weight (V,).
    """
    check_reduction(reduction)
    if why_not_classes(log_p.shape, targets.shape, None if weight is None else weight.shape):
        raise ValueError("shapes")
    valid, at = places(xp, targets, ignore_index, log_p.shape[-1])
    each = -xp.take_along_axis(log_p, at, -1)[..., 0]
    each = xp.where(valid, each if weight is None else each * weight[at[..., 0]], 0).astype(each.dtype)
    return averaged(each, valid, at, weight, reduction)


def averaged(each, valid, at, weight, reduction):
    """Losses of targets by index, reduced: their mean is over the weights of those that count."""
    return each if reduction == "none" else sum(each) / counted(valid, at, weight, reduction)


def counted(valid, at, weight, reduction):
    """What the sum of losses is divided by."""
    if reduction != "mean":
        return 1.0
    if weight is None:
        return float(max(int(valid.sum()), 1))
    total = sum(getitem(weight, index=at[..., 0]) * valid)
    return total + (raw(total) == 0)  # of nothing, or of what has no weight, the mean is 0


@nll_loss.composed
def _(log_p, targets, weight, ignore_index, reduction):
    valid, at = places(backend_of(raw(log_p)).xp, raw(targets), ignore_index, log_p.shape[-1])
    each = where(valid, -picked(log_p, at), 0.0)
    each = each if weight is None else each * getitem(weight, index=at[..., 0])
    return averaged(each, valid, at, weight, reduction)


nll_loss.constant("targets")


def picked(x, at):
    """The elements of x (..., V) at indices (..., 1): (...)."""
    return take_along_axis(x, at, -1)[..., 0]


def cross_entropy_cases():
    return [
        case(N(3, 4), INDICES),
        case(N(3, 4), INDICES, label_smoothing=0.1),
        case(N(2, 2, 3), IGNORING),
        case(N(4), np.array(2)),
        case(N(3, 4), INDICES, reduction="sum"),
        case(N(2, 2, 3), IGNORING, reduction="none", label_smoothing=0.2),
        case(N(2, 3), np.array([-1, -1]), ignore_index=-1),
        case(N(0, 3), np.zeros(0, int)),
        case(N(2, 2, 3), IGNORING, U(3), label_smoothing=0.2),
        case(N(3, 4), INDICES, U(4)),
        case(N(3, 4), U(3, 4)),
        case(N(2, 3), U(2, 3), U(3), label_smoothing=0.3),
        case(N(3), U(3), reduction="none"),
    ]


def is_soft(logits, targets):
    """Whether targets say what each class should have, and not which class it should be."""
    return targets.shape == logits.shape


def check_targets(xp, logits, targets, weight, label_smoothing):
    if not logits.ndim or not logits.shape[-1]:
        raise ValueError(f"logits need a last axis of at least one class, got shape {logits.shape}")
    if weight is not None and weight.shape != logits.shape[-1:]:
        raise ValueError(f"weight has one number for each of the {logits.shape[-1]} classes, got {weight.shape}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing}")
    if is_soft(logits, targets):
        if targets.size and not float(xp.min(targets)) >= 0:
            raise ValueError(f"targets are probabilities and none may be negative, got {float(xp.min(targets)):.4g}")
    elif targets.shape != logits.shape[:-1]:
        got = f"logits (..., classes) {logits.shape} need targets of shape {logits.shape[:-1]}, got {targets.shape}"
        raise ValueError(f"{got}; or, as probabilities of classes, of the shape of the logits")


@op(
    aux="lse",
    promote="logits weight",
    samples=cross_entropy_cases,
    cost=lambda x, *_, **__: 5 * x.size,
)
def cross_entropy(xp, logits, targets, weight=None, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """-log softmax(logits)[target], averaged over the targets that are not `ignore_index` (0 if there are none).

    logits (..., V); targets (...), integers in [0, V) or `ignore_index`; or (..., V), what each class should have (a
    probability, or one-hot): -sum(targets log softmax(logits)).
    weight (V,): what each class counts for; the mean over indices is then divided by the sum of their weights, that
    over probabilities by how many rows there are.
    label_smoothing s: the target distribution is 1 - s on the target and s / V on every class (Szegedy et al. 2016).
    """
    check_reduction(reduction)
    check_targets(xp, logits, targets, weight, label_smoothing)
    if not is_float(logits.dtype) and is_float(targets.dtype):
        logits = logits.astype(targets.dtype)
    top = xp.max(logits, axis=-1, keepdims=True)
    lse = top + xp.log(xp.sum(xp.exp(logits - top), axis=-1, keepdims=True))
    if is_soft(logits, targets):
        wanted, mass = distribution(logits, targets, weight, ignore_index, label_smoothing)
        return reduced((lse * mass - xp.sum(wanted * logits, axis=-1, keepdims=True))[..., 0], reduction), lse
    valid, at = places(xp, targets, ignore_index, logits.shape[-1])
    each = lse[..., 0] - xp.take_along_axis(logits, at, -1)[..., 0]
    each = each if weight is None else each * weight[at[..., 0]]
    if label_smoothing:
        flat = xp.mean(lse - logits if weight is None else (lse - logits) * weight, axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * flat
    return averaged(xp.where(valid, each, each.dtype.type(0)), valid, at, weight, reduction), lse


@cross_entropy.vjp("logits")
def _(g, logits, targets, weight, lse, *, ignore_index, label_smoothing, reduction):
    return cross_entropy_grad(
        g, logits, targets, weight, lse, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
    )


@cross_entropy.composed
def _(logits, targets, weight, ignore_index, label_smoothing, reduction):
    log_p = log_softmax(logits)
    if is_soft(logits, targets):
        return reduced(
            -sum(log_p * distribution(logits, targets, weight, ignore_index, label_smoothing)[0], axis=-1), reduction
        )
    valid, at = places(backend_of(raw(logits)).xp, raw(targets), ignore_index, logits.shape[-1])
    each = picked(log_p, at) if weight is None else picked(log_p, at) * getitem(weight, index=at[..., 0])
    if label_smoothing:
        each = (1.0 - label_smoothing) * each + label_smoothing * mean(
            log_p if weight is None else log_p * weight, axis=-1
        )
    return averaged(where(valid, -each, 0.0), valid, at, weight, reduction)


def distribution(logits, targets, weight, ignore_index, label_smoothing):
    """(what softmax should be, times the weights of the classes (..., V), 0 where ignored; its sum (..., 1))."""
    classes = logits.shape[-1]
    if is_soft(logits, targets):
        wanted = beside(logits, targets) * (1.0 - label_smoothing) + label_smoothing / classes
    else:
        xp = backend_of(raw(logits)).xp
        valid, at = places(xp, raw(targets), ignore_index, classes)
        wanted = xp.full(logits.shape, label_smoothing / classes, logits.dtype)
        xp.put_along_axis(wanted, at, 1 - label_smoothing + label_smoothing / classes, -1)
        wanted *= valid[..., None]
    wanted = wanted if weight is None else wanted * weight
    return wanted, sum(wanted, axis=-1, keepdims=True)


@op(
    promote="dy logits weight",
    samples=lambda: [
        case(
            N(*c.arrays[0].shape[:-1]) if c.params.get("reduction") == "none" else N(),
            *c.arrays,
            **c.params,
        )
        for c in cross_entropy_cases()
    ],
)
def cross_entropy_grad(
    xp, dy, logits, targets, weight=None, lse=None, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    """dlogits = (softmax(logits) sum(wanted) - wanted) dy / n, 0 where the target is ignored; lse is a cache.

    wanted: the target distribution times the weights of the classes.
    """
    dx = xp.exp(logits - lse) if lse is not None else softmax(logits)
    if is_soft(logits, targets):
        wanted, mass = distribution(logits, targets, weight, ignore_index, label_smoothing)
        return (dx * mass - wanted) * rows_share(dy, logits, targets, weight, ignore_index, reduction)
    valid, at = places(xp, targets, ignore_index, logits.shape[-1])
    if weight is None:  # `wanted` is not made: it is as large as the logits
        xp.put_along_axis(dx, at, xp.take_along_axis(dx, at, -1) - (1 - label_smoothing), -1)
        if label_smoothing:
            dx -= label_smoothing / logits.shape[-1]
    else:
        wanted, mass = distribution(logits, targets, weight, ignore_index, label_smoothing)
        dx = dx * mass - wanted
    dx *= rows_share(dy, logits, targets, weight, ignore_index, reduction)
    return xp.where(valid[..., None], dx, dx.dtype.type(0))  # 0 times the nan of an ignored row would be nan


def rows_share(dy, logits, targets, weight, ignore_index, reduction):
    """What arrives at each row of logits: (..., 1), or one number."""
    if reduction == "none":
        return expand_dims(dy, -1)
    if is_soft(logits, targets):
        return dy * share(reduction, logits.shape[:-1])
    valid, at = places(backend_of(raw(logits)).xp, raw(targets), ignore_index, logits.shape[-1])
    return dy / counted(valid, at, weight, reduction)


cross_entropy_grad.constant("lse")


@cross_entropy_grad.composed
def _(dy, logits, targets, weight, ignore_index, label_smoothing, reduction):
    wanted, mass = distribution(logits, targets, weight, ignore_index, label_smoothing)
    return (softmax(logits) * mass - wanted) * rows_share(dy, logits, targets, weight, ignore_index, reduction)


@op(
    diagnose=why_not_classes,
    samples=lambda: [
        case(N(3, 4), INDICES),
        case(N(3, 4), INDICES, margin=0.3, reduction="sum"),
        case(N(2, 2, 3), np.array([[1, 1], [0, 2]]), reduction="none"),
        case(N(4), np.array(2)),
        case(N(0, 3), np.zeros(0, int)),
        case(N(1, 2), np.array([1])),
    ],
    cost=lambda x, *_, **__: 4 * x.size,
)
def multi_margin_loss(xp, x, targets, *, margin=1.0, reduction="mean"):
    """sum over the classes j that are not the target of max(0, margin - x[target] + x[j]) / V: a hinge for each.

    x (..., V) scores; targets (...), integers in [0, V).
    """
    check_reduction(reduction)
    if targets.shape != x.shape[:-1] or not x.shape[-1]:
        raise ValueError("shapes")
    gaps = violations(xp, x, targets, margin)
    return reduced(xp.mean(xp.maximum(gaps, 0), axis=-1), reduction)


def violations(xp, x, targets, margin):
    """margin - x[target] + x for each class, and 0 at the target itself."""
    _, at = places(xp, targets, None, x.shape[-1])
    gaps = margin - xp.take_along_axis(x, at, -1) + x
    xp.put_along_axis(gaps, at, 0, -1)
    return gaps


@multi_margin_loss.vjp("x")
def _(g, x, targets, *, margin, reduction):
    xp, scores, targets = backend_of(raw(x)).xp, raw(x), raw(targets)
    slope = (violations(xp, scores, targets, margin) > 0).astype(scores.dtype)
    xp.put_along_axis(slope, targets[..., None], -xp.sum(slope, axis=-1, keepdims=True), -1)
    each = g * share(reduction, targets.shape)
    return slope * (expand_dims(each, -1) if reduction == "none" else each) * (1.0 / x.shape[-1])


multi_margin_loss.constant("targets")


# ---------------------------------------------------------------------------------------------------- of distributions


@op(
    samples=lambda: [
        case(N(3, 4), U(3, 4)),
        case(N(3, 4), U(3, 4), reduction="batchmean"),
        case(N(3), U(3), reduction="sum"),
        case(N(2, 3), N(3), log_target=True, reduction="none"),
        case(N(), U()),
        case(N(0, 2), U(0, 2)),
        case(N(2, 1, 3), N(2, 3), log_target=True),
    ],
    kinks=[kink((-1.0, 0.0), (0.0, 0.0), "0 log 0 is 0, and its infinite slope is left out")],
    cost=lambda x, *_, **__: 20 * x.size,
)
def kl_div(xp, log_p, target, *, log_target=False, reduction="mean"):
    """target (log target - log_p), elementwise, 0 where target is 0: the divergence of p from the target distribution.

    log_p: logarithms of probabilities; target: probabilities, or with log_target their logarithms; shapes broadcast.
    "mean" is over elements.  "batchmean", the sum divided by the length of the first axis, is the divergence itself.
    """
    check_reduction(reduction, (*REDUCTIONS, "batchmean"))
    if not log_target and target.size and not float(xp.min(target)) >= 0:
        low = float(xp.min(target))
        raise ValueError(f"target holds probabilities and none may be negative, got {low:.4g}; or log_target=True?")
    q = xp.exp(target) if log_target else target
    some = q > 0
    level = xp.where(some, target, 0) if log_target else xp.log(xp.where(some, q, 1))
    return reduced(q * (level - xp.where(some, log_p, 0)), reduction)


@kl_div.vjp("log_p")
def _(g, target, log_p_shape, *, log_target, reduction):
    slope = broadcast_to(-exp(target) if log_target else -target, shape=np.broadcast_shapes(target.shape, log_p_shape))
    return passed(g, slope, reduction)


@kl_div.vjp("target")
def _(g, log_p, target, *, log_target, reduction):
    q = exp(target) if log_target else target
    some = raw(q) > 0
    level = where(some, target, 0.0) if log_target else log(where(some, q, 1.0))
    slope = where(some, level + 1.0 - where(some, log_p, 0.0), 0.0)
    return passed(g, slope * q if log_target else slope, reduction)


@kl_div.jvp("log_p")
def _(t, target, *, log_target, reduction):
    return reduced(-(t * (exp(target) if log_target else target)), reduction)
