"""GPT: a decoder-only transformer language model, in the shape of GPT-2.

In the comments B is the batch, T the positions, C the width, V the size of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm import config as switches
from tinygrad_lm import nn, ops
from tinygrad_lm.backend import Generator, backend_of, default_generator
from tinygrad_lm.core import raw


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT.  ValueError, one line, for a shape that cannot be built."""

    vocab_size: int  # how many different ids the tokenizer makes: rows of the token table, and logits per position
    context: int = 64  # how far back a position can look: rows of the position table; attention costs its square
    layers: int = 4  # blocks on top of each other: each lets positions exchange what the blocks below found out
    heads: int = 4  # attention patterns per block: each looks for something else, in width / heads numbers
    width: int = 128  # numbers that describe a position between the blocks: most weights are 12 * layers * width^2
    dropout: float = 0.0  # against learning a small text by heart; 0 where the text is not seen many times
    bias: bool = False  # biases in linear layers and norms: GPT-2 has them, without them it is faster and no worse

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "width"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"GPTConfig: {name} must be a whole number above 0, got {value!r}")
        if self.width % self.heads:
            raise ValueError(f"GPTConfig: heads must divide width, got {self.heads} heads and width {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"GPTConfig: dropout must be from 0 to below 1, got {self.dropout!r}")


class Block(nn.Module):
    """What every position does in turn: look at earlier positions (attention), then think about it alone (the MLP).

    Both add to what is there, and read it normalised, so that a stack of blocks begins close to the identity.
    """

    def __init__(self, config: GPTConfig, generator: Generator | None = None, dtype: Any = None):
        C, bias = config.width, config.bias
        self.norm1 = nn.LayerNorm(C, bias=bias, dtype=dtype)
        self.attention = nn.MultiHeadAttention(
            C, config.heads, bias, causal=True, dropout=config.dropout, generator=generator, dtype=dtype
        )
        self.norm2 = nn.LayerNorm(C, bias=bias, dtype=dtype)
        self.expand = nn.Linear(C, 4 * C, bias, generator, dtype)
        self.contract = nn.Linear(4 * C, C, bias, generator, dtype)
        self.dropout = nn.Dropout(config.dropout, generator)

    def forward(self, x: Any, cache: nn.KeyValueCache | None = None) -> Any:
        x = x + self.attention(self.norm1(x), cache=cache)  # (B, T, C)
        hidden = ops.gelu(self.expand(self.norm2(x)), approximate="tanh")  # (B, T, 4C)
        return x + self.dropout(self.contract(hidden))  # (B, T, C)


class GPT(nn.Module):
    """Reads ids (B, T) and scores, at every position, every possible next id: logits (B, T, V).

    The token table is used twice: as embedding of the input, and as the matrix that scores the output.

    >>> import numpy as np
    >>> from tinygrad_lm.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=65, layers=2))
    >>> model(np.zeros((3, 10), dtype=int)).shape
    (3, 10, 65)
    """

    def __init__(self, config: GPTConfig, generator: Generator | None = None, dtype: Any = None):
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width, generator, dtype)
        self.positions = nn.Embedding(config.context, config.width, generator, dtype)
        self.dropout = nn.Dropout(config.dropout, generator)
        self.blocks = nn.ModuleList(Block(config, generator, dtype) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=config.bias, dtype=dtype)
        # GPT-2's initial values.  Every block adds two terms to the same sum: scaled down so, its size does not grow
        # with the number of layers.
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("attention.output.weight", "contract.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5 if last else 0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Any, cache: list[nn.KeyValueCache] | None = None) -> Any:
        """Logits (B, T, V) of integer ids (B, T).  With a `cache`, ids continue what the cache has read.

        ValueError for more positions than the context, IndexError for an id that is not in the vocabulary.
        """
        ids = raw(ids) if hasattr(ids, "dtype") else np.asarray(ids)
        if ids.ndim != 2:
            raise ValueError(f"GPT: ids must have the shape (batch, positions), got {ids.shape}")
        start = cache[0].length if cache else 0
        end, context = start + ids.shape[1], self.config.context
        if end > context:
            raise ValueError(f"GPT: {end} positions do not fit a context of {context}; pass the last {context} only")
        positions = ops.getitem(self.positions.weight, index=slice(start, end))  # (T, C)
        x = self.dropout(self.tokens(ids) + positions)  # (B, T, C)
        for i, block in enumerate(self.blocks):
            x = block(x, cache[i] if cache else None)
        return ops.linear(self.norm(x), self.tokens.weight)  # (B, T, V)

    def loss(self, ids: Any, targets: Any) -> Any:
        """Mean cross-entropy in nats of the `targets` (B, T), the ids that follow `ids`; -100 is left out."""
        return ops.cross_entropy(self(ids), targets)

    def new_cache(self) -> list[nn.KeyValueCache]:
        """An empty key/value cache, one per block, with room for `context` positions."""
        return [nn.KeyValueCache(self.config.context) for _ in self.blocks]

    def flops_per_token(self) -> int:
        """Estimated floating-point operations to train on one token, forward and backward: 6 N + 12 L C T.

        N: weights of matrix products (the token table counts, as the output layer; the position table does not).  Each
        takes a multiplication and an addition forward, and twice that backward.  Attention compares a token with T =
        context others and sums up their values: 4 C T per layer forward.
        """
        c = self.config
        products = sum(p.size for p in self.parameters() if p.ndim == 2) - self.positions.weight.size
        return 6 * products + 12 * c.layers * c.width * c.context


def generate(
    model: GPT,
    ids: Any,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Iterator[int]:
    """Continue `ids` (one text, at least one id) by `tokens` new ones, yielded one by one as they are drawn.

    `temperature` divides the logits: below 1 the likely gets likelier, 0 always takes the likeliest.  `top_k` draws
    from the k likeliest; `top_p` from the fewest likeliest (of those) whose probabilities reach the share p.  Equal
    generator states give equal text.

    The model sees the last `context` ids as positions 0 to context - 1.  While all fit, each new one is read once, with
    a key/value cache; beyond that every position moves with each token, so the whole window is read again.
    """
    context = model.config.context
    prompt = np.asarray(ids)
    if prompt.ndim != 1 or prompt.size == 0 or prompt.dtype.kind not in "iu":
        raise ValueError(f"generate: ids must be a row of whole numbers, got {prompt.dtype} {prompt.shape}")
    if tokens < 0 or not 0 <= temperature < float("inf"):
        raise ValueError(f"generate: tokens and temperature must be at least 0, got {tokens!r} and {temperature!r}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"generate: top_k must be at least 1, got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"generate: top_p must be above 0 and at most 1, got {top_p!r}")
    source = default_generator() if generator is None else generator
    backend = backend_of(model.tokens.weight.data)

    def stream() -> Iterator[int]:
        window = unread = prompt[-context:].tolist()
        cache: Any = model.new_cache()
        for _ in range(tokens):
            with _inference(model):
                logits = raw(model(backend.from_numpy(np.array([unread])), cache))  # (1, T, V)
            token = choose(backend.to_numpy(logits[0, -1]), temperature, top_k, top_p, source)
            yield token
            window, unread = [*window, token], [token]
            if len(window) > context:
                cache, window = None, window[1:]
                unread = window

    return stream()


def choose(logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None, source: Generator) -> int:
    """One id, drawn from logits (V,) as `generate` describes."""
    if temperature == 0:
        return int(logits.argmax())
    scores = logits.astype(np.float64) / temperature
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum()
    if top_k is None and top_p is None:
        return int(source.categorical(probabilities))
    best = np.argsort(-probabilities, kind="stable")[:top_k]
    probabilities = probabilities[best]
    if top_p is not None:
        before = np.cumsum(probabilities) - probabilities  # of all that are better
        probabilities = probabilities[before < top_p * probabilities.sum()]
    return int(best[source.categorical(probabilities)])


@contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    """Within the block nothing is recorded and dropout does nothing; afterwards as it was."""
    training = [m for m in model.modules() if m.training] if model.training else []
    for m in training:
        m.training = False
    try:
        with switches.no_grad():
            yield
    finally:
        for m in training:
            m.training = True
