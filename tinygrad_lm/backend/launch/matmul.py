"""Launchers of the matrix product, and of the layer that is one with a bias."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, pointer, suffix_of
from tinygrad_lm.backend.launch.elementwise import ACTIVATIONS

FILE = "matmul/{}.cu"

# A contiguous array, whether it is the transposed one, and how many numbers lie from one matrix to the next.
Matrix = tuple[Any, bool, int]


def matrices(xp: Any, x: Any, batch: tuple[int, ...]) -> Matrix:
    """The operand of a product as kernels read it: contiguous as it is or transposed, a batch that is whole or one."""
    if math.prod(x.shape[:-2]) not in (1, math.prod(batch)):
        x = xp.broadcast_to(x, (*batch, *x.shape[-2:]))
    turned = not x.flags.c_contiguous and x.mT.flags.c_contiguous
    x = x.mT if turned else xp.ascontiguousarray(x)
    return x, turned, math.prod(x.shape[-2:]) if math.prod(x.shape[:-2]) > 1 else 0


def by_strides(
    rung: str, tile: tuple[int, int], run: Run, suffix: str, a: Matrix, b: Matrix, rest: list, sizes
) -> None:
    """naive.cu and tiled.cu: kernels that take the strides of rows and columns."""
    batch, M, N, K = sizes
    strides = [(step, 1, x.shape[-1]) if turned else (step, x.shape[-1], 1) for x, turned, step in (a, b)]
    blocks = batch * -(-M // tile[0]) * -(-N // tile[1])
    numbers = [np.int64(n) for n in (M, N, K, *strides[0], *strides[1])]
    run(FILE.format(rung), f"matmul_{rung}_{suffix}", (blocks, 1, 1), (256, 1, 1), 0, [a[0], b[0], *rest, *numbers])


def register_tiled(run: Run, suffix: str, a: Matrix, b: Matrix, rest: list, sizes: tuple[int, ...]) -> None:
    """register_tiled.cu: a kernel for each pair of layouts."""
    batch, M, N, K = sizes
    kernel = f"matmul_register_tiled_{'nt'[a[1]]}{'nt'[b[1]]}_{suffix}"
    blocks = batch * -(-M // 128) * -(-N // 128)
    numbers = [*map(np.int32, (M, N, K)), np.int64(a[2]), np.int64(b[2])]
    run(FILE.format("register_tiled"), kernel, (blocks, 1, 1), (256, 1, 1), 0, [a[0], b[0], *rest, *numbers])


Launch = Callable[[Run, str, Matrix, Matrix, list, tuple[int, ...]], None]
RUNGS: dict[str, tuple[Launch, int]] = {  # how it is launched, and the entries of the result in a block
    "naive": (functools.partial(by_strides, "naive", (8, 32)), 8 * 32),
    "tiled": (functools.partial(by_strides, "tiled", (32, 32)), 32 * 32),
    "register_tiled": (register_tiled, 128 * 128),
}


def matmul(
    run: Run,
    xp: Any,
    a: Any,
    b: Any,
    *,
    bias: Any = None,
    residual: Any = None,
    activation: str = "identity",
    rung: str = "register_tiled",
) -> Any:
    """activation(a b + bias) + residual: (..., M, K) and (..., K, N); bias (N,); residual shaped like the result.

    Serves operands of two axes on, of one dtype.  (kernels/matmul/<rung>.cu)
    """
    suffix = suffix_of(a, b, bias, residual)
    if suffix is None or min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        return NotImplemented
    if b.ndim == 2 < a.ndim and a.flags.c_contiguous:  # one product of many rows, not many of few
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])  # (..., M, K) -> (... * M, K)
        added = None if residual is None else residual.reshape(rows.shape[0], b.shape[-1])
        given = {"bias": bias, "residual": added, "activation": activation, "rung": rung}
        y = matmul(run, xp, rows, b, **given)
        return y if y is NotImplemented else y.reshape(*a.shape[:-1], b.shape[-1])  # (... * M, N) -> (..., M, N)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (M, K), N = a.shape[-2:], b.shape[-1]
    launch, tile = RUNGS[rung]
    if max(*a.shape, *b.shape) > MOST_BLOCKS or math.prod(batch) * (M + 128) * (N + 128) // tile > MOST_BLOCKS:
        return NotImplemented
    out = xp.empty((*batch, M, N), a.dtype)
    if K == 0 and (bias is not None or residual is not None or activation != "identity"):
        return NotImplemented
    if K == 0:
        out.fill(0)
    elif out.size:
        rest = [out, pointer(xp, bias), pointer(xp, residual), np.int32(ACTIVATIONS.index(activation))]
        launch(run, suffix, matrices(xp, a, batch), matrices(xp, b, batch), rest, (math.prod(batch), M, N, K))
    return out


def linear(run: Run, xp: Any, x: Any, weight: Any, bias: Any = None, *, rung: str) -> Any:
    """x W^T + bias, the bias added before the result is written."""
    if x.ndim < 1 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        return NotImplemented
    if bias is not None and bias.shape != weight.shape[:1]:
        return NotImplemented
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # (..., in) -> (rows, in)
    y = matmul(run, xp, rows, weight.T, bias=bias, rung=rung)
    return y if y is NotImplemented else y.reshape(*x.shape[:-1], weight.shape[0])  # (rows, out) -> (..., out)


LADDERS: dict[str, dict[str, Rung]] = {
    op.__name__: {rung: Rung(FILE.format(rung), functools.partial(op, rung=rung)) for rung in RUNGS}
    for op in (matmul, linear)
}
