"""What the operations are timed on: sizes with names, inputs, and how many bytes and FLOPs that is.

    case = workload("matmul", M=512, dtype="float64")      # other sizes as usual
    measure(case, function_of("matmul"), roofline=Roofline())

The reference of an operation is its own body in float64.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.bench.rows import Case
from tinygrad_lm.core import OPS

Arrays = Sequence[Any]
SIZES: dict[str, Callable[..., tuple[dict[str, Any], Callable[[np.random.Generator], Arrays]]]] = {}
MOST_BYTES = 1 << 34


def sizes(*names: str) -> Callable:
    """Declare the decorated function, (params, draw) of sizes, to say what these operations are timed on."""

    def declare(function: Callable) -> Callable:
        SIZES.update(dict.fromkeys(names, function))
        return function

    return declare


@sizes("exp", "tanh", "sigmoid", "relu", "gelu", "silu", "erf", "sin", "abs", "negative", "square", "softplus")
def _(n: int = 1_000_000) -> tuple:
    return {}, lambda rng: [rng.normal(size=n)]


@sizes("log", "sqrt", "rsqrt")
def _(n: int = 1_000_000) -> tuple:
    return {}, lambda rng: [rng.uniform(0.5, 2.0, n)]


@sizes("add", "subtract", "multiply", "divide", "maximum", "minimum")
def _(n: int = 1_000_000) -> tuple:
    return {}, lambda rng: [rng.normal(size=n), rng.normal(size=n)]


@sizes("sum", "mean", "max", "min", "logsumexp", "var", "std", "softmax", "log_softmax", "cumsum", "sort")
def _(rows: int = 1024, columns: int = 1024) -> tuple:
    return {"axis": -1}, lambda rng: [rng.normal(size=(rows, columns))]


@sizes("layer_norm")
def _(rows: int = 1024, columns: int = 1024) -> tuple:
    return {}, lambda rng: [rng.normal(size=(rows, columns)), rng.normal(size=columns), rng.normal(size=columns)]


@sizes("rms_norm")
def _(rows: int = 1024, columns: int = 1024) -> tuple:
    return {}, lambda rng: [rng.normal(size=(rows, columns)), rng.normal(size=columns)]


@sizes("batch_norm")
def _(N: int = 32, C: int = 64, H: int = 32, W: int = 32) -> tuple:
    return {}, lambda rng: [rng.normal(size=(N, C, H, W)), rng.normal(size=C), rng.normal(size=C)]


@sizes("matmul")
def _(M: int = 512, K: int = 512, N: int = 512) -> tuple:
    return {}, lambda rng: [rng.normal(size=(M, K)), rng.normal(size=(K, N))]


@sizes("linear")
def _(rows: int = 512, inputs: int = 512, outputs: int = 512) -> tuple:
    return {}, lambda rng: [
        rng.normal(size=(rows, inputs)),
        rng.normal(size=(outputs, inputs)),
        rng.normal(size=outputs),
    ]


@sizes("attention")
def _(batch: int = 2, heads: int = 4, length: int = 256, head_size: int = 32, causal: bool = True) -> tuple:
    shape = batch, heads, length, head_size
    return {"causal": causal}, lambda rng: [rng.normal(size=shape) for _ in range(3)]


@sizes("cross_entropy")
def _(rows: int = 1024, classes: int = 1024) -> tuple:
    return {}, lambda rng: [rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)]


@sizes("embedding")
def _(rows: int = 4096, columns: int = 256, ids: int = 4096) -> tuple:
    return {}, lambda rng: [rng.integers(0, rows, ids), rng.normal(size=(rows, columns))]


def axes_of(name: str) -> dict[str, Any]:
    """The sizes of an operation by name, as they are unless told.

    >>> axes_of("matmul")
    {'M': 512, 'K': 512, 'N': 512}
    """
    if name not in SIZES:
        raise ValueError(f"no workload is called {name!r}: expected one of {', '.join(sorted(SIZES))}")
    return {p.name: p.default for p in inspect.signature(SIZES[name]).parameters.values()}


def workload(name: str, dtype: str = "float32", **axes: Any) -> Case:
    """The case of an operation at these sizes.

    Raises ValueError for an unknown operation or axis, a size that is not positive, and one that needs more memory than
    16 GiB.

    >>> case = workload("softmax", rows=2, columns=3)
    >>> case.axes, case.bytes
    ({'rows': 2, 'columns': 3}, 48)
    """
    usual = axes_of(name)
    if unknown := set(axes) - set(usual):
        raise ValueError(f"{name} has no axis {', '.join(sorted(unknown))}: expected some of {', '.join(usual)}")
    chosen = {**usual, **axes}
    for axis, size in chosen.items():
        if not isinstance(size, bool) and not size >= 1:
            raise ValueError(f"{name}: {axis} must be at least 1, got {size}")
    needed = 8 * math.prod(sorted(chosen.values())[-3:])
    if needed > MOST_BYTES:
        raise ValueError(f"{name} with {chosen} needs about {needed / 2**30:,.0f} GiB, more than {MOST_BYTES >> 30}")
    params, numbers = SIZES[name](**chosen)
    op = OPS[name]

    def draw(rng: np.random.Generator) -> Arrays:
        return [x.astype(dtype) if x.dtype.kind == "f" else x for x in numbers(rng)]

    def reference(*arrays: Any) -> Any:
        found = op.forward(np, *arrays, **{**op.params, **params})
        return found[0] if op.aux else found

    arrays = draw(np.random.default_rng(0))
    written = np.asarray(reference(*arrays)).size * np.dtype(dtype).itemsize
    moved = sum([x.nbytes for x in arrays]) + written
    flops = op.facts["cost"](*arrays, **params) if "cost" in op.facts else float(arrays[0].size)
    outliers = 8.0 if name in ("exp",) else 64.0
    return Case(name, draw, reference, flops, moved, dtype, chosen, outliers=outliers)


def params_of(name: str, **axes: Any) -> dict[str, Any]:
    """The keywords that the operation is called with.

    >>> params_of("softmax", rows=3)
    {'axis': -1}
    """
    return SIZES[name](**{**axes_of(name), **axes})[0]


def function_of(name: str, **axes: Any) -> Callable:
    """The operation as `measure` calls it: arrays in, with the settings of its workload."""
    params, op = params_of(name, **axes), OPS[name].function
    return lambda *arrays: op(*arrays, **params)
