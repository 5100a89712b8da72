"""Rules run so that they can write neither into what the tape kept nor into what comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm.core import flatten
from tinygrad_lm.testing.tolerance import GradcheckError


class ReadOnly:
    """The plan of a node whose rules can write neither into what was kept nor into the gradient that comes in.

    What they return must be shaped like the inputs, or as broadcasting made of them.
    """

    def __init__(self, node: Any, refused: Callable[..., GradcheckError]):
        self.plan, self.refused = node.plan, refused
        self.shapes = [None if parent is None else parent.shape for parent in node.parents]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def pull(self, g: Any, saved: tuple) -> Any:
        locked = [a for a in flatten([g, saved])[0] if isinstance(a, np.ndarray) and a.flags.writeable and owned(a)]
        for array in locked:
            array.flags.writeable = False
        try:
            grads = self.plan.pull(g, saved)
        finally:
            for array in sorted(locked, key=lambda a: a.base is not None):  # a view may be written to if its base may
                array.flags.writeable = True
        for shape, grad in zip(self.shapes, grads, strict=False):
            if shape is None or not hasattr(grad, "shape") or grown(got := grad.shape, shape):
                continue
            cause = "transposed" if got == shape[::-1] else "wrong shape"
            what = f"the derivative of {self.plan.op.name} has the shape {got} for an input of shape {shape}"
            raise self.refused(f"{what}: {cause}", cause)
        return grads


def grown(got: tuple, shape: tuple) -> bool:
    """Whether broadcasting makes `got` of `shape`, so that sums undo it."""
    return len(got) >= len(shape) and all(m in (1, n) for m, n in zip(shape[::-1], got[::-1], strict=False))


def owned(array: np.ndarray) -> bool:
    """Whether NumPy allocated its memory; it lets nobody make writeable again what belongs to another library."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is None
