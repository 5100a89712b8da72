"""Running sums and products, and the recurrence that products differentiate by."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.core import op
from tinygrad_lm.ops.indexing import setitem
from tinygrad_lm.ops.samples import N, P, case
from tinygrad_lm.ops.shape import axis_of, flip, roll, swapaxes, why_not_along

__all__ = [
    "cumprod",
    "cumsum",
]


def lines(kind):
    """Shapes for what runs along an axis."""
    return [
        case(kind(5), axis=0),
        case(kind(2, 3), axis=1),
        case(kind(2, 3), axis=-2),
        case(kind(0, 2), axis=0),
        case(kind(1), axis=0),
        case(kind(2, 1, 4), axis=2),
    ]


@op(analytic=True, diagnose=why_not_along, samples=lambda: lines(N))
def cumsum(xp, x, *, axis):
    """Running sums along `axis`."""
    return xp.cumsum(x, axis=axis_of(axis, x.ndim))  # NumPy alone would flatten x for an axis of None


@cumsum.vjp("x")
def _(g, *, axis):
    return flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis)


@cumsum.jvp("x")
def _(t, *, axis):
    return cumsum(t, axis=axis)


@op(
    analytic=True,
    diagnose=why_not_along,
    samples=lambda: [
        *lines(P),
        case(np.array([2.0, 0.0, 3.0, -1.0]), axis=0),
        case(np.array([[0.0, 2.0], [0.5, 0.0], [1.0, 0.0]]), axis=0),
    ],
)
def cumprod(xp, x, *, axis):
    """Running products along `axis`.  The derivative divides by nothing, so it is exact where elements are 0 too.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.cumprod(np.array([1.0, 2.0, 3.0]), axis=0)
    array([1., 2., 6.])
    """
    return xp.cumprod(x, axis=axis_of(axis, x.ndim))


@cumprod.vjp("x")
def _(g, x, out, *, axis):
    before = delayed(swapaxes(out, axis, -1), 1.0)  # what stands in front of each factor ...
    after = backwards(swapaxes(x, axis, -1), swapaxes(g, axis, -1))  # ... and all that follows it
    return swapaxes(before * after, axis, -1)


@cumprod.jvp("x")
def _(t, x, *, axis):
    """The product rule as it stands: one factor after the other gives way to its tangent."""
    moved = np.zeros_like(t)
    for i in range(x.shape[axis]):
        here = (np.arange(x.shape[axis]) == i).reshape([n if a == axis % x.ndim else 1 for a, n in enumerate(x.shape)])
        moved = moved + (np.where(here, t, x)).cumprod(axis) * (here.cumsum(axis) > 0)
    return moved


# ---------------------------------------------------------------------------------------------------- one after another


def delayed(x, first):
    """x moved on by one place along its last axis, with `first` in front."""
    return setitem(roll(x, shift=1, axis=-1), first, index=(Ellipsis, slice(0, 1)))


def backwards(a, b):
    """s[i] = b[i] + a[i+1] s[i+1] along the last axis: the adjoint of `recurrence` in b."""
    return flip(recurrence(roll(flip(a, axis=-1), shift=1, axis=-1), flip(b, axis=-1)), axis=-1)


@op(
    analytic=True,
    cost=lambda a, b: 3 * a.size * max(a.shape[-1], 1).bit_length(),
    samples=lambda: [case(N(*s), N(*s)) for s in ((1,), (5,), (2, 3), (2, 0), (2, 1, 4), (8,))],
)
def recurrence(xp, a, b):
    """s[i] = b[i] + a[i] s[i-1] along the last axis, s[-1] = 0; a and b of one shape.

    In log2(n) steps over whole arrays, each of which doubles how far back a place has looked (Hillis and Steele 1986).
    """
    dtype, reach = xp.result_type(a, b), 1
    a, s = a.astype(dtype), b.astype(dtype)  # copies
    while reach < b.shape[-1]:
        s[..., reach:] += a[..., reach:] * s[..., :-reach]
        a[..., reach:] = a[..., reach:] * a[..., :-reach]
        reach *= 2
    return s


@recurrence.vjp("a", "b")
def _(g, a, out):
    s = backwards(a, g)
    return s * delayed(out, 0.0), s


@recurrence.jvp("a", "b")
def _(t, a, b, out):
    ta, tb = t
    moved = np.zeros_like(out)
    for i in range(out.shape[-1]):  # element by element: ds[i] = db[i] + da[i] s[i-1] + a[i] ds[i-1]
        moved[..., i] = tb[..., i]
        if i:
            moved[..., i] += ta[..., i] * out[..., i - 1] + a[..., i] * moved[..., i - 1]
    return moved
