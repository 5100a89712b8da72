"""torch's counterpart of each operation of ops/comparison.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "equal": torch.eq, "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le, "greater": torch.gt,
    "greater_equal": torch.ge, "logical_and": torch.logical_and, "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor, "logical_not": torch.logical_not, "isfinite": torch.isfinite,
    "isinf": torch.isinf, "isnan": torch.isnan, "signbit": torch.signbit,
}  # fmt: skip
LONERS: set[str] = set()
