"""The loss over a whole split: every token predicted once, in the same order, with nothing random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_lm.backend import get_backend
from tinygrad_lm.config import no_grad
from tinygrad_lm.data.batches import windows

if TYPE_CHECKING:
    from tinygrad_lm.models import GPT

__all__ = ["evaluate"]

TOKENS_AT_ONCE = 2048  # per forward pass: large enough to be fast, small enough for a cache


def evaluate(model: GPT, tokens: np.ndarray, context: int, device: str = "cpu") -> float:
    """Mean cross-entropy (nats per token) of ``tokens`` (n,), n >= 2, cut into windows of ``context`` side by side.

    The model is in evaluation mode meanwhile and returns to the mode it was in.
    """
    to_device = get_backend(device).from_numpy
    training = model.training
    model.eval()
    total, count = 0.0, 0
    with no_grad():
        for ids, targets in windows(tokens, max(1, TOKENS_AT_ONCE // context), context):
            loss = model.loss(to_device(ids), to_device(targets))
            total += float(loss.item()) * targets.size
            count += targets.size
    model.train(training)
    return total / count
