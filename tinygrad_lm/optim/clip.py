"""What is done to gradients and parameters around a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import Tensor


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients, in place, so that their norm is at most `max_norm`; returns the norm that they had.

    The norm of all of them together: sqrt(sum of the squares of all elements), added up in float64.  `math.inf` only
    measures.  A norm that is not finite scales nothing: look at what is returned.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be above 0, got {max_norm!r}")
    gradients = [p.grad.data for p in parameters if p.grad is not None]
    total: Any = 0.0
    for g in gradients:
        xp = backend_of(g).xp
        total = total + xp.square(g, dtype=xp.float64).sum()
    norm = math.sqrt(float(total))
    if max_norm < norm < math.inf:
        for g in gradients:
            g *= max_norm / norm
    return norm


def decay_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: matrices, which decay, and vectors (biases, gains of norms), which do not.

    Decay keeps a sum of many products from hanging on few of them; a gain or a bias takes part in no such sum.
    """
    everything = list(parameters)
    return [
        {"params": [p for p in everything if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in everything if p.ndim < 2], "weight_decay": 0.0},
    ]
