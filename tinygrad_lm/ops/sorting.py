"""Sorting, and choosing the largest.  The gradient of an element goes to where it stood."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.indexing import gather, scatter_add
from tinygrad_lm.ops.samples import D, case, kink
from tinygrad_lm.ops.shape import axis_of, why_not_along

__all__ = [
    "argsort",
    "sort",
    "topk",
]


def order_of(xp, x, axis, descending, stable=True):
    """The places along `axis` of the first element, the second, ...; equal ones in their order if `stable`."""
    at, kind = axis_of(axis, x.ndim), "stable" if stable else None
    if not descending:
        return xp.argsort(x, axis=at, kind=kind)
    return x.shape[at] - 1 - xp.flip(xp.argsort(xp.flip(x, at), axis=at, kind=kind), at)


def orders():
    return [
        case(D(5)),
        case(D(2, 3), descending=True),
        case(D(4, 2), axis=0),
        case(D(2, 1, 3), axis=1, descending=True),
        case(D(0, 3)),
        case(D(3, 0), descending=True, stable=False),
        case(D(2, 3, 2), axis=-2, stable=False),
    ]


def comparisons(x, *_, **__):
    return x.size * max(x.size, 1).bit_length()


@op(
    aux="order",
    arithmetic=False,
    diagnose=why_not_along,
    cost=comparisons,
    samples=orders,
    kinks=[kink(([2.0, 1.0, 2.0],), ([1.0, 1.0, 1.0],), "each moves one element; those that tie keep their order")],
)
def sort(xp, x, *, axis=-1, descending=False, stable=True):
    """Elements along `axis` in order of size; nan counts as the largest.  With `stable`, equal ones keep their order.

    The gradient of an element goes to where it stood before, so at a tie that order decides.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.sort(np.array([2.0, 3.0, 1.0]), descending=True)
    array([3., 2., 1.])
    """
    order = order_of(xp, x, axis, descending, stable)
    return xp.take_along_axis(x, order, axis), order


@sort.vjp("x")
def _(g, order, *, axis):
    return gather(g, order.argsort(axis), axis=axis)  # sorting a permutation inverts it


@sort.jvp("x")
def _(t, order, *, axis):
    return np.take_along_axis(t, order, axis)


@op(arithmetic=False, diagnose=why_not_along, cost=comparisons, samples=orders)
def argsort(xp, x, *, axis=-1, descending=False, stable=True):
    """The places along `axis` of its elements in order of size: take_along_axis(x, argsort(x)) is sort(x)."""
    return order_of(xp, x, axis, descending, stable)


argsort.constant("x")


@op(
    arithmetic=False,
    diagnose=why_not_along,
    cost=comparisons,
    samples=lambda: [
        case(D(5), k=2),
        case(D(2, 4), k=3, largest=False),
        case(D(4, 2), k=1, axis=0),
        case(D(2, 3, 2), k=3, axis=1),
        case(D(0, 3), k=2),
        case(D(3), k=0),
    ],
)
def topk(xp, x, *, k, axis=-1, largest=True):
    """(values, indices) of the k largest elements along `axis`, the largest first; of the smallest if not `largest`.

    Of equal ones the first are taken, and the gradient goes to those that were.  nan counts as the largest.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.topk(np.array([2.0, 5.0, 3.0]), 2)
    (array([5., 3.]), array([1, 2]))
    """
    at = axis_of(axis, x.ndim)
    if not 0 <= k <= x.shape[at]:
        raise ValueError(f"k={k} elements of axis {axis}, which has {x.shape[at]}: ask for 0 to {x.shape[at]}")
    order = order_of(xp, x, at, descending=largest)
    order = order[(*[slice(None)] * at, slice(0, k))]
    return xp.take_along_axis(x, order, at), order


@topk.vjp("x")
def _(g, out, x_shape, *, axis):
    values, indices = g[0], out[1]
    return scatter_add(backend_of(raw(values)).xp.zeros(x_shape, values.dtype), indices, values, axis=axis)


@topk.jvp("x")
def _(t, out, *, axis):
    return np.take_along_axis(t, out[1], axis), None
