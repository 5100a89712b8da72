"""Softmax three ways: the NumPy body, the native kernel in every instruction set, the CUDA kernel emulated."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.backend import build

NATIVE = [f"native {variant}" for variant in build.native_variants()]
EMULATED = ["emulated forward", "emulated reverse", "emulated random"]
SHAPES = [(1, 1), (3, 1), (5,), (2, 31), (2, 32), (4, 33), (2, 3, 65), (3, 257), (2, 1000), (1, 5000)]


def plain(x: np.ndarray) -> np.ndarray:
    """The textbook formula in the precision of x; 0 where a row is -inf alone."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.where((x == -np.inf).all(axis=-1, keepdims=True), 0, e / e.sum(axis=-1, keepdims=True))


def error_in_ulps(y: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(y - exact) / np.spacing(np.abs(exact).astype(y.dtype))))


def sample(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Ordinary rows with planted outliers."""
    x = np.random.default_rng(sum(shape)).normal(0, 3, shape)
    x.reshape(-1)[::7] += 40
    x.reshape(-1)[-1] -= 80
    return x.astype(dtype)


CASES = [(k, d) for k in NATIVE for d in ("float32", "float64")] + [(k, "float32") for k in EMULATED]


@pytest.mark.parametrize(("kernel", "dtype"), CASES, indirect=["kernel"])
def test_accuracy(kernel, dtype: str) -> None:
    """Against long double: at most twice the error of the plain version, or 2 ulp."""
    for shape in SHAPES:
        x = sample(shape, dtype)
        before = x.copy()
        exact = plain(x.astype(np.longdouble))
        y = kernel["softmax"](np, x)
        assert y.dtype == x.dtype and y.shape == x.shape and np.array_equal(x, before)
        assert error_in_ulps(y, exact) <= max(2 * error_in_ulps(plain(x), exact), 2), shape


@pytest.mark.parametrize("kernel", NATIVE, indirect=True)
def test_long_rows(kernel) -> None:
    """The error does not grow with the length of the row."""
    x = np.random.default_rng(0).normal(0, 1, (1, 300_000)).astype(np.float32)
    exact = plain(x.astype(np.float64))
    assert error_in_ulps(kernel["softmax"](np, x), exact) <= max(2 * error_in_ulps(plain(x), exact), 2)


@pytest.mark.parametrize("kernel", NATIVE, indirect=True)
@pytest.mark.parametrize(("dtype", "reach"), [("float32", 110), ("float64", 750)])
def test_exponential_over_its_whole_range(kernel, dtype: str, reach: int) -> None:
    """Rows (0, -t): the second entry is exp(-t) / (1 + exp(-t)), down through the subnormal numbers to zero."""
    t = np.linspace(0, reach, 40_001).astype(dtype)
    x = np.stack([np.zeros_like(t), -t], axis=-1)
    exact = plain(x.astype(np.longdouble))
    assert error_in_ulps(kernel["softmax"](np, x), exact) <= 2
    assert kernel["softmax"](np, x)[-1, 1] == 0


@pytest.mark.parametrize(("kernel", "dtype"), CASES, indirect=["kernel"])
def test_special_values(kernel, dtype: str) -> None:
    inf, nan = np.inf, np.nan
    rows = [
        [0, -inf, 1, -inf],
        [-inf, -inf, -inf, 0],
        [-inf, -inf, -inf, -inf],
        [nan, 1, 2, 3],
        [1, 2, 3, nan],
        [inf, 0, 0, 0],
        [inf, inf, -inf, nan],
        [1e30, 1e30, -1e30, 0],
        [0, -0.0, 0, 0],
    ]
    for repeat in (1, 3, 17):  # 4, 12 and 68 columns: part of a vector, some of each, more than a warp
        x = np.tile(np.array(rows, dtype), repeat)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = kernel["softmax"](np, x)
        np.testing.assert_allclose(y, plain(x), rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize(("kernel", "dtype"), CASES, indirect=["kernel"])
def test_layouts(kernel, dtype: str) -> None:
    base = sample((6, 5, 40), dtype)
    views = {
        "transposed": base.transpose(2, 0, 1),
        "every other column": base[..., ::2],
        "every other row": base[::2],
        "reversed": base[..., ::-1],
        "broadcast": np.broadcast_to(base[:1], (3, 5, 40)),
        "Fortran order": np.asfortranarray(base),
        "read-only": base.view(),
    }
    views["read-only"].flags.writeable = False
    for name, x in views.items():
        before = x.copy()
        y = kernel["softmax"](np, x)
        np.testing.assert_allclose(y, plain(before), rtol=2e-5, err_msg=name)
        assert y.flags.c_contiguous and not np.shares_memory(y, base) and np.array_equal(x, before)


@pytest.mark.parametrize("kernel", [NATIVE[0], EMULATED[0]], indirect=True)
def test_what_is_not_served(kernel) -> None:
    softmax = kernel["softmax"]
    x = np.ones((3, 4), np.float32)
    assert softmax(np, x, axis=0) is NotImplemented
    assert softmax(np, x, axis=(0, 1)) is NotImplemented
    assert softmax(np, np.float32(1).reshape(())) is NotImplemented
    assert softmax(np, x.astype(np.int32)) is NotImplemented
    assert softmax(np, x.astype(np.int64)) is NotImplemented
    assert softmax(np, x.astype(">f4")) is NotImplemented
    assert np.array_equal(softmax(np, x, axis=1), np.full((3, 4), 0.25))
    for shape in [(0, 4), (3, 0), (0,), (2, 0, 3)]:
        assert softmax(np, np.empty(shape, np.float32)).shape == shape


@pytest.mark.parametrize("kernel", [NATIVE[0], EMULATED[0]], indirect=True)
def test_op_agrees_with_its_reference(kernel) -> None:
    """Through the op: the kernel where it serves, the body where it does not, the same gradient either way."""
    calls = []

    def counted(xp, x, *, axis=-1):
        calls.append(x.shape)
        return kernel["softmax"](xp, x, axis=axis)

    x = sample((4, 7), "float32")
    for axis in (-1, 0):
        results = []
        for table in ("reference", {"softmax": counted}):
            with tg.use_kernels(table):
                t = tg.Tensor(x, requires_grad=True)
                y = tg.softmax(t, axis=axis)
                y.backward(tg.Tensor(np.cos(np.arange(28, dtype=np.float32).reshape(4, 7))))
                results.append((y.detach().numpy(), t.grad.numpy()))
        for reference, other in zip(*results, strict=True):
            np.testing.assert_allclose(other, reference, rtol=1e-5, atol=1e-6)
    assert calls == [(4, 7), (4, 7)]


def test_words(fresh_native, cache) -> None:
    """The same by the words that users write."""
    x = sample((3, 50), "float32")
    for word in ("reference", "native", "emulated"):
        with tg.use_kernels(word):
            assert tg.kernels_in_use() == word
            np.testing.assert_allclose(tg.softmax(x), plain(x), rtol=1e-5)
