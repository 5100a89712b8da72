"""torch's counterpart of each operation of ops/indexing.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch


def getitem(x, index):
    def part(i):
        if isinstance(i, slice) and (i.step or 1) < 0:  # which torch does not have
            i = np.arange(len(x))[i].copy()
        return torch.tensor(i) if isinstance(i, np.ndarray) else i

    return x[tuple(map(part, index)) if isinstance(index, tuple) else part(index)]


def setitem(x, v, index):
    out = x.clone()
    index = torch.tensor(index) if isinstance(index, np.ndarray) else index
    if isinstance(index, torch.Tensor) and index.dtype == torch.long and len(set(index.tolist())) < len(index):
        pytest.skip("torch says nothing about writing twice to one place")
    out[index] = v
    return out


def scatter_add(x, index, shape):
    size = math.prod(shape)
    places = getitem(torch.arange(size).reshape(shape), index)
    return torch.zeros(size, dtype=x.dtype).index_add(0, places.reshape(-1), x.reshape(-1)).reshape(shape)


def split(x, sections, axis=0):
    return torch.tensor_split(x, sections, axis)


TWINS = {
    "getitem": getitem, "setitem": setitem, "scatter_add": scatter_add, "split": split,
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis), "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "embedding": lambda ids, weight: weight[ids],
    "embedding_grad": lambda dy, ids, rows: torch.zeros(rows, dy.shape[-1], dtype=dy.dtype).index_add(
        0, ids.reshape(-1), dy.reshape(-1, dy.shape[-1])),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
