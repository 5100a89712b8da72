"""The same numbers laid out differently in memory: what an operation must not notice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["LAYOUTS"]


def every(step: int, a: np.ndarray) -> tuple:
    """The index ::step along each axis; with the ellipsis it makes a view of a 0-d array too."""
    return (..., *[slice(None, None, step)] * a.ndim)


def contiguous(a: np.ndarray) -> np.ndarray:
    """A copy with the last axis innermost."""
    return np.array(a, order="C")


def transposed(a: np.ndarray) -> np.ndarray:
    """The first axis innermost (Fortran order)."""
    return np.array(a, order="F")


def permuted(a: np.ndarray) -> np.ndarray:
    """The axes rotated by one in memory: from three axes on, neither the first nor the last order."""
    order = [*range(1, a.ndim), *range(min(a.ndim, 1))]
    back = [order.index(i) for i in range(a.ndim)]
    return a.transpose(order).copy().transpose(back)


def strided(a: np.ndarray) -> np.ndarray:
    """Every second element, along each axis, of a larger array."""
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    view = wide[every(2, a)]
    view[...] = a
    return view


def reversed_(a: np.ndarray) -> np.ndarray:
    """Negative strides."""
    return a[every(-1, a)].copy()[every(-1, a)]


def offset(a: np.ndarray) -> np.ndarray:
    """A part of a buffer that begins one element behind a multiple of 64 bytes."""
    room = 64 // a.itemsize
    buffer = np.zeros(a.size + 2 * room, a.dtype)
    start = -(buffer.ctypes.data // a.itemsize) % room + 1
    view = buffer[start : start + a.size].reshape(a.shape)
    view[...] = a
    return view


def broadcast(a: np.ndarray) -> np.ndarray:
    """The first element everywhere, through strides of 0; read-only."""
    return np.broadcast_to(a.reshape(-1)[:1].copy().reshape((1,) * a.ndim), a.shape) if a.size else a.copy()


# All keep shape and dtype, all but `broadcast` the values too, and none shares memory with what it is given.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": contiguous,
    "transposed": transposed,
    "permuted": permuted,
    "strided": strided,
    "reversed": reversed_,
    "offset": offset,
    "broadcast": broadcast,
}
