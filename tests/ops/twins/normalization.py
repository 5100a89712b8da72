"""torch's counterpart of each operation of ops/normalization.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Written out: the third order of torch's own fused one is not that of its formula."""
    centred = x - x.mean(-1, keepdim=True)
    y = centred * ((centred * centred).mean(-1, keepdim=True) + eps) ** -0.5
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


TWINS = {
    "softmax": lambda x, axis=-1: torch.softmax(x, axis), "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "layer_norm": layer_norm,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"layer_norm_grad"}
