"""Random draws and dropout by kernels, under the emulator: the bits of the array code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch, philox
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge

pytestmark = pytest.mark.usefixtures("cache")

KEYS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
SHAPES = st.sampled_from([(), (1,), (3,), (4,), (5, 7), (0, 3), (1023,), (1024,), (2, 1025)])


def both(draw, order: str) -> tuple[np.ndarray, np.ndarray]:
    """A draw by kernels and by array code."""
    found = []
    for kernels in (launch.table(Emulator(order, 1)), "reference"):
        with tg.use_kernels(kernels):
            found.append(draw())
    return found[0], found[1]


@given(SHAPES, KEYS, st.sampled_from(ORDERS), st.floats(0, 1))
def test_bits_are_those_of_the_array_code(shape, key, order, rate) -> None:
    draws = [
        lambda: philox.random_bits(np, shape, key),
        lambda: philox.random_bits(np, shape, key, width=64),
        lambda: philox.uniform(np, shape, key),
        lambda: philox.uniform(np, shape, key, np.float64),
        lambda: philox.normal(np, shape, key),
        lambda: philox.dropout_mask(np, shape, rate, key),
    ]
    for draw in draws:
        y, expected = both(draw, order)
        assert y.dtype == expected.dtype and y.shape == expected.shape and np.array_equal(y, expected)


def test_draws_are_made_by_the_kernels() -> None:
    seen = []
    with tg.use_kernels(launch.table(lambda file, kernel, *_: seen.append(kernel))):
        philox.random_bits(np, 3, (1, 2))
        philox.random_bits(np, 3, (1, 2), width=64)
        philox.uniform(np, 3, (1, 2))
        philox.dropout_mask(np, 3, 0.5, (1, 2))
    assert seen == ["random_words_32", "random_words_64", "random_uniform_f32", "random_mask"]


@given(
    SHAPES, KEYS, st.sampled_from([0.0, 0.1, 0.5, 0.999]), st.sampled_from(launch.common.FLOATS).map(numpy_dtype),
    st.booleans(), st.sampled_from(ORDERS)
)  # fmt: skip
def test_dropout(shape, key, rate, dtype, strided, order) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32).astype(dtype)
    if strided and x.ndim:
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    (y,) = judge("dropout", "philox", [x], {"rate": rate, "key": key}, order)
    with tg.use_kernels("reference"):
        assert np.array_equal(y == 0, (tg.dropout(x, rate=rate, key=key) == 0))


def test_bad_keys_are_refused_as_ever() -> None:
    with tg.use_kernels(launch.table(Emulator())), pytest.raises(ValueError, match="random seed is between 0"):
        philox.random_bits(np, 3, (-1, 2))
