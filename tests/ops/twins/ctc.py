"""torch's counterpart of each operation of ops/ctc.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

from itertools import groupby, product

import torch


def collapsed(path, blank):
    return [c for c, _ in groupby(path) if c != blank]


def ctc_loss(logits, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """By its definition, over every path there is: torch's own has no second derivative."""
    log_p, each = logits.log_softmax(-1), []
    for b, (time, length) in enumerate(zip(input_lengths.tolist(), target_lengths.tolist(), strict=True)):
        wanted = targets[b, :length].tolist()
        paths = [p for p in product(range(logits.shape[2]), repeat=time) if collapsed(p, blank) == wanted]
        scores = [sum([log_p[t, b, c] for t, c in enumerate(p)], 0 * logits.sum()) for p in paths]
        each.append(-torch.logsumexp(torch.stack(scores), 0) if scores else logits.sum() * 0)
    losses = torch.stack(each) if each else logits.sum((0, 2))
    if reduction == "mean":
        losses = losses / target_lengths.clamp(min=1) / max(len(losses), 1)
    return losses if reduction == "none" else losses.sum()


TWINS = {"ctc_loss": ctc_loss}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"ctc_loss_grad"}
