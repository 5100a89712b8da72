"""Reading and writing parts of arrays, joining and cutting them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import reshape

__all__ = [
    "concatenate",
    "embedding",
    "getitem",
    "scatter_add",
    "setitem",
    "split",
    "stack",
    "take",
]

INDICES = (
    ((4, 3), (slice(None, None, 2), None, 1)),
    ((4, 3), (np.array([0, 2, 2]),)),
    ((3, 2), ((0, 2, 0), (1, 0, 1))),
    ((3, 2), np.array([True, False, True])),
    ((5,), slice(None, None, -2)),
    ((2, 3, 4), (Ellipsis, -1)),
    ((2, 3, 4), (np.array([[0], [1]]), slice(None), np.array([3, 3]))),
    ((0, 2), slice(0, 0)),
)


@op(samples=lambda: [case(N(*shape), index=index) for shape, index in INDICES])
def getitem(xp, x, *, index):
    """x[index]: integers, slices, None, ..., integer and boolean arrays, mixed as in NumPy.  Repeats are fine."""
    return x[index]


@getitem.vjp("x")
def _(g, x_shape, *, index):
    return scatter_add(g, index=index, shape=x_shape)


@op(samples=lambda: [case(N(*np.zeros(shape)[index].shape), index=index, shape=shape) for shape, index in INDICES])
def scatter_add(xp, x, *, index, shape):
    """Zeros of `shape`, plus x added at `index`, repeats included: the adjoint of getitem."""
    out = xp.zeros(shape, x.dtype)
    if has_arrays(index):
        xp.add.at(out, index, x)
    else:
        out[index] = x
    return out


@scatter_add.vjp("x")
def _(g, *, index):
    return getitem(g, index=index)


@op(
    promote="",
    samples=lambda: [
        case(N(3, 4), N(4), index=1),
        case(N(3, 4), N(), index=(slice(None), 2)),
        case(N(5), N(3), index=slice(0, None, 2)),
        case(N(2, 3), N(1, 1, 3), index=0),
        case(N(4, 2), 0.5, index=np.array([True, False, False, True])),
        case(N(4, 2), N(3, 2), index=np.array([3, 0, 3])),
        case(N(0, 2), N(2), index=slice(0, 0)),
    ],
)
def setitem(xp, x, v, *, index):
    """A copy of x whose [index] is v (broadcast, and cast to x's dtype).  Where an index repeats, the last v stays."""
    out = x.copy()
    out[index] = v
    return out


@setitem.vjp("x")
def _(g, *, index):
    return setitem(g, 0.0, index=index)


@setitem.vjp("v")
def _(g, v_shape, *, index):
    taken = getitem(g, index=index)
    if has_arrays(index):
        taken = taken * last_written(g, index)
    extra = len(v_shape) - taken.ndim  # leading axes of size 1, which an assignment passes over
    return reshape(taken, shape=(1,) * extra + taken.shape) if extra > 0 else taken


def has_arrays(index):
    """Whether an index holds integer or boolean arrays (or sequences), which may repeat, besides numbers and slices."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(i, Sequence) or getattr(i, "ndim", 0) for i in parts)


def last_written(g, index):
    """Booleans shaped like g[index]: False where the same index comes again later, so that what was written is lost."""
    xp = backend_of(raw(g)).xp
    writer = xp.zeros(g.shape, int)
    order = xp.arange(math.prod(writer[index].shape)).reshape(writer[index].shape)
    writer[index] = order
    return writer[index] == order


@op(
    samples=lambda: [
        case(N(2, 1), N(2, 3), N(2, 2), axis=1),
        case(N(2)),
        case(N(0, 2), N(3, 2)),
        case(N(2, 3), N(2, 3), axis=-1),
        case(N(1, 2, 3), N(4, 2, 3)),
    ]
)
def concatenate(xp, *xs, axis=0):
    """The arrays of a list one after the other along `axis`; their other sizes agree.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.concatenate([np.zeros(2), np.ones(1)])
    array([0., 0., 1.])
    """
    return xp.concatenate(xs, axis)


@concatenate.vjp("xs")
def _(g, xs_shape, *, axis):
    return split(g, np.cumsum([s[axis] for s in xs_shape])[:-1].tolist(), axis=axis)


@op(
    samples=lambda: [
        case(N(2, 3), N(2, 3)),
        case(N(2, 3), N(2, 3), axis=-1),
        case(N(), N(), N()),
        case(N(0), N(0), axis=1),
        case(N(4), axis=1),
    ]
)
def stack(xp, *xs, axis=0):
    """The arrays of a list, all of one shape, side by side along a new `axis`."""
    return xp.stack(xs, axis)


@stack.vjp("xs")
def _(g, xs_shape, *, axis):
    before = (slice(None),) * (axis % g.ndim)
    return tuple([getitem(g, index=(*before, i)) for i in range(len(xs_shape))])


@op(
    samples=lambda: [
        case(N(2, 5), sections=(1, 3), axis=1),
        case(N(6), sections=3),
        case(N(4, 2), sections=2, axis=-1),
        case(N(3), sections=(0, 3)),
        case(N(4, 0), sections=2),
    ]
)
def split(xp, x, *, sections, axis=0):
    """A tuple of pieces of x along `axis`: `sections` equal ones, or cut before each index of a list.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.split(np.arange(4.0), [1])
    (array([0.]), array([1., 2., 3.]))
    """
    return tuple(xp.split(x, list(sections) if np.iterable(sections) else sections, axis))


@split.vjp("x")
def _(g, *, axis):
    return concatenate(g, axis=axis)


@op(
    samples=lambda: [
        case(np.array([0, 2, 2, 1]), N(3, 4)),
        case(np.array([[1, 0], [1, 1]]), N(2, 3)),
        case(np.array(1), N(2, 3)),
        case(np.zeros((0,), int), N(2, 3)),
        case(np.array([0]), N(1, 1)),
    ]
)
def embedding(xp, ids, weight):
    """Rows of a table: weight[ids].  ids: integers of any shape (...); weight (rows, width); result (..., width)."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got {ids.dtype}")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= weight.shape[0]):
        raise IndexError(
            f"ids reach from {int(ids.min())} to {int(ids.max())}, the table has rows 0 to {weight.shape[0] - 1}"
        )
    return weight[ids]


@embedding.vjp("weight")
def _(g, ids, weight_shape):
    return embedding_grad(g, ids, rows=weight_shape[0])


embedding.constant("ids")


@op(
    samples=lambda: [
        case(N(4, 3), np.array([0, 2, 2, 1]), rows=4),
        case(N(2, 2, 3), np.array([[1, 0], [1, 1]]), rows=2),
        case(N(3), np.array(1), rows=2),
        case(N(0, 3), np.zeros((0,), int), rows=2),
        case(N(1, 1), np.array([0]), rows=1),
    ]
)
def embedding_grad(xp, dy, ids, *, rows):
    """What each row of the table receives: the sum of dy over the places where its id stands."""
    out = xp.zeros((rows, dy.shape[-1]), dy.dtype)
    xp.add.at(out, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return out


@embedding_grad.vjp("dy")
def _(g, ids):
    return embedding(ids, g)


embedding_grad.constant("ids")


def take(x, indices, axis=0):
    """Elements of x at integer `indices` along `axis`."""
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return getitem(x, index=(*before, raw(indices)))
