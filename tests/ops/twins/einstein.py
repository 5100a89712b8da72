"""torch's counterpart of each operation of ops/einstein.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch

TWINS = {"einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs)}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS: set[str] = set()
