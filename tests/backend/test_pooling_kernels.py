"""Pooling and resampling by kernels, under the emulator, for windows of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.ops import windows as w
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge

pytestmark = pytest.mark.usefixtures("cache")

DTYPES = st.sampled_from(launch.common.FLOATS).map(numpy_dtype)
ORDER, SEED = st.sampled_from(ORDERS), st.integers(0, 99)


@st.composite
def axis(draw) -> w.Taps:
    """Windows along one axis, sliding or adaptive."""
    size = draw(st.integers(1, 9))
    if draw(st.booleans()):
        return w.adaptive(size, draw(st.integers(1, size)))
    kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    before = draw(st.integers(0, w.span(kernel, dilation) // 2))
    free = size + 2 * before - w.span(kernel, dilation)
    assume(free >= 0)
    taps = w.sliding(size, free // stride + 1, kernel, stride, before, dilation)
    assume(len(set(taps.links[0])) == taps.out)
    return taps


@given(st.lists(axis(), min_size=1, max_size=3), st.sampled_from([(), (2,), (2, 3), (0,)]), DTYPES, ORDER, SEED)
def test_max_pool(taps, lead, dtype, order, seed) -> None:
    rng = np.random.default_rng(seed)
    shape = (*lead, *(t.size for t in taps))
    x = rng.integers(-3, 4, shape).astype(dtype)  # with ties
    x.reshape(-1)[3::11] = np.nan
    y, place = judge("max_pool", "windows", [x], {"windows": tuple(taps)}, order, seed)
    dy = rng.normal(size=y.shape).astype(np.float32).astype(dtype)
    params = {"windows": tuple(taps), "shape": shape}
    assert judge("max_pool_grad", "windows", [dy, place], params, order, seed) is not None


@given(
    axis(), st.sampled_from([(), (2,), (0,)]), st.sampled_from([(), (3,), (2, 2)]), DTYPES, st.booleans(), ORDER, SEED
)
def test_resample(taps, before, after, dtype, turned, order, seed) -> None:
    taps = taps.transposed if turned else taps
    x = np.random.default_rng(seed).normal(size=(*before, taps.size, *after)).astype(np.float32).astype(dtype)
    assert judge("resample", "windows", [x], {"taps": taps, "axis": len(before)}, order, seed) is not None


def test_whole_gradients() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32)
    pools = (
        lambda a: tg.max_pool2d(a, 3, stride=2, padding=1),
        lambda a: tg.avg_pool2d(a, 2),
        lambda a: tg.adaptive_max_pool2d(a, (4, 3)),
    )

    def results(kernels, pool) -> list[np.ndarray]:
        with tg.use_kernels(kernels):
            y, pull = tg.vjp(pool, x)
            return [y, *pull(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))]

    for pool in pools:
        both = zip(results(launch.table(Emulator()), pool), results("reference", pool), strict=True)
        for y, expected in both:
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
