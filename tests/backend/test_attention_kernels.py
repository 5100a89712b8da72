"""Attention by kernels, under the emulator: values, log-sum-exp and gradients, for every way to look."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import judge

pytestmark = pytest.mark.usefixtures("cache")

RUNGS = st.sampled_from(list(launch.LADDERS["attention"]))
LENGTHS = st.sampled_from([1, 2, 5, 16, 31, 33, 64, 65, 70])
WIDTHS = st.sampled_from([1, 3, 4, 8, 20, 32, 33, 64])
LEADS = st.sampled_from(
    [((), (), ()), ((2,), (2,), (2,)), ((2, 3), (1, 3), (2, 1)), ((3,), (), ()), ((), (2,), (1,)), ((0,), (), ())]
)
MASKS = st.sampled_from(
    [
        None, ("bool", "whole"), ("bool", "keys"), ("bool", "queries"), ("same", "whole"), ("float32", "whole"),
        ("bool", "batch"), ("same", "batch"),
    ]
)  # fmt: skip
DTYPES = st.sampled_from(launch.common.FLOATS).map(numpy_dtype)
DROPOUTS = st.sampled_from([{}, {"dropout": 0.3, "key": (7, 2**40 + 3)}])


def mask_of(rng: np.random.Generator, how, lead, T: int, S: int, dtype: np.dtype):
    if how is None:
        return None
    kind, reach = how
    shape = {"whole": (T, S), "keys": (1, S), "queries": (T, 1), "batch": (*lead, T, S)}[reach]
    if kind == "bool":
        return rng.random(shape) < 0.7
    added = rng.normal(size=shape)
    added.reshape(-1)[::5] = -np.inf
    return added.astype(np.float32).astype(dtype if kind == "same" else np.float32)


@given(
    RUNGS, LENGTHS, LENGTHS, WIDTHS, WIDTHS, LEADS, MASKS, DTYPES, st.booleans(), DROPOUTS, st.sampled_from(ORDERS),
    st.integers(0, 99)
)  # fmt: skip
def test_values_and_gradients(rung, T, S, D, Dv, leads, mask, dtype, causal, dropout, order, seed) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(*leads[0], T, D), (*leads[1], S, D), (*leads[2], S, Dv)]
    q, k, v = (rng.normal(size=s).astype(np.float32).astype(dtype) for s in shapes)
    if q.size:
        q.reshape(-1)[:: max(1, q.size // 3)] *= dtype.type(20)
    lead = np.broadcast_shapes(*leads)
    m = mask_of(rng, mask, lead, T, S, dtype)
    if m is not None and m.dtype != dtype and m.dtype.kind != "b":
        return  # a mask of another precision decides the precision of the result: the body's
    params = {"causal": causal, **dropout}
    y, lse = judge("attention", rung, [q, k, v, m], params, order, seed)
    dy = rng.normal(size=y.shape).astype(np.float32).astype(dtype)
    assert judge("attention_grad", rung, [dy, q, k, v, m, y, lse], params, order, seed) is not None


@pytest.mark.parametrize("rung", launch.LADDERS["attention"])
@pytest.mark.parametrize("D", [100, 128, 200, 256])
def test_wide_heads(rung: str, D: int) -> None:
    rng = np.random.default_rng(D)
    q, k, v = (rng.normal(size=(2, n, D)).astype(np.float32) for n in (40, 70, 70))
    y, lse = judge("attention", rung, [q, k, v], {"causal": True})
    assert judge(
        "attention_grad", rung, [rng.normal(size=y.shape).astype("f4"), q, k, v, None, y, lse], {"causal": True}
    )


def test_wider_heads_are_left_to_others() -> None:
    q = np.ones((4, 300), np.float32)
    assert launch.LADDERS["attention"]["fused"](Emulator(), np, q, q, q) is NotImplemented
    assert judge("attention", "naive", [q, q, q]) is not None


@pytest.mark.parametrize("rung", launch.LADDERS["attention"])
def test_who_may_look_nowhere_gets_nothing(rung: str) -> None:
    """The first queries of more queries than keys, and a row of the mask without a True."""
    rng = np.random.default_rng(0)
    q, k, v, dy = (rng.normal(size=(n, 8)).astype(np.float32) for n in (70, 5, 5, 70))
    table = launch.table(Emulator(), {"attention": rung, "attention_grad": rung})
    with tg.use_kernels(table):
        y, pull = tg.vjp(lambda *a: tg.attention(*a, causal=True), q, k, v)
        dq, _, _ = pull(dy)
        masked = tg.attention(q, k, v, np.zeros((70, 5), bool))
    assert (y[:65] == 0).all() and (y[65:] != 0).all() and (dq[:65] == 0).all() and (masked == 0).all()


@pytest.mark.parametrize("rung", launch.LADDERS["attention"])
def test_nan_and_infinity(rung: str) -> None:
    q, k, v = (np.ones((70, 4), np.float32) for _ in range(3))
    q[3, 1], k[66, 2], v[9, 0] = np.nan, np.inf, np.inf
    assert judge("attention", rung, [q, k, v]) is not None
    assert judge("attention", rung, [q, k, v], {"causal": True}) is not None


@pytest.mark.parametrize("rung", launch.LADDERS["attention"])
def test_heads_that_share_keys(rung: str) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, h, 9, 8)).astype(np.float32) for h in (4, 2, 2))
    dy = rng.normal(size=q.shape).astype(np.float32)

    def results(kernels) -> list[np.ndarray]:
        with tg.use_kernels(kernels):
            y, pull = tg.vjp(lambda *a: tg.attention(*a, causal=True), q, k, v)
            return [y, *pull(dy)]

    found = results(launch.table(Emulator(), {"attention": rung, "attention_grad": rung}))
    for y, expected in zip(found, results("reference"), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
