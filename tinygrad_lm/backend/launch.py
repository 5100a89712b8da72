"""Launchers of the CUDA kernels, one per kernel and written once: the emulator and CuPy run below them.

A launcher has the signature of the op's body with a runtime in front.  It says what the kernel serves (NotImplemented
for the rest), makes the inputs contiguous, allocates the output, works out the grid, and launches.  A runtime is a
function ``run(file, kernel, grid, block, shared_bytes, arguments)``; arguments are arrays and NumPy scalars, and the
dtype of a scalar is the C type of the parameter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Run = Callable[[str, str, tuple[int, int, int], tuple[int, int, int], int, Sequence[Any]], None]

WARP = 32
MOST_BLOCKS = 2**31 - 1  # of a grid's x


def table(run: Run) -> dict[str, Callable[..., Any]]:
    """The kernel table of a runtime: op name -> kernel with the signature of the op's body."""
    return {name: functools.partial(launcher, run) for name, launcher in LAUNCHERS.items()}


def softmax(run: Run, xp: Any, x: Any, *, axis: int = -1) -> Any:
    """Serves float32 over the last axis, any leading shape (kernels/softmax/rows.cu)."""
    if x.ndim == 0 or axis not in (-1, x.ndim - 1) or x.dtype != np.float32:
        return NotImplemented
    out = xp.empty(x.shape, x.dtype)
    if out.size == 0:
        return out
    columns = x.shape[-1]
    rows = x.size // columns
    if rows > MOST_BLOCKS or columns >= 2**31:
        return NotImplemented
    threads = min(256, -(-columns // WARP) * WARP)
    shared = threads // WARP * 4
    arguments = [xp.ascontiguousarray(x), out, np.int32(columns)]
    run("softmax/rows.cu", "softmax_rows", (rows, 1, 1), (threads, 1, 1), shared, arguments)
    return out


LAUNCHERS: dict[str, Callable[..., Any]] = {"softmax": softmax}
