"""torch's counterpart of each operation of ops/channel_norms.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def across(p, ndim):
    return p.reshape(-1, *(1,) * (ndim - 2))


def affine(y, weight, bias):
    y = y if weight is None else y * across(weight, y.ndim)
    return y if bias is None else y + across(bias, y.ndim)


def standard(x, axis, eps):
    """Written out: the third order of torch's own fused norms is not that of their formula."""
    centred = x - x.mean(axis, keepdim=True)
    return centred * ((centred * centred).mean(axis, keepdim=True) + eps) ** -0.5


def batch_norm(x, weight=None, bias=None, eps=1e-5):
    return affine(standard(x, (0, *range(2, x.ndim)), eps), weight, bias)


def batch_norm_eval(x, mean, variance, weight=None, bias=None, eps=1e-5):
    y = (x - across(mean, x.ndim)) / torch.sqrt(across(variance, x.ndim) + eps)
    return affine(y, weight, bias)


def group_norm(x, weight=None, bias=None, num_groups=1, eps=1e-5):
    parts = x.reshape(x.shape[0], num_groups, -1 if x.numel() else x.shape[1:].numel() // num_groups)
    return affine(standard(parts, -1, eps).reshape(x.shape), weight, bias)


TWINS = {
    "batch_norm": batch_norm, "batch_norm_eval": batch_norm_eval, "group_norm": group_norm,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"batch_norm_grad"}
