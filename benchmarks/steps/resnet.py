"""Blocks of a ResNet: two with 64 channels, one that halves the image and doubles the channels; SGD with momentum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from steps import data, weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class ResNetBlock(Workload):
    channels: int = 64
    size: int = 16
    batch: int = 32
    classes: int = 10

    optimizer = ("SGD", {"lr": 2e-4, "momentum": 0.9})  # small: a kink that one side crosses first moves the norm
    images = True

    def blocks(self) -> list[tuple[int, int, int]]:
        """(inputs, outputs, stride) of each."""
        C = self.channels
        return [(C, C, 1), (C, C, 1), (C, 2 * C, 2)]

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        named: dict[str, np.ndarray] = {}
        for i, (inputs, outputs, stride) in enumerate(self.blocks()):
            named |= weights.conv(rng, f"{i}.conv1", inputs, outputs, 3) | weights.batch_norm(f"{i}.norm1", outputs)
            named |= weights.conv(rng, f"{i}.conv2", outputs, outputs, 3) | weights.batch_norm(f"{i}.norm2", outputs)
            if stride > 1:
                named |= weights.conv(rng, f"{i}.shortcut.0", inputs, outputs, 1)
                named |= weights.batch_norm(f"{i}.shortcut.1", outputs)
        return named | weights.linear(rng, f"{len(self.blocks()) + 2}", 2 * self.channels, self.classes)

    def draw(self, rng: np.random.Generator) -> Arrays:
        return data.shaded(rng, (self.batch, self.channels, self.size, self.size), self.classes)

    def build(self, nn: Any, F: Any) -> tuple[Any, Loss]:
        class Block(nn.Module):
            def __init__(block, inputs: int, outputs: int, stride: int) -> None:
                super().__init__()
                block.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
                block.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
                block.norm1, block.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
                projection = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
                block.shortcut = nn.Sequential(*(projection if stride > 1 else []))

            def forward(block, x: Any) -> Any:
                y = F.relu(block.norm1(block.conv1(x)))
                return F.relu(block.norm2(block.conv2(y)) + block.shortcut(x))

        blocks = [Block(*sizes) for sizes in self.blocks()]
        head = nn.Linear(2 * self.channels, self.classes)
        model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
        return model, lambda x, y: F.cross_entropy(model(x), y)

    def jax(self, p: dict[str, Any], x: Any, y: Any) -> Any:
        from jax.nn import relu

        from steps.jax_layers import batch_norm, conv, cross_entropy, linear

        x = x.transpose(0, 2, 3, 1)  # (N, H, W, C)
        for i, (_, _, stride) in enumerate(self.blocks()):
            inner = relu(batch_norm(p, f"{i}.norm1", conv(p, f"{i}.conv1", x, stride)))
            if stride > 1:
                x = batch_norm(p, f"{i}.shortcut.1", conv(p, f"{i}.shortcut.0", x, stride, padding=0))
            x = relu(batch_norm(p, f"{i}.norm2", conv(p, f"{i}.conv2", inner)) + x)
        return cross_entropy(linear(p, f"{len(self.blocks()) + 2}", x.mean((1, 2))), y)

    def small(self) -> ResNetBlock:
        return replace(self, channels=4, size=6, batch=2)
