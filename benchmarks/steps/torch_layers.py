"""The one layer that torch has under other names: imported on torch's side only."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class MultiHeadAttention(nn.Module):
    """``tinygrad_lm.nn.MultiHeadAttention``: one product for queries, keys and values, and torch's fused attention."""

    def __init__(self, width: int, heads: int, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = [t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.qkv(x).split(C, 2)]  # (B, H, T, D)
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal)
        return self.output(y.transpose(1, 2).reshape(B, T, C))
