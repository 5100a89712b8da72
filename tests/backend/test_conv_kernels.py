"""Convolution by kernels, under the emulator: forward and both gradients, for every way to step, pad and group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.ops.convolution import geometry_of
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge
from tinygrad_lm.testing.layouts import LAYOUTS

pytestmark = pytest.mark.usefixtures("cache")

RUNGS = st.sampled_from(list(launch.LADDERS["conv"]))
DTYPES = st.sampled_from(launch.common.FLOATS).map(numpy_dtype)
PAIRS = st.sampled_from([(1, 1), (2, 1), (1, 3), (2, 2)])
PADS = st.sampled_from([0, 1, ((0, 2), (3, 1)), (2, 0)])


@given(
    RUNGS, st.sampled_from([0, 1, 3]), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2, 3, 17]),
    st.sampled_from([1, 2, 3]), st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    PAIRS, PADS, PAIRS, DTYPES, st.sampled_from(list(LAYOUTS.values())), st.sampled_from(ORDERS), st.integers(0, 99),
)  # fmt: skip
def test_two_axes(
    rung, samples, depth, width, groups, size, kernel, stride, padding, dilation, dtype, laid_out, order, seed
):
    geometry = geometry_of(2, stride, padding, dilation, groups)
    try:
        places = geometry.out(size, kernel)
    except ValueError:
        assume(False)
    rng = np.random.default_rng(seed)
    shapes = (
        (samples, depth * groups, *size), (width * groups, depth, *kernel), (samples, width * groups, *places)
    )  # fmt: skip
    x, w, dy = (rng.normal(size=s).astype(np.float32).astype(dtype) for s in shapes)
    w.reshape(-1)[::17] *= dtype.type(30)
    x, w, dy = map(laid_out, (x, w, dy))
    settings = {"geometry": geometry}
    assert judge("conv", rung, [x, w], settings, order, seed) is not None
    assert judge("conv_transpose", rung, [dy, w], {"size": size, **settings}, order, seed) is not None
    assert judge("conv_weight_grad", rung, [x, dy], {"kernel": kernel, **settings}, order, seed) is not None


@pytest.mark.parametrize("rung", launch.LADDERS["conv"])
def test_more_than_one_tile_and_one_part(rung: str) -> None:
    rng = np.random.default_rng(0)
    settings = {"geometry": geometry_of(2, 1, 1)}
    for channels, outs in ((70, 5), (5, 66)):  # the other is short, and with it the sums
        shapes = ((2, channels, 9, 20), (outs, channels, 3, 3), (2, outs, 9, 20))
        x, w, dy = (rng.normal(size=s).astype(np.float32) for s in shapes)
        judge("conv_weight_grad", rung, [x, dy], {"kernel": (3, 3), **settings})
        if channels == 5:
            judge("conv", rung, [x, w], settings)
        else:
            judge("conv_transpose", rung, [dy, w], {"size": (9, 20), **settings})
    long = rng.normal(size=(3, 2, 40, 41)).astype(np.float32)
    judge("conv_weight_grad", rung, [long, long], {"kernel": (1, 1), "geometry": geometry_of(2)})


@pytest.mark.parametrize("rung", launch.LADDERS["conv"])
def test_one_axis(rung: str) -> None:
    rng = np.random.default_rng(0)
    geometry = geometry_of(1, 2, ((1, 2),), 2, 2)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((3, 4, 21), (6, 2, 3)))
    (y,) = judge("conv", rung, [x, w], {"geometry": geometry})
    judge("conv_transpose", rung, [y, w], {"size": (21,), "geometry": geometry})
    judge("conv_weight_grad", rung, [x, y], {"kernel": (3,), "geometry": geometry})


@pytest.mark.parametrize("rung", launch.LADDERS["conv"])
def test_three_axes_are_left_to_the_body(rung: str) -> None:
    x, w = np.ones((1, 1, 3, 3, 3), np.float32), np.ones((1, 1, 2, 2, 2), np.float32)
    assert judge("conv", rung, [x, w], {"geometry": geometry_of(3)}) is None


@pytest.mark.parametrize("rung", launch.LADDERS["conv"])
def test_nan_stays_where_the_kernel_reaches(rung: str) -> None:
    x, w = np.ones((1, 1, 9, 9), np.float32), np.ones((1, 1, 3, 3), np.float32)
    x[0, 0, 4, 4] = np.nan
    (y,) = judge("conv", rung, [x, w], {"geometry": geometry_of(2, 1, 1)})
    assert np.isnan(y[0, 0, 3:6, 3:6]).all() and np.isnan(y).sum() == 9


@pytest.mark.parametrize("rung", launch.LADDERS["conv"])
def test_whole_gradients(rung: str) -> None:
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 8, 7), (4, 3, 3, 2), (4,)))

    def results(kernels) -> list[np.ndarray]:
        with tg.use_kernels(kernels):
            y, pull = tg.vjp(lambda *a: tg.conv2d(*a, stride=2, padding=1), x, w, b)
            return [y, *pull(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))]

    forced = {op: rung for op in ("conv", "conv_transpose", "conv_weight_grad")}
    for y, expected in zip(results(launch.table(Emulator(), forced)), results("reference"), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_what_makes_no_sense_is_said_by_the_operation() -> None:
    x, w = np.ones((1, 2, 3, 3), np.float32), np.ones((1, 2, 5, 5), np.float32)
    with tg.use_kernels(launch.table(Emulator())), pytest.raises(ValueError, match="the kernel reaches over 5"):
        tg.conv2d(x, w)
