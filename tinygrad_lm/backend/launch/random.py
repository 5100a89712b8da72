"""Launchers of random draws and of dropout (kernels/random/philox.cu).

Draws are no operations: `backend/philox.py` asks for them by name, `kernel(xp, count, key, ...)`, for a flat array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

FILE = "random/philox.cu"
THREADS = 256


def draw(run: Run, xp: Any, kernel: str, dtype: Any, count: int, key: tuple[int, int], each: int, *more: Any) -> Any:
    """A flat array of `count` elements, `each` of them by a thread."""
    grid = blocks_for(count, THREADS * each)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    out = xp.empty(count, dtype)
    if count:
        seed, stream = map(np.uint64, key)
        run(FILE, kernel, grid, (THREADS, 1, 1), 0, [out, np.int64(count), seed, stream, *more])
    return out


def random_bits(run: Run, xp: Any, count: int, key: tuple[int, int], *, width: int) -> Any:
    """Words of 32 or 64 bits."""
    dtype = np.uint32 if width == 32 else np.uint64
    return draw(run, xp, f"random_words_{width}", dtype, count, key, 128 // width)


def uniform(run: Run, xp: Any, count: int, key: tuple[int, int], *, dtype: Any) -> Any:
    """Uniform numbers in [0, 1)."""
    if dtype != np.float32:
        return NotImplemented
    return draw(run, xp, "random_uniform_f32", np.float32, count, key, 4)


def dropout_mask(run: Run, xp: Any, count: int, key: tuple[int, int], *, threshold: int) -> Any:
    """Booleans: False where the word is below the threshold."""
    return draw(run, xp, "random_mask", np.bool_, count, key, 4, np.uint32(threshold))


def dropout(run: Run, xp: Any, x: Any, *, rate: float, key: tuple[int, int]) -> Any:
    """x with elements dropped, the others 1 / (1 - rate) times as large."""
    suffix, threshold = suffix_of(x), round(rate * 2**32)
    if suffix is None or not 0 <= threshold < 2**32:
        return NotImplemented
    grid = blocks_for(x.size, THREADS * 16 // x.dtype.itemsize)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    y = xp.empty(x.shape, x.dtype)
    if y.size:
        numbers = [np.int64(y.size), *map(np.uint64, key), np.uint32(threshold), np.float32(1 / (1 - rate))]
        run(FILE, f"dropout_{suffix}", grid, (THREADS, 1, 1), 0, [pointer(xp, x), y, *numbers])
    return y


LADDERS: dict[str, dict[str, Rung]] = {
    "dropout": {"philox": Rung(FILE, dropout)},
    "random_bits": {"philox": Rung(FILE, random_bits, ("uint32", "uint64"))},
    "uniform": {"philox": Rung(FILE, uniform, ("float32",))},
    "dropout_mask": {"philox": Rung(FILE, dropout_mask, ("bool",))},
}
