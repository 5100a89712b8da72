"""An encoder in the shape of BERT: tokens, positions and segments; post-norm blocks; some tokens are to be guessed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import tinygrad_lm as tg
from steps import weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class BERT(Workload):
    layers: int = 4
    width: int = 256
    heads: int = 4
    length: int = 128
    batch: int = 8
    vocab: int = 4096

    optimizer = ("AdamW", {"lr": 1e-3, "weight_decay": 0.01})
    clip = 1.0

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        named = weights.norm("norm", self.width) | weights.norm("head_norm", self.width)
        for name, rows in (("tokens", self.vocab), ("positions", self.length), ("segments", 2)):
            named |= weights.normal(rng, f"{name}.weight", rows, self.width, std=0.02)
        for i in range(self.layers):
            named |= weights.transformer_block(rng, f"blocks.{i}", self.width)
        return named | weights.linear(rng, "head", self.width, self.width, std=0.02)

    def draw(self, rng: np.random.Generator) -> Arrays:
        """(ids, segments, which keys may be looked at, targets): 15 % of the ids are hidden behind id 0 and to be
        guessed; every text is shorter than the batch is long.
        """
        B, T = self.batch, self.length
        start, stride = rng.integers(0, self.vocab, (B, 1)), rng.integers(1, 5, (B, 1))
        text = 1 + (start + stride * np.arange(T)) % (self.vocab - 1)
        lengths, turn = rng.integers(T // 2, T, (B, 1)), rng.integers(1, T // 2, (B, 1))
        real, segments = np.arange(T) < lengths, (np.arange(T) >= turn).astype(np.int64)
        hidden = real & ((rng.random((B, T)) < 0.15) | (np.arange(T) == 0))
        return np.where(hidden | ~real, 0, text), segments, real[:, None, None, :], np.where(hidden, text, -100)

    def ours(self) -> tuple[Any, Loss]:
        return self.build(tg.nn, tg, tg.nn.MultiHeadAttention)

    def torch(self) -> tuple[Any, Loss]:
        from torch import nn

        from steps.torch_layers import MultiHeadAttention

        return self.build(nn, nn.functional, MultiHeadAttention)

    def build(self, nn: Any, F: Any, MultiHeadAttention: Any) -> tuple[Any, Loss]:
        C = self.width

        class Block(nn.Module):
            def __init__(block) -> None:
                super().__init__()
                block.attention = MultiHeadAttention(C, self.heads)
                block.norm1, block.norm2 = nn.LayerNorm(C), nn.LayerNorm(C)
                block.expand, block.contract = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

            def forward(block, x: Any, mask: Any) -> Any:
                x = block.norm1(x + block.attention(x, mask))
                return block.norm2(x + block.contract(F.gelu(block.expand(x))))

        class Model(nn.Module):
            def __init__(model) -> None:
                super().__init__()
                model.tokens, model.positions = nn.Embedding(self.vocab, C), nn.Embedding(self.length, C)
                model.segments, model.norm = nn.Embedding(2, C), nn.LayerNorm(C)
                model.blocks = nn.ModuleList([Block() for _ in range(self.layers)])
                model.head, model.head_norm = nn.Linear(C, C), nn.LayerNorm(C)

            def forward(model, ids: Any, segments: Any, mask: Any) -> Any:
                x = model.norm(model.tokens(ids) + model.positions.weight + model.segments(segments))
                for block in model.blocks:
                    x = block(x, mask)
                return F.linear(model.head_norm(F.gelu(model.head(x))), model.tokens.weight)

        model = Model()

        def loss(ids: Any, segments: Any, mask: Any, targets: Any) -> Any:
            return F.cross_entropy(model(ids, segments, mask).reshape(-1, self.vocab), targets.reshape(-1))

        return model, loss

    def jax(self, p: dict[str, Any], ids: Any, segments: Any, mask: Any, targets: Any) -> Any:
        from jax.nn import gelu

        from steps import jax_layers as layers

        x = p["tokens.weight"][ids] + p["positions.weight"] + p["segments.weight"][segments]
        x = layers.layer_norm(p, "norm", x)
        for i in range(self.layers):
            name = f"blocks.{i}"
            seen = layers.attention(p, f"{name}.attention", x, self.heads, mask=mask)
            x = layers.layer_norm(p, f"{name}.norm1", x + seen)
            hidden = gelu(layers.linear(p, f"{name}.expand", x), approximate=False)
            x = layers.layer_norm(p, f"{name}.norm2", x + layers.linear(p, f"{name}.contract", hidden))
        x = layers.layer_norm(p, "head_norm", gelu(layers.linear(p, "head", x), approximate=False))
        return layers.cross_entropy(x @ p["tokens.weight"].T, targets)

    def small(self) -> BERT:
        return replace(self, layers=1, width=32, length=16, batch=2, vocab=50)
