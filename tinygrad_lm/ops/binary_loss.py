"""Losses of two classes: of probabilities, of logits, of scores on either side of 0."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.activation import softplus
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.comparison import less
from tinygrad_lm.ops.exponential import sigmoid
from tinygrad_lm.ops.loss import beside, check_reduction, passed, reduced
from tinygrad_lm.ops.samples import N, Spec, U, case, kink

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_loss",
]

# ruff: noqa: F811  (every rule is named `_`)

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
