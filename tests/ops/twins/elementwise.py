"""torch's counterpart of each operation of ops/elementwise.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div, "negative": torch.neg,
    "positive": lambda x: x.clone(), "reciprocal": torch.reciprocal, "abs": torch.abs, "lerp": torch.lerp,
}  # fmt: skip
LONERS: set[str] = set()
