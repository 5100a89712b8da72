"""Launchers of pooling and resampling (kernels/pooling/windows.cu), for windows that are given as `Taps`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

FILE = "pooling/windows.cu"
THREADS = 256


@functools.lru_cache(64)
def lists(xp: Any, taps: Any) -> tuple[Any, Any, Any]:
    """(starts, inputs, weights) of a `Taps`: what each output reads, in rising order of the inputs."""
    rows, cols, weights = taps.links
    order = np.lexsort((cols, rows))
    starts = np.searchsorted(rows[order], np.arange(taps.out + 1))
    arrays = starts.astype(np.int32), cols[order].astype(np.int32), weights[order].astype(np.float32)
    return tuple(map(xp.asarray, arrays))


def axes(xp: Any, windows: Sequence[Any]) -> list[Any]:
    """The arguments for three axes; what is missing is an axis of one output that reads one input."""
    found: list[Any] = []
    for _ in range(3 - len(windows)):
        found += [xp.arange(2, dtype=np.int32), xp.zeros(1, np.int32), np.int32(1), np.int32(1)]
    for taps in windows:
        starts, inputs, _ = lists(xp, taps)
        found += [starts, inputs, np.int32(taps.out), np.int32(taps.size)]
    return found


def served(x: Any, windows: Sequence[Any], sizes: tuple[int, ...]) -> bool:
    """Whether there are kernels for so many axes of these sizes."""
    fits = suffix_of(x) is not None and 1 <= len(windows) <= 3 and x.shape[-len(windows) :] == sizes
    return fits and math.prod(sizes) < 2**31 and math.prod(t.out for t in windows) < 2**31


def max_pool(run: Run, xp: Any, x: Any, *, windows: Sequence[Any]) -> Any:
    """(the largest of each window, its place in x)."""
    if not served(x, windows, tuple(t.size for t in windows)) or any(len(set(t.links[0])) < t.out for t in windows):
        return NotImplemented
    shape = (*x.shape[: -len(windows)], *(t.out for t in windows))
    y, place = xp.empty(shape, x.dtype), xp.empty(shape, np.int64)
    grid = blocks_for(y.size, THREADS)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    if y.size:
        given = [pointer(xp, x), y, place, np.int64(y.size), *axes(xp, windows)]
        run(FILE, f"max_pool_{suffix_of(x)}", grid, (THREADS, 1, 1), 0, given)
    return y, place


def max_pool_grad(run: Run, xp: Any, dy: Any, place: Any, *, windows: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """What each input of max_pool receives."""
    fits = served(dy, windows, tuple(t.out for t in windows)) and place.shape == dy.shape and place.dtype == np.int64
    grid = blocks_for(math.prod(shape), THREADS)
    if not fits or grid[0] > MOST_BLOCKS:
        return NotImplemented
    dx = xp.zeros(shape, dy.dtype)
    if dx.size and dy.size:
        given = [pointer(xp, dy), pointer(xp, place), dx, np.int64(dx.size), *axes(xp, [t.transposed for t in windows])]
        run(FILE, f"max_pool_grad_{suffix_of(dy)}", grid, (THREADS, 1, 1), 0, given)
    return dx


def resample(run: Run, xp: Any, x: Any, *, taps: Any, axis: int) -> Any:
    """Weighted sums along one axis."""
    suffix = suffix_of(x)
    if suffix is None or not x.ndim or x.shape[axis] != taps.size:
        return NotImplemented
    axis %= x.ndim
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    y = xp.empty((*before, taps.out, *after), x.dtype)
    grid = blocks_for(y.size, THREADS)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    if y.size:
        numbers = [np.int64(y.size), np.int64(math.prod(after)), np.int32(taps.out), np.int32(taps.size)]
        given = [pointer(xp, x), y, *lists(xp, taps), *numbers]
        run(FILE, f"resample_{suffix}", grid, (THREADS, 1, 1), 0, given)
    return y


LADDERS: dict[str, dict[str, Rung]] = {
    op.__name__: {"windows": Rung(FILE, op)} for op in (max_pool, max_pool_grad, resample)
}
