"""torch's counterpart of each operation of ops/loss.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def of(each, reduction):
    if reduction == "none":
        return each
    return each.sum() / (max(each.numel(), 1) if reduction == "mean" else 1)


def elementwise(loss):
    """A loss of torch's, of shapes that broadcast."""

    def function(x, y, reduction="mean", **params):
        if reduction == "mean" and not x.numel():
            return 0 * (x.sum() + y.sum())  # torch makes nan of the mean of nothing
        return loss(*torch.broadcast_tensors(x, y), reduction=reduction, **params)

    return function


def kl_div(log_p, target, log_target=False, reduction="mean"):
    each = F.kl_div(*torch.broadcast_tensors(log_p, target), log_target=log_target, reduction="none")
    return each.sum() / len(each) if reduction == "batchmean" else of(each, reduction)


TWINS = {
    "mse_loss": elementwise(F.mse_loss),
    "l1_loss": elementwise(F.l1_loss),
    "huber_loss": elementwise(F.huber_loss),
    "smooth_l1_loss": elementwise(F.smooth_l1_loss),
    "kl_div": kl_div,
}
LONERS: set[str] = set()
