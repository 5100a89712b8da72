"""Batches: random windows to train on, and every window of a split to evaluate on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_lm.data.errors import UserError

if TYPE_CHECKING:
    from tinygrad_lm.backend.philox import Generator

__all__ = ["Batches", "split_text", "windows"]

TRAIN_PERCENT = 90


def split_text(text: str) -> tuple[str, str]:
    """The first 90 % of the characters to train on, the rest to validate on.

    >>> split_text("0123456789abcdefghij")
    ('0123456789abcdefgh', 'ij')
    """
    cut = len(text) * TRAIN_PERCENT // 100
    return text[:cut], text[cut:]


class Batches:
    """Endless random windows of ``tokens`` (n,): each batch is a pair of int64 arrays (batch, context), where the
    targets are the inputs one token later.

    The only state is the generator's, two integers: saving it saves the position of the loader.
    """

    def __init__(self, tokens: np.ndarray, batch: int, context: int, generator: Generator):
        if len(tokens) <= context:
            raise UserError(
                f"the text is too short: {len(tokens)} tokens to train on (the first {TRAIN_PERCENT} %), and a context "
                f"of {context} needs {context + 1} or more; give more text or a smaller context"
            )
        self.tokens, self.batch, self.context, self.generator = tokens, batch, context, generator

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        starts = self.generator.integers(0, len(self.tokens) - self.context, (self.batch,))
        rows = self.tokens[np.asarray(starts)[:, None] + np.arange(self.context + 1)].astype(np.int64)  # (B, T + 1)
        return rows[:, :-1], rows[:, 1:]

    def __iter__(self) -> Batches:
        return self


def windows(tokens: np.ndarray, batch: int, context: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every token but the first, predicted exactly once: windows side by side, ``batch`` at a time, then the shorter
    last one. Yields (inputs, targets) as Batches does.

    >>> for ids, targets in windows(np.arange(8), batch=2, context=3):
    ...     print(ids.tolist(), targets.tolist())
    [[0, 1, 2], [3, 4, 5]] [[1, 2, 3], [4, 5, 6]]
    [[6]] [[7]]
    """
    inputs, targets = tokens[:-1].astype(np.int64), tokens[1:].astype(np.int64)
    whole = len(inputs) // context
    rows = np.arange(whole * context).reshape(whole, context)
    for first in range(0, whole, batch):
        at = rows[first : first + batch]  # (B, T)
        yield inputs[at], targets[at]
    if len(inputs) > whole * context:
        yield inputs[None, whole * context :], targets[None, whole * context :]
