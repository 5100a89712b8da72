"""torch's counterpart of each operation of ops/convolution.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def rank_of(geometry):
    return len(geometry.stride) - 1


def conv(x, weight, *, geometry):
    pads = [p for pair in reversed(geometry.padding) for p in pair]
    function = (F.conv1d, F.conv2d, F.conv3d)[rank_of(geometry)]
    return function(F.pad(x, pads), weight, None, geometry.stride, 0, geometry.dilation, geometry.groups)


def conv_transpose(x, weight, *, size, geometry):
    """With the padding first, then without it.  What no element reaches is added here: torch's output_padding has no
    second derivative."""
    padded = [n + p + q for n, (p, q) in zip(size, geometry.padding, strict=True)]
    each = zip(padded, x.shape[2:], weight.shape[2:], geometry.stride, geometry.dilation, strict=True)
    extra = [m - ((n - 1) * s + d * (k - 1) + 1) for m, n, k, s, d in each]
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank_of(geometry)]
    y = function(x, weight, None, geometry.stride, 0, 0, geometry.groups, geometry.dilation)
    y = F.pad(y, [n for e in reversed(extra) for n in (0, e)])
    return y[(..., *[slice(p, p + n) for n, (p, _) in zip(size, geometry.padding, strict=True)])]


def conv_weight_grad(x, dy, *, kernel, geometry):
    weight = torch.zeros(dy.shape[1], x.shape[1] // geometry.groups, *kernel, dtype=x.dtype, requires_grad=True)
    return torch.autograd.grad(conv(x, weight, geometry=geometry), weight, dy, create_graph=True)[0]


TWINS = {
    "conv": conv, "conv_transpose": conv_transpose, "conv_weight_grad": conv_weight_grad,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
