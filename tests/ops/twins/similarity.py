"""torch's counterpart of each operation of ops/similarity.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch


def normalize(x, axis=-1, eps=1e-12):
    return x / torch.linalg.vector_norm(x, dim=axis, keepdim=True).clamp_min(eps)


def cosine_similarity(a, b, axis=-1, eps=1e-8):
    """By its formula: the gradient of F.cosine_similarity passes through norms that eps has replaced."""
    a, b = torch.broadcast_tensors(a, b)
    norms = [torch.linalg.vector_norm(x, dim=axis).clamp_min(eps) for x in (a, b)]
    return (a * b).sum(axis) / (norms[0] * norms[1])


TWINS = {
    "normalize": normalize, "cosine_similarity": cosine_similarity,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
