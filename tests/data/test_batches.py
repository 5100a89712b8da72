"""Batches: random windows that two integers bring back, and a walk over a split that misses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lm.backend import Generator
from tinygrad_lm.data import Batches, UserError, split_text, windows


def test_targets_are_the_inputs_one_token_later() -> None:
    tokens = np.arange(50, dtype=np.int32)
    ids, targets = next(Batches(tokens, 4, 8, Generator(1)))
    assert ids.shape == targets.shape == (4, 8) and ids.dtype == targets.dtype == np.int64
    assert (targets == ids + 1).all() and (np.diff(ids) == 1).all()


def test_every_window_is_drawn_and_none_beyond_the_end() -> None:
    batches = Batches(np.arange(11), 16, 8, Generator(1))
    starts = {int(row[0]) for _ in range(20) for row in next(batches)[0]}
    assert starts == {0, 1, 2}
    exact = Batches(np.arange(9), 2, 8, Generator(1))
    assert next(exact)[1].max() == 8


def test_the_state_of_the_generator_is_the_position() -> None:
    generator = Generator(3)
    batches = Batches(np.arange(1000), 4, 8, generator)
    next(batches)
    saved = generator.state()
    expected = [next(batches)[0].tolist() for _ in range(3)]
    again = Generator()
    again.load_state(saved)
    assert [next(Batches(np.arange(1000), 4, 8, again))[0].tolist() for _ in range(3)] == expected


def test_a_text_shorter_than_the_context() -> None:
    with pytest.raises(UserError, match="8 tokens to train on .* a context of 8 needs 9 or more"):
        Batches(np.arange(8), 1, 8, Generator())


@given(length=st.integers(2, 60), batch=st.integers(1, 5), context=st.integers(1, 12))
def test_windows_predict_every_token_but_the_first_once_and_in_order(length: int, batch: int, context: int) -> None:
    tokens = np.arange(length, dtype=np.int32)
    pairs = list(windows(tokens, batch, context))
    assert np.concatenate([t.ravel() for _, t in pairs]).tolist() == list(range(1, length))
    assert all((targets == ids + 1).all() for ids, targets in pairs)
    assert all(ids.shape[0] <= batch and ids.shape[1] <= context for ids, _ in pairs)
    assert all(ids.shape[1] == context for ids, _ in pairs[:-1])


@given(st.text())
def test_a_split_loses_nothing(text: str) -> None:
    train, val = split_text(text)
    assert train + val == text and len(train) == len(text) * 9 // 10
