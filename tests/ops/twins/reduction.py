"""torch's counterpart of each operation of ops/reduction.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


TWINS = {
    "sum": lambda x, axis=None, keepdims=False: torch.sum(x, all_axes(x, axis), keepdims),
    "mean": lambda x, axis=None, keepdims=False: torch.mean(x, all_axes(x, axis), keepdims),
    "var": lambda x, axis=None, correction=0, keepdims=False:
        torch.var(x, all_axes(x, axis), correction=correction, keepdim=keepdims) if x.ndim else x * 0,
    "max": lambda x, axis=None, keepdims=False: torch.amax(x, all_axes(x, axis), keepdims),
    "min": lambda x, axis=None, keepdims=False: torch.amin(x, all_axes(x, axis), keepdims),
    "logsumexp": lambda x, axis=None, keepdims=False: torch.logsumexp(x, all_axes(x, axis), keepdims),
    "cumsum": lambda x, axis: torch.cumsum(x, axis),
    "argmax": lambda x, axis=None, keepdims=False: torch.argmax(x, axis, keepdims),
    "argmin": lambda x, axis=None, keepdims=False: torch.argmin(x, axis, keepdims),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
