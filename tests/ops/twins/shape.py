"""torch's counterpart of each operation of ops/shape.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


TWINS = {
    "reshape": torch.reshape, "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "transpose": lambda x, axes=None: x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes),
    "flip": lambda x, axis=None: torch.flip(x, (axis,) if isinstance(axis, int) else all_axes(x, axis)),
    "cast": lambda x, dtype: x.double(),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
