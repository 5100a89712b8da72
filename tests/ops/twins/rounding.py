"""torch's counterpart of each operation of ops/rounding.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "sign": torch.sign, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc, "round": torch.round,
    "remainder": torch.remainder, "copysign": torch.copysign,
    "floor_divide": lambda a, b: torch.div(a, b, rounding_mode="floor"),  # torch.floor_divide has no derivative
}  # fmt: skip
LONERS: set[str] = set()
