"""Shapes: the same numbers, arranged otherwise.  Every rule is the inverse arrangement."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import N, case

__all__ = [
    "broadcast_to",
    "expand_dims",
    "flip",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
]


@op(
    samples=lambda: [
        case(N(3, 4), shape=(4, 3)),
        case(N(2, 3), shape=(-1,)),
        case(N(), shape=(1, 1)),
        case(N(0, 3), shape=(3, 0)),
        case(N(4), shape=(2, 1, 2)),
    ]
)
def reshape(xp, x, *, shape):
    """The elements of x in C order, in another shape; one size may be -1."""
    return xp.reshape(x, shape)


@reshape.vjp("x")
def _(g, x_shape):
    return reshape(g, shape=x_shape)


@op(
    samples=lambda: [
        case(N(2, 3)),
        case(N(2, 3, 4), axes=(2, 0, 1)),
        case(N(2, 3, 4), axes=(0, -1, 1)),
        case(N()),
        case(N(0, 2)),
    ]
)
def transpose(xp, x, *, axes=None):
    """Axes in another order: axis i of the result is axis axes[i] of x; reversed if None."""
    return xp.transpose(x, axes)


@transpose.vjp("x")
def _(g, *, axes):
    return transpose(g, axes=None if axes is None else tuple(np.argsort([a % len(axes) for a in axes])))


@op(
    samples=lambda: [
        case(N(3, 1), shape=(2, 3, 4)),
        case(N(), shape=(2,)),
        case(N(3), shape=(3,)),
        case(N(1), shape=(0,)),
        case(N(1, 3), shape=(2, 3)),
    ]
)
def broadcast_to(xp, x, *, shape):
    """x repeated, without copying, along new leading axes and axes of size 1."""
    return xp.broadcast_to(x, shape)


@broadcast_to.vjp("x")
def _(g):
    return g  # the walk sums it back


@op(
    samples=lambda: [
        case(N(3, 4), axis=0),
        case(N(3, 4), axis=(0, 1)),
        case(N(5)),
        case(N(0, 2), axis=1),
        case(N(2, 1, 3), axis=-1),
    ]
)
def flip(xp, x, *, axis=None):
    """Reversed along `axis` (an int, a tuple, or None for all)."""
    return xp.flip(x, axis)


@flip.vjp("x")
def _(g, *, axis):
    return flip(g, axis=axis)


@op(samples=lambda: [case(N(*s), dtype=np.dtype("float64")) for s in ((), (0,), (3,), (2, 3), (2, 1, 2))])
def cast(xp, x, *, dtype):
    """x in another floating dtype.  The gradient comes back in x's own."""
    return x.astype(dtype)


@cast.vjp("x")
def _(g):
    return g  # the walk casts it back


# ---------------------------------------------------------------------------------- functions of these need no rule


def swapaxes(x, axis1, axis2):
    """x with two axes exchanged."""
    order = list(range(x.ndim))
    i, j = normalize_axis_index(axis1, x.ndim), normalize_axis_index(axis2, x.ndim)
    order[i], order[j] = j, i
    return transpose(x, axes=tuple(order))


def expand_dims(x, axis):
    """x with a new axis of size 1 at position `axis` (an int or a tuple)."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    ndim = x.ndim + len(axes)
    if any(not -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) < len(axes):
        raise ValueError(f"expand_dims: axis {axis} is out of range or repeated for {x.ndim} dimensions")
    sizes, at = iter(x.shape), {a % ndim for a in axes}
    return reshape(x, shape=tuple([1 if i in at else next(sizes) for i in range(ndim)]))


def squeeze(x, axis=None):
    """x without its axes of size 1: all of them, or those named by `axis`."""
    if axis is None:
        return reshape(x, shape=tuple([n for n in x.shape if n != 1]))
    axes = axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if not -x.ndim <= a < x.ndim or x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of shape {x.shape} is not an axis of size 1")
    return reshape(x, shape=tuple([n for i, n in enumerate(x.shape) if i not in {a % x.ndim for a in axes}]))


def flatten_rows(x):
    """(..., N) as (rows, N)."""
    return reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def transposed(x):
    """x with its last two axes exchanged."""
    return swapaxes(x, -1, -2)
