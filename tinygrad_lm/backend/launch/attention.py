"""Launchers of attention and its gradients (kernels/attention)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

NAIVE, FUSED = "attention/naive.cu", "attention/fused.cu"
MOST_SHARED = 160 << 10  # bytes of dynamic shared memory that GPUs from sm_80 on have for a block
# Columns that an entry of the fused kernels has room for -> queries and keys of a tile.
TILES = {32: (64, 64), 64: (64, 64), 128: (64, 64), 256: (32, 32)}


class Problem:
    """What a call asks for, as kernels take it; `served` is False for what they do not serve."""

    def __init__(self, xp: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: Any, dropout: float, key: Any):
        self.served = False
        self.suffix = suffix_of(q, k, v)
        if self.suffix is None or min(q.ndim, k.ndim, v.ndim) < 2:
            return
        (self.T, self.D), (self.S, self.Dv) = q.shape[-2:], v.shape[-2:]
        if k.shape[-2:] != (self.S, self.D) or max(self.T, self.S) > 1 << 30:
            return
        kind = 0
        if mask is not None:
            kinds = {"bool": 1, q.dtype.name: 2, "float32": 3}
            kind = kinds.get(mask.dtype.name, -1)
            broad = (*(1,) * (2 - mask.ndim), *mask.shape)
            if kind < 0 or any(n not in (1, all_) for n, all_ in zip(broad[-2:], (self.T, self.S), strict=True)):
                return
            mask = mask.reshape(broad)
        leads = [a.shape[:-2] for a in (q, k, v, mask) if a is not None]
        try:
            self.lead = np.broadcast_shapes(*leads)
        except ValueError:
            return
        self.batch = math.prod(self.lead)
        threshold = round(dropout * 2**32)
        if threshold >= 2**32 or self.batch * max(self.T, self.S) > MOST_BLOCKS:
            return
        self.served, self.xp = True, xp
        self.scale = 1 / math.sqrt(self.D or 1) if scale is None else scale
        seed, stream = key if threshold else (0, 0)
        rows, columns = (1, 1) if mask is None else mask.shape[-2:]
        # From one row and column of the mask to the next: 0 where it is broadcast.
        steps = np.int64(columns if rows > 1 else 0), np.int64(1 if columns > 1 else 0)
        which = matrices(xp, self.lead, *leads, *([()] if mask is None else []), mask_size=rows * columns)
        self.arguments = [
            *(pointer(xp, a) for a in (q, k, v)),
            which,
            pointer(xp, mask),
            np.int32(kind),
            *steps,
            np.int64(self.batch),
            *map(np.int32, (self.T, self.S, self.D, self.Dv, causal)),
            np.float32(self.scale),
            np.uint32(threshold),
            np.float32(1 / (1 - dropout)),
            np.uint64(seed),
            np.uint64(stream),
        ]

    @property
    def room(self) -> int | None:
        """The columns of the fused kernels' entry; None if there is none with so many."""
        return next((room for room in TILES if max(self.D, self.Dv) <= room), None)


@functools.lru_cache(64)
def matrices(xp: Any, lead: tuple[int, ...], *leads: tuple[int, ...], mask_size: int) -> Any:
    """(4, batch): which matrix of q, k and v each of the batch takes, and where its mask begins."""
    found = [
        np.broadcast_to(np.arange(math.prod(own)).reshape(own), lead).reshape(-1) for own in leads
    ]  # (..., ) -> (batch,)
    found[3] = found[3] * mask_size
    return xp.asarray(np.stack(found).astype(np.int64))


def attention(
    run: Run,
    xp: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    key: Any = None,
    rung: str,
) -> Any:
    """(y, log-sum-exp of each query)."""
    p = Problem(xp, q, k, v, mask, causal, scale, dropout, key)
    if not p.served or rung == "naive" and 4 * (p.S + 4) > MOST_SHARED or rung == "fused" and p.room is None:
        return NotImplemented
    y, lse = xp.empty((*p.lead, p.T, p.Dv), q.dtype), xp.empty((*p.lead, p.T, 1), np.float32)
    if not lse.size:
        return y, lse
    given = [*p.arguments, y, lse]
    if rung == "naive":
        run(NAIVE, f"attention_naive_{p.suffix}", (p.batch * p.T, 1, 1), (128, 1, 1), 4 * (p.S + 4), given)
    else:
        assert p.room is not None
        high, wide = TILES[p.room]
        shared = 4 * ((high + wide) * (p.room + 4) + high * (wide + 4))
        blocks = p.batch * -(-p.T // high)
        run(FUSED, f"attention_fused_{p.room}_{p.suffix}", (blocks, 1, 1), (256, 1, 1), shared, given)
    return y, lse


def attention_grad(
    run: Run,
    xp: Any,
    dy: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    y: Any = None,
    lse: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    key: Any = None,
    rung: str,
) -> Any:
    """(dq, dk, dv) from what the forward kept, with the leading axes of the result: the walk sums over them."""
    p = Problem(xp, q, k, v, mask, causal, scale, dropout, key)
    if not p.served or y is None or lse is None or suffix_of(dy, q, y) is None or dy.shape != (*p.lead, p.T, p.Dv):
        return NotImplemented
    if rung == "naive" and 8 * max(p.T, p.S) > MOST_SHARED or rung == "fused" and p.room is None:
        return NotImplemented
    dq, dk, dv = (xp.zeros((*p.lead, n, width), q.dtype) for n, width in ((p.T, p.D), (p.S, p.D), (p.S, p.Dv)))
    rows = p.batch * p.T
    if not rows or not p.S:
        return dq, dk, dv
    dy, y, lse = pointer(xp, dy), pointer(xp, y), pointer(xp, lse.astype(np.float32))
    sums = xp.empty(rows, np.float32)
    common = [*p.arguments, dy, lse, sums]
    if rung == "naive":
        block = (128, 1, 1)
        run(NAIVE, f"attention_naive_sums_{p.suffix}", (rows, 1, 1), block, 0, [dy, y, sums, np.int32(p.Dv)])
        run(NAIVE, f"attention_naive_queries_{p.suffix}", (rows, 1, 1), block, 4 * p.S, [*common, dq])
        run(NAIVE, f"attention_naive_keys_{p.suffix}", (p.batch * p.S, 1, 1), block, 8 * p.T, [*common, dk, dv])
    else:
        assert p.room is not None
        high, wide = TILES[p.room]
        block, shared = (256, 1, 1), 4 * (2 * (high + wide) * (p.room + 4) + high * (wide + 4))
        of_rows = [dy, y, sums, np.int64(rows), np.int32(p.Dv)]
        run(FUSED, f"attention_fused_sums_{p.suffix}", blocks_for(rows, 8), block, 0, of_rows)
        for name, blocks, outs in (
            ("queries", p.batch * -(-p.T // high), [dq]),
            ("keys", p.batch * -(-p.S // wide), [dk, dv]),
        ):
            kernel = f"attention_fused_{name}_{p.room}_{p.suffix}"
            run(FUSED, kernel, (blocks, 1, 1), block, shared, [*common, *outs])
    return dq, dk, dv


LADDERS: dict[str, dict[str, Rung]] = {
    op.__name__: {
        rung: Rung(file, functools.partial(op, rung=rung)) for rung, file in (("naive", NAIVE), ("fused", FUSED))
    }
    for op in (attention, attention_grad)
}
