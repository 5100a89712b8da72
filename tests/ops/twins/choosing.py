"""torch's counterpart of each operation of ops/choosing.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def of_tensors(function):
    """`function` of two tensors, for a second argument that may be a number."""
    return lambda a, b: function(a, torch.as_tensor(b, dtype=a.dtype))


TWINS = {
    "where": torch.where,
    "clip": lambda x, min=None, max=None: torch.clamp(x, min, max),
    "maximum": of_tensors(torch.maximum), "minimum": of_tensors(torch.minimum),
    "fmax": of_tensors(torch.fmax), "fmin": of_tensors(torch.fmin),
    "nan_to_num": torch.nan_to_num,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"share"}
