"""Elementwise arithmetic and functions.  Shapes broadcast; no rule un-broadcasts, the walk does."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.core import op
from tinygrad_lm.ops.erf import erf_of
from tinygrad_lm.ops.samples import D, N, P, binary, booleans, case, kink, unary, untied

__all__ = [
    "abs",
    "add",
    "clip",
    "cos",
    "divide",
    "equal",
    "erf",
    "exp",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "pow",
    "sign",
    "sin",
    "sqrt",
    "subtract",
    "tanh",
    "where",
]

# ruff: noqa: F811  (every rule is named `_`)


@op(samples=binary, ufunc="add")
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


@op(samples=binary, ufunc="subtract")
def subtract(xp, a, b):
    """a - b, elementwise; shapes broadcast."""
    return xp.subtract(a, b)


@subtract.vjp("a")
def _(g):
    return g


@subtract.vjp("b")
def _(g):
    return -g


@op(samples=binary, ufunc="multiply")
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


@op(samples=lambda: binary(N, P), ufunc="divide")
def divide(xp, a, b):
    """a / b, elementwise; shapes broadcast."""
    return xp.divide(a, b)


@divide.vjp("a")
def _(g, b):
    return g / b


@divide.vjp("b")
def _(g, b, out):
    return -(g * out) / b


@op(samples=unary, ufunc="negative")
def negative(xp, x):
    """-x."""
    return xp.negative(x)


@negative.vjp("x")
def _(g):
    return -g


@op(
    samples=lambda: [*binary(P, N), case(N(2, 3), 3), case(N(4), 2.0), case(P(4), -0.5), case(N(3), 0)],
    kinks=[kink((0.0, 2.0), (0.0, 0.0), "0^b is 0 for b > 0"), kink((0.0, 0.0), (0.0, 0.0), "a^0 is 1 for every a")],
    ufunc="power",
)
def pow(xp, a, b):
    """a ** b, elementwise; shapes broadcast.

    d/da = b a^(b-1), and 0 where a = b = 0; d/db = a^b log a, and 0 where a = 0.  A negative base has no derivative
    with respect to b (it is nan), which matters only if b requires a gradient.
    """
    return xp.power(a, b)


@pow.vjp("a")
def _(g, a, b):
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else g * 0.0
    corner = equal(a, 0) * equal(b, 0)  # not wherever b = 0: there the slope is 0, but what the slope changes by is not
    return g * b * a ** where(corner, 1.0, b - 1)


@pow.vjp("b")
def _(g, a, out):
    return g * out * log(where(equal(a, 0), 1.0, a))


@op(samples=unary, ufunc="exp")
def exp(xp, x):
    """e^x."""
    return xp.exp(x)


@exp.vjp("x")
def _(g, out):
    return g * out


@op(samples=lambda: unary(P), ufunc="log")
def log(xp, x):
    """Natural logarithm; d/dx log x = 1 / x."""
    return xp.log(x)


@log.vjp("x")
def _(g, x):
    return g / x


@op(samples=lambda: unary(P), ufunc="sqrt")
def sqrt(xp, x):
    """Square root; its derivative 1 / (2 sqrt x) is infinite at 0."""
    return xp.sqrt(x)


@sqrt.vjp("x")
def _(g, out):
    return g / (2.0 * out)


@op(samples=lambda: unary(D), kinks=[kink((0.0,), (0.0,), "the middle of -1 and 1")], ufunc="absolute")
def abs(xp, x):
    """|x|; the derivative at 0 is 0."""
    return xp.abs(x)


@abs.vjp("x")
def _(g, x):
    return g * sign(x)


@op(samples=lambda: unary(D), kinks=[kink((0.0,), (0.0,), "a jump; flat on both sides")], ufunc="sign")
def sign(xp, x):
    """-1, 0 or 1; its derivative is 0 everywhere, by convention at 0 too."""
    return xp.sign(x)


@sign.vjp("x")
def _(g):
    return g * 0.0


@op(samples=unary, ufunc="sin")
def sin(xp, x):
    """Sine of an angle in radians."""
    return xp.sin(x)


@sin.vjp("x")
def _(g, x):
    return g * cos(x)


@op(samples=unary, ufunc="cos")
def cos(xp, x):
    """Cosine of an angle in radians."""
    return xp.cos(x)


@cos.vjp("x")
def _(g, x):
    return -(g * sin(x))


@op(samples=unary, ufunc="tanh")
def tanh(xp, x):
    """Hyperbolic tangent; d/dx = 1 - tanh(x)^2."""
    return xp.tanh(x)


@tanh.vjp("x")
def _(g, out):
    return g * (1.0 - out * out)


@op(samples=unary)
def erf(xp, x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return erf_of(xp, x)


@erf.vjp("x")
def _(g, x):
    return g * (exp(-(x * x)) * (2.0 / math.sqrt(math.pi)))


# ---------------------------------------------------------------------------------------------------- choosing


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
    )
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
    ],
    promote="x low high",
    kinks=[
        kink((1.0, 0.0, 1.0), (1.0, 0.0, 0.0), "the bounds belong to the inside"),
        kink((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), "the bounds belong to the inside"),
    ],
)
def clip(xp, x, low=None, high=None):
    """x limited to [low, high]; either may be None.

    The derivative is 1 inside, the bounds included, and 0 outside, where that of the bound which was taken is 1.
    """
    return x + 0 if low is None and high is None else xp.clip(x, low, high)


@clip.vjp("x")
def _(g, x, out):
    return g * equal(x, out)


@clip.vjp("low")
def _(g, x, low, out):
    return g * (less(x, out) * equal(out, low))


@clip.vjp("high")
def _(g, x, high, out):
    return g * (greater(x, out) * equal(out, high))


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


@op(samples=lambda: binary(D, D), promote="a b")
def share(xp, a, b):
    """1 where a > b, 1/2 where they tie, 0 where a < b: what `maximum(a, b)` passes on to a.  A constant."""
    more = xp.greater(a, b)  # compared, not subtracted: two infinities tie
    return (more.astype(xp.result_type(a, b)) + xp.greater_equal(a, b)) / 2


share.constant("a", "b")


# ---------------------------------------------------------------------------------------------------- comparisons


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


for comparison in (equal, not_equal, less, less_equal, greater, greater_equal):
    comparison.constant("a", "b")
