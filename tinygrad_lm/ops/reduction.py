"""Reductions over one axis, several, or all."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.elementwise import equal, exp, where
from tinygrad_lm.ops.samples import D, N, case, kink
from tinygrad_lm.ops.shape import broadcast_to, flip, reshape

__all__ = [
    "argmax",
    "argmin",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "sum",
    "var",
]

# ruff: noqa: A001  (names are NumPy's)


def reducing(kind):
    """Shapes and axes for a reduction: all, one, negative, several, kept, 0-d, zero-size beside the reduced axis."""
    return lambda: [
        case(kind(2, 3)),
        case(kind(2, 3, 4), axis=1),
        case(kind(2, 3, 4), axis=(0, -1)),
        case(kind()),
        case(kind(2, 3), axis=-1, keepdims=True),
        case(kind(0, 3), axis=1),
        case(kind(5), axis=0),
    ]


def axes_of(axis, ndim):
    """The reduced axes as a tuple of non-negative numbers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple([a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))]) if ndim else ()


def expanded(g, shape, axis, keepdims):
    """A reduced array in a shape that broadcasts against `shape`, which it was reduced from."""
    if keepdims and axis is not None:
        return g
    axes = axes_of(axis, len(shape))
    return reshape(g, shape=tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def reduced_shape(shape, axis):
    """The shape that is left without the reduced axes."""
    axes = axes_of(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def count(shape, axis):
    """How many elements each result is made of."""
    return math.prod([shape[i] for i in axes_of(axis, len(shape))])


@op(samples=reducing(N))
def sum(xp, x, *, axis=None, keepdims=False):
    """Sum of elements over `axis` (an int, a tuple, or None for all).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.sum(np.ones((2, 3)), axis=0)
    array([2., 2., 2.])
    """
    return xp.sum(x, axis=axis, keepdims=keepdims)


@sum.vjp("x")
def _(g, x_shape, *, axis, keepdims):
    return broadcast_to(expanded(g, x_shape, axis, keepdims), shape=x_shape)


@op(samples=reducing(N))
def mean(xp, x, *, axis=None, keepdims=False):
    """Arithmetic mean over `axis`."""
    return xp.mean(x, axis=axis, keepdims=keepdims)


@mean.vjp("x")
def _(g, x_shape, *, axis, keepdims):
    share = expanded(g, x_shape, axis, keepdims) * (1 / (count(x_shape, axis) or 1))
    return broadcast_to(share, shape=x_shape)


@op(samples=lambda: [*reducing(N)()[:5], case(N(2, 4), axis=1, correction=1), case(N(5), correction=1)])
def var(xp, x, *, axis=None, correction=0, keepdims=False):
    """Variance over `axis`: the sum of squared distances from the mean, divided by n - correction."""
    return xp.var(x, axis=axis, ddof=correction, keepdims=keepdims)


@var.vjp("x")
def _(g, x, x_shape, *, axis, correction, keepdims):
    freedom = count(x_shape, axis) - correction
    scale = 2 / freedom if freedom else math.nan
    return expanded(g, x_shape, axis, keepdims) * ((x - mean(x, axis=axis, keepdims=True)) * scale)


@op(samples=reducing(D), kinks=[kink(([1.0, 1.0, 0.0],), ([0.5, 0.5, 0.0],), "those that tie share equally")])
def max(xp, x, *, axis=None, keepdims=False):
    """Largest element over `axis`.  Elements that tie share the gradient equally."""
    return xp.max(x, axis=axis, keepdims=keepdims)


@op(samples=reducing(D), kinks=[kink(([1.0, 0.0, 0.0],), ([0.0, 0.5, 0.5],), "those that tie share equally")])
def min(xp, x, *, axis=None, keepdims=False):
    """Smallest element over `axis`.  Elements that tie share the gradient equally."""
    return xp.min(x, axis=axis, keepdims=keepdims)


def extremum_rule(g, x, out, x_shape, *, axis, keepdims):
    hit = equal(x, expanded(out, x_shape, axis, keepdims)) * 1.0
    return expanded(g, x_shape, axis, keepdims) * (hit / sum(hit, axis=axis, keepdims=True))


max.vjp("x")(extremum_rule)
min.vjp("x")(extremum_rule)


@op(samples=reducing(N))
def logsumexp(xp, x, *, axis=None, keepdims=False):
    """log of the sum of e^x over `axis`, without overflow.  A slice of -inf alone gives -inf, with gradient 0."""
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.sum(xp.exp(x - top), axis=axis, keepdims=True)
    out = xp.where(total > 0, top + xp.log(xp.where(total > 0, total, 1)), xp.full_like(total, -xp.inf))
    return out if keepdims else out.reshape(reduced_shape(x.shape, axis))


@logsumexp.vjp("x")
def _(g, x, out, x_shape, *, axis, keepdims):
    level = expanded(out, x_shape, axis, keepdims)
    level = where(equal(level, -math.inf), 0.0, level)
    return expanded(g, x_shape, axis, keepdims) * exp(x - level)


@op(
    samples=lambda: [
        case(N(5), axis=0),
        case(N(2, 3), axis=1),
        case(N(2, 3), axis=-2),
        case(N(0, 2), axis=0),
        case(N(1), axis=0),
    ]
)
def cumsum(xp, x, *, axis):
    """Running sums along `axis`."""
    return xp.cumsum(x, axis=axis)


@cumsum.vjp("x")
def _(g, *, axis):
    return flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis)


def choosing():
    """Axes for what answers with an index: one axis, or all."""
    kept = case(D(2, 3), axis=0, keepdims=True)
    return [case(D(5)), case(D(2, 3), axis=1), kept, case(D(1)), case(D(2, 1, 3), axis=-1)]


@op(samples=choosing)
def argmax(xp, x, *, axis=None, keepdims=False):
    """Index of the largest element; the first of those that tie.  Integers have no derivative."""
    return xp.argmax(x, axis=axis, keepdims=keepdims)


@op(samples=choosing)
def argmin(xp, x, *, axis=None, keepdims=False):
    """Index of the smallest element; the first of those that tie.  Integers have no derivative."""
    return xp.argmin(x, axis=axis, keepdims=keepdims)


argmax.constant("x")
argmin.constant("x")
