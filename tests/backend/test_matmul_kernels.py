"""The ladder of matrix products in CUDA C++, under the emulator: every rung, layout and order of threads."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.backend.launch.elementwise import ACTIVATIONS
from tinygrad_lm.backend.record import Unavailable
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge, off, ulp

pytestmark = pytest.mark.usefixtures("cache")

RUNGS = list(launch.LADDERS["matmul"])


def kernel(rung: str, order: str = "forward", seed: int = 0):
    return functools.partial(launch.LADDERS["matmul"][rung], Emulator(order, seed))


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, otherwise in memory."""
    if layout == "transposed":
        return x.mT.copy().mT
    if layout == "strided":
        return np.repeat(np.repeat(x, 2, axis=-1), 3, axis=-2)[..., ::3, ::2]
    return x[..., ::-1, :].copy()[..., ::-1, :] if layout == "reversed" else x


def check(rung: str, a: np.ndarray, b: np.ndarray, order: str = "forward", **epilogue) -> None:
    """Against float64: at most twice the error of the plain sum in float32, or 2 ulp of the largest entry."""
    before = a.copy(), b.copy()
    y = kernel(rung, order)(np, a, b, **epilogue)
    wide = [x.astype(np.float64) for x in (a, b)]
    exact = finished(np.matmul(*wide), epilogue)
    assert y is not NotImplemented and y.dtype == a.dtype and y.shape == exact.shape
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])
    if not exact.size:
        return
    plain = np.zeros(exact.shape, np.float32)
    for k in range(a.shape[-1]):
        plain += a[..., :, k : k + 1].astype(np.float32) * b[..., k : k + 1, :].astype(np.float32)
    plain = finished(plain, epilogue).astype(a.dtype)
    limit = max(2 * off(plain, exact).max(), 2 * ulp(np.abs(exact).max(), a.dtype))
    assert off(y, exact).max() <= limit


def finished(x: np.ndarray, epilogue: dict) -> np.ndarray:
    """activation(x + bias) + residual in the precision of x."""
    given = {name: epilogue[name].astype(x.dtype) for name in ("bias", "residual") if name in epilogue}
    x = x + given.get("bias", 0)
    how = epilogue.get("activation", "identity")
    with tg.use_kernels("reference"):
        if how.startswith("gelu"):
            x = tg.gelu(x, approximate="none" if how == "gelu" else "tanh")
        elif how != "identity":
            x = getattr(tg, how)(x)
    return x + given.get("residual", 0)


SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 16, 17, 31, 33, 64, 127, 128, 129, 132])
BATCHES = st.sampled_from(
    [((), ()), ((2,), (2,)), ((3,), ()), ((), (2,)), ((2, 1), (3,)), ((2, 3), (2, 3)), ((1,), (2,))]
)
LAYOUTS = st.sampled_from(["plain", "transposed", "strided", "reversed"])


DTYPES = st.sampled_from(launch.LADDERS["matmul"]["tiled"].dtypes).map(numpy_dtype)


@given(
    st.sampled_from(RUNGS), SIZES, SIZES, SIZES, BATCHES, LAYOUTS, LAYOUTS, DTYPES, st.sampled_from(ORDERS),
    st.integers(0, 99)
)  # fmt: skip
def test_every_rung(rung, M, N, K, batches, of_a, of_b, dtype, order, seed) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=s).astype(dtype) for s in ((*batches[0], M, K), (*batches[1], K, N)))
    a.reshape(-1)[::17] *= dtype.type(100)
    check(rung, laid_out(a, of_a), laid_out(b, of_b), order)


@given(
    st.sampled_from(RUNGS), SIZES, SIZES, st.sampled_from([(), (2,)]), DTYPES, st.booleans(), st.booleans(),
    st.sampled_from(ACTIVATIONS)
)  # fmt: skip
def test_what_is_done_before_an_entry_is_written(rung, M, N, batch, dtype, with_bias, with_residual, how) -> None:
    rng = np.random.default_rng(M + N)
    a, b = rng.normal(size=(*batch, M, 3)).astype(dtype), rng.normal(size=(3, N)).astype(dtype)
    epilogue: dict = {"activation": how}
    if with_bias:
        epilogue["bias"] = rng.normal(size=N).astype(dtype)
    if with_residual:
        epilogue["residual"] = rng.normal(size=(*batch, M, N)).astype(dtype)
    check(rung, a, b, **epilogue)


@given(st.sampled_from(RUNGS), SIZES, SIZES, SIZES, st.sampled_from([(), (2,), (2, 0)]), DTYPES, st.booleans())
def test_linear(rung, rows, K, N, lead, dtype, with_bias) -> None:
    rng = np.random.default_rng(rows + N)
    arrays = [rng.normal(size=s).astype(dtype) for s in ((*lead, rows, K), (N, K), (N,))]
    assert judge("linear", rung, arrays[: 2 + with_bias]) is not None


@pytest.mark.parametrize("rung", RUNGS)
def test_more_tiles_than_are_taken_together(rung: str) -> None:
    rng = np.random.default_rng(0)
    check(rung, rng.normal(size=(1300, 5)).astype("f4"), rng.normal(size=(5, 300)).astype("f4"))


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(
    "shapes", [((0, 4), (4, 3)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0, 3), (3, 2))]
)
def test_zero_sizes(rung: str, shapes) -> None:
    check(rung, *(np.ones(s, np.float32) for s in shapes))


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_and_infinity_stay_where_they_belong(rung: str) -> None:
    a, b = np.ones((40, 20), np.float32), np.ones((20, 50), np.float32)
    a[3, 4], a[7, 0], b[5, 9] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        y, expected = kernel(rung)(np, a, b), a @ b
    np.testing.assert_array_equal(y, expected)
    assert np.isnan(y[3]).all() and not np.isnan(y[4]).any()


@pytest.mark.parametrize("rung", RUNGS)
def test_what_it_does_not_serve(rung: str) -> None:
    product = kernel(rung)
    one, two = np.ones(3, np.float32), np.ones((3, 3), np.float32)
    wrong = [(one, two), (two, one), (two.astype("f8"), two), (two, two.astype("f2")), (two[:2], two[:2])]
    assert all(product(np, a, b) is NotImplemented for a, b in wrong)
    with tg.use_kernels({"matmul": product}):
        assert np.array_equal(tg.matmul(one, two), [3, 3, 3])
    with tg.use_kernels(launch.table(Emulator(), {"matmul": rung})), pytest.raises(Unavailable) as caught:
        tg.matmul(one, two)
    assert f"the forced rung {rung!r} (kernels/matmul/{rung}.cu) does not serve float32 (3,), float32" in str(
        caught.value
    )


def test_a_broadcast_operand_is_not_copied() -> None:
    seen = []

    def run(file, name, grid, block, shared, arguments) -> None:
        seen.extend(arguments)

    a, b = np.ones((5, 4, 3), np.float32), np.ones((3, 2), np.float32)
    launch.table(run)["matmul"](np, a.mT.copy().mT, b)
    assert seen[1] is b and [int(n) for n in seen[3:]] == [0, 0, 0, 4, 2, 3, 12, 0]  # no bias, residual, activation
    assert np.shares_memory(seen[0], seen[0].base) and seen[0].flags.c_contiguous


def test_gradients_through_the_kernels() -> None:
    rng = np.random.default_rng(0)
    a, b, g = (rng.normal(size=s).astype("f4") for s in ((33, 20), (20, 70), (33, 70)))
    for rung in RUNGS:
        with tg.use_kernels({"matmul": kernel(rung)}):
            _, pull = tg.vjp(tg.matmul, a, b)
            da, db = pull(g)
        np.testing.assert_allclose(da, g @ b.T, atol=1e-4)
        np.testing.assert_allclose(db, a.T @ g, atol=1e-4)


def test_rungs_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(file, *rest) -> None:
        seen.append(file)

    two = np.ones((2, 2), np.float32)
    launch.table(run)["matmul"](np, two, two)
    monkeypatch.setenv("TINYGRAD_LM_RUNGS", "matmul=naive, softmax=rows")
    launch.table(run)["matmul"](np, two, two)
    launch.table(run, {"matmul": "tiled"})["matmul"](np, two, two)
    assert seen == ["matmul/register_tiled.cu", "matmul/naive.cu", "matmul/tiled.cu"]
    for wrong, says in (
        ("matmul=fast", "matmul has no rung 'fast': expected one of naive"),
        ("mul=x", "no CUDA kernel for 'mul'"),
    ):
        monkeypatch.setenv("TINYGRAD_LM_RUNGS", wrong)
        with pytest.raises(ValueError, match=says):
            launch.table(run)
