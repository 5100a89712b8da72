"""torch's counterpart of each operation of ops/shape.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def unfold_grad(dy, shape, size, step=1, axis=-1):
    """By torch's own backward of its `unfold`, which is linear: taken at zero, differentiable in dy."""
    x = torch.zeros(shape, dtype=dy.dtype, requires_grad=True)
    return torch.autograd.grad(x.unfold(axis, size, step), x, dy, create_graph=True)[0]


TWINS = {
    "reshape": torch.reshape, "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "permute": lambda x, axes: x.permute(axes),
    "flip": lambda x, axis=None: torch.flip(x, (axis,) if isinstance(axis, int) else all_axes(x, axis)),
    "roll": lambda x, shift, axis=None: torch.roll(x, shift, axis) if x.ndim else x * 1,
    "cast": lambda x, dtype: x.double(),
    "unfold": lambda x, size, step=1, axis=-1: x.unfold(axis, size, step), "unfold_grad": unfold_grad,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
