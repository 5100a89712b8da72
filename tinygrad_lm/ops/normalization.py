"""Softmax and layer normalisation."""

from __future__ import annotations

from tinygrad_lm.core import op
from tinygrad_lm.ops.elementwise import exp
from tinygrad_lm.ops.reduction import mean, sum
from tinygrad_lm.ops.samples import N, case

__all__ = [
    "layer_norm",
    "log_softmax",
    "softmax",
]

# ruff: noqa: A004


def rows():
    return [
        case(N(3, 4)),
        case(N(2, 3, 4), axis=1),
        case(N(5), axis=0),
        case(N(0, 3)),
        case(N(2, 1)),
        case(N(3, 2), axis=-2),
    ]


@op(samples=rows, cost=lambda x, **_: 5 * x.size)
def softmax(xp, x, *, axis=-1):
    """e^x / sum of e^x along `axis`, without overflow.  The result is positive and sums to 1.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True, initial=-xp.inf))
    e /= xp.sum(e, axis=axis, keepdims=True)
    return e


@softmax.vjp("x")
def _(g, out, *, axis):
    return out * (g - sum(g * out, axis=axis, keepdims=True))


@op(samples=rows, cost=lambda x, **_: 5 * x.size)
def log_softmax(xp, x, *, axis=-1):
    """x - log of the sum of e^x along `axis`: the logarithm of softmax, without overflow."""
    shifted = x - xp.max(x, axis=axis, keepdims=True, initial=-xp.inf)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


@log_softmax.vjp("x")
def _(g, out, *, axis):
    return g - exp(out) * sum(g, axis=axis, keepdims=True)


def why_not_norm(x, weight=None, bias=None, **_):
    width = x[-1:] or ("a last axis",)
    return f"weight and bias must have shape {width}, got {weight} and {bias}"


@op(
    aux="centre scale",
    diagnose=why_not_norm,
    cost=lambda x, *_, **__: 8 * x.size,
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
    if any(p is not None and p.shape != x.shape[-1:] for p in (weight, bias)):
        raise ValueError("shapes")
    centre = xp.mean(x, axis=-1, keepdims=True)
    y = x - centre
    scale = 1 / xp.sqrt(xp.mean(y * y, axis=-1, keepdims=True) + x.dtype.type(eps))
    y *= scale
    if weight is not None:
        y = xp.multiply(y, weight, out=y if weight.dtype == y.dtype else None)
    if bias is not None:
        y = xp.add(y, bias, out=y if bias.dtype == y.dtype else None)
    return y, centre, scale


@layer_norm.vjp("x", "weight", "bias")
def _(g, x, weight, centre, scale, needs, *, eps):
    dx, dweight = layer_norm_grad(g, x, weight, centre, scale, eps=eps) if needs[0] or needs[1] else (None, None)
    return dx, dweight, g


@op(
    samples=lambda: (
        [case(N(*s), N(*s), N(s[-1])) for s in ((3, 5), (6,), (0, 3), (4, 3))] + [case(N(2, 3, 4), N(2, 3, 4))]
    )
)
def layer_norm_grad(xp, dy, x, weight=None, centre=None, scale=None, *, eps=1e-5):
    """(dx, dweight) of layer_norm, dweight not yet summed over rows; centre and scale are caches (computed if None).

    With h = (x - centre) scale and dh = dy weight:  dx = (dh - mean dh - h mean(dh h)) scale,  dweight = dy h.
    """
    if centre is None or scale is None:
        _, centre, scale = layer_norm.op.forward(xp, x, eps=eps)
    h = x - centre
    h *= scale
    dh = dy if weight is None else dy * weight
    dx = dh - xp.mean(dh, axis=-1, keepdims=True)
    dx -= h * xp.mean(dh * h, axis=-1, keepdims=True)
    dx *= scale
    h *= dy
    return dx, h


layer_norm_grad.constant("centre", "scale")


@layer_norm_grad.composed
def _(dy, x, weight, eps):
    centred = x - mean(x, axis=-1, keepdims=True)
    scale = (mean(centred * centred, axis=-1, keepdims=True) + eps) ** -0.5
    h, dh = centred * scale, dy if weight is None else dy * weight
    dx = (dh - mean(dh, axis=-1, keepdims=True) - h * mean(dh * h, axis=-1, keepdims=True)) * scale
    return dx, dy * h


@layer_norm.composed
def _(x, weight, bias, eps):
    centred = x - mean(x, axis=-1, keepdims=True)
    y = centred * (mean(centred * centred, axis=-1, keepdims=True) + eps) ** -0.5
    y = y if weight is None else y * weight
    return y if bias is None else y + bias
