"""Reductions over one axis, several, or all."""

from __future__ import annotations

import builtins
import math

import numpy as np

from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.comparison import equal
from tinygrad_lm.ops.elementwise import abs, divide
from tinygrad_lm.ops.exponential import exp
from tinygrad_lm.ops.rounding import sign
from tinygrad_lm.ops.running import cumprod, delayed
from tinygrad_lm.ops.samples import D, N, P, booleans, case, kink
from tinygrad_lm.ops.shape import broadcast_to, flip, floating, permute, reshape, why_no_axis

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]

# ruff: noqa: A001, A004  (names are NumPy's)


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


def reduced_axes(axis, ndim):
    """The reduced axes as a tuple of non-negative numbers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple([a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))]) if ndim else ()


def expanded(g, shape, axis, keepdims):
    """A reduced array in a shape that broadcasts against `shape`, which it was reduced from."""
    if keepdims:
        return g
    axes = reduced_axes(axis, len(shape))
    return reshape(g, shape=tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def reduced_shape(shape, axis):
    """The shape that is left without the reduced axes."""
    axes = reduced_axes(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def axis_in(x, axis):
    """The axis as it can be passed on: NumPy's arrays without axes have axes 0 and -1 nevertheless, CuPy's do not."""
    return None if x.ndim == 0 and axis in (0, -1) else axis


def peak(xp, x, axis, least):
    """The largest element along `axis`, which is kept; `least` where there is none, which CuPy's max cannot be told."""
    axes = reduced_axes(axis, x.ndim)
    if 0 in [x.shape[i] for i in axes]:
        return xp.full([1 if i in axes else n for i, n in enumerate(x.shape)], least, x.dtype)
    return xp.max(x, axis=axis_in(x, axis), keepdims=True)


def count(shape, axis):
    """How many elements each result is made of."""
    return math.prod([shape[i] for i in reduced_axes(axis, len(shape))])


def why_not_reduced(x, axis=None, **_):
    """Why there is no such reduction of this shape: no such axis, or nothing along it."""
    if reason := why_no_axis(len(x), axis):
        return reason
    if not count(x, axis):
        along = "" if axis is None else f" along axis {axis}"
        return f"shape {x} has no elements{along}, and this reduction has no value for none: give it at least one"
    return None


def size_of(x, *_, **__):
    """`cost=` of what looks at every element once."""
    return x.size


# ---------------------------------------------------------------------------------------------------- sums


@op(analytic=True, diagnose=why_not_reduced, cost=size_of, samples=reducing(N))
def sum(xp, x, *, axis=None, keepdims=False):
    """Sum of elements over `axis` (an int, a tuple, or None for all).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.sum(np.ones((2, 3)), axis=0)
    array([2., 2., 2.])
    """
    return xp.sum(x, axis=axis_in(x, axis), keepdims=keepdims)


@sum.vjp("x")
def _(g, x_shape, *, axis, keepdims):
    return broadcast_to(expanded(g, x_shape, axis, keepdims), shape=x_shape)


@sum.jvp("x")
def _(t, *, axis, keepdims):
    return sum(t, axis=axis, keepdims=keepdims)


@op(analytic=True, diagnose=why_not_reduced, cost=size_of, samples=reducing(N))
def mean(xp, x, *, axis=None, keepdims=False):
    """Arithmetic mean over `axis`; nan of no elements."""
    return xp.mean(x, axis=axis_in(x, axis), keepdims=keepdims)


@mean.vjp("x")
def _(g, x_shape, *, axis, keepdims):
    share = expanded(g, x_shape, axis, keepdims) * (1 / (count(x_shape, axis) or 1))
    return broadcast_to(share, shape=x_shape)


@mean.jvp("x")
def _(t, *, axis, keepdims):
    return mean(t, axis=axis, keepdims=keepdims)


# ---------------------------------------------------------------------------------------------------- spread


def spreading():
    return [*reducing(N)()[:3], case(N(2, 3), axis=-1, keepdims=True), case(N(2, 4), axis=1, correction=1)] + [
        case(N(5), correction=1),
        case(N(0, 3), axis=1, correction=0.5),
    ]


def divisor(shape, axis, correction):
    """n - correction, by which squares are averaged; nan where nothing is left of it."""
    freedom = count(shape, axis) - correction
    return freedom if freedom > 0 else math.nan


def centred(xp, x, axis):
    """x minus its mean over `axis`: exactly 0 where all elements are equal, because the first is taken away before."""
    axes = reduced_axes(axis, x.ndim)
    x = floating(x)
    shifted = x - x[tuple([slice(0, 1) if a in axes else slice(None) for a in range(x.ndim)])]
    return shifted - xp.mean(shifted, axis=axis_in(x, axis), keepdims=True)


@op(
    analytic=True,
    diagnose=why_not_reduced,
    cost=lambda x, **_: 4 * x.size,
    samples=lambda: [*spreading(), case(N())],
)
def var(xp, x, *, axis=None, correction=0, keepdims=False):
    """Variance over `axis`: the sum of squared distances from the mean, divided by n - correction.

    nan where n - correction is not positive.
    """
    y = centred(xp, x, axis)
    return xp.sum(y * y, axis=axis_in(x, axis), keepdims=keepdims) / divisor(x.shape, axis, correction)


@var.vjp("x")
def _(g, x, x_shape, *, axis, correction, keepdims):
    scale = 2 / divisor(x_shape, axis, correction)
    return expanded(g, x_shape, axis, keepdims) * ((x - mean(x, axis=axis, keepdims=True)) * scale)


@var.jvp("x")
def _(t, x, x_shape, *, axis, correction, keepdims):
    """2 n / (n - correction) times the covariance of x and its tangent."""
    n = count(x_shape, axis)
    both = mean(x * t, axis=axis, keepdims=keepdims)
    apart = mean(x, axis=axis, keepdims=keepdims) * mean(t, axis=axis, keepdims=keepdims)
    return (both - apart) * (2 * n / divisor(x_shape, axis, correction))


@op(
    analytic=True,
    diagnose=why_not_reduced,
    cost=lambda x, **_: 4 * x.size,
    kinks=[
        kink(([0.3, 0.3, 0.3],), ([0.0, 0.0, 0.0],), "the tip of a cone: it grows in every direction"),
        kink((2.0,), (0.0,), "one element has no spread"),
    ],
    samples=spreading,
)
def std(xp, x, *, axis=None, correction=0, keepdims=False):
    """Standard deviation over `axis`: the square root of `var`.  Where all elements are equal its derivative is 0.

    nan where n - correction is not positive.

    >>> import numpy as np, tinygrad_lm as tg
    >>> float(tg.std(np.array([1.0, 3.0])))
    1.0
    """
    y = centred(xp, x, axis)
    return xp.sqrt(xp.sum(y * y, axis=axis_in(x, axis), keepdims=keepdims) / divisor(x.shape, axis, correction))


@std.vjp("x")
def _(g, x, out, x_shape, *, axis, correction, keepdims):
    level = expanded(out, x_shape, axis, keepdims)
    flat = equal(raw(level), 0.0)
    slope = (x - mean(x, axis=axis, keepdims=True)) / (where(flat, 1.0, level) * divisor(x_shape, axis, correction))
    return expanded(g, x_shape, axis, keepdims) * where(flat, 0.0, slope)


@std.jvp("x")
def _(t, x, x_shape, *, axis, correction, keepdims):
    """Of sqrt(v): half of the change of v over sqrt(v)."""
    v, dv = var.op.push([x], [t], axis=axis, correction=correction, keepdims=keepdims)
    return dv / (2.0 * np.sqrt(where(v == 0, 1.0, v)))  # where v is 0, so is dv


# ---------------------------------------------------------------------------------------------------- products


def merged(x, axis):
    """The reduced axes as one: (kept axes ..., how many are reduced)."""
    axes = reduced_axes(axis, x.ndim)
    kept = reduced_shape(x.shape, axis)
    order = (*[i for i in range(x.ndim) if i not in axes], *axes)
    return reshape(permute(x, axes=order), shape=(*kept, count(x.shape, axis)))


def unmerged(y, shape, axis):
    """The inverse of `merged`, for what `shape` was reduced from."""
    axes = reduced_axes(axis, len(shape))
    order = (*[i for i in range(len(shape)) if i not in axes], *axes)
    apart = reshape(y, shape=tuple([shape[i] for i in order]))
    return permute(apart, axes=tuple(np.argsort(order).tolist()))


@op(
    analytic=True,
    diagnose=why_not_reduced,
    cost=size_of,
    samples=lambda: [
        *reducing(N)(),
        case(np.array([0.0, 2.0, 3.0])),
        case(np.array([[0.0, 2.0, 0.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]), axis=1),
        case(N(2, 0, 2), axis=1),
    ],
)
def prod(xp, x, *, axis=None, keepdims=False):
    """Product of elements over `axis`; 1 of no elements.

    The derivative with respect to an element is the product of the others, made without division: exact with one
    zero, with several, and to every order.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.grad(tg.prod)(np.array([0.0, 2.0, 3.0]))
    array([6., 0., 0.])
    """
    return xp.prod(x, axis=axis_in(x, axis), keepdims=keepdims)


@prod.vjp("x")
def _(g, x, x_shape, *, axis, keepdims):
    factors = merged(x, axis)  # (..., n)
    before = delayed(cumprod(factors, axis=-1), 1.0)
    after = flip(delayed(cumprod(flip(factors, axis=-1), axis=-1), 1.0), axis=-1)
    return expanded(g, x_shape, axis, keepdims) * unmerged(before * after, x_shape, axis)


@prod.jvp("x")
def _(t, x, out, *, axis):
    """The product rule as it stands: one factor after the other gives way to its tangent."""
    factors, tangents = merged(x, axis), merged(t, axis)
    moved = np.zeros(factors.shape[:-1], t.dtype)
    for i in range(factors.shape[-1]):
        moved = moved + np.where(np.arange(factors.shape[-1]) == i, tangents, factors).prod(-1)
    return moved.reshape(out.shape)


# ---------------------------------------------------------------------------------------------------- extremes


def hits(x, level):
    """Where x reaches the level that a reduction chose, as raw booleans; where that is nan, the nans do."""
    x, level = raw(x), raw(level)
    return (x == level) | (x != x)


def shared(g, hit, axis):
    """g among the elements that were hit, in equal parts."""
    return where(hit, divide(g, hit.sum(axis=axis, keepdims=True)), 0.0)


@op(
    arithmetic=False,
    diagnose=why_not_reduced,
    cost=size_of,
    samples=reducing(D),
    kinks=[kink(([1.0, 1.0, 0.0],), ([0.5, 0.5, 0.0],), "those that tie share equally")],
)
def max(xp, x, *, axis=None, keepdims=False):
    """Largest element over `axis`.  Elements that tie share the gradient equally.  nan wins, as in NumPy."""
    return xp.max(x, axis=axis_in(x, axis), keepdims=keepdims)


@op(
    arithmetic=False,
    diagnose=why_not_reduced,
    cost=size_of,
    samples=reducing(D),
    kinks=[kink(([1.0, 0.0, 0.0],), ([0.0, 0.5, 0.5],), "those that tie share equally")],
)
def min(xp, x, *, axis=None, keepdims=False):
    """Smallest element over `axis`.  Elements that tie share the gradient equally.  nan wins, as in NumPy."""
    return xp.min(x, axis=axis_in(x, axis), keepdims=keepdims)


def extremum_rule(g, x, out, x_shape, *, axis, keepdims):
    hit = hits(x, expanded(out, x_shape, axis, keepdims))
    return shared(expanded(g, x_shape, axis, keepdims), hit, axis)


def extremum_tangent(t, x, out, x_shape, *, axis, keepdims):
    """The mean tangent of the elements that are extreme."""
    hit = hits(x, expanded(out, x_shape, axis, keepdims))
    return (t * hit).sum(axis=axis, keepdims=keepdims) / hit.sum(axis=axis, keepdims=keepdims)


max.vjp("x")(extremum_rule)
min.vjp("x")(extremum_rule)
max.jvp("x")(extremum_tangent)
min.jvp("x")(extremum_tangent)


@op(
    aux="low high",
    diagnose=why_not_reduced,
    cost=lambda x, axis=None, **_: x.size * builtins.max(count(x.shape, axis), 1).bit_length(),
    samples=lambda: [*reducing(D)(), case(D(4)), case(D(2, 4, 3), axis=(1, 2), keepdims=True)],
    kinks=[
        kink(([1.0, 2.0, 2.0],), ([0.0, 0.5, 0.5],), "those that tie with the middle share equally"),
        kink(([2.0, 2.0, 2.0, 0.0],), ([1 / 3, 1 / 3, 1 / 3, 0.0],), "both middles are this tie"),
    ],
)
def median(xp, x, *, axis=None, keepdims=False):
    """The middle element over `axis` in order of size; of an even number the mean of the two in the middle.

    Elements that tie with a middle one share its gradient equally.  nan wins, as in NumPy.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.median(np.array([4.0, 1.0, 3.0, 2.0]))
    array(2.5)
    """
    top = xp.max(x, axis=axis_in(x, axis), keepdims=True)  # refuses no elements, and is nan if one of them is
    ordered = xp.sort(merged(x, axis))
    n = ordered.shape[-1]
    low, high = [xp.where(top == top, ordered[..., k].reshape(top.shape), top) for k in ((n - 1) // 2, n // 2)]
    out = low * 1.0 if n % 2 else (low + high) / 2
    return out if keepdims else out.reshape(reduced_shape(x.shape, axis)), low, high


@median.vjp("x")
def _(g, x, low, high, x_shape, *, axis, keepdims):
    half = expanded(g, x_shape, axis, keepdims) * 0.5
    return shared(half, hits(x, low), axis) + shared(half, hits(x, high), axis)


@median.jvp("x")
def _(t, x, low, high, out, *, axis):
    sides = [(hits(x, level) * t).sum(axis) / hits(x, level).sum(axis) for level in (low, high)]
    return ((sides[0] + sides[1]) / 2).reshape(out.shape)


# ---------------------------------------------------------------------------------------------------- of other measures


@op(analytic=True, diagnose=why_not_reduced, cost=lambda x, **_: 4 * x.size, samples=reducing(N))
def logsumexp(xp, x, *, axis=None, keepdims=False):
    """log of the sum of e^x over `axis`, without overflow.

    No elements, or -inf alone, give -inf, with gradient 0.
    """
    if not x.size:
        return xp.sum(x, axis=axis_in(x, axis), keepdims=keepdims) - math.inf
    x = floating(x)
    top = xp.max(x, axis=axis_in(x, axis), keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.sum(xp.exp(x - top), axis=axis_in(x, axis), keepdims=True)
    nothing = total == 0
    out = xp.where(nothing, -math.inf, top + xp.log(xp.where(nothing, 1, total)))
    return out if keepdims else out.reshape(reduced_shape(x.shape, axis))


@logsumexp.vjp("x")
def _(g, x, out, x_shape, *, axis, keepdims):
    level = expanded(out, x_shape, axis, keepdims)
    level = where(equal(level, -math.inf), 0.0, level)
    return expanded(g, x_shape, axis, keepdims) * exp(x - level)


@logsumexp.jvp("x")
def _(t, x, *, axis, keepdims):
    """The mean of t weighted by e^x."""
    weight = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return (weight * t).sum(axis=axis, keepdims=keepdims) / weight.sum(axis=axis, keepdims=keepdims)


@op(
    diagnose=why_not_reduced,
    cost=lambda x, **_: 4 * x.size,
    samples=lambda: [
        *reducing(N)(),
        case(D(2, 3), ord=1, axis=1),
        case(D(3, 2), ord=3, axis=0),
        case(D(4), ord=0.5),
        case(D(2, 3), ord=2.5, keepdims=True),
        case(N(2, 3), ord=4),
        case(P(3, 2), ord=math.inf, axis=1),
        case(P(3, 2), ord=-math.inf, axis=1, keepdims=True),
        case(P(5), ord=-math.inf),
        case(D(2, 3), ord=0, axis=0),
    ],
    kinks=[
        kink(([0.0, 0.0],), ([0.0, 0.0],), "the tip of a cone: it grows in every direction"),
        kink(([0.0, 0.0],), ([0.0, 0.0],), "as for ord=2", ord=3),
        kink(([0.0, -2.0],), ([0.0, -1.0],), "|0| is flat, by the convention of abs", ord=1),
        kink(([0.0, 0.0],), ([0.0, 0.0],), "|0| is flat, by the convention of abs", ord=1),
        kink(([2.0, -2.0, 1.0],), ([0.5, -0.5, 0.0],), "those that tie share equally", ord=math.inf),
        kink(([0.0, 0.0],), ([0.0, 0.0],), "|0| is flat, by the convention of abs", ord=math.inf),
        kink(([2.0, -1.0, 1.0],), ([0.0, -0.5, 0.5],), "those that tie share equally", ord=-math.inf),
        kink(([0.0, 2.0],), ([0.0, 0.0],), "a jump from 0 to 1; flat on both sides", ord=0),
        kink(([0.0, 4.0],), ([0.0, 1.0],), "it falls and rises vertically: the middle", ord=0.5),
    ],
)
def norm(xp, x, *, ord=2, axis=None, keepdims=False):
    """The vector norm (sum of |x|^ord)^(1/ord) over `axis`, of all elements if None; the length for ord=2.

    `ord` is positive, or inf (the largest |x|), -inf (the smallest), 0 (how many are not 0).  Neither large nor small
    elements overflow on the way.  Where the norm is 0 its derivative is 0.  For ord=inf and -inf, elements that tie
    share equally.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.norm(np.array([3e200, 4e200]))
    array(5.e+200)
    """
    if not isinstance(ord, int | float):
        raise ValueError(f"ord must be a number, got {ord!r}; for norms of matrices see linalg.svd")
    size = xp.abs(x)
    if ord == 0:
        return xp.sum(size != 0, axis=axis_in(x, axis), keepdims=keepdims).astype(
            xp.result_type(size.dtype, xp.float16)
        )
    if ord == 1:
        return xp.sum(size, axis=axis_in(x, axis), keepdims=keepdims) * 1.0
    if ord == math.inf:
        top = peak(xp, size, axis, 0) * 1.0
        return top if keepdims else top.reshape(reduced_shape(x.shape, axis))
    if ord == -math.inf:
        return xp.min(size, axis=axis_in(x, axis), keepdims=keepdims) * 1.0
    if not ord > 0:
        raise ValueError(f"ord must be positive, 0, inf or -inf, got {ord}")
    top = peak(xp, size, axis, 0)
    unit = xp.where((top > 0) & xp.isfinite(top), top, 1)
    out = unit * xp.sum((size / unit) ** ord, axis=axis_in(x, axis), keepdims=True) ** (1 / ord)
    return out if keepdims else out.reshape(reduced_shape(x.shape, axis))


@norm.vjp("x")
def _(g, x, out, x_shape, *, ord, axis, keepdims):
    g, level = expanded(g, x_shape, axis, keepdims), expanded(out, x_shape, axis, keepdims)
    if ord == 0:
        return broadcast_to(g * 0.0, shape=x_shape)
    if ord in (math.inf, -math.inf):
        return shared(g, hits(abs(raw(x)), level), axis) * sign(x)
    flat = equal(raw(level), 0.0)
    u = x / where(flat, 1.0, level)  # between -1 and 1 (above for ord < 1), so that its powers stay in range
    if ord % 2 == 0:
        return g * where(flat, 0.0, u ** (ord - 1))
    still = equal(raw(x), 0.0)
    u = where(still, 1.0, u)
    return g * where(still, 0.0, sign(u) * abs(u) ** (ord - 1))


@norm.jvp("x")
def _(t, x, out, x_shape, *, ord, axis, keepdims):
    """Of (sum |x|^p)^(1/p): its p-th root's slope times the sum of p |x|^(p-1) sign(x) t; ties answer their mean."""
    size, along = np.abs(x), np.sign(x) * t
    if ord == 0:
        return None
    if ord in (math.inf, -math.inf):
        hit = hits(size, expanded(out, x_shape, axis, keepdims))
        return (along * hit).sum(axis=axis, keepdims=keepdims) / hit.sum(axis=axis, keepdims=keepdims)
    power = np.where(size > 0, size, 1.0) ** (ord - 1)
    total = (size**ord).sum(axis=axis, keepdims=keepdims)
    slope = np.where(total > 0, total, 1.0) ** (1 / ord - 1)
    return slope * (power * along).sum(axis=axis, keepdims=keepdims)


# ---------------------------------------------------------------------------------------------------- answers


def choosing():
    """Axes for what answers with an index: one axis, or all."""
    kept = case(D(2, 3), axis=0, keepdims=True)
    return [case(D(5)), case(D(2, 3), axis=1), kept, case(D(1)), case(D(2, 1, 3), axis=-1), case(D())]


@op(samples=choosing, arithmetic=False, diagnose=why_not_reduced, cost=size_of)
def argmax(xp, x, *, axis=None, keepdims=False):
    """Index of the largest element; the first of those that tie.  Integers have no derivative."""
    return xp.argmax(x, axis=axis_in(x, axis), keepdims=keepdims)


@op(samples=choosing, arithmetic=False, diagnose=why_not_reduced, cost=size_of)
def argmin(xp, x, *, axis=None, keepdims=False):
    """Index of the smallest element; the first of those that tie.  Integers have no derivative."""
    return xp.argmin(x, axis=axis_in(x, axis), keepdims=keepdims)


def asking():
    """Booleans and numbers, no elements among them."""
    sparse = np.array([[0.0, 1.0, -2.0], [0.0, 0.0, 0.0]])
    return [case(booleans(2, 3), axis=1), case(sparse, axis=1), case(sparse, axis=(0, 1), keepdims=True)] + [
        case(N()),
        case(N(0, 3)),
        case(N(2, 0), axis=1),
        case(booleans(2, 2, 3), axis=(0, -1)),
    ]


@op(samples=asking, arithmetic=False, diagnose=why_not_reduced, cost=size_of)
def any(xp, x, *, axis=None, keepdims=False):
    """Whether an element over `axis` is not 0; False of no elements.  nan is not 0."""
    return xp.any(x, axis=axis_in(x, axis), keepdims=keepdims)


@op(samples=asking, arithmetic=False, diagnose=why_not_reduced, cost=size_of)
def all(xp, x, *, axis=None, keepdims=False):
    """Whether no element over `axis` is 0; True of no elements.  nan is not 0."""
    return xp.all(x, axis=axis_in(x, axis), keepdims=keepdims)


@op(samples=asking, arithmetic=False, diagnose=why_not_reduced, cost=size_of)
def count_nonzero(xp, x, *, axis=None, keepdims=False):
    """How many elements over `axis` are not 0."""
    return xp.sum(x != 0, axis=axis_in(x, axis), keepdims=keepdims)


for answer in (argmax, argmin, any, all, count_nonzero):
    answer.constant("x")
