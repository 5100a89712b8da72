"""What is done to gradients and parameters around a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinygrad_lm.backend import backend_of, table_of
from tinygrad_lm.core import Tensor


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients, in place, so that their norm is at most `max_norm`; returns the norm that they had.

    The norm of all of them together: sqrt(sum of the squares of all elements), added up in float64.  `math.inf` only
    measures.  A norm that is not finite scales nothing: look at what is returned.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be above 0, got {max_norm!r}")
    alike: dict[Any, list] = {}  # gradients of one backend and dtype
    for p in parameters:
        if p.grad is not None:
            alike.setdefault((backend_of(p.grad.data), p.grad.dtype), []).append(p.grad.data)
    norm = math.sqrt(math.fsum(float(square_sum(backend, some)) for (backend, _), some in alike.items()))
    if max_norm < norm < math.inf:
        for (backend, _), some in alike.items():
            scale_all(backend, some, max_norm / norm)
    return norm


def square_sum(backend: Any, arrays: list[Any]) -> Any:
    """The sum of the squares of all elements of arrays of one dtype, in float64."""
    kernel, xp = table_of(backend).get("square_sum"), backend.xp
    total = NotImplemented if kernel is None else kernel(xp, arrays)
    return sum(xp.square(a, dtype=xp.float64).sum() for a in arrays) if total is NotImplemented else total


def scale_all(backend: Any, arrays: list[Any], factor: float) -> None:
    """Every array times a number, in place."""
    kernel = table_of(backend).get("scale_all")
    if kernel is None or kernel(backend.xp, arrays, factor) is NotImplemented:
        for a in arrays:
            a *= factor


def decay_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: matrices, which decay, and vectors (biases, gains of norms), which do not.

    Decay keeps a sum of many products from hanging on few of them; a gain or a bias takes part in no such sum.
    """
    everything = list(parameters)
    return [
        {"params": [p for p in everything if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in everything if p.ndim < 2], "weight_decay": 0.0},
    ]
