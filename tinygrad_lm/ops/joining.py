"""Joining arrays and cutting them: the rule of each is the other."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import widest_float
from tinygrad_lm.core import op
from tinygrad_lm.ops.indexing import getitem
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import axis_of, on_axis, why_no_axis

__all__ = [
    "chunk",
    "concatenate",
    "split",
    "stack",
]


def alike(xp, xs):
    """Python numbers among arrays as arrays of the dtype that they would have in an addition: they widen nothing."""
    if all([hasattr(x, "dtype") for x in xs]):
        return xs
    dtype = widest_float([x.dtype for x in xs if hasattr(x, "dtype")]) or xp.result_type(*xs)
    return [x if hasattr(x, "dtype") else xp.asarray(x, dtype) for x in xs]


def why_not_joined(*xs, axis):
    """Why these shapes do not stand one after the other along `axis`."""
    if not xs:
        return "there is nothing to join, give a list of at least one array"
    if () in xs:
        return "numbers do not join one after the other: use stack"
    if reason := why_no_axis(len(xs[0]), axis):
        return reason
    axis %= len(xs[0])
    others = [(*s[:axis], *s[axis + 1 :]) for s in xs]
    if len(set(others)) > 1 or len(set(map(len, xs))) > 1:
        return f"shapes {' and '.join(map(str, xs))} do not join: all sizes but that of axis {axis} must be equal"
    return None


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_joined,
    samples=lambda: [
        case(N(2, 1), N(2, 3), N(2, 2), axis=1),
        case(N(2)),
        case(N(0, 2), N(3, 2)),
        case(N(2, 3), N(2, 3), axis=-1),
        case(N(1, 2, 3), N(4, 2, 3)),
    ],
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


@concatenate.jvp("xs")
def _(t, *, axis):
    return concatenate(t, axis=axis)


def why_not_stacked(*xs, axis):
    """Why these shapes do not stand side by side along a new `axis`."""
    if not xs:
        return "there is nothing to stack, give a list of at least one array"
    if len(set(xs)) > 1:
        return f"shapes {' and '.join(map(str, xs))} do not stack: all must be equal"
    return why_no_axis(len(xs[0]) + 1, axis)


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_stacked,
    samples=lambda: [
        case(N(2, 3), N(2, 3)),
        case(N(2, 3), N(2, 3), axis=-1),
        case(N(), N(), N()),
        case(N(0), N(0), axis=1),
        case(N(4), axis=1),
        case(N(1, 2), N(1, 2), N(1, 2), axis=1),
        case(N(), 2.0, N()),
    ],
)
def stack(xp, *xs, axis=0):
    """The arrays (or numbers) of a list, all of one shape, side by side along a new `axis`."""
    return xp.stack(alike(xp, xs), axis)


@stack.vjp("xs")
def _(g, xs_shape, *, axis):
    at = axis_of(axis, g.ndim)
    return tuple([getitem(g, index=on_axis(i, at)) for i in range(len(xs_shape))])


@stack.jvp("xs")
def _(t, *, axis):
    return stack(t, axis=axis)


def why_not_split(x, sections, axis):
    """Why the axis is not cut so."""
    if reason := why_no_axis(len(x), axis):
        return reason
    if np.iterable(sections):
        return f"the places to cut before must be whole numbers in rising order, got {sections}"
    return (
        f"sections={sections} does not cut axis {axis} of size {x[axis]} into equal pieces: "
        f"list the places to cut before, or use chunk"
    )


@op(
    analytic=True,
    arithmetic=False,
    diagnose=why_not_split,
    samples=lambda: [
        case(N(2, 5), sections=(1, 3), axis=1),
        case(N(6), sections=3),
        case(N(4, 2), sections=2, axis=-1),
        case(N(3), sections=(0, 3)),
        case(N(4, 0), sections=2),
    ],
)
def split(xp, x, *, sections, axis=0):
    """A tuple of pieces of x along `axis`: `sections` equal ones, or cut before each index of a list.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.split(np.arange(4.0), [1])
    (array([0.]), array([1., 2., 3.]))
    """
    n = x.shape[axis_of(axis, x.ndim)]
    if not np.iterable(sections):
        if sections < 1 or n % sections:
            raise ValueError(why_not_split(x.shape, sections, axis))
        return tuple(xp.split(x, sections, axis))
    cuts = list(sections)
    places = [min(max(c + n if c < 0 else c, 0), n) for c in cuts]  # as slices read them
    if sorted(places) != places:  # the pieces would overlap
        raise ValueError(why_not_split(x.shape, cuts, axis))
    return tuple(xp.split(x, places, axis))


@split.vjp("x")
def _(g, *, axis):
    return concatenate(g, axis=axis)


@split.jvp("x")
def _(t, *, sections, axis):
    return split(t, sections, axis=axis)


def chunk(x, chunks, axis=0):
    """A tuple of at most `chunks` pieces of x along `axis`, all of one size but for the last, which may be smaller.

    >>> import numpy as np, tinygrad_lm as tg
    >>> [piece.tolist() for piece in tg.chunk(np.arange(5.0), 3)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """
    if chunks < 1:
        raise ValueError(f"chunk: an axis is cut into at least 1 piece, got chunks={chunks}")
    length = x.shape[axis_of(axis, x.ndim, "chunk")]
    size = max(-(-length // chunks), 1)
    return split(x, list(range(size, length, size)), axis=axis)
