"""Multilayer perceptrons: a classifier from small to wide, and one so tiny that only what every call costs is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from steps import data, weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class MLP(Workload):
    """Linear layers with relu between them, cross-entropy, Adam."""

    widths: tuple[int, ...] = (784, 512, 256, 10)
    batch: int = 128
    lr: float = 1e-4

    activation = "ReLU"
    loss = "cross_entropy"

    @property
    def optimizer(self) -> tuple[str, dict[str, float]]:
        return "Adam", {"lr": self.lr}

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        named: dict[str, np.ndarray] = {}
        for i, (inputs, outputs) in enumerate(pairwise(self.widths)):
            named |= weights.linear(rng, f"{2 * i}", inputs, outputs)
        return named

    def draw(self, rng: np.random.Generator) -> Arrays:
        return data.shaded(rng, (self.batch, self.widths[0]), self.widths[-1])

    def build(self, nn: Any, F: Any) -> tuple[Any, Loss]:
        layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(self.widths)]
        between = [getattr(nn, self.activation)() for _ in layers]
        model = nn.Sequential(*[m for pair in zip(layers, between, strict=True) for m in pair][:-1])
        return model, lambda x, y: getattr(F, self.loss)(model(x), y)

    def jax(self, p: dict[str, Any], x: Any, y: Any) -> Any:
        import jax

        from steps import jax_layers as layers

        last = 2 * (len(self.widths) - 2)
        for i in range(0, last, 2):
            x = getattr(jax.nn, self.activation.lower())(layers.linear(p, f"{i}", x))
        x = layers.linear(p, f"{last}", x)
        return layers.cross_entropy(x, y) if self.loss == "cross_entropy" else ((x - y) ** 2).mean()

    def small(self) -> MLP:
        return replace(self, widths=(*(min(n, 24) for n in self.widths),), batch=8)


@dataclass(frozen=True)
class TinyMLP(MLP):
    """Two numbers in, one out: tanh, mean squared error, SGD."""

    widths: tuple[int, ...] = (2, 16, 16, 1)
    batch: int = 32
    lr: float = 0.01

    activation = "Tanh"
    loss = "mse_loss"

    @property
    def optimizer(self) -> tuple[str, dict[str, float]]:
        return "SGD", {"lr": self.lr}

    def draw(self, rng: np.random.Generator) -> Arrays:
        x = rng.standard_normal((self.batch, self.widths[0])).astype(np.float32)
        return x, np.sin(3 * x[:, :1]) * x[:, 1:]
