"""Losses, as numbers to be minimised: of what was predicted first, then of what should have been.

Names and formulas are torch's.  reduction: "mean" over all that counts (of nothing it is 0), "sum" or "none".
Of two classes: `binary_loss.py`; of many: `class_loss.py`.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.backend import is_float
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import clip, where
from tinygrad_lm.ops.comparison import less
from tinygrad_lm.ops.exponential import exp, log
from tinygrad_lm.ops.reduction import sum
from tinygrad_lm.ops.rounding import sign
from tinygrad_lm.ops.samples import N, U, case, kink
from tinygrad_lm.ops.shape import broadcast_to

__all__ = [
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
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
    far = where(less(0.0, d), moving, where(less(d, 0.0), -moving, 0.0))
    return reduced(where(less(abs(d), beta), moving * d / (beta or 1.0), far), reduction)


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
