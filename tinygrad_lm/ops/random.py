"""Operations that draw random numbers: always from a key, so that they can be repeated."""

from __future__ import annotations

from tinygrad_lm.backend import dropout_mask
from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import floating

__all__ = [
    "dropout",
]


@op(
    samples=lambda: [
        case(N(*s), rate=r, key=(7, 3))
        for s, r in (((4, 5), 0.4), ((), 0.5), ((0,), 0.1), ((30,), 0.0), ((2, 3, 4), 0.9))
    ],
    analytic=True,
)
def dropout(xp, x, *, rate, key):
    """0 with probability `rate`, else x / (1 - rate), so that the mean stays (Srivastava et al. 2014).

    key: (seed, stream), e.g. from `Generator.key()`.  The same key gives the same mask on every device, so the backward
    pass draws it again and the tape keeps nothing.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be in [0, 1), got {rate}")
    x = floating(x)
    y = x * dropout_mask(xp, x.shape, rate, key)
    y *= x.dtype.type(1 / (1 - rate))
    return y


@dropout.vjp("x")
def _(g, *, rate, key):
    return dropout(g, rate=rate, key=key)


@dropout.jvp("x")
def _(t, *, rate, key):
    return dropout(t, rate=rate, key=key)  # linear
