"""torch's counterpart of each operation of ops/padding.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}


def pad(x, pad_width, mode="constant", value=0.0):
    """One axis at a time: torch has "edge" and "reflect" for the last axis only, and "wrap" for once around."""
    for axis, (before, after) in enumerate(np.broadcast_to(pad_width, (x.ndim, 2)).tolist()):
        n, lines = x.shape[axis], x.movedim(axis, -1)
        if mode == "wrap":
            x = x.index_select(axis, torch.arange(-before, n + after) % n)
        elif before or after:
            rows = lines.reshape(1, math.prod(lines.shape[:-1]), n)
            wide = (
                F.pad(rows, (before, after), MODES[mode], value if mode == "constant" else None)
                if rows.shape[1]
                else rows.new_zeros(1, 0, n + before + after) + rows.sum()
            )
            x = wide.reshape(*lines.shape[:-1], n + before + after).movedim(-1, axis)
    return x


TWINS = {"pad": pad}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
