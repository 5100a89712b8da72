"""Powers, exponentials and logarithms, and the functions that statistics makes of them."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.comparison import equal, logical_and
from tinygrad_lm.ops.erf import erf_of, erfc_of
from tinygrad_lm.ops.samples import N, P, Spec, binary, case, kink, unary

__all__ = [
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "pow",
    "rsqrt",
    "sigmoid",
    "sqrt",
    "square",
    "xlogy",
]

# ruff: noqa: F811  (every rule is named `_`)


# ---------------------------------------------------------------------------------------------------- powers


@op(
    samples=lambda: [*binary(P, N), case(N(2, 3), 3), case(N(4), 2.0), case(P(4), -0.5), case(N(3), 0)],
    kinks=[
        kink((0.0, 2.0), (0.0, 0.0), "0^b is 0 for b > 0"),
        kink((0.0, 1.0), (1.0, 0.0), "0^b is 0 for b > 0"),
        kink((0.0, 0.5), (math.inf, 0.0), "the slope of a root at 0"),
        kink((0.0, 0.0), (0.0, 0.0), "a^0 is 1 for every a"),
    ],
    ufunc="power",
    analytic=True,
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
    return xlogy(where(equal(a, 0), 0.0, g * out), a)


@pow.jvp("a")
def _(t, a, b):
    return t * b * pow(a, where(logical_and(equal(a, 0), equal(b, 0)), 1.0, b - 1))


@pow.jvp("b")
def _(t, a, out):
    return t * out * log(where(equal(a, 0), 1.0, a))


@op(samples=unary, ufunc="square", analytic=True)
def square(xp, x):
    """x * x.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.square(np.array([-2.0, 0.5]))
    array([4.  , 0.25])
    """
    return xp.square(x)


@square.vjp("x")
def _(g, x):
    return g * (2.0 * x)


@square.jvp("x")
def _(t, x):
    return t * x + x * t


@op(
    samples=lambda: unary(P),
    kinks=[kink((0.0,), (math.inf,), "a vertical tangent")],
    ufunc="sqrt",
    analytic=True,
)
def sqrt(xp, x):
    """Square root; its derivative 1 / (2 sqrt x) is infinite at 0."""
    return xp.sqrt(x)


@sqrt.vjp("x")
def _(g, out):
    return g / (2.0 * out)


@sqrt.jvp("x")
def _(t, x):
    return 0.5 * t * x**-0.5


@op(samples=lambda: unary(P), kinks=[kink((0.0,), (-math.inf,), "a pole")], analytic=True)
def rsqrt(xp, x):
    """1 / sqrt(x); d/dx = -1 / (2 x sqrt x).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.rsqrt(np.array([4.0, 0.25]))
    array([0.5, 2. ])
    """
    return 1.0 / xp.sqrt(x)


@rsqrt.vjp("x")
def _(g, x, out):
    return g * (-0.5 * out / x)


@rsqrt.jvp("x")
def _(t, x):
    return -0.5 * t * x**-1.5


# ---------------------------------------------------------------------------------------------------- exponentials


@op(samples=unary, ufunc="exp", analytic=True)
def exp(xp, x):
    """e^x."""
    return xp.exp(x)


@exp.vjp("x")
def _(g, out):
    return g * out


@exp.jvp("x")
def _(t, x):
    return t * exp(x)


@op(samples=unary, ufunc="exp2", analytic=True)
def exp2(xp, x):
    """2^x; d/dx = 2^x log 2."""
    return xp.exp2(x)


@exp2.vjp("x")
def _(g, out):
    return g * (out * math.log(2))


@exp2.jvp("x")
def _(t, x):
    return math.log(2) * t * exp(x * math.log(2))


@op(samples=unary, ufunc="expm1", analytic=True)
def expm1(xp, x):
    """e^x - 1, to full accuracy near 0 too."""
    return xp.expm1(x)


@expm1.vjp("x")
def _(g, x):
    return g * exp(x)


@expm1.jvp("x")
def _(t, out):
    return t * (out + 1.0)


@op(samples=unary)
def sigmoid(xp, x):
    """1 / (1 + e^-x), without overflow for any x."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, e) / (1 + e)


@sigmoid.vjp("x")
def _(g, out):
    return g * (out * (1.0 - out))


@sigmoid.jvp("x")
def _(t, x):
    return t * sigmoid(x) * sigmoid(-x)


# ---------------------------------------------------------------------------------------------------- logarithms


@op(samples=lambda: unary(P), kinks=[kink((0.0,), (math.inf,), "log 0 is -inf")], ufunc="log", analytic=True)
def log(xp, x):
    """Natural logarithm; d/dx log x = 1 / x."""
    return xp.log(x)


@log.vjp("x")
def _(g, x):
    return g / x


@log.jvp("x")
def _(t, out):
    return t * exp(-out)


@op(samples=lambda: unary(P), kinks=[kink((-1.0,), (math.inf,), "log 0 is -inf")], ufunc="log1p", analytic=True)
def log1p(xp, x):
    """log(1 + x), to full accuracy near 0 too; d/dx = 1 / (1 + x)."""
    return xp.log1p(x)


@log1p.vjp("x")
def _(g, x):
    return g / (1.0 + x)


@log1p.jvp("x")
def _(t, out):
    return t * exp(-out)


@op(samples=lambda: unary(P), kinks=[kink((0.0,), (math.inf,), "log 0 is -inf")], ufunc="log2", analytic=True)
def log2(xp, x):
    """Logarithm to base 2; d/dx = 1 / (x log 2)."""
    return xp.log2(x)


@log2.vjp("x")
def _(g, x):
    return g / (x * math.log(2))


@log2.jvp("x")
def _(t, x):
    return math.log2(math.e) * t / x


@op(samples=lambda: unary(P), kinks=[kink((0.0,), (math.inf,), "log 0 is -inf")], ufunc="log10", analytic=True)
def log10(xp, x):
    """Logarithm to base 10; d/dx = 1 / (x log 10)."""
    return xp.log10(x)


@log10.vjp("x")
def _(g, x):
    return g / (x * math.log(10))


@log10.jvp("x")
def _(t, x):
    return math.log10(math.e) * t / x


@op(
    samples=binary,
    kinks=[
        kink((-math.inf, -math.inf), (0.0, 0.0), "nothing is added to nothing, as in logsumexp"),
        kink((-math.inf, 0.0), (0.0, 1.0), "nothing is added"),
        kink((math.inf, math.inf), (0.5, 0.5), "a tie is shared"),
    ],
    ufunc="logaddexp",
)
def logaddexp(xp, a, b):
    """log(e^a + e^b), elementwise, without overflow; d/da = sigmoid(a - b).

    Two -inf (the logarithm of 0 + 0) have gradient 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.logaddexp(np.array([1e4, -np.inf]), np.array([1e4, -np.inf]))
    array([10000.69314718,           -inf])
    """
    return xp.logaddexp(a, b)


@logaddexp.vjp("a")
def _(g, a, b):
    return g * part(a, b)


@logaddexp.vjp("b")
def _(g, a, b):
    return g * part(b, a)


@op(samples=binary)
def part(xp, a, b):
    """e^a / (e^a + e^b) = sigmoid(a - b): 1/2 where both are inf, 0 where both are -inf."""
    b = xp.asarray(b, xp.result_type(a, b))
    both = xp.isinf(a) & (a == b)
    difference = xp.where(both, xp.minimum(a, 0), a) - xp.where(both, 0, b)
    e = xp.exp(-xp.abs(difference))
    return xp.where(difference >= 0, 1, e) / (1 + e)


@part.vjp("a")
def _(g, out):
    return g * (out * (1.0 - out))


@part.vjp("b")
def _(g, out):
    return -(g * (out * (1.0 - out)))


@part.jvp("a", "b")
def _(t, a, b):
    return (t[0] - t[1]) * part(a, b) * part(b, a)


@logaddexp.jvp("a", "b")
def _(t, a, b):
    tie = equal(a, b)  # of infinities, too
    ahead = where(tie, 0.0, a - b)
    slope = t[0] / (1.0 + exp(-ahead)) + t[1] / (1.0 + exp(ahead))
    return where(logical_and(tie, equal(a, -math.inf)), 0.0, slope)


@op(
    samples=lambda: binary(N, P),
    kinks=[kink((0.0, 0.0), (0.0, 0.0), "0 log 0 is 0")],
)
def xlogy(xp, x, y):
    """x log y, elementwise, and 0 where x = 0 and y is a number.  At x = y = 0 both derivatives are 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> p = np.array([0.0, 0.5, 1.0])
    >>> -tg.xlogy(p, p).sum()  # entropy
    np.float64(0.34657359027997264)
    """
    y = xp.asarray(y, xp.result_type(x, y))
    return x * xp.log(xp.where((x == 0) & ~xp.isnan(y), 1, y))


@xlogy.vjp("x")
def _(g, x, y):
    return xlogy(where(logical_and(equal(x, 0), equal(y, 0)), 0.0, g), y)


@xlogy.vjp("y")
def _(g, x, y):
    return g * x / where(logical_and(equal(x, 0), equal(y, 0)), 1.0, y)


@xlogy.jvp("x")
def _(t, x, y):
    return t * log(where(logical_and(equal(x, 0), equal(y, 0)), 1.0, y))


@xlogy.jvp("y")
def _(t, x, y):
    return where(equal(x, 0), 0.0, t * x / y)


# ---------------------------------------------------------------------------------------------------- the normal law


@op(samples=unary)
def erf(xp, x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return erf_of(xp, x)


@erf.vjp("x")
def _(g, x):
    return g * (exp(-(x * x)) * (2.0 / math.sqrt(math.pi)))


@erf.jvp("x")
def _(t, x):
    return t * bell(x)


@op(samples=lambda: [*unary(), case(Spec("uniform", (4,), 1.0, 4.0))])
def erfc(xp, x):
    """1 - erf(x), to full accuracy where that is tiny.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.erfc(np.array([0.0, 10.0]))
    array([1.00000000e+00, 2.08848758e-45])
    """
    return erfc_of(xp, x)


@erfc.vjp("x")
def _(g, x):
    return -(g * (exp(-(x * x)) * (2.0 / math.sqrt(math.pi))))


@erfc.jvp("x")
def _(t, x):
    return -t * bell(x)


def bell(x):
    """The derivative of erf, in the form that the forward-mode rules use."""
    return 2.0 / math.sqrt(math.pi) / exp(square(x))
