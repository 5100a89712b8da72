"""Losses of many classes, on the last axis: of log-probabilities, of logits, of scores."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import backend_of, is_float
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.indexing import getitem, take_along_axis
from tinygrad_lm.ops.loss import beside, check_reduction, reduced, share
from tinygrad_lm.ops.normalization import log_softmax, softmax
from tinygrad_lm.ops.reduction import mean, sum
from tinygrad_lm.ops.samples import N, U, case
from tinygrad_lm.ops.shape import expand_dims

__all__ = [
    "cross_entropy",
    "multi_margin_loss",
    "nll_loss",
]

# ruff: noqa: A004, F811  (every rule is named `_`)


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
        case(N(2, 2, 3), U(2, 2, 3)),
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
