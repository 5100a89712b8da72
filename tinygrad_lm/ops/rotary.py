"""Rotary position embedding: positions as angles, so that a product of two vectors depends on their distance."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import widest_float
from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import fits

__all__ = [
    "rotary_embedding",
]


@op(
    samples=lambda: [
        case(N(3, 4)),
        case(N(2, 3, 2), np.array([5, 0, 2])),
        case(N(2, 2, 3, 4), np.array([[[0, 1, 2]], [[7, 8, 9]]]), base=100.0),
        case(N(3, 6), interleaved=True),
        case(N(2, 4), np.array([0.5, -1.5]), inverse=True),
        case(N(0, 2), interleaved=True),
        case(N(4), np.array(3)),
        case(N(2, 0)),
    ],
    cost=lambda x, *_, **__: 3 * x.size,
    analytic=True,
)
def rotary_embedding(xp, x, positions=None, *, base=10000.0, interleaved=False, inverse=False):
    """x with pairs of its elements turned by angles that grow with the position (Su et al. 2021).

    x (..., T, D) with D even; positions (...), integers or floats that broadcast to (..., T), 0 to T - 1 if None.  Pair
    i, of D / 2, is turned by position * base^(-2i / D).  It consists of the elements i and i + D / 2, or of 2i and
    2i + 1 if `interleaved`.  `inverse` turns the other way.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.rotary_embedding(np.array([[1.0, 0.0]] * 3), base=1.0).round(2)
    array([[ 1.  ,  0.  ],
           [ 0.54,  0.84],
           [-0.42,  0.91]])
    """
    width = x.shape[-1] if x.ndim else 1
    if width % 2:
        raise ValueError(f"the last axis is turned in pairs and must be even, got x {x.shape}")
    if positions is None:
        if x.ndim < 2:
            raise ValueError(f"x needs the axes (length, head size), or positions must be given, got x {x.shape}")
        positions = xp.arange(x.shape[-2])
    positions = xp.asarray(positions)
    if x.dtype.kind in "iub":
        x = x.astype(widest_float([positions.dtype]) or float)
    positions = positions.astype(np.float64)  # in float32 an angle of 100,000 would be off by a hundredth
    if not fits(positions.shape, x.shape[:-1]):
        raise ValueError(f"positions must fit {x.shape[:-1]}, the axes of x but the last, got {positions.shape}")
    slowing = base ** (xp.arange(width // 2) * (-2.0 / max(width, 1)))
    angles = positions[..., None] * slowing  # (..., T, D / 2)
    cos, sin = xp.cos(angles).astype(x.dtype), xp.sin(angles).astype(x.dtype)
    if inverse:
        sin = -sin
    y = xp.empty(x.shape, x.dtype)
    first, second = halves(x, interleaved)
    to_first, to_second = halves(y, interleaved)
    to_first[...] = first * cos - second * sin
    to_second[...] = first * sin + second * cos
    return y


def halves(x, interleaved):
    """The first and the second element of each pair, as views (..., D / 2)."""
    return (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :])


@rotary_embedding.vjp("x")
def _(g, positions, *, base, interleaved, inverse):
    return rotary_embedding(g, positions, base=base, interleaved=interleaved, inverse=not inverse)


@rotary_embedding.jvp("x")
def _(t, positions, *, base, interleaved, inverse):
    return rotary_embedding(t, positions, base=base, interleaved=interleaved, inverse=inverse)  # linear


rotary_embedding.constant("positions")
