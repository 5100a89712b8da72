"""torch's counterpart of each operation of ops/indexing.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch


def places(shape, index):
    """The number, in C order, of each element that an index names: NumPy's indices go further than torch's."""
    return torch.tensor(np.arange(math.prod(shape)).reshape(shape)[index].copy())


def getitem(x, index):
    return x.reshape(-1)[places(x.shape, index)]


def getitem_grad(dy, index, shape):
    at = places(shape, index).reshape(-1)
    return torch.zeros(math.prod(shape), dtype=dy.dtype).index_add(0, at, dy.reshape(-1)).reshape(shape)


def setitem(x, v, index):
    at = places(x.shape, index)
    if len(at.unique()) < at.numel():
        pytest.skip("torch says nothing about writing twice to one place")
    v = torch.as_tensor(v, dtype=x.dtype)
    v = v.reshape(v.shape[max(v.ndim - at.ndim, 0) :]).expand(at.shape)
    return x.reshape(-1).index_put((at,), v).reshape(x.shape)


TWINS = {
    "getitem": getitem, "setitem": setitem, "getitem_grad": getitem_grad,
    "gather": lambda x, indices, axis=-1: torch.gather(x, axis, indices % max(x.shape[axis], 1)),
    "scatter_add": lambda x, indices, source, axis=-1:
        x.scatter_add(axis, indices % max(x.shape[axis], 1), source.expand(indices.shape)),
    "embedding": lambda ids, weight: weight[ids],
    "embedding_grad": lambda dy, ids, rows: torch.zeros(rows, dy.shape[-1], dtype=dy.dtype).index_add(
        0, ids.reshape(-1), dy.reshape(ids.numel(), dy.shape[-1])),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
