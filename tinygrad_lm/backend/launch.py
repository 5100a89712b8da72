"""Launchers of the CUDA kernels, one per kernel and written once: the emulator and CuPy run below them.

A launcher has the signature of the op's body with a runtime in front.  It says what the kernel serves (NotImplemented
for the rest), makes the inputs contiguous, allocates the output, works out the grid, and launches.  A runtime is a
function ``run(file, kernel, grid, block, shared_bytes, arguments)``; arguments are arrays and NumPy scalars, and the
dtype of a scalar is the C type of the parameter.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Run = Callable[[str, str, tuple[int, int, int], tuple[int, int, int], int, Sequence[Any]], None]

WARP = 32
MOST_BLOCKS = 2**31 - 1  # of a grid's x


def table(run: Run, rungs: Mapping[str, str] | None = None) -> dict[str, Callable[..., Any]]:
    """The kernel table of a runtime: op name -> kernel with the signature of the op's body.

    rungs: op name -> the rung to use, where it shall not be the best; or TINYGRAD_LM_RUNGS="matmul=tiled,...".
    ValueError for one that does not exist.
    """
    chosen = {**forced_rungs(os.environ.get("TINYGRAD_LM_RUNGS", "")), **(rungs or {})}
    for name, rung in chosen.items():
        if name not in LADDERS:
            raise ValueError(f"no CUDA kernel for {name!r}: expected one of {', '.join(LADDERS)}")
        if rung not in LADDERS[name]:
            raise ValueError(f"{name} has no rung {rung!r}: expected one of {', '.join(LADDERS[name])}")
    best = {name: list(ladder)[-1] for name, ladder in LADDERS.items()}
    return {name: functools.partial(LADDERS[name][rung], run) for name, rung in {**best, **chosen}.items()}


def forced_rungs(text: str) -> dict[str, str]:
    """
    >>> forced_rungs("matmul=tiled,softmax=rows"), forced_rungs("")
    ({'matmul': 'tiled', 'softmax': 'rows'}, {})
    """
    pairs = [word.partition("=") for word in text.split(",") if word]
    return {name.strip(): rung.strip() for name, _, rung in pairs}


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
    threads = min(256 if columns <= 4096 else 1024, -(-columns // WARP) * WARP)
    shared = threads // WARP * 4
    arguments = [xp.ascontiguousarray(x), out, np.int32(columns)]
    run("softmax/rows.cu", "softmax_rows", (rows, 1, 1), (threads, 1, 1), shared, arguments)
    return out


Matrix = tuple[
    Any, bool, int
]  # contiguous array, whether it is the transposed one, entries from one matrix to the next


def matrices(xp: Any, x: Any, batch: tuple[int, ...]) -> Matrix:
    """The operand of a product as kernels read it: contiguous as it is or transposed, a batch that is whole or one."""
    if math.prod(x.shape[:-2]) not in (1, math.prod(batch)):
        x = xp.broadcast_to(x, (*batch, *x.shape[-2:]))
    turned = not x.flags.c_contiguous and x.mT.flags.c_contiguous
    x = x.mT if turned else xp.ascontiguousarray(x)
    return x, turned, math.prod(x.shape[-2:]) if math.prod(x.shape[:-2]) > 1 else 0


def product(
    launch: Callable[[Any, tuple[Matrix, Matrix], tuple[int, int, int, int]], None], xp: Any, a: Any, b: Any
) -> Any:
    """What the rungs of matmul share; launch(out, (a, b), (batch, M, N, K)).  Serves float32 from two axes on."""
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2] or {a.dtype, b.dtype} != {np.dtype(np.float32)}:
        return NotImplemented
    if max(*a.shape, *b.shape) > MOST_BLOCKS:
        return NotImplemented
    if b.ndim == 2 < a.ndim and a.flags.c_contiguous:  # one product of many rows, not many of few
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])  # (..., M, K) -> (... * M, K)
        return product(launch, xp, rows, b).reshape(*a.shape[:-1], b.shape[-1])  # (... * M, N) -> (..., M, N)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (M, K), N = a.shape[-2:], b.shape[-1]
    out = xp.empty((*batch, M, N), a.dtype)
    if K == 0:
        out.fill(0)
    elif out.size:
        launch(out, (matrices(xp, a, batch), matrices(xp, b, batch)), (math.prod(batch), M, N, K))
    return out


def matmul_by_strides(run: Run, xp: Any, a: Any, b: Any, *, rung: str, tile: tuple[int, int]) -> Any:
    """naive.cu and tiled.cu: kernels that take the strides of rows and columns."""

    def launch(out: Any, operands: tuple[Matrix, Matrix], sizes: tuple[int, int, int, int]) -> None:
        batch, M, N, K = sizes
        strides = [
            (step, 1, x.shape[-1]) if turned else (step, x.shape[-1], 1) for x, turned, step in operands
        ]  # of the batch, a row, a column
        blocks = batch * -(-M // tile[0]) * -(-N // tile[1])
        numbers = [np.int64(n) for n in (M, N, K, *strides[0], *strides[1])]
        arrays = [operands[0][0], operands[1][0], out]
        run(f"matmul/{rung}.cu", f"matmul_{rung}", (blocks, 1, 1), (256, 1, 1), 0, [*arrays, *numbers])

    return product(launch, xp, a, b)


def matmul_register_tiled(run: Run, xp: Any, a: Any, b: Any) -> Any:
    """register_tiled.cu: a kernel for each pair of layouts."""

    def launch(out: Any, operands: tuple[Matrix, Matrix], sizes: tuple[int, int, int, int]) -> None:
        batch, M, N, K = sizes
        (x, x_turned, x_step), (y, y_turned, y_step) = operands
        kernel = f"matmul_register_tiled_{'nt'[x_turned]}{'nt'[y_turned]}"
        blocks = batch * -(-M // 128) * -(-N // 128)
        numbers = [*map(np.int32, (M, N, K)), *map(np.int64, (x_step, y_step))]
        run("matmul/register_tiled.cu", kernel, (blocks, 1, 1), (256, 1, 1), 0, [x, y, out, *numbers])

    return product(launch, xp, a, b)


# Every rung of every operation, the best last: what tests and benchmarks iterate over.
LADDERS: dict[str, dict[str, Callable[..., Any]]] = {
    "softmax": {"rows": softmax},
    "matmul": {
        "naive": functools.partial(matmul_by_strides, rung="naive", tile=(8, 32)),
        "tiled": functools.partial(matmul_by_strides, rung="tiled", tile=(32, 32)),
        "register_tiled": matmul_register_tiled,
    },
}
