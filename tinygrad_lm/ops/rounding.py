"""Signs, whole numbers and what is left of a division.  Where they jump the derivative is that of both sides."""

from __future__ import annotations

from tinygrad_lm.core import op
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.comparison import signbit
from tinygrad_lm.ops.samples import D, N, P, binary, kink, unary

__all__ = [
    "ceil",
    "copysign",
    "floor",
    "floor_divide",
    "remainder",
    "round",
    "sign",
    "trunc",
]

# ruff: noqa: F811  (every rule is named `_`)


# ---------------------------------------------------------------------------------------------------- steps


@op(
    samples=lambda: unary(D),
    kinks=[kink((0.0,), (0.0,), "a jump; flat on both sides")],
    ufunc="sign",
    arithmetic=False,
)
def sign(xp, x):
    """-1, 0 or 1; its derivative is 0 everywhere, by convention at 0 too."""
    return xp.sign(x)


@op(
    samples=lambda: unary(N),
    kinks=[kink((2.0,), (0.0,), "a jump; flat on both sides")],
    ufunc="floor",
    arithmetic=False,
)
def floor(xp, x):
    """The largest whole number that is not above x.  The derivative is 0."""
    return xp.floor(x)


@op(
    samples=lambda: unary(N),
    kinks=[kink((2.0,), (0.0,), "a jump; flat on both sides")],
    ufunc="ceil",
    arithmetic=False,
)
def ceil(xp, x):
    """The smallest whole number that is not below x.  The derivative is 0."""
    return xp.ceil(x)


@op(
    samples=lambda: unary(N),
    kinks=[kink((2.0,), (0.0,), "a jump; flat on both sides")],
    ufunc="trunc",
    arithmetic=False,
)
def trunc(xp, x):
    """x without its fraction: the nearest whole number towards 0.  The derivative is 0."""
    return xp.trunc(x)


@op(
    samples=lambda: unary(N),
    kinks=[kink((2.5,), (0.0,), "a jump; flat on both sides")],
    ufunc="rint",
    arithmetic=False,
)
def round(xp, x):
    """The nearest whole number, of two equally near ones the even one.  The derivative is 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.round(np.array([0.5, 1.5, 2.5, -0.4]))
    array([ 0.,  2.,  2., -0.])
    """
    return xp.round(x)


for step in (sign, floor, ceil, trunc, round):

    @step.vjp("x")
    def _(g):
        return g * 0.0

    @step.jvp("x")
    def _(t):
        return None


# ---------------------------------------------------------------------------------------------------- division


@op(
    samples=lambda: binary(N, P),
    kinks=[kink((4.0, 2.0), (0.0, 0.0), "a jump; flat on both sides")],
    ufunc="floor_divide",
)
def floor_divide(xp, a, b):
    """floor(a / b), elementwise.  The derivatives are 0."""
    return xp.floor_divide(a, b)


@floor_divide.vjp("a", "b")
def _(g):
    return g * 0.0, g * 0.0


@floor_divide.jvp("a", "b")
def _(t):
    return None


@op(
    samples=lambda: binary(N, P),
    kinks=[kink((4.0, 2.0), (1.0, -2.0), "a jump by b; the slope where a / b is larger")],
    ufunc="remainder",
)
def remainder(xp, a, b):
    """a - b floor(a / b), elementwise, with the sign of b, as Python's a % b.

    d/da = 1, d/db = -floor(a / b).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.remainder(np.array([5.5, -5.5]), 2.0)
    array([1.5, 0.5])
    """
    return xp.remainder(a, b)


@remainder.vjp("a")
def _(g):
    return g


@remainder.vjp("b")
def _(g, a, b):
    return -(g * floor_divide(a, b))


@remainder.jvp("a")
def _(t):
    return t


@remainder.jvp("b")
def _(t, a, b):
    return -t * floor(a / b)


# ---------------------------------------------------------------------------------------------------- signs


@op(
    samples=lambda: [*binary(D, D), *binary(N, D)[:2]],
    kinks=[
        kink((0.0, -1.0), (0.0, 0.0), "a corner of |a|: the middle of its two slopes"),
        kink((2.0, 0.0), (1.0, 0.0), "a jump where b changes sign; flat on both sides"),
    ],
    ufunc="copysign",
)
def copysign(xp, a, b):
    """|a| with the sign of b, elementwise; -0.0 has the sign minus.

    d/da = 1 where a keeps its sign, -1 where it loses it, and 0 where a = 0; d/db = 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.copysign(np.array([1.0, -2.0]), np.array([-0.0, 3.0]))
    array([-1.,  2.])
    """
    return xp.copysign(a, b)


@copysign.vjp("a")
def _(g, a, out):
    return g * (sign(a) * sign(out))


@copysign.vjp("b")
def _(g):
    return g * 0.0


@copysign.jvp("a", "b")
def _(t, a, b):
    return where(signbit(b), -t[0], t[0]) * sign(a)
