"""A GPT that learns to count: next-token cross-entropy, gradients clipped to 1, AdamW."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from steps import data, weights
from steps.data import Arrays
from steps.workload import Loss, Workload
from tinygrad_lm import models


@dataclass(frozen=True)
class GPT(Workload):
    layers: int = 4
    width: int = 128
    heads: int = 4
    context: int = 64
    batch: int = 12
    vocab: int = 65

    optimizer = ("AdamW", {"lr": 1e-3, "weight_decay": 0.01})
    clip = 1.0

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        named = weights.normal(rng, "tokens.weight", self.vocab, self.width, std=0.02)
        named |= weights.normal(rng, "positions.weight", self.context, self.width, std=0.02)
        for i in range(self.layers):
            named |= weights.transformer_block(rng, f"blocks.{i}", self.width)
        return named | weights.norm("norm", self.width)

    def draw(self, rng: np.random.Generator) -> Arrays:
        return data.counting(rng, self.vocab, self.batch, self.context)

    def ours(self) -> tuple[Any, Loss]:
        config = models.GPTConfig(
            vocab_size=self.vocab,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            context=self.context,
            bias=True,
        )
        model = models.GPT(config)
        return model, model.loss

    def torch(self) -> tuple[Any, Loss]:
        from torch import nn
        from torch.nn import functional as F

        from steps.torch_layers import MultiHeadAttention

        C = self.width

        class Block(nn.Module):
            def __init__(block) -> None:
                super().__init__()
                block.norm1, block.norm2 = nn.LayerNorm(C), nn.LayerNorm(C)
                block.attention = MultiHeadAttention(C, self.heads, causal=True)
                block.expand, block.contract = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

            def forward(block, x: Any) -> Any:
                x = x + block.attention(block.norm1(x))
                return x + block.contract(F.gelu(block.expand(block.norm2(x)), approximate="tanh"))

        class Model(nn.Module):
            def __init__(model) -> None:
                super().__init__()
                model.tokens, model.positions = nn.Embedding(self.vocab, C), nn.Embedding(self.context, C)
                model.blocks, model.norm = nn.ModuleList([Block() for _ in range(self.layers)]), nn.LayerNorm(C)

            def forward(model, ids: Any) -> Any:
                x = model.tokens(ids) + model.positions.weight
                for block in model.blocks:
                    x = block(x)
                return F.linear(model.norm(x), model.tokens.weight)

        model = Model()
        return model, lambda ids, targets: F.cross_entropy(model(ids).view(-1, self.vocab), targets.reshape(-1))

    def jax(self, p: dict[str, Any], ids: Any, targets: Any) -> Any:
        import jax

        from steps import jax_layers as layers

        x = p["tokens.weight"][ids] + p["positions.weight"]
        for i in range(self.layers):
            name = f"blocks.{i}"
            x += layers.attention(
                p, f"{name}.attention", layers.layer_norm(p, f"{name}.norm1", x), self.heads, causal=True
            )
            hidden = jax.nn.gelu(layers.linear(p, f"{name}.expand", layers.layer_norm(p, f"{name}.norm2", x)))
            x += layers.linear(p, f"{name}.contract", hidden)
        return layers.cross_entropy(layers.layer_norm(p, "norm", x) @ p["tokens.weight"].T, targets)

    def small(self) -> GPT:
        return replace(self, layers=1, width=32, heads=2, context=16, batch=2)
