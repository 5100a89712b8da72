"""How a kernel is judged: against the op's own body in float64, by the error of the body in the kernel's precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import Emulator
from tinygrad_lm.core.operation import OPS


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and (x.dtype.kind == "f" or x.dtype.name == "bfloat16")


def flat(results: Any) -> list:
    """The arrays of a result, outputs and auxiliary ones, in order."""
    return [a for r in results for a in flat(r)] if isinstance(results, tuple | list) else [np.asarray(results)]


def body(name: str, arrays: Sequence[Any], params: dict[str, Any]) -> list:
    op = OPS[name]
    with tg.use_kernels("reference"), np.errstate(all="ignore"):
        return flat(op.with_aux(*arrays, **params) if op.aux else op.function(*arrays, **params))


def wide(arrays: Sequence[Any]) -> list:
    return [a.astype(np.float64) if is_float(a) else a for a in arrays]


def off(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The error of each element; an infinity or NaN in its right place has none, in a wrong one an infinite error."""
    result = result.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(result - exact)
    same = (np.isnan(result) & np.isnan(exact)) | (result == exact)
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


def ulp(x: float, dtype: np.dtype) -> float:
    """The distance of numbers of this dtype at x."""
    bits = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[dtype.name]
    return 2.0 ** (max(np.floor(np.log2(abs(x))), -14.0 if dtype.name == "float16" else -126.0) - bits) if x else 0.0


def plain_errors(name: str, arrays: Sequence[Any], params: dict[str, Any]) -> list[float]:
    """The largest error of each result of the body in this precision: at the inputs, and at some close to them.

    At one point the rounding errors of a body may cancel by chance; a kernel that rounds in another order must not be
    refused for that.  Close: every number up or down by about its last place.
    """
    rng, worst = np.random.default_rng(0), [0.0] * len(body(name, arrays, params))
    for draw in range(6):
        near = [
            (a * (1 + rng.choice([-1, 0, 1], a.shape) * ulp(1.0, a.dtype) * bool(draw))).astype(a.dtype)
            if is_float(a)
            else a
            for a in arrays
        ]
        pairs = zip(body(name, near, params), body(name, wide(near), params), strict=True)
        for i, (y, e) in enumerate(pairs):
            if is_float(y) and y.size:
                worst[i] = max(worst[i], float(off(y, e).max()))
    return worst


def judge(
    name: str,
    rung: str,
    arrays: Sequence[Any],
    params: dict[str, Any] | None = None,
    order: str = "forward",
    seed: int = 1,
) -> list[np.ndarray] | None:
    """The results of a rung; None if it does not serve the call.

    AssertionError unless each result has the shape and dtype that the body gives it, and an error against float64 of at
    most twice that of the body in the same precision, or 2 ulp of the largest entry; nor if inputs changed.
    """
    params = params or {}
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    given = launch.LADDERS[name][rung](Emulator(order, seed), np, *arrays, **{**OPS[name].params, **params})
    if given is NotImplemented:
        return None
    for a, b in zip(arrays, before, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg="an input was written to")
    found, plain, exact = flat(given), body(name, arrays, params), body(name, wide(arrays), params)
    assert len(found) == len(plain)
    errors = plain_errors(name, arrays, params)
    for i, (y, p, e, error) in enumerate(zip(found, plain, exact, errors, strict=True)):
        what = f"{name}, {rung}, result {i}"
        assert y.shape == p.shape and y.dtype == p.dtype, f"{what}: {y.dtype} {y.shape}, not {p.dtype} {p.shape}"
        if not is_float(y):
            np.testing.assert_array_equal(y, p, err_msg=what)
        elif y.size:
            top = float(np.abs(e[np.isfinite(e)]).max(initial=0.0))
            limit = max(2 * error, 2 * ulp(top, y.dtype))
            worst = off(y, e)
            at = np.unravel_index(int(worst.argmax()), y.shape)
            assert worst.max() <= limit, (
                f"{what} {list(map(int, at))}: {y[at]}, exactly {e[at]}, off by {worst.max():.3g}, allowed {limit:.3g}"
            )
    return found
