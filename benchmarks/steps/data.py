"""Batches with something to learn: the losses of two sides that do not do the same drift apart."""

from __future__ import annotations

import numpy as np

Arrays = tuple[np.ndarray, ...]


def counting(rng: np.random.Generator, vocab: int, batch: int, length: int) -> Arrays:
    """(ids, the ids that follow), (batch, length) each.  Every sequence counts up by a step of its own."""
    start, stride = rng.integers(0, vocab, (batch, 1)), rng.integers(1, 5, (batch, 1))
    text = (start + stride * np.arange(length + 1)) % vocab
    return text[:, :-1], text[:, 1:]


def shaded(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> Arrays:
    """(noise of that shape, class of each row): the higher the class, the larger the numbers."""
    y = rng.integers(0, classes, shape[0])
    return (rng.standard_normal(shape) + y.reshape(-1, *(1,) * (len(shape) - 1)) / classes).astype(np.float32), y
