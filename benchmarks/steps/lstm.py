"""A language model of characters with an LSTM, Adam."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from steps import data, weights
from steps.data import Arrays
from steps.workload import Loss, Workload


@dataclass(frozen=True)
class LSTM(Workload):
    vocab: int = 65
    embedding: int = 128
    width: int = 256
    length: int = 64
    batch: int = 32

    optimizer = ("Adam", {"lr": 1e-3})

    def weights(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        rows, std = 4 * self.width, self.width**-0.5
        return (
            weights.normal(rng, "embedding.weight", self.vocab, self.embedding, std=1.0)
            | weights.normal(rng, "lstm.weight_ih_l0", rows, self.embedding, std=std)
            | weights.normal(rng, "lstm.weight_hh_l0", rows, self.width, std=std)
            | weights.normal(rng, "lstm.bias_ih_l0", rows, std=std)
            | weights.normal(rng, "lstm.bias_hh_l0", rows, std=std)
            | weights.linear(rng, "head", self.width, self.vocab)
        )

    def draw(self, rng: np.random.Generator) -> Arrays:
        return data.counting(rng, self.vocab, self.batch, self.length)

    def build(self, nn: Any, F: Any) -> tuple[Any, Loss]:
        class Model(nn.Module):
            def __init__(model) -> None:
                super().__init__()
                model.embedding = nn.Embedding(self.vocab, self.embedding)
                model.lstm = nn.LSTM(self.embedding, self.width, batch_first=True)
                model.head = nn.Linear(self.width, self.vocab)

            def forward(model, ids: Any) -> Any:
                return model.head(model.lstm(model.embedding(ids))[0])

        model = Model()
        return model, lambda ids, targets: F.cross_entropy(model(ids).reshape(-1, self.vocab), targets.reshape(-1))

    def jax(self, p: dict[str, Any], ids: Any, targets: Any) -> Any:
        import jax
        import jax.numpy as jnp

        from steps import jax_layers as layers

        # What does not depend on the state is one product over all steps: (T, B, 4H).
        x = p["embedding.weight"][ids.T] @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]

        def cell(state: Any, x: Any) -> tuple[Any, Any]:
            h, c = state
            i, f, g, o = jnp.split(x + h @ p["lstm.weight_hh_l0"].T, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((ids.shape[0], self.width))
        _, hs = jax.lax.scan(cell, (zeros, zeros), x)
        return layers.cross_entropy(layers.linear(p, "head", hs), targets.T)

    def small(self) -> LSTM:
        return replace(self, embedding=8, width=16, length=6, batch=2)
