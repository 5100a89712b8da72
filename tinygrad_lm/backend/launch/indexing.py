"""Launchers of what reads and writes rows of a table by their numbers (kernels/embedding)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, WARP, Run, Rung, pointer, suffix_of

SORTED = "embedding/sorted.cu"
WARPS = 4  # in a block
MOST_ACROSS = 2**16 - 1  # of a grid's y


def grid_of(count: int, columns: int, itemsize: int) -> tuple[int, int, int]:
    """A warp for each of `count` rows and 32 packs of 16 bytes of its columns."""
    return -(-count // WARPS), -(-columns // (WARP * (16 // itemsize))), 1


def served(ids: Any, table: Any, columns: int, grid: tuple[int, int, int]) -> bool:
    return ids.dtype.kind in "iu" and suffix_of(table) is not None and grid[0] <= MOST_BLOCKS and grid[1] <= MOST_ACROSS


def embedding(run: Run, xp: Any, ids: Any, weight: Any) -> Any:
    """weight[ids].  Ids out of range are found here, which waits for the GPU, and left to the body, which says so."""
    if weight.ndim != 2:
        return NotImplemented
    rows, columns = weight.shape
    grid = grid_of(ids.size, columns, weight.dtype.itemsize)
    if not served(ids, weight, columns, grid):
        return NotImplemented
    out = xp.empty((*ids.shape, columns), weight.dtype)
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= rows):
        return NotImplemented
    if out.size:
        numbers = [np.int64(ids.size), np.int64(columns)]
        given = [pointer(xp, ids.astype(np.int64)), pointer(xp, weight), out, *numbers]
        run(SORTED, f"embedding_lookup_{suffix_of(weight)}", grid, (WARPS * WARP, 1, 1), 0, given)
    return out


def embedding_grad(run: Run, xp: Any, dy: Any, ids: Any, *, rows: int) -> Any:
    """What each row of a table receives: runs of equal ids, sorted, are added up in the order in which they stood."""
    columns = dy.shape[-1]
    grid = grid_of(ids.size, columns, dy.dtype.itemsize)
    if dy.shape[:-1] != ids.shape or not served(ids, dy, columns, grid):
        return NotImplemented
    out = xp.zeros((rows, columns), dy.dtype)
    if dy.size:
        flat = ids.reshape(-1).astype(np.int64)
        order = xp.argsort(flat, kind="stable").astype(np.int64)
        given = [pointer(xp, dy), order, pointer(xp, flat[order]), out, np.int64(ids.size), np.int64(columns)]
        run(SORTED, f"embedding_sums_{suffix_of(dy)}", grid, (WARPS * WARP, 1, 1), 0, given)
    return out


LADDERS: dict[str, dict[str, Rung]] = {
    "embedding": {"sorted": Rung(SORTED, embedding)},
    "embedding_grad": {"sorted": Rung(SORTED, embedding_grad)},
}
