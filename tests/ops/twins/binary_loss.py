"""torch's counterpart of each operation of ops/binary_loss.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.ops.twins.loss import of


def binary_cross_entropy(p, y, weight=None, reduction="mean"):
    """Written out: torch's own has no derivative by the weight."""
    log = lambda p: torch.clamp(torch.log(p), min=-100)  # noqa: E731
    each = -(y * log(p) + (1 - y) * log(1 - p))
    return of(each if weight is None else each * weight, reduction)


def binary_cross_entropy_with_logits(x, y, weight=None, pos_weight=None, reduction="mean"):
    """Written out, likewise."""
    each = -((1 if pos_weight is None else pos_weight) * y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
    return of(each if weight is None else each * weight, reduction)


TWINS = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "hinge_loss": lambda x, y, margin=1.0, reduction="mean": of(torch.relu(margin - y * x), reduction),
    "clamped_log": lambda x: torch.clamp(torch.log(x), min=-100),
}
LONERS: set[str] = set()
