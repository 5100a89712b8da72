"""Launchers of what is computed row by row, over the last axis: softmax and its kin, the norms."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import (
    MOST_BLOCKS,
    NULL,
    WARP,
    Run,
    Rung,
    blocks_for,
    pointer,
    rows_of,
    suffix_of,
)

SHORT = 1024  # columns of a row that a warp keeps in registers (kernels/include/rows.h)
WARPS = 4  # rows in a block of short ones


def each_row(run: Run, file: str, name: str, suffix: str, size: tuple[int, int], arguments: Sequence[Any]) -> None:
    """Launch NAME_short or NAME_long, whose arguments end with the numbers of rows and columns and `more`."""
    rows, columns = size
    if columns <= SHORT:
        run(file, f"{name}_short_{suffix}", blocks_for(rows, WARPS), (WARPS * WARP, 1, 1), 0, arguments)
        return
    threads = 256 if columns <= 8 * SHORT else 1024
    run(file, f"{name}_long_{suffix}", (rows, 1, 1), (threads, 1, 1), threads // WARP * 4, arguments)


def last_axis(x: Any, axis: Any) -> bool:
    """Whether kernels over rows serve `axis` of x."""
    return x.ndim > 0 and axis in (-1, x.ndim - 1) and rows_of(x)[0] <= MOST_BLOCKS


def along_rows(run: Run, xp: Any, *arrays: Any, axis: int = -1, name: str) -> Any:
    """softmax(x), log_softmax(x), and their gradients (dy, y): arrays of one shape in, one out."""
    suffix = suffix_of(*arrays)
    if suffix is None or not last_axis(arrays[0], axis) or len({a.shape for a in arrays}) > 1:
        return NotImplemented
    out = xp.empty(arrays[0].shape, arrays[0].dtype)
    if out.size:
        size = rows_of(out)
        given = [*(pointer(xp, a) for a in arrays), out, *map(np.int64, size)]
        each_row(run, "softmax/rows.cu", name, suffix, size, given)
    return out


# ---- norms -----------------------------------------------------------------------------------------------------------


def fits(x: Any, *params: Any) -> bool:
    """Whether x has rows and each of the others is None or one number for each column."""
    return (
        x.ndim > 0
        and x.shape[-1] > 0
        and rows_of(x)[0] <= MOST_BLOCKS
        and all(p is None or p.shape == x.shape[-1:] for p in params)
    )


def layer_norm(run: Run, xp: Any, x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """(y, mean, 1 / sqrt(variance + eps)) over the last axis (kernels/layer_norm/rows.cu)."""
    suffix = suffix_of(x, weight, bias)
    if suffix is None or not fits(x, weight, bias):
        return NotImplemented
    y, mean, scale = xp.empty(x.shape, x.dtype), *(xp.empty((*x.shape[:-1], 1), np.float32) for _ in range(2))
    if y.size:
        inputs = [pointer(xp, a) for a in (x, weight, bias)]
        given = [*inputs, y, mean, scale, *map(np.int64, rows_of(x)), np.float32(eps)]
        each_row(run, "layer_norm/rows.cu", "layer_norm", suffix, rows_of(x), given)
    return y, mean, scale


def rms_norm(run: Run, xp: Any, x: Any, weight: Any = None, *, eps: float = 1e-5) -> Any:
    """(y, 1 / sqrt(mean square + eps)) over the last axis (kernels/rms_norm/rows.cu)."""
    suffix = suffix_of(x, weight)
    if suffix is None or not fits(x, weight):
        return NotImplemented
    y, scale = xp.empty(x.shape, x.dtype), xp.empty((*x.shape[:-1], 1), np.float32)
    if y.size:
        given = [pointer(xp, x), pointer(xp, weight), y, scale, *map(np.int64, rows_of(x)), np.float32(eps)]
        each_row(run, "rms_norm/rows.cu", "rms_norm", suffix, rows_of(x), given)
    return y, scale


def norm_grad(
    run: Run, xp: Any, name: str, dy: Any, x: Any, weight: Any, statistics: Sequence[Any], params: int
) -> tuple[Any, ...] | Any:
    """(dx, *gradients of `params` parameters) of a norm over rows, from what its forward found in each row."""
    suffix = suffix_of(dy, x, weight)
    if suffix is None or dy.shape != x.shape or not fits(x, weight) or any(s.dtype != np.float32 for s in statistics):
        return NotImplemented
    (rows, columns), file = rows_of(x), f"{name}/rows.cu"
    dx, totals = xp.empty(x.shape, x.dtype), [xp.zeros(columns, x.dtype) for _ in range(params)]
    if not x.size:
        return dx, *totals
    dy, x, *statistics = (pointer(xp, a) for a in (dy, x, *statistics))
    sizes = [np.int64(rows), np.int64(columns)]
    each_row(run, file, f"{name}_grad", suffix, (rows, columns), [dy, x, pointer(xp, weight), *statistics, dx, *sizes])
    part, across, high = column_parts(xp, rows, columns, params, x.dtype.itemsize)
    parts = part.shape[0]
    given = [dy, x, *statistics, part, *sizes, np.int64(high)]
    run(file, f"{name}_columns_{suffix}", (across, parts, 1), (256, 1, 1), 0, given)
    given = [part, *totals, np.int64(parts), np.int64(columns)]
    run(file, f"{name}_totals_{suffix}", blocks_for(params * columns, 256), (256, 1, 1), 0, given)
    return dx, *totals


def column_parts(xp: Any, rows: int, columns: int, count: int, itemsize: int) -> tuple[Any, int, int]:
    """(partial sums (parts, count, columns), blocks across, rows of a part) for kernels/include/columns.h.

    How rows are cut depends on the shape alone, so a sum is the same on every device.
    """
    across = -(-columns // (WARP * (16 // itemsize)))
    parts = max(1, min(-(-rows // 64), 512 // across))
    high = -(-rows // parts)
    parts = -(-rows // high)
    return xp.empty((parts, count, columns), np.float32), across, high


def layer_norm_grad(
    run: Run, xp: Any, dy: Any, x: Any, weight: Any = None, centre: Any = None, scale: Any = None, *, eps: float = 1e-5
) -> Any:
    """(dx, dweight, dbias) of layer_norm (kernels/layer_norm/rows.cu)."""
    if centre is None or scale is None:
        results = layer_norm(run, xp, x, eps=eps)
        if results is NotImplemented:
            return NotImplemented
        _, centre, scale = results
    return norm_grad(run, xp, "layer_norm", dy, x, weight, [centre, scale], 2)


def rms_norm_grad(
    run: Run, xp: Any, dy: Any, x: Any, weight: Any = None, scale: Any = None, *, eps: float = 1e-5
) -> Any:
    """(dx, dweight) of rms_norm (kernels/rms_norm/rows.cu)."""
    if scale is None:
        results = rms_norm(run, xp, x, eps=eps)
        if results is NotImplemented:
            return NotImplemented
        scale = results[1]
    return norm_grad(run, xp, "rms_norm", dy, x, weight, [scale], 1)


# ---- cross entropy ---------------------------------------------------------------------------------------------------

CROSS_ENTROPY = "cross_entropy/rows.cu"


def classes(logits: Any, targets: Any, weight: Any, reduction: str) -> bool:
    """Whether the kernels serve it: class indices, no weights."""
    return (
        logits.ndim > 0
        and logits.size > 0
        and rows_of(logits)[0] < 2**24
        and weight is None
        and targets.dtype.kind in "iu"
        and targets.shape == logits.shape[:-1]
        and reduction in ("mean", "sum", "none")
    )


def cross_entropy(
    run: Run,
    xp: Any,
    logits: Any,
    targets: Any,
    weight: Any = None,
    *,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """(loss, log-sum-exp of each row) for class indices (kernels/cross_entropy/rows.cu).

    A target out of range is found here, which waits for the GPU, and left to the body, which says so.
    """
    suffix = suffix_of(logits)
    if suffix is None or not classes(logits, targets, weight, reduction):
        return NotImplemented
    if ignore_index is None or not 0 <= label_smoothing <= 1:
        return NotImplemented
    (rows, columns), x, t = rows_of(logits), pointer(xp, logits), pointer(xp, targets.astype(np.int64))
    losses, lse = xp.empty(targets.shape, np.float32), xp.empty((*targets.shape, 1), np.float32)
    sizes = [np.int64(rows), np.int64(columns), np.int64(ignore_index)]
    given = [x, t, losses, lse, *sizes, np.float32(label_smoothing)]
    each_row(run, CROSS_ENTROPY, "cross_entropy", suffix, (rows, columns), given)
    out, found = xp.empty((), logits.dtype), xp.empty(2, np.int64)
    count_targets(run, suffix, losses, t, out, found, sizes, reduction)
    if int(found[1]):
        return NotImplemented
    return (losses.astype(logits.dtype) if reduction == "none" else out), lse


def count_targets(
    run: Run, suffix: str, losses: Any, targets: Any, out: Any, found: Any, sizes: Sequence[Any], reduction: str
) -> None:
    """Fills found (how many targets count, how many are out of range) and, where there are losses, out: their total."""
    given = [losses, targets, out, found, *sizes, np.int32(reduction == "mean")]
    run(CROSS_ENTROPY, f"cross_entropy_total_{suffix}", (1, 1, 1), (1024, 1, 1), 0, given)


def cross_entropy_grad(
    run: Run,
    xp: Any,
    dy: Any,
    logits: Any,
    targets: Any,
    weight: Any = None,
    lse: Any = None,
    *,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """The gradient of cross_entropy for class indices, from its log-sum-exp (kernels/cross_entropy/rows.cu)."""
    suffix = suffix_of(dy, logits)
    if suffix is None or lse is None or not classes(logits, targets, weight, reduction) or ignore_index is None:
        return NotImplemented
    (rows, columns), x, t = rows_of(logits), pointer(xp, logits), pointer(xp, targets.astype(np.int64))
    sizes = [np.int64(rows), np.int64(columns), np.int64(ignore_index)]
    if reduction == "none" and dy.shape != targets.shape or reduction != "none" and dy.size != 1 or lse.size != rows:
        return NotImplemented
    found: Any = NULL
    if reduction == "mean":
        found = xp.empty(2, np.int64)
        count_targets(run, suffix, NULL, t, NULL, found, sizes, reduction)
    elif reduction == "sum":
        dy = xp.broadcast_to(dy.reshape(()), targets.shape)
    dx = xp.empty(logits.shape, logits.dtype)
    lse = pointer(xp, lse.astype(np.float32))
    given = [pointer(xp, dy), x, t, lse, found, dx, *sizes, np.float32(label_smoothing)]
    each_row(run, CROSS_ENTROPY, "cross_entropy_grad", suffix, (rows, columns), given)
    return dx


LADDERS: dict[str, dict[str, Rung]] = {
    **{
        name: {"rows": Rung("softmax/rows.cu", functools.partial(along_rows, name=name))}
        for name in ("softmax", "log_softmax", "softmax_grad", "log_softmax_grad")
    },
    "layer_norm": {"rows": Rung("layer_norm/rows.cu", layer_norm)},
    "layer_norm_grad": {"rows": Rung("layer_norm/rows.cu", layer_norm_grad)},
    "rms_norm": {"rows": Rung("rms_norm/rows.cu", rms_norm)},
    "rms_norm_grad": {"rows": Rung("rms_norm/rows.cu", rms_norm_grad)},
    "cross_entropy": {"rows": Rung(CROSS_ENTROPY, cross_entropy)},
    "cross_entropy_grad": {"rows": Rung(CROSS_ENTROPY, cross_entropy_grad)},
}
