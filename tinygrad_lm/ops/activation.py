"""Activation functions: elementwise, but worth a fused forward and backward because every layer runs them.

Where one has a corner, its derivative there is that of the flatter side; at the bounds of those that are cut off on
both sides it is that of the inside.
"""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.choosing import minimum, where
from tinygrad_lm.ops.comparison import equal, greater, less_equal
from tinygrad_lm.ops.elementwise import abs
from tinygrad_lm.ops.erf import erf_of
from tinygrad_lm.ops.exponential import erf, erfc, exp, sigmoid, square
from tinygrad_lm.ops.samples import D, N, Spec, binary, case, kink, unary
from tinygrad_lm.ops.trigonometric import cosh, tanh

__all__ = [
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "selu",
    "silu",
    "softplus",
]

# ruff: noqa: F811  (every rule is named `_`)

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


# ---------------------------------------------------------------------------------------------------- made of lines


@op(samples=lambda: unary(D), kinks=[kink((0.0,), (0.0,), "the flat side")], arithmetic=False)
def relu(xp, x):
    """max(x, 0).  The derivative at 0 is 0."""
    return xp.maximum(x, 0)


@relu.vjp("x")
def _(g, out):
    return relu_grad(g, out)


@relu.jvp("x")
def _(t, x):
    return where(greater(x, 0), t, 0.0)


@op(samples=lambda: [case(N(*s), D(*s)) for s in ((2, 3), (), (0,), (2, 1, 4), (5,))], arithmetic=False)
def relu_grad(xp, dy, x):
    """dy where x > 0, else 0; x may be relu's result as well as its input."""
    return dy * (x > 0)


@relu_grad.composed
def _(dy, x):
    return dy * greater(x, 0)


@op(
    samples=lambda: [*unary(D), case(D(4), negative_slope=0.3)],
    kinks=[kink((0.0,), (0.01,), "the flatter side"), kink((0.0,), (0.2,), "the flatter side", negative_slope=0.2)],
)
def leaky_relu(xp, x, *, negative_slope=0.01):
    """x where x > 0, else negative_slope x (Maas et al. 2013).  The derivative at 0 is `negative_slope`."""
    return xp.where(x > 0, x, negative_slope * x)


@leaky_relu.vjp("x")
def _(g, x, *, negative_slope):
    return where(greater(x, 0), g, negative_slope * g)


@leaky_relu.jvp("x")
def _(t, x, *, negative_slope):
    return t * negative_slope + t * (1.0 - negative_slope) * greater(x, 0)


@op(
    samples=lambda: binary(D, N),
    kinks=[kink((0.0, 0.25), (0.25, 0.0), "the side of the weight, as in leaky_relu")],
)
def prelu(xp, x, weight):
    """x where x > 0, else weight x, where the weight is learnt (He et al. 2015); shapes broadcast.

    The derivative at 0 is the weight.
    """
    return xp.where(x > 0, x, weight * x)


@prelu.vjp("x")
def _(g, x, weight):
    return where(greater(x, 0), g, g * weight)


@prelu.vjp("weight")
def _(g, x):
    return where(greater(x, 0), 0.0, g * x)


@prelu.jvp("x")
def _(t, x, weight):
    return t * where(greater(x, 0), 1.0, weight)


@prelu.jvp("weight")
def _(t, x):
    return t * minimum(x, 0.0)


def wide(*shape):
    """Far enough to pass every bound here, 3 and -3."""
    return Spec("uniform", shape, -5.0, 5.0)


@op(
    samples=lambda: [*unary(wide), case(D(2, 3), min=-0.1, max=0.2)],
    kinks=[
        kink((1.0,), (1.0,), "the bounds belong to the inside"),
        kink((-1.0,), (1.0,), "the bounds belong to the inside"),
    ],
)
def hardtanh(xp, x, *, min=-1.0, max=1.0):
    """x limited to [min, max].  The derivative is 1 inside, the bounds included, and 0 outside."""
    if min > max:
        raise ValueError(f"min must not be above max, got min={min} and max={max}")
    return xp.clip(x, min, max)


@hardtanh.vjp("x")
def _(g, x, out):
    return g * equal(x, out)


@hardtanh.jvp("x")
def _(t, x, *, min, max):
    return where(less_equal(min, x), where(less_equal(x, max), t, 0.0), 0.0)


@op(
    samples=lambda: unary(wide),
    kinks=[
        kink((3.0,), (1 / 6,), "the bounds belong to the inside"),
        kink((-3.0,), (1 / 6,), "the bounds belong to the inside"),
    ],
)
def hardsigmoid(xp, x):
    """x/6 + 1/2 limited to [0, 1] (Howard et al. 2019).  The derivative is 1/6 from -3 to 3, and 0 outside.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return xp.clip(x / 6 + 0.5, 0, 1)


@hardsigmoid.vjp("x")
def _(g, x):
    return where(less_equal(abs(x), 3), g / 6.0, 0.0)


@hardsigmoid.jvp("x")
def _(t, x):
    return t * (less_equal(-3, x) * less_equal(x, 3)) / 6


@op(
    samples=lambda: unary(wide),
    kinks=[
        kink((3.0,), (1.5,), "the bounds belong to the inside"),
        kink((-3.0,), (-0.5,), "the bounds belong to the inside"),
    ],
)
def hardswish(xp, x):
    """x hardsigmoid(x) (Howard et al. 2019).  The derivative is x/3 + 1/2 from -3 to 3, 0 below and 1 above."""
    return x * xp.clip(x / 6 + 0.5, 0, 1)


@hardswish.vjp("x")
def _(g, x):
    return where(less_equal(abs(x), 3), g * (x / 3.0 + 0.5), g * greater(x, 3))


@hardswish.jvp("x")
def _(t, x):
    return t * hardsigmoid(x) + x * where(less_equal(abs(x), 3), t / 6, 0.0)


# ---------------------------------------------------------------------------------------------------- made of e^x


@op(
    samples=lambda: [*unary(D), case(D(4), alpha=0.3)],
    kinks=[kink((0.0,), (1.0,), "smooth where alpha is 1"), kink((0.0,), (0.3,), "the side of e^x", alpha=0.3)],
)
def elu(xp, x, *, alpha=1.0):
    """x where x > 0, else alpha (e^x - 1) (Clevert et al. 2015).  The derivative at 0 is alpha."""
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


@elu.vjp("x")
def _(g, x, *, alpha):
    return where(greater(x, 0), g, g * (alpha * exp(minimum(x, 0.0))))


@elu.jvp("x")
def _(t, x, out, *, alpha):
    return where(greater(x, 0), t, t * (out + alpha))


ALPHA = 1.6732632423543772  # with these two, normal inputs give normal outputs
SCALE = 1.0507009873554805


@op(samples=lambda: unary(D), kinks=[kink((0.0,), (SCALE * ALPHA,), "the side of e^x")])
def selu(xp, x):
    """1.0507 x where x > 0, else 1.0507 * 1.6733 (e^x - 1): keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return xp.where(x > 0, SCALE * x, SCALE * ALPHA * xp.expm1(xp.minimum(x, 0)))


@selu.vjp("x")
def _(g, x):
    return g * where(greater(x, 0), SCALE, SCALE * ALPHA * exp(minimum(x, 0.0)))


@selu.jvp("x")
def _(t, x, out):
    return where(greater(x, 0), SCALE * t, t * (out + SCALE * ALPHA))


@op(samples=unary)
def logsigmoid(xp, x):
    """log sigmoid(x) = min(x, 0) - log(1 + e^-|x|): without overflow, and never log 0.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.logsigmoid(np.array([-1e4, 0.0]))
    array([-1.00000000e+04, -6.93147181e-01])
    """
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


@logsigmoid.vjp("x")
def _(g, x):
    return g * sigmoid(-x)


@logsigmoid.jvp("x")
def _(t, out):
    return t * (1.0 - exp(out))


@op(samples=lambda: [*unary(), case(N(4), beta=2.5)])
def softplus(xp, x, *, beta=1.0):
    """log(1 + e^(beta x)) / beta, a smooth max(x, 0), as max(x, 0) + log(1 + e^(-beta |x|)) / beta.

    That is exact for every x: there is no threshold beyond which it would be taken for x.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.softplus(np.array([-1e4, 0.0, 1e4]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+04])
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-beta * xp.abs(x))) / beta


@softplus.vjp("x")
def _(g, x, *, beta):
    return g * sigmoid(beta * x)


@softplus.jvp("x")
def _(t, out, *, beta):
    return t * (1.0 - exp(-beta * out))


@op(samples=unary)
def mish(xp, x):
    """x tanh(softplus(x)) (Misra 2019)."""
    return x * xp.tanh(xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))))


@mish.vjp("x")
def _(g, x):
    t = tanh(softplus(x))
    return g * (t + x * (1.0 - t * t) * sigmoid(x))


@mish.jvp("x")
def _(t, x):
    e = exp(x)  # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2)
    top, bottom = e * (e + 2.0), e * (e + 2.0) + 2.0
    return t * (top / bottom + 4.0 * x * e * (e + 1.0) / square(bottom))


@op(samples=unary)
def silu(xp, x):
    """x sigmoid(x), also called swish (Elfwing et al. 2017)."""
    e = xp.exp(-xp.abs(x))
    return x * (xp.where(x >= 0, 1, e) / (1 + e))


@silu.vjp("x")
def _(g, x):
    return silu_grad(g, x)


@silu.jvp("x")
def _(t, x):
    return t * sigmoid(x) + x * t / square(2.0 * cosh(0.5 * x))


@op(samples=lambda: [case(N(*s), N(*s)) for s in ((2, 3), (), (0,), (2, 1, 4), (5,))])
def silu_grad(xp, dy, x):
    """dy s (1 + x (1 - s)) with s = sigmoid(x)."""
    e = xp.exp(-xp.abs(x))
    s = xp.where(x >= 0, 1, e) / (1 + e)
    return dy * (s * (1 + x * (1 - s)))


@silu_grad.composed
def _(dy, x):
    s = sigmoid(x)
    return dy * (s * (1.0 + x * (1.0 - s)))


@op(
    samples=lambda: [*unary(), case(N(3, 4), approximate="tanh"), case(N(7), approximate="tanh")],
    cost=lambda x, **_: 12 * x.size,
)
def gelu(xp, x, *, approximate="none"):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016).

    approximate="none": x (1 + erf(x / sqrt 2)) / 2.
    approximate="tanh": x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, as in GPT-2; within 5e-4 of the exact one.
    """
    check(approximate)
    if approximate == "none":
        t = erf_of(xp, x * math.sqrt(0.5))
    else:
        t = x * (CUBIC * ROOT)
        t *= x
        t += ROOT
        t *= x
        t = xp.tanh(t)
    t += 1
    t *= 0.5  # before x, which may be large
    t *= x
    return t


@gelu.vjp("x")
def _(g, x, *, approximate):
    return gelu_grad(g, x, approximate=approximate)


@gelu.jvp("x")
def _(t, x, *, approximate):
    if approximate == "none":
        return t * (0.5 * erfc(-x / math.sqrt(2)) + x * exp(-square(x) / 2) / math.sqrt(2 * math.pi))
    u, du = ROOT * (x + CUBIC * x**3), ROOT * (1.0 + 3.0 * CUBIC * square(x))
    return 0.5 * t * (1.0 + tanh(u)) + 0.5 * x * t * du / square(cosh(u))


@op(
    samples=lambda: [
        case(N(*s), N(*s), approximate=a)
        for s, a in (
            ((3, 4), "none"),
            ((3, 4), "tanh"),
            ((), "tanh"),
            ((0,), "tanh"),
            ((5,), "none"),
            ((2, 1, 4), "tanh"),
        )
    ]
)
def gelu_grad(xp, dy, x, *, approximate):
    """dy times the derivative of gelu at x.

    tanh form, with t = tanh(u): (1 + t)/2 + x/2 (1 - t^2) du/dx, du/dx = sqrt(2/pi) (1 + 3 * 0.044715 x^2).
    """
    if approximate == "none":
        slope = erf_of(xp, x * math.sqrt(0.5))
        slope += 1
        slope *= 0.5
        return dy * (slope + x * xp.exp(-0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi)))
    square = x * x
    t = square * (CUBIC * ROOT)
    t += ROOT
    t *= x
    t = xp.tanh(t)
    square *= 3 * CUBIC * ROOT
    square += ROOT
    square *= x  # x du/dx
    square *= 1 - t
    square += 1
    t += 1
    square *= t  # (1 + t) (1 + x du/dx (1 - t))
    square *= 0.5
    square *= dy
    return square


@gelu_grad.composed
def _(dy, x, approximate):
    if approximate == "none":
        return dy * (0.5 * (1.0 + erf(x * math.sqrt(0.5))) + x * exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))
    t = tanh(ROOT * (x + CUBIC * x * x * x))
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * (ROOT * (1.0 + 3 * CUBIC * x * x)))


def check(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
