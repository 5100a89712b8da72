"""torch's counterpart of each operation of ops/sorting.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "sort": lambda x, axis=-1, descending=False, stable=True: torch.sort(
        x, stable=stable, dim=axis, descending=descending).values,
    "argsort": lambda x, axis=-1, descending=False, stable=True: torch.argsort(
        x, stable=stable, dim=axis, descending=descending),
    "topk": lambda x, k, axis=-1, largest=True: tuple(torch.topk(x, k, axis, largest)),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
