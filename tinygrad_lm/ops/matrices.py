"""Whole matrices of derivatives, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_lm.backend import backend_of, is_float
from tinygrad_lm.core import grad, raw, vjp
from tinygrad_lm.ops.joining import stack
from tinygrad_lm.ops.shape import reshape

__all__ = [
    "hessian",
    "jacobian",
]


def jacobian(f: Callable) -> Callable:
    """A function of one array that returns d f(x) / d x, of shape f(x).shape + x.shape; one backward pass per row.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def function(x: Any) -> Any:
        if not is_float(raw(x).dtype):
            raise TypeError(f"jacobian needs a floating array, got {raw(x).dtype}: convert it with .astype(float)")
        y, pull = vjp(f, x)
        xp, shape = backend_of(raw(x)).xp, (*raw(y).shape, *raw(x).shape)
        size = math.prod(raw(y).shape)
        if not size:
            return xp.zeros(shape, raw(x).dtype)
        rows = []
        for i in range(size):
            g = xp.zeros(size, raw(y).dtype)
            g[i] = 1
            rows.append(pull(g.reshape(raw(y).shape))[0])
        return reshape(stack(rows), shape=shape)

    return function


def hessian(f: Callable) -> Callable:
    """A function of one array that returns the second derivatives of a scalar `f`, of shape x.shape + x.shape.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f))
