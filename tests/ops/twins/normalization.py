"""torch's counterpart of each operation of ops/normalization.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def softmax(x, axis=-1):
    """One axis at a time is what torch has."""
    if isinstance(axis, int):
        return torch.softmax(x, axis)
    e = torch.exp(x - x.detach().amax(axis, keepdim=True))
    return e / e.sum(axis, keepdim=True)


def log_softmax(x, axis=-1):
    return torch.log_softmax(x, axis) if isinstance(axis, int) else x - torch.logsumexp(x, axis, keepdim=True)


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Written out: the third order of torch's own fused one is not that of its formula."""
    centred = x - x.mean(-1, keepdim=True)
    y = centred * ((centred * centred).mean(-1, keepdim=True) + eps) ** -0.5
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, weight=None, eps=1e-5):
    y = x * ((x * x).mean(-1, keepdim=True) + eps) ** -0.5
    return y if weight is None else y * weight


TWINS = {
    "softmax": softmax, "log_softmax": log_softmax, "layer_norm": layer_norm, "rms_norm": rms_norm,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"standardize_grad", "softmax_grad", "log_softmax_grad", "layer_norm_grad", "rms_norm_grad"}
