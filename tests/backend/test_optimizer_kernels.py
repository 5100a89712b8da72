"""Steps of the optimizers and clipping by kernels, under the emulator: against the array code in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.optim import SGD, Adam, AdamW, clip_grad_norm_
from tinygrad_lm.testing.kernels import off, ulp

pytestmark = pytest.mark.usefixtures("cache")

SHAPES = st.lists(
    st.sampled_from([(), (1,), (3,), (0,), (7, 5), (64, 33), (2, 8192), (8193,)]), min_size=1, max_size=50
)
RULES = st.sampled_from(
    [
        (SGD, {"lr": 0.1}),
        (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        (Adam, {"lr": 0.01, "weight_decay": 0.1}),
        (AdamW, {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}),
    ]
)


def trained(rule, shapes, dtype, kernels, seed: int, steps: int = 3) -> list[np.ndarray]:
    """The parameters and the state after some steps, the same gradients for all."""
    kind, settings = rule
    rng = np.random.default_rng(seed)
    params = [tg.Tensor(rng.normal(size=s).astype("f4").astype(dtype), requires_grad=True) for s in shapes]
    optimizer = kind(params, **settings)
    with tg.use_kernels(kernels):
        for step in range(steps):
            for i, p in enumerate(params):
                g = (rng.normal(size=p.shape) * 10.0 ** rng.integers(-4, 3)).astype("f4").astype(dtype)
                p.grad = None if i % 5 == 1 and step == 1 else tg.Tensor(g)  # one that gets none for once
            optimizer.step()
    return [p.data for p in params] + [np.asarray(v) for v in optimizer.state_dict().values()]


@given(RULES, SHAPES, st.sampled_from(ORDERS), st.integers(0, 99))
def test_steps(rule, shapes, order, seed) -> None:
    found = trained(rule, shapes, "f4", launch.table(Emulator(order, seed)), seed)
    plain, exact = (trained(rule, shapes, dtype, "reference", seed) for dtype in ("f4", "f8"))
    for y, p, e in zip(found, plain, exact, strict=True):
        assert y.shape == p.shape and y.dtype == p.dtype
        if y.size:
            limit = max(2 * off(p, e).max(), 4 * ulp(np.abs(e).max(), np.dtype("f4")))
            assert off(y, e).max() <= limit


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_steps_of_numbers_of_two_bytes(dtype: str) -> None:
    """Computed in float32 and rounded once, so nearer than the array code."""
    dtype = tg.testing.adapters.numpy_dtype(dtype)
    rule = (SGD, {"lr": 0.5, "momentum": 0.5})
    found = trained(rule, [(40, 3), (9,)], dtype, launch.table(Emulator()), 0, steps=1)
    exact = trained(rule, [(40, 3), (9,)], "f8", "reference", 0, steps=1)
    for y, e in zip(found, exact, strict=True):
        assert y.dtype == dtype and np.abs(y.astype("f8") - e).max() <= 8 * ulp(np.abs(e).max(), dtype)


def test_one_launch_for_many() -> None:
    seen = []

    def run(file, kernel, *rest) -> None:
        seen.append((file, kernel))

    params = [tg.Tensor(np.ones(3, np.float32), requires_grad=True) for _ in range(41)]
    for p in params:
        p.grad = tg.Tensor(np.ones(3, np.float32))
    with tg.use_kernels(launch.table(run)):
        AdamW(params).step()
    assert seen == [("optimizer/adam.cu", "adam_f32")] * 2  # 40, and the last one


@given(SHAPES, st.sampled_from(["f4", "f2"]), st.floats(0.01, 10.0), st.sampled_from(ORDERS), st.integers(0, 99))
def test_clipping(shapes, dtype, most, order, seed) -> None:
    def clipped(kernels) -> tuple[float, list[np.ndarray]]:
        rng = np.random.default_rng(seed)
        params = [tg.Tensor(np.zeros(s, dtype), requires_grad=True) for s in shapes]
        for p in params:
            p.grad = tg.Tensor(rng.normal(size=p.shape).astype(dtype))
        with tg.use_kernels(kernels):
            return clip_grad_norm_(params, most), [p.grad.data for p in params]

    (norm, found), (expected, plain) = clipped(launch.table(Emulator(order, seed))), clipped("reference")
    assert math.isclose(norm, expected, rel_tol=1e-6)
    for y, p in zip(found, plain, strict=True):
        np.testing.assert_allclose(y, p, **({"rtol": 2e-3, "atol": 1e-7} if dtype == "f2" else {"rtol": 1e-6}))


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_squares_need_not_fit_into_float32(size: float) -> None:
    def clipped(kernels) -> tuple[float, float]:
        params = [tg.Tensor(np.zeros(n, np.float32), requires_grad=True) for n in (1, 10_000)]
        for p, value in zip(
            params, (4096.0, 0.5), strict=True
        ):  # the small ones vanish beside the large one in float32
            p.grad = tg.Tensor(np.full(p.shape, value * size, np.float32))
        with tg.use_kernels(kernels):
            return clip_grad_norm_(params, math.inf), clip_grad_norm_(params, size)

    assert clipped(launch.table(Emulator())) == pytest.approx(clipped("reference"), rel=1e-13)


def test_what_cannot_be_changed_in_place_is_left_to_the_array_code() -> None:
    p = tg.Tensor(np.ones((4, 4), np.float32).T[::2], requires_grad=True)
    p.grad = tg.Tensor(np.ones(p.shape, np.float32))
    with tg.use_kernels(launch.table(Emulator())):
        SGD([p], lr=0.5).step()
    assert (p.data == 0.5).all()
