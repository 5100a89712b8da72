"""Multi-head attention, and the cache that lets a model read a text one token at a time."""

from __future__ import annotations

from typing import Any

from tinygrad_lm import ops
from tinygrad_lm.backend import Generator, backend_of
from tinygrad_lm.core import Tensor
from tinygrad_lm.nn.layers import Dropout, Linear, check_sizes
from tinygrad_lm.nn.module import Module


class KeyValueCache:
    """Keys and values of the positions that one attention layer has read, room for `capacity` of them.

    Raw arrays without history: a cache is for inference, under `no_grad`.
    """

    def __init__(self, capacity: int):
        self.capacity, self.length = capacity, 0
        self.keys: Any = None
        self.values: Any = None

    def append(self, k: Any, v: Any) -> tuple[Any, Any]:
        """Add k (..., T, D) and v (..., T, D); returns all so far, (..., length, D) each, as views.

        ValueError if there is no room for T more.
        """
        start, end = self.length, self.length + k.shape[-2]
        if end > self.capacity:
            raise ValueError(f"the key/value cache has room for {self.capacity} positions, got {end}")
        if self.keys is None:
            empty, room = backend_of(k).xp.empty, (self.capacity, k.shape[-1])
            self.keys, self.values = empty((*k.shape[:-2], *room), k.dtype), empty((*v.shape[:-2], *room), v.dtype)
        self.keys[..., start:end, :], self.values[..., start:end, :] = k, v
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]


class MultiHeadAttention(Module):
    """Self-attention with `heads` heads of size width / heads:  (..., T, width) -> (..., T, width).

    `qkv` maps the input to queries, keys and values in one product (rows of its weight: first all of the queries, head
    by head, then keys, then values), `output` mixes the heads, dropout follows.  `causal`: position i sees positions up
    to i.  A `mask` broadcasts to (..., heads, T, S), S keys: True where a query may look, or numbers added to scores.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        bias: bool = True,
        causal: bool = False,
        dropout: float = 0.0,
        generator: Generator | None = None,
        dtype: Any = None,
    ):
        check_sizes(self, width=width, heads=heads)
        if width % heads:
            raise ValueError(f"MultiHeadAttention: heads must divide width, got {heads} heads and width {width}")
        self.width, self.heads, self.causal = width, heads, causal
        self.qkv = Linear(width, 3 * width, bias, generator, dtype)
        self.output = Linear(width, width, bias, generator, dtype)
        self.dropout = Dropout(dropout, generator)

    def forward(self, x: Any, mask: Any = None, cache: KeyValueCache | None = None) -> Any:
        """With a `cache`, x continues what the cache has seen: its T queries look at all S = length + T keys."""
        *batch, T, C = x.shape
        H, D = self.heads, self.width // self.heads
        qkv = ops.reshape(self.qkv(x), (*batch, T, 3 * H, D))  # (..., T, 3H, D)
        q, k, v = ops.split(ops.swapaxes(qkv, -3, -2), 3, axis=-3)  # (..., H, T, D) each
        if cache is not None:
            if isinstance(k, Tensor):
                if k.requires_grad:
                    raise RuntimeError("a key/value cache passes no gradients: use it within tg.no_grad()")
                k, v = k.data, v.data
            k, v = cache.append(k, v)  # (..., H, S, D) each
        y = ops.attention(q, k, v, mask, causal=self.causal)  # (..., H, T, D)
        y = ops.reshape(ops.swapaxes(y, -3, -2), (*batch, T, C))  # (..., T, C)
        return self.dropout(self.output(y))

    def extra_repr(self) -> str:
        return f"{self.width}, {self.heads}{', causal=True' if self.causal else ''}"
