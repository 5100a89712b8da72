"""How a kernel is judged: against the op's own body in float64, by the error of the body in the kernel's precision.

judge("softmax", "rows", [x])                          # under the emulator
judge("softmax", "rows", [x], run=..., backend=...)    # on a GPU
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend import launch, sanitize, use_kernels
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.backend.launch.common import Run
from tinygrad_lm.backend.record import CPU, Backend
from tinygrad_lm.core import OPS, vjp
from tinygrad_lm.testing.adapters import numpy_dtype


def is_float(x: Any) -> bool:
    """Whether x is a NumPy array of floats, of two bytes or more."""
    return isinstance(x, np.ndarray) and (x.dtype.kind == "f" or x.dtype.name == "bfloat16")


def leaves(results: Any) -> list:
    """The arrays of a result, outputs and auxiliary ones, in order."""
    return [a for r in results for a in leaves(r)] if isinstance(results, tuple | list) else [results]


def flat(results: Any) -> list:
    """The same as NumPy arrays."""
    return [np.asarray(a) for a in leaves(results)]


class Plain:
    """NumPy, but with sums and products that add one term after the other, as a plain loop does."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if min(a.ndim, b.ndim) < 2 or not a.shape[-1]:
            return np.matmul(a, b)
        terms = a[..., :, :, None] * b[..., None, :, :]  # (..., M, K, N)
        return np.cumsum(terms, axis=-2)[..., -1, :]

    @staticmethod
    def sum(a: np.ndarray, axis: Any = None, keepdims: bool = False, **rest: Any) -> np.ndarray:
        if rest or not isinstance(axis, int) or not a.shape[axis]:
            return np.sum(a, axis=axis, keepdims=keepdims, **rest)
        total = np.cumsum(a, axis=axis).take(-1, axis=axis)
        return np.expand_dims(total, axis) if keepdims else total


def body(name: str, arrays: Sequence[Any], params: dict[str, Any], xp: Any = np) -> list:
    """The results of the op's body, computed as the library does: two bytes in float32, rounded at the end."""
    op = OPS[name]
    dtypes = [a.dtype for a in arrays if is_float(a)]
    small = bool(dtypes) and dtypes[0].itemsize == 2
    given = [a.astype(np.float32) if small and is_float(a) else a for a in arrays]
    with use_kernels("reference"), np.errstate(all="ignore"):
        if any(not isinstance(a, np.ndarray) and a is not None for a in arrays) or len(set(dtypes)) > 1:
            return flat(op.with_aux(*arrays, **params) if op.aux else op.function(*arrays, **params))
        results = op.forward(xp, *given, **{**op.params, **params})
        out, *aux = results if op.aux else (results,)
        outs = [a.astype(dtypes[0]) if small and is_float(a) else a for a in flat(out)]  # infinite where too large
    return outs + [a for r in aux for a in flat(r)]


def wide(arrays: Sequence[Any]) -> list:
    """The same with floats in float64."""
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


def allowed(name: str, arrays: Sequence[Any], params: dict[str, Any], exact: Sequence[np.ndarray]) -> list[float]:
    """The largest error that each result may have: twice that of a `Plain` body in this precision, 2 ulp of the largest
    entry, or twice what one last place of the inputs, up or down by chance, makes of the exact results.

    Errors of the body are taken at the inputs and at some beside them: at one point they may cancel by chance, and a
    kernel that rounds in another order must not be refused for that.
    """
    rng, worst = np.random.default_rng(0), [0.0] * len(exact)
    for draw in range(10):
        near = [
            (a * (1 + rng.choice([-1, 0, 1], a.shape) * ulp(1.0, a.dtype) * bool(draw))).astype(a.dtype)
            if is_float(a)
            else a
            for a in arrays
        ]
        results = zip(body(name, near, params, Plain()), body(name, wide(near), params), exact, strict=True)
        for i, (y, beside, e) in enumerate(results):
            if is_float(y) and y.size:
                apart, top = off(beside, e), float(np.abs(e[np.isfinite(e)]).max(initial=0.0))
                moved, wrong = float(apart[np.isfinite(apart)].max(initial=0.0)), float(off(y, beside).max())
                worst[i] = max(worst[i], 2 * wrong, 2 * moved, 2 * ulp(top, y.dtype))
    return worst


def require(fine: bool, what: str) -> None:
    """AssertionError, in one line, unless it is."""
    if not fine:
        raise AssertionError(what)


def judge(
    name: str,
    rung: str,
    arrays: Sequence[Any],
    params: dict[str, Any] | None = None,
    order: str = "forward",
    seed: int = 1,
    *,
    run: Run | None = None,
    backend: Backend = CPU,
) -> list[np.ndarray] | None:
    """The results of a rung of an operation, as NumPy arrays; None if it does not serve the call.

    arrays: NumPy's, or numbers, or None.  run: the runtime, which takes arrays of `backend`; if None the emulator, with
    threads in `order` (drawn from `seed`).

    AssertionError unless each result has the shape and dtype that the body gives it, and an error against float64 that
    is `allowed`; nor if inputs changed.
    """
    params = params or {}
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    run = Emulator(order, seed) if run is None else run
    there = [backend.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays]
    given = launch.LADDERS[name][rung](run, backend.xp, *there, **{**OPS[name].params, **params})
    if given is NotImplemented:
        return None
    arrays = [backend.to_numpy(a) if isinstance(b, np.ndarray) else a for a, b in zip(there, before, strict=True)]
    for a, b in zip(arrays, before, strict=True):
        if isinstance(a, np.ndarray):
            require(a.tobytes() == b.tobytes(), f"{name}, {rung}: an input was written to")
    found = [backend.to_numpy(a) for a in leaves(given)]
    plain, exact = body(name, arrays, params), body(name, wide(arrays), params)
    require(len(found) == len(plain), f"{name}, {rung}: {len(found)} results, not {len(plain)}")
    limits = allowed(name, arrays, params, exact)
    for i, (y, p, e, limit) in enumerate(zip(found, plain, exact, limits, strict=True)):
        what = f"{name}, {rung}, result {i}"
        alike = y.shape == p.shape and y.dtype == p.dtype
        require(alike, f"{what}: {y.dtype} {y.shape}, not {p.dtype} {p.shape}")
        if not is_float(y):
            require(np.array_equal(y, p), f"{what}: {np.sum(y != p)} of {y.size} entries differ")
        elif y.size:
            worst = off(y, e)
            at = np.unravel_index(int(worst.argmax()), y.shape)
            require(
                bool(worst.max() <= limit),
                f"{what} {list(map(int, at))}: {y[at]}, exactly {e[at]}, off by {worst.max():.3g}, allowed {limit:.3g}",
            )
    return found


def check_kernel(op: str, rung: str, cases: Sequence[Any] | None = None) -> str:
    """Check a rung of an operation under the emulator; one line that says what was checked.

    cases: calls to try, as in `samples=` of an operation; its own if None.  Each is judged in every dtype of the rung,
    threads in every order; the gradient of the first ones is that of the reference, with the rung in place; and the
    sanitizers watch one call.  AssertionError for a result that is wrong, RuntimeError for what the emulator or a
    sanitizer finds, `BuildFailed` for what does not compile: one line each.
    """
    ladder, cases = launch.LADDERS[op], list(OPS[op].facts["samples"]() if cases is None else cases)
    served = []
    for dtype in ladder[rung].dtypes:
        for i, (case, order) in enumerate((case, order) for case in cases for order in ORDERS):
            arrays = drawn(case, numpy_dtype(dtype), i // len(ORDERS))
            if judge(op, rung, arrays, case.params, order, seed=i) is not None:
                served.append((arrays, case.params))
    if not served:
        raise AssertionError(f"{op}, {rung}: serves none of {len(cases)} calls in {', '.join(ladder[rung].dtypes)}")
    differentiable = any(rule is not None for rule in OPS[op].rules.values())
    for arrays, params in served[:3] if differentiable else ():
        gradients_agree(op, rung, arrays, params)
    largest, params = max(served, key=lambda call: sum(np.size(a) for a in call[0] if a is not None))
    for detector in sanitize.FLAGS:
        ladder[rung](sanitize.Sanitizer(detector), np, *largest, **{**OPS[op].params, **params})
    gradients = "gradients are those of the reference, " if differentiable else ""
    return (
        f"{op}, {rung}: {len(served)} calls are right ({', '.join(ladder[rung].dtypes)}; threads in every order), "
        f"{gradients}nothing is found by the sanitizers ({', '.join(sanitize.FLAGS)})"
    )


def drawn(case: Any, dtype: np.dtype, seed: int) -> list:
    """The arrays of a case, floating ones of this dtype."""
    rng = np.random.default_rng(seed)
    arrays = [a.draw(rng) if hasattr(a, "draw") else a for a in case.arrays]
    return [a.astype(dtype) if is_float(a) else a for a in arrays]


def gradients_agree(op: str, rung: str, arrays: Sequence[Any], params: dict[str, Any]) -> None:
    """AssertionError unless the gradients with a rung in place are those of the reference, but for rounding."""
    floats = [i for i, a in enumerate(arrays) if is_float(a)]

    def pulled(kernels: Any, given: Sequence[Any]) -> list:
        def call(*xs: Any) -> Any:
            filled = list(given)
            for i, x in zip(floats, xs, strict=True):
                filled[i] = x
            return OPS[op].function(*filled, **params)

        with use_kernels(kernels), np.errstate(all="ignore"):
            y, pull = vjp(call, *[given[i] for i in floats])
            rng = np.random.default_rng(0)
            outs = [rng.normal(size=part.shape).astype(part.dtype) for part in leaves(y)]
            return list(pull(tuple(outs) if isinstance(y, tuple) else outs[0]))

    emulated = launch.table(Emulator(), {op: rung})
    for i, (g, e) in enumerate(zip(pulled(emulated, arrays), pulled("reference", wide(arrays)), strict=True)):
        if e is None or not np.size(e):
            continue
        top = float(np.abs(e[np.isfinite(e)]).max(initial=0.0))
        worst = float(off(np.asarray(g), np.asarray(e)).max())
        if worst > 64 * ulp(top or 1.0, g.dtype):
            raise AssertionError(f"{op}, {rung}: the gradient of input {i} is off by {worst:.3g} of {top:.3g}")
