"""Elementwise arithmetic.  Shapes broadcast; no rule un-broadcasts, the walk does."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.comparison import greater, less
from tinygrad_lm.ops.rounding import sign
from tinygrad_lm.ops.samples import D, N, P, Spec, binary, case, kink, unary

__all__ = [
    "abs",
    "add",
    "divide",
    "lerp",
    "multiply",
    "negative",
    "positive",
    "reciprocal",
    "subtract",
]

# ruff: noqa: F811  (every rule is named `_`)


@op(samples=binary, ufunc="add", analytic=True)
def add(xp, a, b):
    """a + b, elementwise; shapes broadcast.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.add(np.ones((2, 1)), np.arange(3.0))
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    return xp.add(a, b)


@add.vjp("a")
def _(g):
    return g


@add.vjp("b")
def _(g):
    return g


@add.jvp("a", "b")
def _(t):
    return t[0] + t[1]


@op(samples=binary, ufunc="subtract", analytic=True)
def subtract(xp, a, b):
    """a - b, elementwise; shapes broadcast."""
    return xp.subtract(a, b)


@subtract.vjp("a")
def _(g):
    return g


@subtract.vjp("b")
def _(g):
    return -g


@subtract.jvp("a", "b")
def _(t):
    return t[0] - t[1]


@op(samples=binary, ufunc="multiply", analytic=True)
def multiply(xp, a, b):
    """a * b, elementwise; shapes broadcast."""
    return xp.multiply(a, b)


@multiply.vjp("a")
def _(g, b):
    return g * b


@multiply.vjp("b")
def _(g, a):
    return g * a


@multiply.jvp("a")
def _(t, b):
    return t * b


@multiply.jvp("b")
def _(t, a):
    return a * t


@op(
    samples=lambda: binary(N, P),
    kinks=[kink((1.0, 0.0), (math.inf, -math.inf), "a pole")],
    ufunc="divide",
    analytic=True,
)
def divide(xp, a, b):
    """a / b, elementwise; shapes broadcast."""
    return xp.divide(a, b)


@divide.vjp("a")
def _(g, b):
    return g / b


@divide.vjp("b")
def _(g, b, out):
    return -(g * out) / b


@divide.jvp("a", "b")
def _(t, a, b):
    ta, tb = t
    return (ta * b - a * tb) / (b * b)


@op(samples=unary, ufunc="negative", analytic=True, arithmetic=False)
def negative(xp, x):
    """-x."""
    return xp.negative(x)


@negative.vjp("x")
def _(g):
    return -g


@negative.jvp("x")
def _(t):
    return -t


@op(samples=unary, ufunc="positive", analytic=True, arithmetic=False)
def positive(xp, x):
    """+x: a copy of x."""
    return xp.positive(x)


@positive.vjp("x")
def _(g):
    return g


@positive.jvp("x")
def _(t):
    return t


@op(samples=lambda: unary(P), kinks=[kink((0.0,), (-math.inf,), "a pole")], ufunc="reciprocal", analytic=True)
def reciprocal(xp, x):
    """1 / x, of integers too, which NumPy's own would truncate; d/dx = -1 / x^2.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.reciprocal(np.array([2, 4]))
    array([0.5 , 0.25])
    """
    return xp.divide(1.0, x)


@reciprocal.vjp("x")
def _(g, out):
    return -(g * out) * out


@reciprocal.jvp("x")
def _(t, x):
    return -t / (x * x)


@op(
    samples=lambda: unary(D),
    kinks=[kink((0.0,), (0.0,), "the middle of -1 and 1")],
    ufunc="absolute",
    arithmetic=False,
)
def abs(xp, x):
    """|x|; the derivative at 0 is 0."""
    return xp.abs(x)


@abs.vjp("x")
def _(g, x):
    return g * sign(x)


@abs.jvp("x")
def _(t, x):
    return where(greater(x, 0), t, 0.0) - where(less(x, 0), t, 0.0)


def mixtures():
    """(a, b, weight) in shapes that broadcast; weights as arrays and as numbers, within [0, 1] and outside of it."""
    triples = (
        ((2, 3), (2, 3), (2, 3)),
        ((3, 1), (4,), ()),
        ((), (2,), (2,)),
        ((0, 2), (2,), (1, 2)),
        ((4,), (), (2, 1)),
    )
    return [case(N(*a), N(*b), Spec("uniform", w, -0.5, 1.5)) for a, b, w in triples] + [case(N(5), N(5), 0.3)]


@op(samples=mixtures, analytic=True)
def lerp(xp, a, b, weight):
    """a + weight (b - a), elementwise: a where the weight is 0, b where it is 1, and on along the line beyond.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.lerp(np.array([0.0, 10.0]), np.array([1.0, 20.0]), 0.25)
    array([ 0.25, 12.5 ])
    """
    return a + weight * (b - a)


@lerp.vjp("a")
def _(g, weight):
    return g * (1.0 - weight)


@lerp.vjp("b")
def _(g, weight):
    return g * weight


@lerp.vjp("weight")
def _(g, a, b):
    return g * (b - a)


@lerp.jvp("a", "b", "weight")
def _(t, a, b, weight):
    ta, tb, tw = t
    return ta + weight * (tb - ta) + tw * (b - a)
