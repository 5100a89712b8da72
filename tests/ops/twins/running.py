"""torch's counterpart of each operation of ops/running.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def recurrence(a, b):
    """One element after the other."""
    s = [b[..., 0]] if b.shape[-1] else []
    for i in range(1, b.shape[-1]):
        s.append(b[..., i] + a[..., i] * s[-1])
    return torch.stack(s, -1) if s else b * a


TWINS = {
    "cumsum": lambda x, axis: torch.cumsum(x, axis), "cumprod": lambda x, axis: torch.cumprod(x, axis),
    "recurrence": recurrence,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
