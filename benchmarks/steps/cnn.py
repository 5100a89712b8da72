"""A convolutional net with batch norm on images of 32 x 32, SGD with momentum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from steps import data, weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class CNN(Workload):
    """``layers``: channels of a 3 x 3 convolution with batch norm and relu; 0 halves the image."""

    layers: tuple[int, ...] = (32, 32, 0, 64, 64, 0, 128)
    size: int = 32
    batch: int = 64
    classes: int = 10

    optimizer = ("SGD", {"lr": 2e-4, "momentum": 0.9})  # small: a kink that one side crosses first moves the norm
    images = True

    def inputs(self, i: int) -> int:
        """The channels that come out of the layers before the i-th."""
        return [3, *filter(None, self.layers[:i])][-1]

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        named: dict[str, np.ndarray] = {}
        for i, channels in enumerate(self.layers):
            if channels:
                named |= weights.conv(rng, f"{i}.0", self.inputs(i), channels, 3)
                named |= weights.batch_norm(f"{i}.1", channels)
        last = len(self.layers)
        return named | weights.linear(rng, f"{last + 2}", self.inputs(last), self.classes)

    def draw(self, rng: np.random.Generator) -> Arrays:
        return data.shaded(rng, (self.batch, 3, self.size, self.size), self.classes)

    def build(self, nn: Any, F: Any) -> tuple[Any, Loss]:
        def layer(i: int, channels: int) -> Any:
            if not channels:
                return nn.MaxPool2d(2)
            conv = nn.Conv2d(self.inputs(i), channels, 3, padding=1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

        layers = [layer(i, channels) for i, channels in enumerate(self.layers)]
        head = nn.Linear(self.inputs(len(layers)), self.classes)
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
        return model, lambda x, y: F.cross_entropy(model(x), y)

    def jax(self, p: dict[str, Any], x: Any, y: Any) -> Any:
        from jax.nn import relu

        from steps import jax_layers as layers

        x = x.transpose(0, 2, 3, 1)  # (N, H, W, C)
        for i, channels in enumerate(self.layers):
            if channels:
                x = relu(layers.batch_norm(p, f"{i}.1", layers.conv(p, f"{i}.0", x)))
            else:
                x = layers.max_pool(x)
        return layers.cross_entropy(layers.linear(p, f"{len(self.layers) + 2}", x.mean((1, 2))), y)

    def small(self) -> CNN:
        return replace(self, layers=(4, 0, 8), size=8, batch=4)
