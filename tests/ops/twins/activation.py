"""torch's counterpart of each operation of ops/activation.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

TWINS = {
    "prelu": lambda x, weight: torch.where(x > 0, x, weight * x),
    "relu": torch.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu, "silu": F.silu, "gelu": F.gelu,
    "mish": F.mish, "hardswish": F.hardswish, "logsigmoid": F.logsigmoid,
    "hardsigmoid": lambda x: F.relu6(x + 3) / 6,  # F.hardsigmoid's derivative is 1/6 to seven digits only
    "hardtanh": lambda x, min=-1.0, max=1.0: F.hardtanh(x, min, max),
    "softplus": lambda x, beta=1.0: F.softplus(x, beta, threshold=500.0),  # ours has none
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"relu_grad", "silu_grad", "gelu_grad"}
