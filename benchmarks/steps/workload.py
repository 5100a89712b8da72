"""What a workload is: sizes, initial weights, batches, and the loss in three spellings.

The rest of a training step is the same everywhere, so it is written once per side, in ``sides.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

import tinygrad_lm as tg
from steps.data import Arrays

Loss = Callable[..., Any]  # a batch's arrays -> the loss
POOL = 16  # different batches, in turn: inputs change from step to step, and drawing them is not in the figure


@dataclass(frozen=True)
class Workload:
    """A model with its data, optimizer and sizes.  The sizes are the fields, so ``replace`` makes another one."""

    optimizer = ("SGD", {"lr": 0.01})  # as ``tg.optim`` and ``torch.optim`` call it; None: gradients only
    clip = math.inf  # the most that the norm of all gradients may be
    images = False  # whether the layout of images in memory is torch's to choose

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial weights and buffers, by the names that all sides use."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Arrays:
        """One batch."""
        raise NotImplementedError

    def build(self, nn: Any, F: Any) -> tuple[Any, Loss]:
        """(model, loss), written with the layers ``nn`` and the functions ``F`` that we and torch both have."""
        raise NotImplementedError

    def ours(self) -> tuple[Any, Loss]:
        """(model, loss of a batch), as somebody who uses this library writes it."""
        return self.build(tg.nn, tg)

    def torch(self) -> tuple[Any, Loss]:
        """The same for torch."""
        import torch

        return self.build(torch.nn, torch.nn.functional)

    def jax(self, p: dict[str, Any], *batch: Any) -> Any:
        """The loss, as JAX has it: a function of the weights and buffers ``p``, into which moved buffers are put."""
        raise NotImplementedError

    def small(self) -> Self:
        """The same model in a size that takes no time: for tests, and to use every part of a library once."""
        raise NotImplementedError

    def start(self) -> dict[str, np.ndarray]:
        """The weights that every side begins with."""
        return self.weights(np.random.default_rng(0))

    def batches(self) -> list[Arrays]:
        """The batches that every side sees, in this order."""
        rng = np.random.default_rng(1)
        return [self.draw(rng) for _ in range(POOL)]
