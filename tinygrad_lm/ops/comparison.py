"""Questions with a yes or no per element: comparisons, logic, kinds of numbers.  Booleans out, no derivative."""

from __future__ import annotations

from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import binary, booleans, case, unary

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "signbit",
]


@op(samples=binary, ufunc="equal")
def equal(xp, a, b):
    """a == b, elementwise: booleans."""
    return xp.equal(a, b)


@op(samples=binary, ufunc="not_equal")
def not_equal(xp, a, b):
    """a != b, elementwise: booleans."""
    return xp.not_equal(a, b)


@op(samples=binary, ufunc="less")
def less(xp, a, b):
    """a < b, elementwise: booleans."""
    return xp.less(a, b)


@op(samples=binary, ufunc="less_equal")
def less_equal(xp, a, b):
    """a <= b, elementwise: booleans."""
    return xp.less_equal(a, b)


@op(samples=binary, ufunc="greater")
def greater(xp, a, b):
    """a > b, elementwise: booleans."""
    return xp.greater(a, b)


@op(samples=binary, ufunc="greater_equal")
def greater_equal(xp, a, b):
    """a >= b, elementwise: booleans."""
    return xp.greater_equal(a, b)


def truths():
    """Pairs of booleans that broadcast, and numbers, which count as true unless they are 0."""
    pairs = (((2, 3), (2, 3)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2,)), ((0, 3), (3,)))
    return [case(booleans(*s), booleans(*t)) for s, t in pairs] + binary()[:2]


@op(samples=truths, ufunc="logical_and")
def logical_and(xp, a, b):
    """a and b, elementwise: booleans.  Numbers count as true unless they are 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.logical_and(np.array([True, True]), np.array([0.0, -2.0]))
    array([False,  True])
    """
    return xp.logical_and(a, b)


@op(samples=truths, ufunc="logical_or")
def logical_or(xp, a, b):
    """a or b or both, elementwise: booleans.  Numbers count as true unless they are 0."""
    return xp.logical_or(a, b)


@op(samples=truths, ufunc="logical_xor")
def logical_xor(xp, a, b):
    """Either a or b, elementwise: booleans.  Numbers count as true unless they are 0."""
    return xp.logical_xor(a, b)


@op(samples=lambda: [*unary(booleans), *unary()], ufunc="logical_not")
def logical_not(xp, x):
    """not x, elementwise: booleans.  Numbers count as true unless they are 0."""
    return xp.logical_not(x)


@op(samples=unary, ufunc="isfinite")
def isfinite(xp, x):
    """Whether x is neither infinite nor nan."""
    return xp.isfinite(x)


@op(samples=unary, ufunc="isinf")
def isinf(xp, x):
    """Whether x is inf or -inf."""
    return xp.isinf(x)


@op(samples=unary, ufunc="isnan")
def isnan(xp, x):
    """Whether x is nan.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.isnan(np.array([1.0, np.nan, np.inf]))
    array([False,  True, False])
    """
    return xp.isnan(x)


@op(samples=unary, ufunc="signbit")
def signbit(xp, x):
    """Whether the sign of x is minus: true for -0.0 and for a nan with that sign."""
    return xp.signbit(x)


for question in (equal, not_equal, less, less_equal, greater, greater_equal, logical_and, logical_or, logical_xor):
    question.constant("a", "b")
for question in (logical_not, isfinite, isinf, isnan, signbit):
    question.constant("x")
