"""Activation functions: elementwise, but worth a fused forward and backward because every layer runs them."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.elementwise import erf, exp, greater, tanh
from tinygrad_lm.ops.erf import erf_of
from tinygrad_lm.ops.samples import D, N, case, kink, unary

__all__ = [
    "gelu",
    "relu",
    "sigmoid",
    "silu",
]

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


@op(samples=lambda: unary(D), kinks=[kink((0.0,), (0.0,), "the flat side")])
def relu(xp, x):
    """max(x, 0).  The derivative at 0 is 0."""
    return xp.maximum(x, 0)


@relu.vjp("x")
def _(g, out):
    return g * greater(out, 0)


@op(samples=unary)
def sigmoid(xp, x):
    """1 / (1 + e^-x), without overflow for any x."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, e) / (1 + e)


@sigmoid.vjp("x")
def _(g, out):
    return g * (out * (1.0 - out))


@op(samples=unary)
def silu(xp, x):
    """x sigmoid(x), also called swish (Elfwing et al. 2017)."""
    e = xp.exp(-xp.abs(x))
    return x * (xp.where(x >= 0, 1, e) / (1 + e))


@silu.vjp("x")
def _(g, x):
    s = sigmoid(x)
    return g * (s * (1.0 + x * (1.0 - s)))


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
        t = x * x
        t *= CUBIC * ROOT
        t += ROOT
        t *= x
        t = xp.tanh(t)
    t += 1
    t *= x
    t *= 0.5
    return t


@gelu.vjp("x")
def _(g, x, *, approximate):
    return gelu_grad(g, x, approximate=approximate)


@op(
    samples=lambda: [
        case(N(*s), N(*s), approximate=a)
        for s, a in (((3, 4), "none"), ((3, 4), "tanh"), ((), "tanh"), ((0,), "tanh"), ((5,), "none"))
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
