"""torch's counterpart of each operation of ops/loss.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F


def by_class(loss):
    """A loss of torch's whose classes are on axis 1, with classes on the last axis."""

    def function(x, targets, weight=None, ignore_index=-100, reduction="mean", **params):
        soft = targets.is_floating_point()
        if reduction == "mean" and not (soft or (targets != ignore_index).any()):
            pytest.skip("torch makes nan of the mean of no targets")
        rows = x.reshape(-1, x.shape[-1])
        classes = targets.reshape(rows.shape if soft else -1)
        out = loss(rows, classes, weight, ignore_index=ignore_index, reduction=reduction, **params)
        return out.reshape(x.shape[:-1]) if reduction == "none" else out

    return function


def multi_margin_loss(x, targets, margin=1.0, reduction="mean"):
    """Written out: torch's own has no second derivative."""
    at = targets.unsqueeze(-1)
    gaps = torch.relu(margin - x.gather(-1, at) + x).scatter(-1, at, 0.0).mean(-1)
    return of(gaps, reduction)


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


def binary_cross_entropy(p, y, weight=None, reduction="mean"):
    """Written out: torch's own has no derivative by the weight."""
    log = lambda p: torch.clamp(torch.log(p), min=-100)  # noqa: E731
    each = -(y * log(p) + (1 - y) * log(1 - p))
    return of(each if weight is None else each * weight, reduction)


def binary_cross_entropy_with_logits(x, y, weight=None, pos_weight=None, reduction="mean"):
    """Written out, likewise."""
    each = -((1 if pos_weight is None else pos_weight) * y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
    return of(each if weight is None else each * weight, reduction)


def weighted_mean(each, targets, weight, ignore_index, reduction):
    counted = targets != ignore_index
    each = torch.where(counted, each, 0.0)
    if reduction != "mean":
        return of(each, reduction)
    total = counted.sum() if weight is None else (weight[torch.where(counted, targets, 0)] * counted).sum()
    return each.sum() / (total if total else 1)


def nll_loss(log_p, targets, weight=None, ignore_index=-100, reduction="mean"):
    """Written out: torch's own has no derivative by the weight."""
    at = torch.where(targets == ignore_index, 0, targets)
    each = -log_p.gather(-1, at.unsqueeze(-1)).squeeze(-1)
    each = each if weight is None else each * weight[at]
    return weighted_mean(each, targets, weight, ignore_index, reduction)


def cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """Written out where there is a weight, by which torch's own has no derivative."""
    if weight is None or targets.is_floating_point():
        params = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
        if weight is None:
            return by_class(F.cross_entropy)(logits, targets, **params)
        wanted = (targets * (1 - label_smoothing) + label_smoothing / logits.shape[-1]) * weight
        return of(-(wanted * logits.log_softmax(-1)).sum(-1), reduction)
    log_p = logits.log_softmax(-1)
    at = torch.where(targets == ignore_index, 0, targets)
    each = -(1 - label_smoothing) * log_p.gather(-1, at.unsqueeze(-1)).squeeze(-1) * weight[at]
    each = each - label_smoothing * (log_p * weight).mean(-1)
    return weighted_mean(each, targets, weight, ignore_index, reduction)


def kl_div(log_p, target, log_target=False, reduction="mean"):
    each = F.kl_div(*torch.broadcast_tensors(log_p, target), log_target=log_target, reduction="none")
    return each.sum() / len(each) if reduction == "batchmean" else of(each, reduction)


TWINS = {
    "mse_loss": elementwise(F.mse_loss), "l1_loss": elementwise(F.l1_loss), "huber_loss": elementwise(F.huber_loss),
    "smooth_l1_loss": elementwise(F.smooth_l1_loss), "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits, "cross_entropy": cross_entropy,
    "nll_loss": nll_loss, "kl_div": kl_div, "multi_margin_loss": multi_margin_loss,
    "hinge_loss": lambda x, y, margin=1.0, reduction="mean": of(torch.relu(margin - y * x), reduction),
    "clamped_log": lambda x: torch.clamp(torch.log(x), min=-100),
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"cross_entropy_grad"}
