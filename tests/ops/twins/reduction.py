"""torch's counterpart of each operation of ops/reduction.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import math

import torch


def all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def several(f):
    """A reduction over one axis, applied to several at once or to all: they become one last axis."""

    def reduce(x, axis=None, keepdims=False, **keywords):
        axes = all_axes(x, axis)
        axes = [a % x.ndim for a in (axes if isinstance(axes, tuple) else (axes,))]
        kept = [n for a, n in enumerate(x.shape) if a not in axes]
        order = [a for a in range(x.ndim) if a not in axes] + axes
        out = f(x.permute(order).reshape(*kept, math.prod([x.shape[a] for a in axes])), **keywords)
        return out.reshape([1 if a in axes else n for a, n in enumerate(x.shape)]) if keepdims else out

    return reduce


def spread(of):
    """var or std; torch warns where there is nothing to average."""
    return several(lambda x, correction=0: of(x, -1, correction=correction) if x.numel() else x.sum(-1))


def median(x):
    """torch's own takes the lower of two middle ones; ties are not among the samples."""
    ordered, n = torch.sort(x).values, x.shape[-1]
    return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2


TWINS = {
    "sum": lambda x, axis=None, keepdims=False: torch.sum(x, all_axes(x, axis), keepdims),
    "mean": lambda x, axis=None, keepdims=False: torch.mean(x, all_axes(x, axis), keepdims),
    "var": spread(torch.var), "std": spread(torch.std),
    "prod": several(lambda x: torch.prod(x, -1)),
    "max": lambda x, axis=None, keepdims=False: torch.amax(x, all_axes(x, axis), keepdims),
    "min": lambda x, axis=None, keepdims=False: torch.amin(x, all_axes(x, axis), keepdims),
    "median": several(median),
    "logsumexp": lambda x, axis=None, keepdims=False: torch.logsumexp(x, all_axes(x, axis), keepdims),
    "norm": lambda x, ord=2, axis=None, keepdims=False:
        torch.linalg.vector_norm(x, ord, all_axes(x, axis), keepdims) if x.ndim else x.abs(),
    "argmax": lambda x, axis=None, keepdims=False: torch.argmax(x, axis, keepdims),
    "argmin": lambda x, axis=None, keepdims=False: torch.argmin(x, axis, keepdims),
    "any": several(lambda x: torch.any(x, -1)), "all": several(lambda x: torch.all(x, -1)),
    "count_nonzero": several(lambda x: torch.count_nonzero(x, -1)),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
