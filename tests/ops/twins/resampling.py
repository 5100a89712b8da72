"""torch's counterpart of each operation of ops/resampling.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def resample(x, *, taps, axis):
    rows, cols, weights = taps.links
    matrix = torch.zeros(taps.out, taps.size, dtype=x.dtype)
    matrix.index_put_((torch.tensor(rows), torch.tensor(cols)), torch.tensor(weights), accumulate=True)
    return torch.movedim(torch.tensordot(matrix, x, ([1], [axis])), 0, axis)


TWINS = {"resample": resample}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
