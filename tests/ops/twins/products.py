"""torch's counterpart of each operation of ops/products.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def einsum(*xs, subscripts):
    return torch.einsum(subscripts, *xs)


TWINS = {
    "matmul": torch.matmul, "linear": F.linear, "einsum": einsum,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
