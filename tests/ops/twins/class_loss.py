"""torch's counterpart of each operation of ops/class_loss.py: the same arguments, torch tensors in and out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.ops.twins.loss import of


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


TWINS = {"cross_entropy": cross_entropy, "nll_loss": nll_loss, "multi_margin_loss": multi_margin_loss}
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"cross_entropy_grad"}
