"""torch's counterpart of each operation of ops/softmax_attention.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import numpy as np
import torch

from tinygrad_lm.backend import dropout_mask


def allowed_scores(q, k, mask, causal, scale):
    """(scores, who may look where)."""
    T, S = q.shape[-2], k.shape[-2]
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    see = torch.ones(T, S, dtype=torch.bool)
    if causal:
        see = see.tril(S - T)
    if mask is not None and mask.dtype == torch.bool:
        see = see & mask
    elif mask is not None:
        s = s + mask
    return s, see


def attention(q, k, v, mask=None, causal=False, scale=None, dropout=0.0, key=None):
    """Written out, with 0 where nobody may look."""
    s, see = allowed_scores(q, k, mask, causal, scale)
    if not k.shape[-2]:
        return torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype) + 0 * q.sum() + 0 * k.sum() + 0 * v.sum()
    e = torch.where(see, torch.exp(torch.where(see, s, 0.0) - s.detach().amax(-1, keepdim=True)), 0.0)
    total = e.sum(-1, keepdim=True)
    p = e / torch.where(total == 0, 1.0, total)
    if dropout:  # the same bits
        p = p * torch.tensor(dropout_mask(np, tuple(p.shape), dropout, key)) / (1 - dropout)
    return p @ v


TWINS = {
    "attention": attention,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"attention_grad"}
