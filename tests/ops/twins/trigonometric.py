"""torch's counterpart of each operation of ops/trigonometric.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan,
    "sinh": torch.sinh, "cosh": torch.cosh, "tanh": torch.tanh, "asinh": torch.asinh, "acosh": torch.acosh,
    "atanh": torch.atanh,
    "hypot": lambda a, b: torch.hypot(a, torch.as_tensor(b, dtype=a.dtype)),
    "atan2": lambda y, x: torch.atan2(y, torch.as_tensor(x, dtype=y.dtype)),
}  # fmt: skip
LONERS: set[str] = set()
