"""torch's counterpart of each operation of ops/linalg.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import numpy as np
import torch


def symmetric_part(x):
    return (x + x.mT) / 2


def same_signs(theirs, ours):
    """1 or -1 for each column, so that `theirs` points where `ours` does: libraries choose signs differently."""
    return torch.sign((theirs.detach() * torch.tensor(ours)).sum(-2, keepdim=True))


def solve(a, b):
    return torch.linalg.solve(a, b.unsqueeze(-1)).squeeze(-1) if b.ndim == 1 else torch.linalg.solve(a, b)


def eigh(x):
    w, v = torch.linalg.eigh(symmetric_part(x))
    return w, v * same_signs(v, np.linalg.eigh(symmetric_part(x).detach().numpy())[1])


def qr(x):
    q, r = torch.linalg.qr(x)
    signs = same_signs(q, np.linalg.qr(x.detach().numpy())[0])
    return q * signs, r * signs.mT


def svd(x):
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    signs = same_signs(u, np.linalg.svd(x.detach().numpy(), full_matrices=False)[0])
    return u * signs, s, vh * signs.mT


TWINS = {
    "inv": torch.linalg.inv, "solve": solve, "det": torch.linalg.det,
    "slogdet": lambda x: tuple(torch.linalg.slogdet(x)), "eigh": eigh, "qr": qr, "svd": svd,
    "cholesky": lambda x: torch.linalg.cholesky(symmetric_part(x)),
    "cofactors": lambda x: torch.linalg.det(x)[..., None, None] * torch.linalg.inv(x).mT,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"cofactors_grad"}
