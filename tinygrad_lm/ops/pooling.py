"""Pooling: the largest element, or the average, of windows over the last one, two or three axes.

A maximum remembers where it stood, so its derivative of any order is reading and writing at these places.  An average
is a weighted sum along one axis after another.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.core import op
from tinygrad_lm.ops.indexing import getitem
from tinygrad_lm.ops.resampling import along_last
from tinygrad_lm.ops.samples import D, N, case, kink
from tinygrad_lm.ops.shape import reshape
from tinygrad_lm.ops.windows import adaptive, averaging, boxes, check_rank, sliding, span, whole_numbers

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

# ruff: noqa: F811  (every rule is named `_`)


@op(
    aux="place",
    arithmetic=False,
    cost=lambda x, *, windows: (
        x.size // max(1, math.prod(x.shape[-len(windows) :])) * math.prod([len(t.links[0]) for t in windows])
    ),
    kinks=[
        kink(([1.0, 1.0, 0.0],), ([1.0, 0.0, 0.0],), "the first of those that tie", windows=(sliding(3, 1, 3, 1, 0),)),
        kink(
            ([[0.0, 1.0], [1.0, 1.0]],),
            ([[0.0, 1.0], [0.0, 0.0]],),
            "the first of those that tie, row by row",
            windows=(sliding(2, 1, 2, 1, 0), sliding(2, 1, 2, 1, 0)),
        ),
    ],
    samples=lambda: [
        case(D(2, 6), windows=(sliding(6, 3, 2, 2, 0),)),
        case(D(5), windows=(sliding(5, 5, 3, 1, 1),)),
        case(D(2, 2, 4, 3), windows=(sliding(4, 2, 2, 2, 0), sliding(3, 2, 2, 1, 0))),
        case(D(1, 5, 4), windows=(sliding(5, 2, 3, 2, 0), sliding(4, 3, 2, 2, 1))),
        case(D(7), windows=(sliding(7, 2, 3, 2, 0, 2),)),
        case(D(2, 3, 4), windows=(adaptive(3, 2), adaptive(4, 3))),
        case(D(2, 3, 2, 3), windows=(sliding(3, 2, 2, 1, 0), sliding(2, 1, 2, 1, 0), adaptive(3, 1))),
        case(D(0, 4), windows=(sliding(4, 2, 2, 2, 0),)),
    ],
)
def max_pool(xp, x, *, windows):
    """The largest element of each window over the last axes; `windows` says for each of them which positions it spans.

    Of elements that tie, the first one (row by row) gets all of the gradient.  nan wins.
    """
    lead, size, out = x.shape[: -len(windows)], x.shape[-len(windows) :], tuple([taps.out for taps in windows])
    count, planes = math.prod(out), math.prod(lead)
    places = xp.arange(math.prod(size)).reshape(size)
    best, first = x, places
    for i, taps in enumerate(windows):  # the first element of each window, to begin with
        start = xp.asarray(taps.first)
        best, first = xp.take(best, start, i - len(windows)), xp.take(first, start, i)
    meets = list(boxes(xp, windows))
    places_of = xp.stack([first] * (len(meets) + 1))  # which element each output reads at its n-th look
    which = xp.zeros(best.shape, np.min_scalar_type(len(meets)))  # the look that found the largest
    for n, (at, source) in enumerate(meets, 1):
        places_of[n][at] = places[source]
        seen, top, found = x[source], best[at], which[at]
        better = (seen > top) | (seen != seen)
        xp.copyto(top, seen, where=better)
        xp.copyto(found, n, where=better)
        if not isinstance(at[-1], slice):  # then these were copies
            best[at], which[at] = top, found
    chosen = which.reshape(planes, count).astype(int) * count + xp.arange(count)
    place = places_of.reshape(-1)[chosen] + places.size * xp.arange(planes)[:, None]
    return best, place.reshape(best.shape)


@max_pool.vjp("x")
def _(g, x_shape, place, *, windows):
    return max_pool_grad(g, place, windows=windows, shape=x_shape)


@max_pool.jvp("x")
def _(t, place):
    return t.reshape(-1)[place]


def grad_cases():
    """Windows of max_pool, and places that it may have found."""
    found = []
    for c in max_pool.op.facts["samples"]():
        shape, windows = c.arrays[0].shape, c.params["windows"]
        _, place = max_pool.op.forward(np, np.arange(math.prod(shape)).reshape(shape) % 7, windows=windows)
        found.append(case(N(*place.shape), place, windows=windows, shape=shape))
    return found


@op(analytic=True, samples=grad_cases)
def max_pool_grad(xp, dy, place, *, windows, shape):
    """What each element of an x of `shape` receives: the dy of all windows whose largest one is at its `place`."""
    dx = xp.zeros(math.prod(shape), dy.dtype)
    xp.add.at(dx, place.reshape(-1), dy.reshape(-1))
    return dx.reshape(shape)


@max_pool_grad.vjp("dy")
def _(g, place):
    return getitem(reshape(g, shape=(g.size,)), index=place)


@max_pool_grad.jvp("dy")
def _(t, place, *, windows, shape):
    return max_pool_grad(t, place, windows=windows, shape=shape)


max_pool_grad.constant("place")


# ---------------------------------------------------------------------------------------------------- what users call


def pooled_sizes(function, x, kernel, stride, padding, dilation, ceil_mode):
    """How many windows there are along each axis; ValueError if none, or if one would see only padding."""
    sizes = []
    for n, k, s, p, d in zip(x.shape[-len(kernel) :], kernel, stride, padding, dilation, strict=True):
        if 2 * p > span(k, d):
            raise ValueError(
                f"{function}: padding must be at most half of what a window reaches over, {span(k, d)}, got {p}"
            )
        free = n + 2 * p - span(k, d)
        if n == 0 or free < 0:
            raise ValueError(
                f"{function}: a window reaches over {span(k, d)} elements (size {k}, dilation {d}), "
                f"but x {x.shape} has {n + 2 * p} with padding"
            )
        count = (free + s - 1 if ceil_mode else free) // s + 1
        sizes.append(count - 1 if (count - 1) * s >= n + p else count)  # the last one starts inside
    return sizes


def arguments(function, x, rank, kernel_size, stride, padding, dilation=1, ceil_mode=False):
    """(size, windows, kernel, stride, padding, dilation) for each axis."""
    check_rank(function, x, rank)
    kernel = whole_numbers(function, "kernel_size", kernel_size, rank, 1)
    stride = kernel if stride is None else whole_numbers(function, "stride", stride, rank, 1)
    padding = whole_numbers(function, "padding", padding, rank, 0)
    dilation = whole_numbers(function, "dilation", dilation, rank, 1)
    out = pooled_sizes(function, x, kernel, stride, padding, dilation, ceil_mode)
    return list(zip(x.shape[-rank:], out, kernel, stride, padding, dilation, strict=True))


def largest(function, x, rank, *settings):
    windows = tuple([sliding(*each) for each in arguments(function, x, rank, *settings)])
    if any(len(set(taps.links[0])) < taps.out for taps in windows):
        raise ValueError(f"{function}: with this padding and dilation, a window over x {x.shape} sees only padding")
    return max_pool(x, windows=windows)


def average(function, x, rank, kernel_size, stride, padding, ceil_mode, count_include_pad):
    each = arguments(function, x, rank, kernel_size, stride, padding, 1, ceil_mode)
    return along_last(x, [averaging(*axis[:5], bool(count_include_pad)) for axis in each])


def adapted(function, x, rank, output_size):
    """The windows for each axis; None for a size keeps it."""
    check_rank(function, x, rank)
    sizes = x.shape[-rank:]
    if 0 in sizes:
        raise ValueError(f"{function}: no spatial axis may be empty, got {x.shape}")
    if output_size is None or isinstance(output_size, tuple | list) and len(output_size) == rank:
        wanted = (None,) * rank if output_size is None else output_size
        output_size = tuple([n if m is None else m for n, m in zip(sizes, wanted, strict=True)])
    out = whole_numbers(function, "output_size", output_size, rank, 1)
    return tuple([adaptive(n, m) for n, m in zip(sizes, out, strict=True)])


def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest of every `kernel_size` elements: x (N, C, L) or (C, L), result (N, C, L').

    stride: from one window to the next, kernel_size if None.  padding: at most half of the window, and never the
    largest.  L' = (L + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down, or up with ceil_mode,
    where a window may reach beyond the end but starts before it.  Of elements that tie the first gets the gradient.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.max_pool1d(np.array([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2)
    array([[3., 2.]])
    """
    return largest("max_pool1d", x, 1, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest element of windows over an image (N, C, H, W) or (C, H, W), one number or two each; see
    `max_pool1d`."""
    return largest("max_pool2d", x, 2, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest element of windows over a volume (N, C, D, H, W) or (C, D, H, W); see `max_pool1d`."""
    return largest("max_pool3d", x, 3, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The average of every `kernel_size` elements: x (N, C, L) or (C, L), result (N, C, L'); sizes as in `max_pool1d`.

    Padding counts as zeros, unless count_include_pad is False: then only elements are averaged.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.avg_pool1d(np.array([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2)
    array([[2., 1.]])
    """
    return average("avg_pool1d", x, 1, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Averages of windows over an image (N, C, H, W) or (C, H, W); one number or two each; see `avg_pool1d`."""
    return average("avg_pool2d", x, 2, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Averages of windows over a volume (N, C, D, H, W) or (C, D, H, W); see `avg_pool1d`."""
    return average("avg_pool3d", x, 3, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool1d(x, output_size):
    """Averages of `output_size` windows that cover x (N, C, L) or (C, L); result (N, C, output_size).

    Window i spans floor(i L / n) to ceil((i + 1) L / n), n = output_size: windows may overlap.  1 is the mean of all.
    """
    return along_last(x, adapted("adaptive_avg_pool1d", x, 1, output_size))


def adaptive_avg_pool2d(x, output_size):
    """Averages of windows that cover an image (N, C, H, W) or (C, H, W).  output_size: one number, or two, where None
    keeps the size of that axis; see `adaptive_avg_pool1d`."""
    return along_last(x, adapted("adaptive_avg_pool2d", x, 2, output_size))


def adaptive_avg_pool3d(x, output_size):
    """Averages of windows that cover a volume (N, C, D, H, W) or (C, D, H, W); see `adaptive_avg_pool1d`."""
    return along_last(x, adapted("adaptive_avg_pool3d", x, 3, output_size))


def adaptive_max_pool1d(x, output_size):
    """The largest element of each of the windows of `adaptive_avg_pool1d`; of those that tie, the first."""
    return max_pool(x, windows=adapted("adaptive_max_pool1d", x, 1, output_size))


def adaptive_max_pool2d(x, output_size):
    """The largest element of each of the windows of `adaptive_avg_pool2d`; of those that tie, the first."""
    return max_pool(x, windows=adapted("adaptive_max_pool2d", x, 2, output_size))


def adaptive_max_pool3d(x, output_size):
    """The largest element of each of the windows of `adaptive_avg_pool3d`; of those that tie, the first."""
    return max_pool(x, windows=adapted("adaptive_max_pool3d", x, 3, output_size))
