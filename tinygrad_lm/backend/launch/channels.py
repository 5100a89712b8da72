"""Launchers of batch norm (kernels/batch_norm/channels.cu)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

FILE = "batch_norm/channels.cu"
THREADS = 256
PART = 8192  # values of a channel in a part, if that makes no more than 64 of them


def sizes_of(x: Any) -> tuple[int, int, int]:
    """(channels, samples, space) of x (N, C, *spatial)."""
    return x.shape[1], x.shape[0], math.prod(x.shape[2:])


def served(x: Any, *params: Any) -> str | None:
    """The kernels' ending, or None."""
    whole = x.ndim >= 2 and x.shape[0] * math.prod(x.shape[2:]) >= 2 and x.shape[1] > 0
    blocks = blocks_for(x.size, THREADS)[0]
    fits = whole and blocks <= MOST_BLOCKS and all(p is None or p.shape == x.shape[1:2] for p in params)
    return suffix_of(x, *params) if fits else None


def cut(values: int) -> tuple[int, int]:
    """(parts, values in each) of a channel: by its size alone, so that sums are the same on every device."""
    parts = max(1, min(64, -(-values // PART)))
    high = -(-values // parts)
    return -(-values // high), high


def apply(run: Run, xp: Any, suffix: str, x: Any, mean: Any, scale: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) scale weight + bias, channel by channel."""
    y, (channels, _, space) = xp.empty(x.shape, x.dtype), sizes_of(x)
    given = [x, mean, scale, pointer(xp, weight), pointer(xp, bias), y, *map(np.int64, (x.size, channels, space))]
    grid = blocks_for(x.size, THREADS * 16 // x.dtype.itemsize)
    run(FILE, f"batch_norm_apply_{suffix}", grid, (THREADS, 1, 1), 0, given)
    return y


def batch_norm(run: Run, xp: Any, x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """(y, mean, 1 / sqrt(variance + eps), variance), the last three shaped (1, C, 1, ...)."""
    suffix = served(x, weight, bias)
    if suffix is None:
        return NotImplemented
    channels, samples, space = sizes_of(x)
    parts, high = cut(samples * space)
    x, part = pointer(xp, x), xp.empty((channels, parts, 4), np.float32)
    given = [x, part, *map(np.int64, (channels, samples, space, high))]
    run(FILE, f"batch_norm_parts_{suffix}", (channels, parts, 1), (THREADS, 1, 1), 0, given)
    mean, scale, variance = (xp.empty((1, channels, *(1,) * (x.ndim - 2)), np.float32) for _ in range(3))
    given = [part, mean, scale, variance, np.int64(channels), np.int64(parts), np.float32(eps)]
    run(FILE, "batch_norm_finish", blocks_for(channels, THREADS), (THREADS, 1, 1), 0, given)
    return apply(run, xp, suffix, x, mean, scale, weight, bias), mean, scale, variance


def batch_norm_grad(
    run: Run, xp: Any, dy: Any, x: Any, weight: Any = None, centre: Any = None, scale: Any = None, *, eps: float = 1e-5
) -> Any:
    """(dx, dweight, dbias)."""
    suffix = served(x, weight)
    if suffix is None or suffix_of(dy, x) is None or dy.shape != x.shape:
        return NotImplemented
    if centre is None or scale is None:
        _, centre, scale, _ = batch_norm(run, xp, x, eps=eps)
    channels, samples, space = sizes_of(x)
    parts, high = cut(samples * space)
    dy, x, centre, scale = (pointer(xp, a) for a in (dy, x, centre.astype(np.float32), scale.astype(np.float32)))
    part, sums = xp.empty((channels, parts, 2), np.float32), xp.empty((channels, 2), np.float32)
    given = [dy, x, centre, scale, part, *map(np.int64, (channels, samples, space, high))]
    run(FILE, f"batch_norm_grad_parts_{suffix}", (channels, parts, 1), (THREADS, 1, 1), 0, given)
    dweight, dbias, dx = xp.empty(channels, x.dtype), xp.empty(channels, x.dtype), xp.empty(x.shape, x.dtype)
    given = [part, sums, dweight, dbias, np.int64(channels), np.int64(parts)]
    run(FILE, f"batch_norm_grad_finish_{suffix}", blocks_for(channels, THREADS), (THREADS, 1, 1), 0, given)
    numbers = map(np.int64, (x.size, channels, space))
    given = [dy, x, centre, scale, pointer(xp, weight), sums, dx, *numbers]
    grid = blocks_for(x.size, THREADS * 16 // x.dtype.itemsize)
    run(FILE, f"batch_norm_grad_apply_{suffix}", grid, (THREADS, 1, 1), 0, given)
    return dx, dweight, dbias


def batch_norm_eval(
    run: Run,
    xp: Any,
    x: Any,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(variance + eps) weight + bias, with statistics that are given."""
    whole = x.ndim >= 2 and 0 < blocks_for(x.size, THREADS)[0] <= MOST_BLOCKS
    suffix = suffix_of(x, mean, variance, weight, bias)
    if suffix is None or not whole or any(p is not None and p.shape != x.shape[1:2] for p in (mean, weight, bias)):
        return NotImplemented
    if variance.shape != mean.shape:
        return NotImplemented
    scale = (1 / xp.sqrt(variance.astype(np.float32) + np.float32(eps))).astype(np.float32)
    return apply(run, xp, suffix, pointer(xp, x), pointer(xp, mean.astype(np.float32)), scale, weight, bias)


LADDERS: dict[str, dict[str, Rung]] = {
    "batch_norm": {"channels": Rung(FILE, batch_norm)},
    "batch_norm_grad": {"channels": Rung(FILE, batch_norm_grad)},
    "batch_norm_eval": {"channels": Rung(FILE, batch_norm_eval)},
}
