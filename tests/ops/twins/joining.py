"""torch's counterpart of each operation of ops/joining.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "split": lambda x, sections, axis=0: torch.tensor_split(x, sections, axis),
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
    "stack": lambda *xs, axis=0: torch.stack([torch.as_tensor(x, dtype=torch.float64) for x in xs], axis),
}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
