"""Reading and writing parts of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import ndim_of, op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import axis_of, broadcast_to, fits, moveaxis, on_axis, reshape

__all__ = [
    "diagonal",
    "embedding",
    "gather",
    "getitem",
    "index_add",
    "masked_fill",
    "repeat",
    "scatter_add",
    "setitem",
    "take",
    "take_along_axis",
    "tril",
    "triu",
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
    ((), ()),
    ((2, 3, 4), (np.array([True, False]), slice(None, None, -1), np.array([0, 0]))),
)


# ---------------------------------------------------------------------------------------------------- x[index]


@op(analytic=True, arithmetic=False, samples=lambda: [case(N(*shape), index=index) for shape, index in INDICES])
def getitem(xp, x, *, index):
    """x[index]: integers, slices, None, ..., integer and boolean arrays, mixed as in NumPy.  Repeats are fine."""
    return x[index]


@getitem.vjp("x")
def _(g, x_shape, *, index):
    return getitem_grad(g, index=index, shape=x_shape)


@getitem.jvp("x")
def _(t, *, index):
    return getitem(t, index=index)


@op(
    analytic=True,
    samples=lambda: [case(N(*np.zeros(shape)[index].shape), index=index, shape=shape) for shape, index in INDICES],
)
def getitem_grad(xp, dy, *, index, shape):
    """Zeros of `shape`, plus dy added at `index`, repeats included: the adjoint of getitem."""
    out = xp.zeros(shape, dy.dtype)
    if may_repeat(index):
        xp.add.at(out, index, dy)
    else:
        out[index] = dy
    return out


@getitem_grad.vjp("dy")
def _(g, *, index):
    return getitem(g, index=index)


@getitem_grad.jvp("dy")
def _(t, *, index, shape):
    return getitem_grad(t, index=index, shape=shape)


def why_not_assigned(x, v, index):
    """Why a value of this shape cannot be assigned; None where the index itself is at fault."""
    try:
        place = np.broadcast_to(0, x)[index].shape
    except IndexError:
        return None
    return f"x[index] has shape {place}, to which a value of shape {v} does not broadcast"


@op(
    arithmetic=False,
    promote="",
    diagnose=why_not_assigned,
    samples=lambda: [
        case(N(3, 4), N(4), index=1),
        case(N(3, 4), N(), index=(slice(None), 2)),
        case(N(5), N(3), index=slice(0, None, 2)),
        case(N(2, 3), N(1, 3), index=0),
        case(N(2, 3), N(1, 1, 3), index=0),
        case(N(4, 2), 0.5, index=np.array([True, False, False, True])),
        case(N(4, 2), N(3, 2), index=np.array([3, 0, 3])),
        case(N(0, 2), N(2), index=slice(0, 0)),
        case(N(3, 4), N(2, 1, 1), index=(slice(None, None, -1), np.array([[1], [3]]), None)),
    ],
)
def setitem(xp, x, v, *, index):
    """A copy of x whose [index] is v (broadcast, and cast to x's dtype).  Where an index repeats, the last v stays."""
    out = x.copy()
    if may_repeat(index):  # which of several writes to one place comes last is not defined on a GPU: all write the same
        writer = last_writer(xp, x.shape, index)
        v = xp.asarray(v)
        v = v.reshape(
            v.shape[max(0, v.ndim - writer.ndim) :]
        )  # leading axes of size 1, which an assignment passes over
        v = xp.broadcast_to(v, writer.shape).reshape(-1)[writer]
    out[index] = v
    return out


@setitem.vjp("x")
def _(g, *, index):
    return setitem(g, 0.0, index=index)


@setitem.vjp("v")
def _(g, v_shape, *, index):
    taken = getitem(g, index=index)
    if may_repeat(index):
        taken = where(last_written(g, index), taken, 0.0)
    extra = len(v_shape) - taken.ndim  # leading axes of size 1, which an assignment passes over
    return reshape(taken, shape=(1,) * extra + taken.shape) if extra > 0 else taken


@setitem.jvp("x")
def _(t, *, index):
    return setitem(t, 0.0, index=index)


@setitem.jvp("v")
def _(t, x_shape, *, index):
    return setitem(backend_of(t).xp.zeros(x_shape, t.dtype), t, index=index)


def may_repeat(index):
    """Whether an index holds integer arrays (or sequences of integers), which may name a place more than once."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i if hasattr(i, "dtype") else np.asarray(i) for i in parts if getattr(i, "ndim", isinstance(i, Sequence))]
    return any(a.dtype.kind != "b" for a in arrays)


def last_written(g, index):
    """Booleans shaped like g[index]: False where the same index comes again later, so that what was written is lost."""
    writer = last_writer(backend_of(raw(g)).xp, g.shape, index)
    return writer == backend_of(writer).xp.arange(writer.size).reshape(writer.shape)


def last_writer(xp, shape, index):
    """Shaped like x[index]: the number, in C order, of the last entry there that is written to the same place."""
    written = xp.zeros(shape, int)
    order = xp.arange(written[index].size).reshape(written[index].shape)
    xp.maximum.at(written, index, order)
    return written[index]


# ---------------------------------------------------------------------------------------------------- tables


@op(
    analytic=True,
    arithmetic=False,
    samples=lambda: [
        case(np.array([0, 2, 2, 1]), N(3, 4)),
        case(np.array([[1, 0], [1, 1]]), N(2, 3)),
        case(np.array(1), N(2, 3)),
        case(np.zeros((0,), int), N(2, 3)),
        case(np.array([0]), N(1, 1)),
        case(np.array([1, 0, 1]), N(2, 0)),
    ],
)
def embedding(xp, ids, weight):
    """Rows of a table: weight[ids].  ids: integers of any shape (...); weight (rows, width); result (..., width)."""
    if weight.ndim != 2:
        raise ValueError(f"the table must have the axes (rows, width), got shape {weight.shape}")
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


@embedding.jvp("weight")
def _(t, ids):
    return embedding(ids, t)


embedding.constant("ids")


@op(
    analytic=True,
    samples=lambda: [
        case(N(4, 3), np.array([0, 2, 2, 1]), rows=4),
        case(N(2, 2, 3), np.array([[1, 0], [1, 1]]), rows=2),
        case(N(3), np.array(1), rows=2),
        case(N(0, 3), np.zeros((0,), int), rows=2),
        case(N(1, 1), np.array([0]), rows=1),
        case(N(3, 0), np.array([1, 0, 1]), rows=2),
    ],
)
def embedding_grad(xp, dy, ids, *, rows):
    """What each row of the table receives: the sum of dy over the places where its id stands."""
    out = xp.zeros((rows, dy.shape[-1]), dy.dtype)
    xp.add.at(out, ids.reshape(-1), dy.reshape(ids.size, dy.shape[-1]))
    return out


@embedding_grad.vjp("dy")
def _(g, ids):
    return embedding(ids, g)


@embedding_grad.jvp("dy")
def _(t, ids, *, rows):
    return embedding_grad(t, ids, rows=rows)


embedding_grad.constant("ids")


def check_indices(indices, size, name="indices", axis=0):
    """Refuse what does not number the elements of an axis of `size`; negative ones count from the end."""
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {indices.dtype}: convert them with .astype(int)")
    if indices.size and (indices.min() < -size or indices.max() >= size):
        raise IndexError(
            f"{name} reach from {int(indices.min())} to {int(indices.max())}, but axis {axis} of size {size} has only "
            f"0 to {size - 1} (or {-size} to -1, from the end)"
        )


# ---------------------------------------------------------------------------------------------------- along an axis


def places(xp, x_shape, indices, axis):
    """The index that pairs each entry of `indices`, which counts along `axis`, with its own place on the other axes."""
    ndim, at = len(x_shape), axis_of(axis, len(x_shape))
    if indices.ndim != ndim or any(n > x_shape[a] for a, n in enumerate(indices.shape) if a != at):
        raise ValueError(
            f"indices of shape {indices.shape} do not fit x of shape {x_shape}: "
            f"both need the same number of axes, and indices no size above that of x but on axis {axis}"
        )
    check_indices(indices, x_shape[at], axis=axis)
    grid = [xp.arange(n).reshape([n if b == a else 1 for b in range(ndim)]) for a, n in enumerate(indices.shape)]
    return tuple([indices if a == at else grid[a] for a in range(ndim)])


def along():
    """(shape of x, indices, axis): shorter, longer and empty ones, repeats, negative ones."""
    return (
        ((3, 4), np.array([[0, 2, 2, 1], [1, 1, 0, 0]]), 0),
        ((3, 4), np.array([[-1, 0], [3, 3], [0, 1]]), 1),
        ((2, 3, 2), np.array([[[0, 1]]]), -1),
        ((4,), np.array([1, 1, 3, 0, 2]), 0),
        ((2, 3), np.zeros((2, 0), int), 1),
        ((0, 3), np.zeros((0, 2), int), -1),
    )


@op(
    analytic=True,
    arithmetic=False,
    samples=lambda: [case(N(*shape), indices, axis=axis) for shape, indices, axis in along()],
)
def gather(xp, x, indices, *, axis=-1):
    """Elements of x by number along `axis`, each from its own place on the other axes.

    On two axes with axis=0: out[i, j] = x[indices[i, j], j].  `indices` are integers, of x's shape but for `axis`; on
    the other axes they may be shorter, and then the rest of x is not read.  `scatter_add` is its adjoint;
    `take_along_axis` is the same for indices that broadcast.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.gather(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    return x[places(xp, x.shape, indices, axis)]


@gather.vjp("x")
def _(g, indices, x_shape, *, axis):
    return scatter_add(backend_of(raw(g)).xp.zeros(x_shape, g.dtype), indices, g, axis=axis)


@gather.jvp("x")
def _(t, indices, *, axis):
    return gather(t, indices, axis=axis)


gather.constant("indices")


def why_not_scattered(x, indices, source, axis):
    """Why the source does not fit; None where it does."""
    if fits(source, indices):
        return None
    return f"a source of shape {source} does not broadcast to indices of shape {indices}"


@op(
    analytic=True,
    promote="x source",
    diagnose=why_not_scattered,
    samples=lambda: (
        [case(N(*shape), indices, N(*indices.shape), axis=axis) for shape, indices, axis in along()]
        + [case(N(3), np.array([0, 0, 2]), N()), case(N(2, 3), np.array([[0, 1], [1, 2]]), N(2, 1))]
    ),
)
def scatter_add(xp, x, indices, source, *, axis=-1):
    """x plus the elements of `source`, each added at the place that `indices` numbers along `axis`; repeats add up.

    On two axes with axis=0: out[indices[i, j], j] += source[i, j].  `indices` as in `gather`; source broadcasts to
    their shape.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.scatter_add(np.zeros(3), np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]))
    array([1., 0., 5.])
    """
    out = x.astype(xp.result_type(x, source))  # a copy
    xp.add.at(out, places(xp, x.shape, indices, axis), source)
    return out


@scatter_add.vjp("x")
def _(g):
    return g


@scatter_add.vjp("source")
def _(g, indices, *, axis):
    return gather(g, indices, axis=axis)


@scatter_add.jvp("x")
def _(t):
    return t


@scatter_add.jvp("source")
def _(t, x_shape, indices, *, axis):
    return scatter_add(backend_of(t).xp.zeros(x_shape, t.dtype), indices, t, axis=axis)


scatter_add.constant("indices")


# ---------------------------------------------------------------------------------- functions of these need no rule


def numbers_of(indices):
    """Indices as an array: they may come as one, as a Tensor, as a number or as a list of numbers."""
    return np.asarray(indices) if isinstance(indices, int | list | tuple) else raw(indices)


def take(x, indices, axis=0):
    """Elements of x at integer `indices` along `axis`: an int, or an array of any shape, which replaces the axis."""
    at, numbers = axis_of(axis, ndim_of("take", x), "take"), numbers_of(indices)
    check_indices(numbers, x.shape[at], "take: indices", axis)
    return getitem(x, index=on_axis(numbers, at))


def take_along_axis(x, indices, axis=-1):
    """`gather` for indices that broadcast: x and `indices` meet on all axes but `axis` (NumPy's `take_along_axis`).

    What argsort or argmax(keepdims=True) answered is taken so.
    """
    ndim, indices = ndim_of("take_along_axis", x), numbers_of(indices)
    at = axis_of(axis, ndim, "take_along_axis")
    without = [tuple(1 if a == at else n for a, n in enumerate(s)) for s in (x.shape, indices.shape)]
    if indices.ndim != ndim or any(1 not in pair and len(set(pair)) > 1 for pair in zip(*without, strict=True)):
        raise ValueError(
            f"take_along_axis: x of shape {x.shape} and indices of shape {indices.shape} need as many axes each, "
            f"which broadcast but for axis {axis}"
        )
    common = np.broadcast_shapes(*without)

    def stretched(array):
        wanted = tuple(array.shape[at] if a == at else n for a, n in enumerate(common))
        return array if array.shape == wanted else broadcast_to(array, shape=wanted)

    return gather(stretched(x), stretched(indices), axis=axis)


def index_add(x, indices, source, axis=0, alpha=1):
    """x plus alpha * source, slice i of source added at slice indices[i] of x along `axis`; repeats add up.

    `indices` (n,) integers; source has x's shape but n on `axis`.
    """
    at, numbers = axis_of(axis, ndim_of("index_add", x), "index_add"), numbers_of(indices)
    check_indices(numbers, x.shape[at], "index_add: indices", axis)
    expected = (*x.shape[:at], numbers.size, *x.shape[at + 1 :])
    if numbers.ndim != 1 or source.shape != expected:
        raise ValueError(
            f"index_add: indices of shape {numbers.shape} and x {x.shape} need a source of shape {expected}, "
            f"got {source.shape}; indices must have one axis"
        )
    added = source if alpha == 1 else source * alpha
    return x + getitem_grad(added, index=on_axis(numbers, at), shape=x.shape)


def repeat(x, repeats, axis=None):
    """Each element repeated `repeats` times, one after the other: an int, or one int for each element of `axis`.

    axis=None repeats the elements of the flattened x.  Whole arrays are laid side by side by `tile`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.repeat(np.array([1.0, 2.0]), np.array([2, 1]))
    array([1., 1., 2.])
    """
    if axis is None:
        return repeat(reshape(x, shape=(-1,)), repeats, 0)
    at, counts = axis_of(axis, x.ndim, "repeat"), np.asarray(raw(repeats))
    length = x.shape[at]
    if counts.dtype.kind not in "iu" or (counts < 0).any() or counts.shape not in ((), (1,), (length,)):
        raise ValueError(
            f"repeat: repeats must be one integer, or one for each of the {length} elements of axis {axis}, "
            f"none negative, got {repeats!r}"
        )
    return getitem(x, index=on_axis(np.repeat(np.arange(length), counts), at))


def diagonal(x, offset=0, axis1=0, axis2=1):
    """Elements on a diagonal of the plane of two axes, along a new last axis.

    `offset` > 0 goes above the main diagonal (further along axis2), < 0 below it.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    if ndim_of("diagonal", x) < 2:
        raise ValueError(f"diagonal: x needs at least two axes, got shape {x.shape}")
    planes = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = planes.shape[-2:]
    along = np.arange(max(min(rows + min(offset, 0), columns - max(offset, 0)), 0))
    return getitem(planes, index=(Ellipsis, along - min(offset, 0), along + max(offset, 0)))


def triangle(x, k):
    """Booleans over the last two axes of x: True on and below its k-th diagonal."""
    if ndim_of("tril and triu", x) < 2:
        raise ValueError(f"tril and triu need at least two axes, got shape {x.shape}")
    return backend_of(raw(x)).xp.tri(*x.shape[-2:], k, dtype=bool)


def tril(x, k=0):
    """The lower triangle of the last two axes: 0 above the k-th diagonal (k > 0 keeps some above the main one)."""
    return where(triangle(x, k), x, False)  # False is 0 in every dtype, and widens none


def triu(x, k=0):
    """The upper triangle of the last two axes: 0 below the k-th diagonal."""
    return where(triangle(x, k - 1), False, x)


def masked_fill(x, mask, value):
    """x, with `value` (a number, or an array of one) where `mask` is True.  mask: booleans that broadcast to x's shape.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.masked_fill(np.array([1.0, 2.0]), np.array([True, False]), -np.inf)
    array([-inf,   2.])
    """
    mask = np.asarray(mask) if isinstance(mask, bool | list) else raw(mask)
    ndim_of("masked_fill", x), ndim_of("masked_fill", mask)
    if mask.dtype.kind != "b":
        raise TypeError(f"masked_fill: the mask must be boolean, got {mask.dtype}; compare first: mask != 0")
    shapes = [np.shape(raw(value)), mask.shape]
    if not all(fits(s, x.shape) for s in shapes):
        raise ValueError(f"masked_fill: mask {mask.shape} and value {shapes[0]} must broadcast to x's shape {x.shape}")
    return where(mask, value, x)
