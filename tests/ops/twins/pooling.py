"""torch's counterpart of each operation of ops/pooling.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def max_pool(x, *, windows):
    """Window by window, one axis after the other."""
    for axis, taps in zip(range(x.ndim - len(windows), x.ndim), windows, strict=True):
        rows, cols, _ = taps.links
        each = [x.index_select(axis, torch.tensor(cols[rows == i])).amax(axis) for i in range(taps.out)]
        x = torch.stack(each, axis)
    return x


TWINS = {"max_pool": max_pool}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"max_pool_grad"}
