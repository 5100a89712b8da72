"""Causal attention alone, forward and backward; nothing is learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import tinygrad_lm as tg
from steps import weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class Attention(Workload):
    batch: int = 2
    heads: int = 8
    length: int = 1024
    head_size: int = 64

    optimizer = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.batch, self.heads, self.length, self.head_size

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        q, k, v = [weights.normal(rng, name, *self.shape, std=1.0) for name in "qkv"]
        return q | k | v

    def draw(self, rng: np.random.Generator) -> Arrays:
        """The gradient that comes back, scaled so that the loss is about 1."""
        return ((rng.standard_normal(self.shape) / np.prod(self.shape) ** 0.5).astype(np.float32),)

    def ours(self) -> tuple[Any, Loss]:
        class Model(tg.nn.Module):
            def __init__(model) -> None:
                model.q, model.k, model.v = [tg.nn.Parameter(np.zeros(self.shape, np.float32)) for _ in "qkv"]

            def forward(model, g: Any) -> Any:
                return tg.sum(tg.attention(model.q, model.k, model.v, causal=True) * g)

        model = Model()
        return model, model

    def torch(self) -> tuple[Any, Loss]:
        import torch

        class Model(torch.nn.Module):
            def __init__(model) -> None:
                super().__init__()
                model.q, model.k, model.v = [torch.nn.Parameter(torch.zeros(self.shape)) for _ in "qkv"]

            def forward(model, g: Any) -> Any:
                attention = torch.nn.functional.scaled_dot_product_attention
                return (attention(model.q, model.k, model.v, is_causal=True) * g).sum()

        model = Model()
        return model, model

    def jax(self, p: dict[str, Any], g: Any) -> Any:
        import jax

        q, k, v = [p[name].swapaxes(1, 2) for name in "qkv"]  # (B, T, H, D), as JAX wants them
        return (jax.nn.dot_product_attention(q, k, v, is_causal=True).swapaxes(1, 2) * g).sum()

    def small(self) -> Attention:
        return replace(self, heads=2, length=8, head_size=4)
