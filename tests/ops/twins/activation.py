"""torch's counterpart of each operation of ops/activation.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

TWINS = {
    "relu": torch.relu, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"gelu_grad"}
