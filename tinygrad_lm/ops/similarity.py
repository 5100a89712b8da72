"""Directions: vectors scaled to length one, and the cosine of the angle between two."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.exponential import sqrt
from tinygrad_lm.ops.reduction import expanded, sum
from tinygrad_lm.ops.samples import N, case, kink
from tinygrad_lm.ops.shape import broadcast_to, why_no_axis

__all__ = [
    "cosine_similarity",
    "normalize",
]

# ruff: noqa: A004


def lengths(x, axis, eps):
    """(max(|x|, eps) along `axis`, which is kept; where |x| is more than eps), differentiable at 0 too."""
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    if reason := why_no_axis(x.ndim, axis):
        raise IndexError(reason)
    square = sum(x * x, axis=axis, keepdims=True)
    outside = raw(square) > eps * eps
    return where(outside, sqrt(where(outside, square, 1.0)), eps), outside


@op(
    samples=lambda: [
        case(N(3, 4)),
        case(N(2, 3, 2), axis=1),
        case(N(5), axis=0),
        case(N(0, 3)),
        case(N(2, 3), axis=(0, 1)),
        case(N(2, 2), eps=50.0),
    ],
    kinks=[
        kink(([0.0, 0.0],), ([2.0, 2.0],), "within eps of 0 it is x / eps, 0 included", eps=0.5),
        kink(([3.0, 4.0],), ([0.2, 0.2],), "the length eps belongs to the inside", eps=5.0),
    ],
    cost=lambda x, **_: 3 * x.size,
    analytic=True,
)
def normalize(xp, x, *, axis=-1, eps=1e-12):
    """x / max(|x|, eps): vectors along `axis` (an int or a tuple) scaled to length one; 0 stays 0.

    The derivative is that of the formula everywhere: nearer to 0 than eps it is 1 / eps, so choose an eps that your
    gradients can bear if vectors of 0 occur.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return x / lengths(x, axis, eps)[0]


@normalize.vjp("x")
def _(g, x, out, *, axis, eps):
    length, outside = lengths(x, axis, eps)
    return (g - out * (sum(g * out, axis=axis, keepdims=True) * outside)) / length


@normalize.jvp("x")
def _(t, x, *, axis, eps):
    length, outside = lengths(x, axis, eps)
    tlength = outside * sum(x * t, axis=axis, keepdims=True) / length
    return t / length - x * tlength / length**2


def together(a, b):
    """a and b in the shape that both broadcast to."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    return broadcast_to(a, shape=shape), broadcast_to(b, shape=shape)


@op(
    samples=lambda: [
        case(N(3, 4), N(3, 4)),
        case(N(2, 3, 2), N(3, 2), axis=1),
        case(N(5), N(5), axis=0),
        case(N(0, 3), N(3)),
        case(N(2, 1, 3), N(4, 3)),
        case(N(2, 4), N(4)),
        case(N(2, 2), N(2, 2), eps=50.0),
    ],
    kinks=[
        kink(([0.0, 0.0], [3.0, 4.0]), ([1.2, 1.6], [0.0, 0.0]), "within eps of 0 a vector is divided by eps", eps=0.5),
    ],
    cost=lambda a, b, **_: 6 * max(a.size, b.size),
    analytic=True,
)
def cosine_similarity(xp, a, b, *, axis=-1, eps=1e-8):
    """The sum of a b along `axis`, divided by max(|a|, eps) max(|b|, eps): between -1 and 1.  Shapes broadcast.

    It is 0 where a or b is 0, with the derivative of the formula there (see `normalize`).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.cosine_similarity(np.array([1.0, 0.0]), np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]))
    array([ 1.,  0., -1.])
    """
    a, b = together(a, b)
    return sum(a / lengths(a, axis, eps)[0] * (b / lengths(b, axis, eps)[0]), axis=axis)


@cosine_similarity.vjp("a", "b")
def _(g, a, b, out, *, axis, eps):
    a, b = together(a, b)
    (of_a, outside_a), (of_b, outside_b) = lengths(a, axis, eps), lengths(b, axis, eps)
    along_a, along_b = a / of_a, b / of_b
    g, out = [expanded(y, a.shape, axis, keepdims=False) for y in (g, out)]
    da = g * (along_b - along_a * (out * outside_a)) / of_a
    return da, g * (along_a - along_b * (out * outside_b)) / of_b


@cosine_similarity.jvp("a", "b")
def _(t, a, b, out, *, axis, eps):
    (a, b), (ta, tb) = together(a, b), together(*t)
    (of_a, outside_a), (of_b, outside_b) = lengths(a, axis, eps), lengths(b, axis, eps)
    stretched = outside_a * (a * ta).sum(axis=axis, keepdims=True) / of_a**2
    stretched = stretched + outside_b * (b * tb).sum(axis=axis, keepdims=True) / of_b**2
    return ((ta * b + a * tb) / (of_a * of_b)).sum(axis=axis) - out * stretched.sum(axis=axis)
