"""Kernels that work row by row or channel by channel, on shapes, layouts and values that Hypothesis chooses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge
from tinygrad_lm.testing.layouts import LAYOUTS

pytestmark = pytest.mark.usefixtures("cache")

LEADS = st.sampled_from([(), (1,), (3,), (5,), (2, 3), (0,), (130,)])
COLUMNS = st.sampled_from([1, 2, 3, 4, 7, 8, 31, 32, 33, 64, 127, 128, 129, 1000, 1023, 1024, 1025, 1032, 2049])
LAID_OUT = st.sampled_from(list(LAYOUTS.values()))
DTYPES = st.sampled_from(launch.common.FLOATS).map(numpy_dtype)
ORDER, SEED = st.sampled_from(ORDERS), st.integers(0, 99)


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, outliers: float = 30.0) -> np.ndarray:
    x = rng.normal(size=shape)
    x.reshape(-1)[::17] *= outliers
    return x.astype(np.float32).astype(dtype)


@given(st.sampled_from(["softmax", "log_softmax"]), LEADS, COLUMNS, DTYPES, LAID_OUT, ORDER, SEED)
def test_softmax(name, lead, columns, dtype, laid_out, order, seed) -> None:
    x = normal(np.random.default_rng(seed), (*lead, columns), dtype)
    x.reshape(-1)[5::23] = -np.inf
    y, *_ = judge(name, "rows", [laid_out(x)], {}, order, seed)
    dy = normal(np.random.default_rng(seed + 1), x.shape, dtype)
    assert judge(f"{name}_grad", "rows", [laid_out(dy), laid_out(y)], {}, order, seed) is not None


@given(
    st.sampled_from(["layer_norm", "rms_norm"]), LEADS, COLUMNS, DTYPES, LAID_OUT, st.booleans(), st.booleans(),
    st.sampled_from([1e-5, 0.1]), ORDER, SEED
)  # fmt: skip
def test_norms(name, lead, columns, dtype, laid_out, with_weight, with_bias, eps, order, seed) -> None:
    rng = np.random.default_rng(seed)
    x, dy = (laid_out(normal(rng, (*lead, columns), dtype) + dtype.type(2)) for _ in range(2))
    weight, bias = (normal(rng, (columns,), dtype) if given else None for given in (with_weight, with_bias))
    params = [weight, bias] if name == "layer_norm" else [weight]
    _, *statistics = judge(name, "rows", [x, *params], {"eps": eps}, order, seed)
    given = [dy, x, weight]
    assert judge(f"{name}_grad", "rows", given, {"eps": eps}, order, seed) is not None
    if dtype == np.float32:  # what the forward found is what the gradient takes
        assert judge(f"{name}_grad", "rows", [*given, *statistics], {"eps": eps}, order, seed) is not None


@given(
    LEADS,
    COLUMNS,
    DTYPES,
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["mean", "sum", "none"]),
    st.booleans(),
    ORDER,
    SEED,
)
def test_cross_entropy(lead, columns, dtype, smoothing, reduction, ignoring, order, seed) -> None:
    rng = np.random.default_rng(seed)
    x = normal(rng, (*lead, columns), dtype)
    assume(x.size)
    targets = rng.integers(0, columns, lead)
    if ignoring and targets.size:
        targets = np.where(rng.random(lead) < 0.3, -7, targets)
    params = {"ignore_index": -7, "label_smoothing": smoothing, "reduction": reduction}
    _, lse = judge("cross_entropy", "rows", [x, targets], params, order, seed)
    dy = normal(rng, lead if reduction == "none" else (), dtype)
    assert judge("cross_entropy_grad", "rows", [dy, x, targets, None, lse], params, order, seed) is not None
    assert judge("cross_entropy_grad", "rows", [dy, x, targets], params) is None  # softmax itself is more accurate


def test_targets_out_of_range_are_found() -> None:
    x, targets = np.zeros((3, 4), np.float32), np.array([0, 4, -100])
    with tg.use_kernels(launch.table(Emulator())), pytest.raises(IndexError, match="targets reach from 0 to 4"):
        tg.cross_entropy(x, targets)


SPACES = st.sampled_from([(), (1,), (5,), (8,), (3, 3), (4, 8), (0,), (33,)])


@given(
    st.sampled_from([1, 2, 5, 300]), st.sampled_from([1, 3, 8]), SPACES, DTYPES, LAID_OUT, st.booleans(), ORDER, SEED
)
def test_batch_norm(samples, channels, space, dtype, laid_out, with_params, order, seed) -> None:
    rng = np.random.default_rng(seed)
    shape = (samples, channels, *space)
    assume(samples * np.prod(space) >= 2)
    x, dy = (laid_out(normal(rng, shape, dtype) + dtype.type(3)) for _ in range(2))
    weight, bias = (normal(rng, (channels,), dtype) if with_params else None for _ in range(2))
    _, mean, _, variance = judge("batch_norm", "channels", [x, weight, bias], {"eps": 0.01}, order, seed)
    assert judge("batch_norm_grad", "channels", [dy, x, weight], {"eps": 0.01}, order, seed) is not None
    given = [x, mean.reshape(-1).astype(dtype), variance.reshape(-1).astype(dtype), weight, bias]
    assert judge("batch_norm_eval", "channels", given, {"eps": 0.01}, order, seed) is not None


def test_a_channel_in_many_parts() -> None:
    rng = np.random.default_rng(0)
    x, dy = ((rng.normal(size=(9, 2, 4000)) + 1000).astype(np.float32) for _ in range(2))
    judge("batch_norm", "channels", [x], {"eps": 1e-5})
    judge("batch_norm_grad", "channels", [dy, x], {"eps": 1e-5})


@given(
    st.sampled_from([(), (1,), (7,), (3, 5), (0,), (200,)]), st.sampled_from([1, 2, 9]),
    st.sampled_from([1, 3, 8, 130, 600]), DTYPES, LAID_OUT, ORDER, SEED
)  # fmt: skip
def test_embedding(shape, rows, columns, dtype, laid_out, order, seed) -> None:
    rng = np.random.default_rng(seed)
    ids, weight = rng.integers(0, rows, shape), laid_out(normal(rng, (rows, columns), dtype))
    dy = laid_out(normal(rng, (*shape, columns), dtype))
    assert judge("embedding", "sorted", [ids.astype(np.int32), weight], {}, order, seed) is not None
    assert judge("embedding_grad", "sorted", [dy, ids], {"rows": rows}, order, seed) is not None


@given(
    st.sampled_from(["relu", "gelu", "silu", "sigmoid", "tanh"]), LEADS, COLUMNS, DTYPES, LAID_OUT,
    st.sampled_from(["none", "tanh"]), ORDER, SEED
)  # fmt: skip
def test_activations(name, lead, columns, dtype, laid_out, approximate, order, seed) -> None:
    rng = np.random.default_rng(seed)
    x, dy = (laid_out(normal(rng, (*lead, columns), dtype, outliers=5.0)) for _ in range(2))
    params = {"approximate": approximate} if name == "gelu" else {}
    assert judge(name, "elementwise", [x], params, order, seed) is not None
    if f"{name}_grad" in launch.LADDERS:
        assert judge(f"{name}_grad", "elementwise", [dy, x], params, order, seed) is not None


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm", "relu", "gelu", "silu"])
def test_nan_stays_in_its_row(name: str) -> None:
    x = np.ones((3, 40), np.float32)
    x[1, 7] = np.nan
    with tg.use_kernels(launch.table(Emulator())):
        y = getattr(tg, name)(x)
    assert np.isnan(y[1]).any() and np.isfinite(y[[0, 2]]).all()
