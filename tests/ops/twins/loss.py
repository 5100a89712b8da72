"""torch's counterpart of each operation of ops/loss.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F


def cross_entropy(logits, targets, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    if reduction == "mean" and not (targets != ignore_index).any():
        pytest.skip("torch makes nan of the mean of no targets")
    rows, classes = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    loss = F.cross_entropy(rows, classes, None, None, ignore_index, None, reduction, label_smoothing)
    return loss.reshape(targets.shape) if reduction == "none" else loss


TWINS = {
    "mse_loss": lambda x, y, reduction="mean": F.mse_loss(*torch.broadcast_tensors(x, y), reduction=reduction),
    "cross_entropy": cross_entropy,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"cross_entropy_grad"}
