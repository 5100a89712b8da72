"""torch's counterpart of each operation of ops/rotary.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def rotary_embedding(x, positions=None, base=10000.0, interleaved=False, inverse=False):
    """As products of complex numbers."""
    T, half = x.shape[-2] if x.ndim > 1 else 1, x.shape[-1] // 2
    positions = torch.arange(T) if positions is None else positions
    angles = positions[..., None] * base ** (-torch.arange(half, dtype=x.dtype) / max(half, 1))
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = torch.complex(first, second) * torch.exp((-1j if inverse else 1j) * angles)
    pairs = torch.stack([turned.real, turned.imag], -1 if interleaved else -2)
    return pairs.reshape(x.shape)


TWINS = {"rotary_embedding": rotary_embedding}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
