"""Shapes: the same numbers, arranged otherwise.  Every rule is the inverse arrangement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized

import numpy as np

from tinygrad_lm.core import ndim_of, op
from tinygrad_lm.ops.samples import N, case

__all__ = [
    "broadcast_to",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute",
    "reshape",
    "roll",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
    "unfold",
]


# ---------------------------------------------------------------------------------------------------- axes by number


def why_no_axis(ndim, axis):
    """Why `axis` (an int, a tuple or None) does not name axes of an array with `ndim` of them; None if it does."""
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    for a in axes:
        if not isinstance(a, int | np.integer):
            return f"an axis is a whole number, got {a!r}"
        if not -ndim <= a < ndim:
            there = f"0 to {ndim - 1}, or {-ndim} to -1 counted from the end" if ndim else "none, this is one number"
            return f"axis {a} is out of bounds for array of dimension {ndim}; its axes are {there}"
    if len({a % ndim for a in axes}) < len(axes):
        return f"axis {axis} names an axis twice; name each once"
    return None


def axes_of(axis, ndim, function=""):
    """One axis or several, counted from the front, as a tuple, or an error that says which there are.

    `function` is named in the error; within an operation it is left out, the core names that.
    """
    axes = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    if reason := why_no_axis(ndim, axes):
        raise np.exceptions.AxisError(f"{function}: {reason}" if function else reason)
    return tuple([a % ndim for a in axes])


def axis_of(axis, ndim, function=""):
    """The same axis counted from the front, or an error, as above."""
    if type(axis) is int and -ndim <= axis < ndim:  # layers ask this at every step
        return axis % ndim
    return axes_of((axis,), ndim, function)[0]


def fits(shape, onto):
    """Whether an array of `shape` broadcasts to the shape `onto`, which stays as it is."""
    return len(shape) <= len(onto) and all(n in (1, m) for n, m in zip(shape[::-1], onto[::-1], strict=False))


def on_axis(part, axis):
    """An index that takes `part` along `axis` (counted from the front) and everything along the others."""
    return (*[slice(None)] * axis, part)


def why_not_along(x, axis=None, **_):
    """`diagnose=` of what works along an axis."""
    return why_no_axis(len(x), axis)


# ---------------------------------------------------------------------------------------------------- operations


def why_not_reshaped(x, shape):
    wanted = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if wanted.count(-1) > 1:
        return f"only one size may be -1, got {wanted}"
    return f"the {math.prod(x)} elements of shape {x} do not fill shape {wanted}"


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_reshaped,
    samples=lambda: [
        case(N(3, 4), shape=(4, 3)),
        case(N(2, 3), shape=(-1,)),
        case(N(), shape=(1, 1)),
        case(N(0, 3), shape=(3, 0)),
        case(N(4), shape=(2, 1, 2)),
    ],
)
def reshape(xp, x, *, shape):
    """The elements of x in C order, in another shape; one size may be -1."""
    return xp.reshape(x, shape)


@reshape.vjp("x")
def _(g, x_shape):
    return reshape(g, shape=x_shape)


@reshape.jvp("x")
def _(t, *, shape):
    return reshape(t, shape=shape)


def why_not_permuted(x, axes):
    return f"axes {axes} must name each of the {len(x)} axes of x once"


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_permuted,
    samples=lambda: [
        case(N(2, 3), axes=(1, 0)),
        case(N(2, 3, 4), axes=(2, 0, 1)),
        case(N(4, 1, 3), axes=(0, -1, 1)),
        case(N(), axes=()),
        case(N(0, 2), axes=(-1, 0)),
    ],
)
def permute(xp, x, *, axes):
    """Axes in another order: axis i of the result is axis axes[i] of x.  Every axis is named.

    This is the one operation that reorders axes; `transpose`, `swapaxes` and `moveaxis` say the order in other words.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.permute(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return xp.transpose(x, tuple(axes))


@permute.vjp("x")
def _(g, *, axes):
    return permute(g, axes=tuple(np.argsort([a % len(axes) for a in axes]).tolist()))


@permute.jvp("x")
def _(t, *, axes):
    return permute(t, axes=axes)


def why_not_broadcast(x, shape):
    return f"shape {x} does not broadcast to {shape}: compared from the right, each size must be equal or 1"


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_broadcast,
    samples=lambda: [
        case(N(3, 1), shape=(2, 3, 4)),
        case(N(), shape=(2,)),
        case(N(3), shape=(3,)),
        case(N(1), shape=(0,)),
        case(N(1, 3), shape=(2, 3)),
    ],
)
def broadcast_to(xp, x, *, shape):
    """x repeated, without copying, along new leading axes and axes of size 1."""
    return xp.broadcast_to(x, shape)


@broadcast_to.vjp("x")
def _(g):
    return g  # the walk sums it back


@broadcast_to.jvp("x")
def _(t, *, shape):
    return broadcast_to(t, shape=shape)


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_along,
    samples=lambda: [
        case(N(3, 4), axis=0),
        case(N(3, 4), axis=(0, 1)),
        case(N(5)),
        case(N(0, 2), axis=1),
        case(N(2, 1, 3), axis=-1),
        case(N()),
    ],
)
def flip(xp, x, *, axis=None):
    """Reversed along `axis` (an int, a tuple, or None for all)."""
    return xp.flip(x, axis)


@flip.vjp("x")
def _(g, *, axis):
    return flip(g, axis=axis)


@flip.jvp("x")
def _(t, *, axis):
    return flip(t, axis=axis)


def why_not_rolled(x, shift, axis=None):
    if reason := why_no_axis(len(x), axis):
        return reason
    return f"shift {shift} and axis {axis} must be whole numbers, or tuples of one length"


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_rolled,
    samples=lambda: [
        case(N(5), shift=2),
        case(N(3, 4), shift=-1, axis=0),
        case(N(3, 4), shift=(1, -6), axis=(0, 1)),
        case(N(2, 3), shift=4),
        case(N(0, 2), shift=1, axis=0),
        case(N(), shift=3),
    ],
)
def roll(xp, x, *, shift, axis=None):
    """Elements moved on by `shift` places along `axis`, those that fall off the end come in at the start.

    `shift` and `axis` are ints, or tuples of one length.  axis=None moves them through all axes in C order.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.roll(np.arange(5.0), 2)
    array([3., 4., 0., 1., 2.])
    """
    if not all(isinstance(s, int | np.integer) for s in (shift if isinstance(shift, Iterable) else (shift,))):
        raise ValueError("whole numbers")
    return xp.roll(x, shift, axis)


@roll.vjp("x")
def _(g, *, shift, axis):
    return roll(g, shift=tuple([-s for s in shift]) if isinstance(shift, Iterable) else -shift, axis=axis)


@roll.jvp("x")
def _(t, *, shift, axis):
    return roll(t, shift=shift, axis=axis)


@op(
    arithmetic=False,
    samples=lambda: [case(N(*s), dtype=np.dtype("float64")) for s in ((), (0,), (3,), (2, 3), (2, 1, 2))],
)
def cast(xp, x, *, dtype):
    """x in another floating dtype.  The gradient comes back in x's own."""
    return x.astype(dtype)


@cast.vjp("x")
def _(g):
    return g  # the walk casts it back


@cast.jvp("x")
def _(t, *, dtype):
    return t.astype(dtype)


def floating(x):
    """Integers and booleans as float64, floats as they are: for what would wrap around, or be cut to whole numbers."""
    return x.astype("f8") if x.dtype.kind in "iub" else x


def windows(length, axis, size, step):
    """How many windows fit into an axis of `length`."""
    if size < 0 or size > length or step < 1:
        raise ValueError(
            f"windows of size {size} every {step} do not fit: axis {axis} has size {length}, "
            f"so size must be 0 to {length} and step at least 1"
        )
    return (length - size) // step + 1


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_along,
    samples=lambda: [
        case(N(7), size=3, step=2),
        case(N(2, 5), size=2),
        case(N(5, 2), axis=0, size=2, step=3),
        case(N(2, 4, 3), axis=1, size=4),
        case(N(0, 3), size=3),
        case(N(4), size=1),
        case(N(3), axis=0, size=0),
    ],
)
def unfold(xp, x, *, size, step=1, axis=-1):
    """Windows of `size` elements that slide along `axis` by `step`; the elements of each lie along a new last axis.

    x (..., n, ...) gives (..., (n - size) // step + 1, ..., size); what is left over at the end is dropped.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.unfold(np.arange(5.0), size=3, step=2)
    array([[0., 1., 2.],
           [2., 3., 4.]])
    """
    at = axis_of(axis, x.ndim)
    starts = step * xp.arange(windows(x.shape[at], axis, size, step))
    taken = x[on_axis(starts[:, None] + xp.arange(size), at)]  # (..., windows, size, ...)
    return xp.moveaxis(taken, at + 1, -1)


@unfold.vjp("x")
def _(g, x_shape, *, size, step, axis):
    return unfold_grad(g, shape=x_shape, size=size, step=step, axis=axis)


@unfold.jvp("x")
def _(t, *, size, step, axis):
    return unfold(t, size=size, step=step, axis=axis)


@op(
    analytic=True,
    samples=lambda: [
        case(N(3, 3), shape=(7,), size=3, step=2),
        case(N(2, 4, 2), shape=(2, 5), size=2),
        case(N(2, 2, 2), shape=(5, 2), axis=0, size=2, step=3),
        case(N(2, 1, 3, 4), shape=(2, 4, 3), axis=1, size=4),
        case(N(0, 1, 3), shape=(0, 3), size=3),
        case(N(4, 0), shape=(3,), size=0),
    ],
)
def unfold_grad(xp, dy, *, shape, size, step=1, axis=-1):
    """Zeros of `shape` with every window added where it was taken: the adjoint of unfold."""
    at = axis_of(axis, len(shape))
    out = xp.zeros(shape, dy.dtype)
    n = dy.shape[at]
    for k in range(size):  # the k-th elements of all windows: no two of them share a place
        out[on_axis(slice(k, k + step * (n - 1) + 1, step), at)] += dy[..., k]
    return out


@unfold_grad.vjp("dy")
def _(g, *, size, step, axis):
    return unfold(g, size=size, step=step, axis=axis)


@unfold_grad.jvp("dy")
def _(t, *, shape, size, step, axis):
    return unfold_grad(t, shape=shape, size=size, step=step, axis=axis)


# ---------------------------------------------------------------------------------- functions of these need no rule


def transpose(x, axes=None):
    """Axes in reverse order, or in the order of `axes` (NumPy's `transpose`): permute(x, axes)."""
    return permute(x, axes=tuple(range(ndim_of("transpose", x)))[::-1] if axes is None else tuple(axes))


def swapaxes(x, axis1, axis2):
    """x with two axes exchanged."""
    ndim = ndim_of("swapaxes", x)
    order = list(range(ndim))
    i, j = axis_of(axis1, ndim, "swapaxes"), axis_of(axis2, ndim, "swapaxes")
    order[i], order[j] = j, i
    return permute(x, axes=tuple(order))


def moveaxis(x, source, destination):
    """x with the axes `source` moved to the positions `destination` (ints, or tuples of one length).

    The others keep their order.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources, places = [axes_of(axes, ndim_of("moveaxis", x), "moveaxis") for axes in (source, destination)]
    if len(sources) != len(places):
        raise ValueError(f"moveaxis: {len(sources)} axes cannot move to {len(places)} positions, name as many of each")
    order = [a for a in range(x.ndim) if a not in sources]
    for place, a in sorted(zip(places, sources, strict=True)):
        order.insert(place, a)
    return permute(x, axes=tuple(order))


def expand_dims(x, axis):
    """x with a new axis of size 1 at position `axis` (an int or a tuple)."""
    ndim = ndim_of("expand_dims", x) + (len(axis) if isinstance(axis, Sized) else 1)
    sizes, at = iter(x.shape), axes_of(axis, ndim, "expand_dims")
    return reshape(x, shape=tuple([1 if i in at else next(sizes) for i in range(ndim)]))


def squeeze(x, axis=None):
    """x without its axes of size 1: all of them, or those named by `axis`."""
    ndim = ndim_of("squeeze", x)
    if axis is None:
        return reshape(x, shape=tuple([n for n in x.shape if n != 1]))
    axes = axes_of(axis, ndim, "squeeze")
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of size 1")
    return reshape(x, shape=tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def tile(x, repetitions):
    """x laid out side by side, `repetitions` times along each axis (an int: along the last one).

    The shorter of x.shape and `repetitions` gets leading ones.  One element at a time is repeated by `repeat`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.tile(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2., 1., 2.],
           [1., 2., 1., 2.]])
    """
    times = tuple(repetitions) if isinstance(repetitions, Iterable) else (repetitions,)
    if not all(isinstance(r, int | np.integer) and r >= 0 for r in times):
        raise ValueError(f"tile: repetitions must be whole numbers and not negative, got {repetitions}")
    ndim = max(x.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    sizes = (1,) * (ndim - x.ndim) + x.shape
    stretched = [n for pair in zip(times, sizes, strict=True) for n in pair]  # (r0, n0, r1, n1, ...)
    blocks = reshape(x, shape=tuple([n for size in sizes for n in (1, size)]))
    whole = tuple([r * n for r, n in zip(times, sizes, strict=True)])
    return reshape(broadcast_to(blocks, shape=tuple(stretched)), shape=whole)


def flatten_rows(x):
    """(..., N) as (rows, N)."""
    return reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def transposed(x):
    """x with its last two axes exchanged."""
    return swapaxes(x, -1, -2)
