"""torch's counterpart of each operation of ops/exponential.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {
    "pow": torch.pow, "square": torch.square, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "exp": torch.exp,
    "exp2": torch.exp2, "expm1": torch.expm1, "sigmoid": torch.sigmoid, "log": torch.log, "log1p": torch.log1p,
    "log2": torch.log2, "log10": torch.log10, "erf": torch.erf, "erfc": torch.erfc, "xlogy": torch.xlogy,
    "logaddexp": lambda a, b: torch.logaddexp(a, torch.as_tensor(b, dtype=a.dtype)),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"part"}
