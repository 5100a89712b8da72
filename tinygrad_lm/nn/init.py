"""Initial values: each function fills a Tensor in place with draws from a `Generator`, and returns it.

`fan_in` is how many numbers one output is made of, `fan_out` how many outputs one input reaches: for a weight of shape
(out, in, *kernel) they are `in * kernel size` and `out * kernel size`.  `gain` makes up for what the nonlinearity of
the layer takes away: 1 for none, sqrt(2) for ReLU (which cuts off half of the second moment), 5/3 is usual for tanh.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_lm.backend import Generator, backend_of, default_generator
from tinygrad_lm.core import Tensor


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """x ~ N(mean, std^2)."""
    source = default_generator() if generator is None else generator
    return _fill(x, source.normal(x.shape, x.dtype, mean, std, xp=backend_of(x.data).xp))


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0, generator: Generator | None = None) -> Tensor:
    """x ~ U[low, high)."""
    source = default_generator() if generator is None else generator
    return _fill(x, source.uniform(x.shape, x.dtype, low, high, xp=backend_of(x.data).xp))


def zeros_(x: Tensor) -> Tensor:
    """x = 0."""
    return _fill(x, 0)


def ones_(x: Tensor) -> Tensor:
    """x = 1."""
    return _fill(x, 1)


def xavier_uniform_(x: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """x ~ U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)).

    Keeps the variance of signals about the same forward and of gradients backward (Glorot and Bengio 2010).
    """
    bound = gain * math.sqrt(6 / sum(fans(x)))
    return uniform_(x, -bound, bound, generator)


def xavier_normal_(x: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """x ~ N(0, std^2) with std = gain * sqrt(2 / (fan_in + fan_out))  (Glorot and Bengio 2010)."""
    return normal_(x, 0.0, gain * math.sqrt(2 / sum(fans(x))), generator)


def kaiming_uniform_(x: Tensor, gain: float = math.sqrt(2), generator: Generator | None = None) -> Tensor:
    """x ~ U(-a, a) with a = gain * sqrt(3 / fan_in).

    Keeps the second moment of signals through layers whose nonlinearity has that gain (He et al. 2015).
    """
    bound = gain * math.sqrt(3 / fans(x)[0])
    return uniform_(x, -bound, bound, generator)


def kaiming_normal_(x: Tensor, gain: float = math.sqrt(2), generator: Generator | None = None) -> Tensor:
    """x ~ N(0, std^2) with std = gain / sqrt(fan_in)  (He et al. 2015)."""
    return normal_(x, 0.0, gain / math.sqrt(fans(x)[0]), generator)


def fans(x: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight; ValueError for one with fewer than two axes, or of size 0."""
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"this initialiser needs a weight of shape (out, in, *kernel), got {x.shape}")
    kernel = math.prod(x.shape[2:])
    return x.shape[1] * kernel, x.shape[0] * kernel


def _fill(x: Tensor, values: Any) -> Tensor:
    x.data[...] = values
    return x
