"""Padding: more elements on both ends of axes."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.core import op
from tinygrad_lm.ops.indexing import getitem, getitem_grad
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import on_axis

__all__ = [
    "pad",
]

MODES = ("constant", "edge", "reflect", "wrap")


def widths(pad_width, shape, mode):
    """[(before, after), ...] for every axis, from an int, a pair, or a list of pairs."""
    try:
        pairs = np.broadcast_to(pad_width, (len(shape), 2))
    except ValueError:
        raise ValueError(
            f"pad_width={pad_width} is neither a number, nor a pair (before, after), nor one pair for each of the "
            f"{len(shape)} axes"
        ) from None
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ValueError(f"pad widths must be integers and not negative, got {pad_width}; to cut, use x[...]")
    for axis, (n, pair) in enumerate(zip(shape, pairs.tolist(), strict=True)):
        if mode != "constant" and n == 0 and any(pair):
            raise ValueError(f"axis {axis} has no elements that mode {mode!r} could repeat: use mode='constant'")
        if mode == "reflect" and max(pair) >= max(n, 1):
            raise ValueError(
                f"mode 'reflect' mirrors at most {n - 1} of the {n} elements of axis {axis}, got pad widths {pair}"
            )
    return pairs.tolist()


def inside(shape, pairs):
    """The index of x in its padded array."""
    return tuple([slice(before, before + n) for n, (before, _) in zip(shape, pairs, strict=True)])


def sources(n, before, after, mode):
    """For each place of a padded axis the number of the element of x that stands there."""
    at = np.arange(-before, n + after)
    if mode == "edge":
        return at.clip(0, n - 1)
    return at % n if mode == "wrap" else n - 1 - np.abs(n - 1 - np.abs(at))


def padded_axes(shape, pairs, mode):
    """(axis, index that repeats elements of it) for every axis that grows."""
    return [
        (axis, on_axis(sources(n, before, after, mode), axis))
        for axis, (n, (before, after)) in enumerate(zip(shape, pairs, strict=True))
        if before or after
    ]


@op(
    analytic=True,
    arithmetic=False,
    samples=lambda: [
        case(N(3), pad_width=(1, 2)),
        case(N(2, 3), pad_width=((0, 1), (2, 0)), value=1.5),
        case(N(4), pad_width=(3, 2), mode="reflect"),
        case(N(2, 3), pad_width=((1, 0), (2, 1)), mode="reflect"),
        case(N(2, 3), pad_width=2, mode="edge"),
        case(N(3, 1, 2), pad_width=((4, 0), (0, 2), (1, 7)), mode="wrap"),
        case(N(), pad_width=1),
        case(N(0, 2), pad_width=((0, 0), (1, 1)), mode="edge"),
        case(N(0), pad_width=1, value=-2.0),
    ],
)
def pad(xp, x, *, pad_width, mode="constant", value=0.0):
    """x with `pad_width` more elements at the ends of its axes: a number, (before, after), or one such pair per axis.

    mode: "constant" puts `value` there, "edge" the last element, "reflect" the elements mirrored at the last one, which
    is not doubled, "wrap" those from the other end.

    >>> import numpy as np, tinygrad_lm as tg
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> tg.pad(x, 1), tg.pad(x, (2, 0), mode="reflect")
    (array([0., 1., 2., 3., 0.]), array([3., 2., 1., 2., 3.]))
    """
    pairs = widths(pad_width, x.shape, mode)
    if mode != "constant":
        for _, index in padded_axes(x.shape, pairs, mode):
            x = x[index]
        return x.copy()
    if x.dtype.kind in "iub" and x.dtype.type(value) != value:
        raise ValueError(f"value={value} is no {x.dtype}, which x is: convert it with x.astype(...)")
    out = xp.full([before + n + after for n, (before, after) in zip(x.shape, pairs, strict=True)], value, x.dtype)
    out[inside(x.shape, pairs)] = x
    return out


@pad.vjp("x")
def _(g, x_shape, *, pad_width, mode):
    pairs = widths(pad_width, x_shape, mode)
    if mode == "constant":
        return getitem(g, index=inside(x_shape, pairs))
    for axis, index in padded_axes(x_shape, pairs, mode):
        g = getitem_grad(g, index=index, shape=(*g.shape[:axis], x_shape[axis], *g.shape[axis + 1 :]))
    return g


@pad.jvp("x")
def _(t, *, pad_width, mode):
    return pad(t, pad_width, mode, 0.0)
