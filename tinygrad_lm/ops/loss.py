"""Losses, as numbers to be minimised."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.normalization import log_softmax, softmax
from tinygrad_lm.ops.reduction import sum
from tinygrad_lm.ops.samples import N, case

__all__ = [
    "cross_entropy",
    "mse_loss",
]

# ruff: noqa: A004

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction):
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")


@op(
    samples=lambda: [
        case(N(3, 4), N(3, 4)),
        case(N(3), N(3), reduction="sum"),
        case(N(2, 3), N(3), reduction="none"),
        case(N(), N()),
        case(N(0, 2), N(0, 2), reduction="sum"),
    ]
)
def mse_loss(xp, x, y, *, reduction="mean"):
    """Mean (or sum, or each) of the squared differences (x - y)^2; shapes broadcast."""
    check_reduction(reduction)
    square = xp.square(x - y)
    return square if reduction == "none" else xp.mean(square) if reduction == "mean" else xp.sum(square)


@mse_loss.vjp("x", "y")
def _(g, x, y, *, reduction):
    difference = x - y
    dx = difference * (g * (2.0 / (difference.size or 1) if reduction == "mean" else 2.0))
    return dx, -dx


def cross_entropy_cases():
    targets, ignoring = np.array([0, 2, 3]), np.array([[1, -100], [0, 2]])
    return [
        case(N(3, 4), targets),
        case(N(3, 4), targets, label_smoothing=0.1),
        case(N(2, 2, 3), ignoring),
        case(N(4), np.array(2)),
        case(N(3, 4), targets, reduction="sum"),
        case(N(2, 2, 3), ignoring, reduction="none", label_smoothing=0.2),
        case(N(2, 3), np.array([-1, -1]), ignore_index=-1),
        case(N(0, 3), np.zeros(0, int)),
    ]


def why_not_cross_entropy(logits, targets, **_):
    return (
        f"logits (..., classes) {logits} need targets of shape {logits[:-1]}, got {targets}"
        if targets != logits[:-1]
        else None
    )


@op(aux="lse", samples=cross_entropy_cases, diagnose=why_not_cross_entropy, cost=lambda x, *_, **__: 5 * x.size)
def cross_entropy(xp, logits, targets, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """-log softmax(logits)[target], averaged over the targets that are not `ignore_index` (0 if there are none).

    logits (..., V); targets (...), integers in [0, V) or `ignore_index`; reduction: "mean", "sum" or "none".
    label_smoothing s: the target distribution is 1 - s on the target and s / V on every class (Szegedy et al. 2016).
    """
    check_reduction(reduction)
    if targets.shape != logits.shape[:-1]:
        raise ValueError("shapes")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers (class indices), got {targets.dtype}")
    valid, at = places(xp, targets, ignore_index, logits.shape[-1])
    top = xp.max(logits, axis=-1, keepdims=True)
    lse = top + xp.log(xp.sum(xp.exp(logits - top), axis=-1, keepdims=True))
    loss = lse[..., 0] - xp.take_along_axis(logits, at, -1)[..., 0]
    if label_smoothing:
        loss = (1 - label_smoothing) * loss + label_smoothing * (lse[..., 0] - xp.mean(logits, axis=-1))
    loss = xp.where(valid, loss, loss.dtype.type(0))
    if reduction == "none":
        return loss, lse
    total = xp.sum(loss)
    return total / max(int(valid.sum()), 1) if reduction == "mean" else total, lse


cross_entropy.constant("targets")


def places(xp, targets, ignore_index, classes):
    """(which targets count, indices (..., 1) to look them up by); raises where one is out of range."""
    valid = targets != ignore_index
    counted = targets[valid]
    if counted.size and (int(counted.min()) < 0 or int(counted.max()) >= classes):
        raise IndexError(
            f"targets reach from {int(counted.min())} to {int(counted.max())}, there are {classes} classes "
            f"(and ignore_index={ignore_index})"
        )
    return valid, xp.where(valid, targets, 0)[..., None]


@cross_entropy.vjp("logits")
def _(g, logits, targets, lse, *, ignore_index, label_smoothing, reduction):
    return cross_entropy_grad(
        g, logits, targets, lse, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
    )


@op(
    samples=lambda: [
        case(N(*c.arrays[1].shape) if c.params.get("reduction") == "none" else N(), *c.arrays, **c.params)
        for c in cross_entropy_cases()
    ]
)
def cross_entropy_grad(xp, dy, logits, targets, lse=None, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """dlogits = (softmax(logits) - target distribution) dy / n, 0 where the target is ignored; lse is a cache."""
    valid, at = places(xp, targets, ignore_index, logits.shape[-1])
    dx = xp.exp(logits - lse) if lse is not None else softmax(logits)
    xp.put_along_axis(dx, at, xp.take_along_axis(dx, at, -1) - (1 - label_smoothing), -1)
    if label_smoothing:
        dx -= label_smoothing / logits.shape[-1]
    dx *= share_of(xp, dy, valid, reduction, logits.dtype)
    return xp.where(valid[..., None], dx, dx.dtype.type(0))  # 0 times the nan of an ignored row would be nan


def share_of(xp, dy, valid, reduction, dtype):
    """dy, divided by how many targets were averaged, 0 where a target is ignored: (..., 1)."""
    weight = valid[..., None].astype(dtype)
    if reduction == "none":
        return weight * dy[..., None]
    return weight * (dy / max(int(valid.sum()), 1) if reduction == "mean" else dy)


cross_entropy_grad.constant("targets", "lse")


@cross_entropy_grad.composed
def _(dy, logits, targets, ignore_index, label_smoothing, reduction):
    xp = backend_of(raw(logits)).xp
    wanted, valid = target_distribution(xp, raw(logits), raw(targets), ignore_index, label_smoothing)
    return (softmax(logits) - wanted) * share_of(xp, dy, valid, reduction, logits.dtype)


@cross_entropy.composed
def _(logits, targets, ignore_index, label_smoothing, reduction):
    xp = backend_of(raw(logits)).xp
    wanted, valid = target_distribution(xp, raw(logits), raw(targets), ignore_index, label_smoothing)
    each = -sum(log_softmax(logits) * wanted, axis=-1) * valid
    return each if reduction == "none" else sum(each) * (1.0 / max(int(valid.sum()), 1) if reduction == "mean" else 1.0)


def target_distribution(xp, logits, targets, ignore_index, label_smoothing):
    """(what softmax should be, (..., V); which rows count)."""
    valid, at = places(xp, targets, ignore_index, logits.shape[-1])
    wanted = xp.full(logits.shape, label_smoothing / logits.shape[-1], logits.dtype)
    xp.put_along_axis(wanted, at, 1 - label_smoothing + label_smoothing / logits.shape[-1], -1)
    return wanted, valid
