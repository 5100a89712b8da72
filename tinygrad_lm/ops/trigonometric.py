"""Circular and hyperbolic functions and their inverses, and the two of polar coordinates.  Angles are in radians."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.choosing import maximum, where
from tinygrad_lm.ops.comparison import equal
from tinygrad_lm.ops.exponential import exp, sqrt, square
from tinygrad_lm.ops.samples import N, P, Spec, binary, kink, unary

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "hypot",
    "sin",
    "sinh",
    "tan",
    "tanh",
]

# ruff: noqa: F811  (every rule is named `_`)


def within_one(*shape):
    return Spec("uniform", shape, -0.9, 0.9)


def beyond_one(*shape):
    return Spec("uniform", shape, 1.2, 3.0)


# ---------------------------------------------------------------------------------------------------- polar coordinates


@op(
    samples=lambda: [*binary(N, P), *binary(P, N)[:3]],
    kinks=[kink((0.0, 0.0), (0.0, 0.0), "the tip of the cone: the middle of all slopes")],
    ufunc="hypot",
)
def hypot(xp, a, b):
    """sqrt(a^2 + b^2), elementwise, without overflow of the squares.  The gradient at (0, 0) is 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.hypot(np.array([3e200, 0.0]), np.array([4e200, 0.0]))
    array([5.e+200, 0.e+000])
    """
    return xp.hypot(a, b)


@hypot.vjp("a")
def _(g, a, out):
    return g * (a / where(equal(out, 0), math.inf, out))


@hypot.vjp("b")
def _(g, b, out):
    return g * (b / where(equal(out, 0), math.inf, out))


@hypot.jvp("a", "b")
def _(t, a, b):
    angle = atan2(b, a)
    return where(equal(maximum(abs(a), abs(b)), 0), 0.0, t[0] * cos(angle) + t[1] * sin(angle))


@op(
    samples=lambda: [*binary(N, P), *binary(P, N)[:3]],
    kinks=[
        kink((0.0, 0.0), (0.0, 0.0), "no direction; the middle of all slopes"),
        kink((0.0, -1.0), (-1.0, 0.0), "a jump from -pi to pi; the slope on both sides"),
    ],
    ufunc="arctan2",
)
def atan2(xp, y, x):
    """The angle of the point (x, y), from -pi to pi: y comes first.

    d/dy = x / (x^2 + y^2), d/dx = -y / (x^2 + y^2), and 0 at (0, 0).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.atan2(np.array([1.0, 0.0]), np.array([1.0, -1.0])) / np.pi
    array([0.25, 1.  ])
    """
    return xp.arctan2(y, x)


@atan2.vjp("y")
def _(g, y, x):
    r = radius(y, x)
    return g * (x / r) / r


@atan2.vjp("x")
def _(g, y, x):
    r = radius(y, x)
    return -(g * (y / r) / r)


def radius(y, x):
    """hypot, but infinite at the origin: whatever is divided by it there is 0."""
    r = hypot(y, x)
    return where(equal(r, 0), math.inf, r)


@atan2.jvp("y", "x")
def _(t, y, x):
    ty, tx = t
    squares = square(x) + square(y)
    return (x * ty - y * tx) / where(equal(squares, 0), math.inf, squares)


# ---------------------------------------------------------------------------------------------------- circular


@op(samples=unary, ufunc="sin", analytic=True)
def sin(xp, x):
    """Sine of an angle in radians."""
    return xp.sin(x)


@sin.vjp("x")
def _(g, x):
    return g * cos(x)


@sin.jvp("x")
def _(t, x):
    return t * sin(x + math.pi / 2)


@op(samples=unary, ufunc="cos", analytic=True)
def cos(xp, x):
    """Cosine of an angle in radians."""
    return xp.cos(x)


@cos.vjp("x")
def _(g, x):
    return -(g * sin(x))


@cos.jvp("x")
def _(t, x):
    return t * cos(x + math.pi / 2)


@op(samples=lambda: unary(within_one), ufunc="tan", analytic=True)
def tan(xp, x):
    """Tangent of an angle in radians; d/dx = 1 + tan(x)^2."""
    return xp.tan(x)


@tan.vjp("x")
def _(g, out):
    return g * (1.0 + out * out)


@tan.jvp("x")
def _(t, x):
    return t / square(cos(x))


@op(
    samples=lambda: unary(within_one),
    kinks=[
        kink((1.0,), (math.inf,), "a vertical tangent, at the edge of the domain"),
        kink((-1.0,), (math.inf,), "a vertical tangent, at the edge of the domain"),
    ],
    ufunc="arcsin",
    analytic=True,
)
def asin(xp, x):
    """The angle between -pi/2 and pi/2 whose sine is x; d/dx = 1 / sqrt(1 - x^2), infinite at -1 and 1."""
    return xp.arcsin(x)


@asin.vjp("x")
def _(g, x):
    return g / sqrt((1.0 - x) * (1.0 + x))


@asin.jvp("x")
def _(t, out):
    return t / cos(out)


@op(
    samples=lambda: unary(within_one),
    kinks=[
        kink((1.0,), (-math.inf,), "a vertical tangent, at the edge of the domain"),
        kink((-1.0,), (-math.inf,), "a vertical tangent, at the edge of the domain"),
    ],
    ufunc="arccos",
    analytic=True,
)
def acos(xp, x):
    """The angle between 0 and pi whose cosine is x; d/dx = -1 / sqrt(1 - x^2), infinite at -1 and 1."""
    return xp.arccos(x)


@acos.vjp("x")
def _(g, x):
    return -(g / sqrt((1.0 - x) * (1.0 + x)))


@acos.jvp("x")
def _(t, out):
    return -t / sin(out)


@op(samples=unary, ufunc="arctan", analytic=True)
def atan(xp, x):
    """The angle between -pi/2 and pi/2 whose tangent is x; d/dx = 1 / (1 + x^2)."""
    return xp.arctan(x)


@atan.vjp("x")
def _(g, x):
    h = hypot(1.0, x)  # its square may overflow
    return g / h / h


@atan.jvp("x")
def _(t, out):
    return t * square(cos(out))


# ---------------------------------------------------------------------------------------------------- hyperbolic


@op(samples=unary, ufunc="sinh", analytic=True)
def sinh(xp, x):
    """Hyperbolic sine, (e^x - e^-x) / 2."""
    return xp.sinh(x)


@sinh.vjp("x")
def _(g, x):
    return g * cosh(x)


@sinh.jvp("x")
def _(t, x):
    return t * (exp(x) + exp(-x)) / 2


@op(samples=unary, ufunc="cosh", analytic=True)
def cosh(xp, x):
    """Hyperbolic cosine, (e^x + e^-x) / 2."""
    return xp.cosh(x)


@cosh.vjp("x")
def _(g, x):
    return g * sinh(x)


@cosh.jvp("x")
def _(t, x):
    return t * (exp(x) - exp(-x)) / 2


@op(samples=unary, ufunc="tanh", analytic=True)
def tanh(xp, x):
    """Hyperbolic tangent; d/dx = 1 - tanh(x)^2."""
    return xp.tanh(x)


@tanh.vjp("x")
def _(g, out):
    return g * (1.0 - out * out)


@tanh.jvp("x")
def _(t, x):
    return t / square(cosh(x))


@op(samples=unary, ufunc="arcsinh", analytic=True)
def asinh(xp, x):
    """The number whose hyperbolic sine is x; d/dx = 1 / sqrt(1 + x^2)."""
    return xp.arcsinh(x)


@asinh.vjp("x")
def _(g, x):
    return g / hypot(1.0, x)


@asinh.jvp("x")
def _(t, out):
    return t / cosh(out)


@op(
    samples=lambda: unary(beyond_one),
    kinks=[kink((1.0,), (math.inf,), "a vertical tangent, at the edge of the domain")],
    ufunc="arccosh",
    analytic=True,
)
def acosh(xp, x):
    """The number >= 0 whose hyperbolic cosine is x >= 1; d/dx = 1 / sqrt(x^2 - 1), infinite at 1."""
    return xp.arccosh(x)


@acosh.vjp("x")
def _(g, x):
    return g / (sqrt(x - 1.0) * sqrt(x + 1.0))


@acosh.jvp("x")
def _(t, out):
    return t / sinh(out)


@op(
    samples=lambda: unary(within_one),
    kinks=[
        kink((1.0,), (math.inf,), "a pole, at the edge of the domain"),
        kink((-1.0,), (math.inf,), "a pole, at the edge of the domain"),
    ],
    ufunc="arctanh",
    analytic=True,
)
def atanh(xp, x):
    """The number whose hyperbolic tangent is x; d/dx = 1 / (1 - x^2), infinite at -1 and 1."""
    return xp.arctanh(x)


@atanh.vjp("x")
def _(g, x):
    return g / ((1.0 - x) * (1.0 + x))


@atanh.jvp("x")
def _(t, out):
    return t * square(cosh(out))
