"""Normalisation along an axis: to the sum one (softmax), to mean zero and variance one, to mean square one."""

from __future__ import annotations

import math

from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.exponential import exp
from tinygrad_lm.ops.reduction import axis_in, mean, peak, sum
from tinygrad_lm.ops.samples import N, case, kink
from tinygrad_lm.ops.shape import floating, why_not_along

__all__ = [
    "layer_norm",
    "log_softmax",
    "rms_norm",
    "softmax",
]

# ruff: noqa: A004, F811


def rows():
    return [
        case(N(3, 4)),
        case(N(2, 3, 4), axis=1),
        case(N(5), axis=0),
        case(N(0, 3)),
        case(N(2, 1)),
        case(N(3, 2), axis=-2),
        case(N(2, 2, 2), axis=(0, -1)),
        case(N()),
    ]


@op(
    samples=rows,
    cost=lambda x, **_: 5 * x.size,
    analytic=True,
    diagnose=why_not_along,
    kinks=[kink(([-math.inf, -math.inf],), ([0.0, 0.0],), "nothing but -inf: 0, whatever the limit would be")],
)
def softmax(xp, x, *, axis=-1):
    """e^x / sum of e^x along `axis` (an int or a tuple), without overflow.  The result is positive and sums to 1.

    An element of -inf gets 0 and no gradient, which is how to leave some out; where a slice has nothing but -inf, all
    of it is 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    >>> mask = np.array([[True, False, True], [False, False, False]])
    >>> tg.softmax(tg.where(mask, np.zeros((2, 3)), -np.inf))
    array([[0.5, 0. , 0.5],
           [0. , 0. , 0. ]])
    """
    x = floating(x)
    e = xp.exp(x - finite_top(xp, x, axis))
    total = xp.sum(e, axis=axis_in(x, axis), keepdims=True)
    e /= xp.where(total == 0, 1, total)
    return e


def finite_top(xp, x, axis):
    """The largest element along `axis`, which is kept; 0 where there is nothing but -inf."""
    top = peak(xp, x, axis, -xp.inf)
    return xp.where(top == -xp.inf, 0, top).astype(x.dtype, copy=False)


@softmax.vjp("x")
def _(g, out, *, axis):
    return softmax_grad(g, out, axis=axis)


@softmax.jvp("x")
def _(t, out, *, axis):
    moved = out * t
    return moved - out * sum(moved, axis=axis, keepdims=True)


@op(samples=lambda: pairs_of(rows()))
def softmax_grad(xp, dy, y, *, axis=-1):
    """dx = y (dy - sum(dy y)) of y = softmax(x)."""
    return y * (dy - xp.sum(dy * y, axis=axis_in(y, axis), keepdims=True))


@softmax_grad.composed
def _(dy, y, axis):
    return y * (dy - sum(dy * y, axis=axis, keepdims=True))


def pairs_of(cases):
    """The same cases for two inputs of one shape."""
    return [case(*c.arrays, *c.arrays, **c.params) for c in cases]


@op(
    samples=rows,
    cost=lambda x, **_: 5 * x.size,
    analytic=True,
    diagnose=why_not_along,
    kinks=[kink(([-math.inf, -math.inf],), ([0.0, 0.0],), "nothing but -inf passes nothing")],
)
def log_softmax(xp, x, *, axis=-1):
    """x - log of the sum of e^x along `axis` (an int or a tuple): the logarithm of softmax, without overflow.

    A slice with nothing but -inf stays -inf and passes no gradient.
    """
    x = floating(x)
    shifted = x - finite_top(xp, x, axis)
    total = xp.sum(xp.exp(shifted), axis=axis_in(x, axis), keepdims=True)
    return shifted - xp.log(xp.where(total == 0, 1, total))


@log_softmax.vjp("x")
def _(g, out, *, axis):
    return log_softmax_grad(g, out, axis=axis)


@log_softmax.jvp("x")
def _(t, out, *, axis):
    p = exp(out)
    return (t - sum(p * t, axis=axis, keepdims=True)) * occupied(p, axis)


def occupied(p, axis):
    """Booleans: where a slice of a softmax holds anything but zeros."""
    return sum(raw(p), axis=axis, keepdims=True) > 0


@op(samples=lambda: pairs_of(rows()))
def log_softmax_grad(xp, dy, y, *, axis=-1):
    """dx = dy - e^y sum(dy) of y = log_softmax(x); 0 where a slice has nothing but -inf."""
    p = xp.exp(y)
    dy = dy * (xp.sum(p, axis=axis_in(y, axis), keepdims=True) > 0)
    return dy - p * xp.sum(dy, axis=axis_in(y, axis), keepdims=True)


@log_softmax_grad.composed
def _(dy, y, axis):
    p = exp(y)
    dy = dy * occupied(p, axis)
    return dy - p * sum(dy, axis=axis, keepdims=True)


# ------------------------------------------------------------------------------------------------ mean and variance


def why_not_norm(x, weight=None, bias=None, **_):
    if not x or not x[-1]:
        return f"x needs a last axis of at least one element, got shape {x}"
    return f"weight and bias must have shape {x[-1:]}, got {weight} and {bias}"


@op(
    aux="centre scale",
    diagnose=why_not_norm,
    cost=lambda x, *_, **__: 8 * x.size,
    analytic=True,
    samples=lambda: [
        case(N(3, 5), N(5), N(5)),
        case(N(2, 3, 4), N(4)),
        case(N(6)),
        case(N(0, 3), N(3), N(3)),
        case(N(2, 4), None, N(4)),
        case(N(3, 5), N(5), N(5), eps=0.1),
    ],
)
def layer_norm(xp, x, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axis (Ba, Kiros and Hinton 2016).

    x (..., width); weight and bias (width,) or None.  The variance divides by the width.
    """
    check_width(x, weight, bias)
    y, centre, scale, _ = standardized(xp, x, weight, bias, -1, eps)
    return y, centre, scale


def check_width(x, *params):
    if not x.ndim or not x.shape[-1] or any(p is not None and p.shape != x.shape[-1:] for p in params):
        raise ValueError("shapes")


def standardized(xp, x, weight, bias, axis, eps):
    """(x - mean) / sqrt(variance + eps) * weight + bias over `axis`; the mean, 1 / the root, and the variance."""
    centre = xp.mean(x, axis=axis, keepdims=True)
    y = x - centre
    variance = xp.mean(y * y, axis=axis, keepdims=True)
    scale = 1 / xp.sqrt(variance + y.dtype.type(eps))
    y *= scale
    return scaled(xp, y, weight, bias), centre, scale, variance


def scaled(xp, y, weight, bias):
    """y * weight + bias, written into y where its dtype is theirs."""
    if weight is not None:
        y = xp.multiply(y, weight, out=y if weight.dtype == y.dtype else None)
    if bias is not None:
        y = xp.add(y, bias, out=y if bias.dtype == y.dtype else None)
    return y


@layer_norm.vjp("x", "weight", "bias")
def _(g, x, weight, centre, scale, needs, *, eps):
    if not (needs[0] or needs[1]):
        return None, None, g
    return layer_norm_grad(g, x, weight, centre, scale, eps=eps)


@layer_norm.jvp("x", "weight", "bias")
def _(t, x, weight, centre, scale):
    tx, tweight, tbias = t
    return moved_norm(tx, tweight, tbias, x, weight, centre, scale, -1)


def moved_norm(tx, tweight, tbias, x, weight, centre, scale, axis):
    """The differential of (x - centre) scale weight + bias: centre and scale = (variance + eps)^(-1/2) move too."""
    apart, tapart = x - centre, tx - mean(tx, axis=axis, keepdims=True)
    tvariance = mean(2.0 * apart * tapart, axis=axis, keepdims=True)
    ty = tapart * scale - apart * (0.5 * scale**3 * tvariance)
    if weight is not None:
        ty = ty * weight + apart * scale * tweight
    return ty if tbias is None else ty + tbias


@op(
    samples=lambda: [
        case(N(3, 5), N(3, 5), N(5)),
        case(N(6), N(6), N(6)),
        case(N(0, 3), N(0, 3), N(3)),
        case(N(2, 3, 4), N(2, 3, 4)),
        case(N(2, 3, 2), N(2, 3, 2), N(3, 1), axis=(0, 2)),
        case(N(2, 2, 3), N(2, 2, 3), eps=0.1, axis=(1, 2)),
    ]
)
def standardize_grad(xp, dy, x, weight=None, centre=None, scale=None, *, axis=-1, eps=1e-5):
    """(dx, dweight) of (x - mean) / sqrt(variance + eps) * weight over `axis`, where weight broadcasts against x.

    dweight is not yet summed over what weight was broadcast along; centre and scale are caches (computed if None).
    With h = (x - centre) scale and dh = dy weight:  dx = (dh - mean dh - h mean(dh h)) scale,  dweight = dy h.
    """
    if centre is None or scale is None:
        _, centre, scale, _ = standardized(xp, x, None, None, axis, eps)
    h = x - centre
    h *= scale
    dh = dy if weight is None else dy * weight
    dx = dh - xp.mean(dh, axis=axis, keepdims=True)
    dx -= h * xp.mean(dh * h, axis=axis, keepdims=True)
    dx *= scale
    h *= dy
    return dx, h


standardize_grad.constant("centre", "scale")


@standardize_grad.composed
def _(dy, x, weight, axis, eps):
    h, scale = standard(x, axis, eps)
    dh = dy if weight is None else dy * weight
    dx = (dh - mean(dh, axis=axis, keepdims=True) - h * mean(dh * h, axis=axis, keepdims=True)) * scale
    return dx, dy * h


def standard(x, axis, eps):
    """x with mean 0 and variance 1 over `axis`, and what it was multiplied by, from simple ops."""
    apart = x - mean(x, axis=axis, keepdims=True)
    scale = (mean(apart * apart, axis=axis, keepdims=True) + eps) ** -0.5
    return apart * scale, scale


def affine(y, weight, bias):
    """y * weight + bias, either of which may be None."""
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@layer_norm.composed
def _(x, weight, bias, eps):
    return affine(standard(x, -1, eps)[0], weight, bias)


def over_rows(p):
    """What a weight that serves all rows receives: the sum over all axes but the last."""
    return sum(p, axis=tuple(range(p.ndim - 1)))


@op(
    samples=lambda: [
        case(N(3, 5), N(3, 5), N(5)),
        case(N(2, 3, 4), N(2, 3, 4)),
        case(N(6), N(6), N(6)),
        case(N(0, 3), N(0, 3), N(3)),
        case(N(2, 2, 3), N(2, 2, 3), eps=0.1),
    ]
)
def layer_norm_grad(xp, dy, x, weight=None, centre=None, scale=None, *, eps=1e-5):
    """(dx, dweight, dbias) of layer_norm; centre and scale are caches (computed if None).

    With h = (x - centre) scale and dh = dy weight:  dx = (dh - mean dh - h mean(dh h)) scale, and, summed over the
    rows, dweight = dy h and dbias = dy.
    """
    dx, h = standardize_grad(dy, x, weight, centre, scale, eps=eps)
    return dx, over_rows(h), over_rows(dy)


layer_norm_grad.constant("centre", "scale")


@layer_norm_grad.composed
def _(dy, x, weight, eps):
    dx, h = standardize_grad(dy, x, weight, eps=eps)
    return dx, over_rows(h), over_rows(dy)


# ------------------------------------------------------------------------------------------------ mean square


@op(
    aux="scale",
    diagnose=why_not_norm,
    cost=lambda x, *_, **__: 5 * x.size,
    analytic=True,
    samples=lambda: [
        case(N(3, 5), N(5)),
        case(N(2, 3, 4), N(4)),
        case(N(6)),
        case(N(0, 3), N(3)),
        case(N(3, 1), N(1), eps=0.1),
    ],
)
def rms_norm(xp, x, weight=None, *, eps=1e-5):
    """x / sqrt(mean of x^2 + eps) * weight, over the last axis (Zhang and Sennrich 2019).

    x (..., width); weight (width,) or None.  Unlike layer_norm, the mean stays in.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.rms_norm(np.array([3.0, 4.0]), eps=0.0) * np.sqrt(12.5)
    array([3., 4.])
    """
    check_width(x, weight)
    square = xp.mean(x * x, axis=-1, keepdims=True)
    scale = 1 / xp.sqrt(square + square.dtype.type(eps))
    return scaled(xp, x * scale, weight, None), scale


@rms_norm.vjp("x", "weight")
def _(g, x, weight, scale, *, eps):
    return rms_norm_grad(g, x, weight, scale, eps=eps)


@rms_norm.jvp("x", "weight")
def _(t, x, weight, scale):
    tx, tweight = t
    ty = tx * scale - x * (scale**3 * mean(x * tx, axis=-1, keepdims=True))
    return ty if weight is None else ty * weight + x * scale * tweight


@op(
    samples=lambda: [
        case(N(3, 5), N(3, 5), N(5)),
        case(N(2, 3, 4), N(2, 3, 4)),
        case(N(6), N(6), N(6)),
        case(N(0, 3), N(0, 3), N(3)),
        case(N(3, 1), N(3, 1), N(1), eps=0.1),
    ]
)
def rms_norm_grad(xp, dy, x, weight=None, scale=None, *, eps=1e-5):
    """(dx, dweight) of rms_norm; scale is a cache (computed if None).

    With h = x scale and dh = dy weight:  dx = (dh - h mean(dh h)) scale, and, summed over the rows, dweight = dy h.
    """
    if scale is None:
        _, scale = rms_norm.op.forward(xp, x, eps=eps)
    h = x * scale
    dh = dy if weight is None else dy * weight
    dx = dh - h * xp.mean(dh * h, axis=-1, keepdims=True)
    dx *= scale
    h *= dy
    return dx, over_rows(h)


rms_norm_grad.constant("scale")


@rms_norm_grad.composed
def _(dy, x, weight, eps):
    scale = (mean(x * x, axis=-1, keepdims=True) + eps) ** -0.5
    h, dh = x * scale, dy if weight is None else dy * weight
    return (dh - h * mean(dh * h, axis=-1, keepdims=True)) * scale, over_rows(dy * h)


@rms_norm.composed
def _(x, weight, eps):
    return affine(x * (mean(x * x, axis=-1, keepdims=True) + eps) ** -0.5, weight, None)
