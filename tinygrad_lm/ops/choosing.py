"""Choosing between values, element by element.  Where two tie, each gets half of the gradient."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.core import op
from tinygrad_lm.ops.comparison import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_or,
)
from tinygrad_lm.ops.samples import D, N, P, binary, booleans, case, kink, unary, untied

__all__ = [
    "clip",
    "fmax",
    "fmin",
    "maximum",
    "minimum",
    "nan_to_num",
    "where",
]

# ruff: noqa: F811  (every rule is named `_`)


@op(
    samples=lambda: (
        [
            case(booleans(*c), N(*a), N(*b))
            for c, a, b in (
                ((3,), (2, 3), (3,)),
                ((2, 3), (2, 3), (2, 3)),
                ((2, 1), (3,), (2, 3)),
                ((), (2,), (2,)),
                ((0,), (0,), (1,)),
            )
        ]
        + [case(booleans(4), N(4), 0.0)]
    ),
    kinks=[kink((False, math.inf, 1.0), (None, 0.0, 1.0), "what was not chosen has no say, though it be infinite")],
    analytic=True,
)
def where(xp, condition, a, b):
    """a where `condition`, else b; shapes broadcast.

    The gradient of the side that was not chosen is exactly 0 here, but 0 times an infinite slope further down is nan:
    make that side finite too, e.g. where(x > 0, log(where(x > 0, x, 1)), 0).
    """
    return xp.where(condition, a, b)


@where.vjp("a")
def _(g, condition):
    return where(condition, g, 0.0)


@where.vjp("b")
def _(g, condition):
    return where(condition, 0.0, g)


where.constant("condition")


@where.jvp("a", "b")
def _(t, condition):
    return where(condition, *t)


@op(
    samples=lambda: [
        case(D(2, 3), -0.11, 0.16),
        case(D(4), None, 0.07),
        case(D(3, 1), 0.0, None),
        case(D(0), -1.0, 1.0),
        case(D(), -0.5, 0.5),
        case(D(2, 3), np.array([-0.11, 0.01, -0.21]), np.array([[0.11], [0.21]])),
        case(D(2, 3), D(3), P(2, 1)),
        case(D(4), None, D()),
        case(D(4), D(4)),
    ],
    promote="x min max",
    kinks=[
        kink((1.0, 0.0, 1.0), (1.0, 0.0, 0.0), "the bounds belong to the inside"),
        kink((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), "the bounds belong to the inside"),
    ],
)
def clip(xp, x, min=None, max=None):
    """x limited to [min, max]; either may be None.  Where min is above max the result is max.

    The derivative is 1 inside, the bounds included, and 0 outside, where that of the bound which was taken is 1.
    """
    return x.copy() if min is None and max is None else xp.clip(x, min, max)


@clip.vjp("x")
def _(g, x, out):
    return g * equal(x, out)


@clip.vjp("min")
def _(g, x, min, out):
    return g * (less(x, out) * equal(out, min))


@clip.vjp("max")
def _(g, x, min, max):
    return g * greater(x if min is None else maximum(x, min), max)


@clip.jvp("x")
def _(t, x, min, max):
    above = True if min is None else greater_equal(x, min)
    below = True if max is None else less_equal(x, max)
    return where(logical_and(above, below), t, 0.0)


@clip.jvp("min")
def _(t, x, min, max):
    return where(less(x, min) if max is None else less(x, min) & less_equal(min, max), t, 0.0)


@clip.jvp("max")
def _(t, x, min, max):
    return where(less(max, x) if min is None else less(max, x) | less(max, min), t, 0.0)


@op(
    samples=untied,
    kinks=[kink((1.0, 1.0), (0.5, 0.5), "a tie is shared"), kink((0.0, -0.0), (0.5, 0.5), "a tie is shared")],
    ufunc="maximum",
)
def maximum(xp, a, b):
    """The larger of a and b, elementwise.  At a tie each gets half of the gradient.  nan wins."""
    return xp.maximum(a, b)


@maximum.vjp("a")
def _(g, a, b):
    return g * share(a, b)


@maximum.vjp("b")
def _(g, a, b):
    return g * share(b, a)


@maximum.jvp("a", "b")
def _(t, a, b):
    ta, tb = t
    return where(greater(a, b), ta, where(less(a, b), tb, (ta + tb) / 2))


@op(
    samples=untied,
    kinks=[kink((1.0, 1.0), (0.5, 0.5), "a tie is shared")],
    ufunc="minimum",
)
def minimum(xp, a, b):
    """The smaller of a and b, elementwise.  At a tie each gets half of the gradient.  nan wins."""
    return xp.minimum(a, b)


@minimum.vjp("a")
def _(g, a, b):
    return g * share(b, a)


@minimum.vjp("b")
def _(g, a, b):
    return g * share(a, b)


@minimum.jvp("a", "b")
def _(t, a, b):
    ta, tb = t
    return where(less(a, b), ta, where(greater(a, b), tb, (ta + tb) / 2))


@op(samples=lambda: binary(D, D), promote="a b")
def share(xp, a, b):
    """1 where a > b, 1/2 where they tie, 0 where a < b: what `maximum(a, b)` passes on to a.  A constant."""
    more = xp.greater(a, b)  # compared, not subtracted: two infinities tie
    return (more.astype(xp.result_type(a, b)) + xp.greater_equal(a, b)) / 2


share.constant("a", "b")


@op(
    samples=untied,
    kinks=[
        kink((1.0, 1.0), (0.5, 0.5), "a tie is shared"),
        kink((1.0, math.nan), (1.0, 0.0), "the number is chosen"),
        kink((math.nan, 1.0), (0.0, 1.0), "the number is chosen"),
    ],
    ufunc="fmax",
)
def fmax(xp, a, b):
    """The larger of a and b, elementwise; a number wins over nan.  At a tie each gets half of the gradient.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.fmax(np.array([1.0, np.nan, 3.0]), 2.0)
    array([2., 2., 3.])
    """
    return xp.fmax(a, b)


@fmax.composed
def _(a, b):
    return where(isnan(a), b, where(isnan(b), a, maximum(a, b)))


@fmax.jvp("a", "b")
def _(t, a, b):
    ta, tb = t
    first, second = logical_or(greater(a, b), isnan(b)), logical_or(less(a, b), isnan(a))
    return where(first, ta, where(second, tb, (ta + tb) / 2))


@op(
    samples=untied,
    kinks=[
        kink((1.0, 1.0), (0.5, 0.5), "a tie is shared"),
        kink((1.0, math.nan), (1.0, 0.0), "the number is chosen"),
        kink((math.nan, 1.0), (0.0, 1.0), "the number is chosen"),
    ],
    ufunc="fmin",
)
def fmin(xp, a, b):
    """The smaller of a and b, elementwise; a number wins over nan.  At a tie each gets half of the gradient."""
    return xp.fmin(a, b)


@fmin.composed
def _(a, b):
    return where(isnan(a), b, where(isnan(b), a, minimum(a, b)))


@fmin.jvp("a", "b")
def _(t, a, b):
    ta, tb = t
    first, second = logical_or(less(a, b), isnan(b)), logical_or(greater(a, b), isnan(a))
    return where(first, ta, where(second, tb, (ta + tb) / 2))


@op(
    samples=lambda: [*unary(), case(N(3), nan=1.0, posinf=2.0, neginf=-2.0)],
    kinks=[
        kink((math.nan,), (0.0,), "replaced by a constant"),
        kink((math.inf,), (0.0,), "replaced by a constant"),
        kink((-math.inf,), (0.0,), "replaced by a constant"),
    ],
    arithmetic=False,
)
def nan_to_num(xp, x, *, nan=0.0, posinf=None, neginf=None):
    """x with nan, inf and -inf replaced: by `nan`, and unless told by the largest and smallest finite number.

    The derivative is 1 where x is finite and 0 where it was replaced.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.nan_to_num(np.array([1.0, np.nan, np.inf]), posinf=9.0)
    array([1., 0., 9.])
    """
    x = xp.asarray(x)
    if x.dtype.kind in "biu":
        return x.copy()
    largest = xp.nextafter(xp.asarray(math.inf, x.dtype), xp.asarray(0, x.dtype))  # of bfloat16 too
    for replaced, new in (
        (xp.isnan(x), nan),
        (x == math.inf, largest if posinf is None else posinf),
        (x == -math.inf, -largest if neginf is None else neginf),
    ):
        x = xp.where(replaced, xp.asarray(new, x.dtype), x)
    return x


@nan_to_num.vjp("x")
def _(g, x):
    return where(isfinite(x), g, 0.0)


@nan_to_num.jvp("x")
def _(t, x):
    return t * isfinite(x)
