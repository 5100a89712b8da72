"""What the operations are timed on: sizes with names, inputs, and how many bytes and FLOPs that is.

    case = workload("matmul", M=512, dtype="float64")      # other sizes as usual
    measure(case, function_of("matmul"), roofline=Roofline())

The reference of an operation is its own body in float64.  `backward=True` is the operation and its derivative: forward,
and the pullback of a random cotangent.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm.backend import backend_of, is_float, use_kernels
from tinygrad_lm.bench.rows import Case
from tinygrad_lm.bench.workloads.sizes import EXCUSED, OUTLIERS, READS, RESULTS, SHORTCUTS, SIZES
from tinygrad_lm.core import OPS, vjp
from tinygrad_lm.data.errors import nearest
from tinygrad_lm.ops.samples import Spec
from tinygrad_lm.testing.adapters import numpy_dtype

__all__ = ["EXCUSED", "SIZES", "axes_of", "differentiable", "function_of", "params_of", "workload"]

MOST_BYTES = 1 << 34
USUAL_OUTLIERS = 64.0


def axes_of(name: str) -> dict[str, Any]:
    """The sizes of an operation by name, as they are unless told.

    >>> axes_of("matmul")
    {'M': 512, 'K': 512, 'N': 512}
    """
    if name not in SIZES:
        if name in EXCUSED:
            raise ValueError(f"{name} is not timed: it {EXCUSED[name]}")
        raise ValueError(f"no workload is called {name!r}; {nearest(name, SIZES)}")
    return {p.name: p.default for p in inspect.signature(SIZES[name]).parameters.values()}


def sized(name: str, axes: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """(all axes, the specs) of an operation; ValueError for an axis or a size that makes no sense."""
    usual = axes_of(name)
    if unknown := set(axes) - set(usual):
        raise ValueError(f"{name} has no axis {', '.join(sorted(unknown))}: expected some of {', '.join(usual)}")
    chosen = {**usual, **axes}
    for axis, size in chosen.items():
        if not isinstance(size, bool) and not size >= 1:
            raise ValueError(f"{name}: {axis} must be at least 1, got {size}")
    return chosen, SIZES[name](**chosen)


def workload(name: str, dtype: str = "float32", *, backward: bool = False, **axes: Any) -> Case:
    """The case of an operation at these sizes.

    Raises ValueError for an unknown operation or axis, a size that is not positive, and inputs and results (in float64,
    as the reference has them) of more than 16 GiB.

    >>> case = workload("softmax", rows=2, columns=3)
    >>> case.axes, case.bytes
    ({'rows': 2, 'columns': 3}, 48)
    """
    chosen, made = sized(name, axes)
    shapes = [spec.shape for spec in made.arrays if isinstance(spec, Spec)]
    needed = 8 * sum(map(math.prod, shapes)) + 8 * RESULTS.get(name, lambda *_: 0)(*shapes)
    if needed > MOST_BYTES:
        raise ValueError(f"{name} with {chosen} needs {needed / 2**30:,.0f} GiB, more than {MOST_BYTES >> 30}")
    if backward and not differentiable(name):
        raise ValueError(f"{name} has no derivative to be timed")
    try:
        kind = numpy_dtype(dtype)
    except ImportError:
        raise ValueError(f"{dtype} needs ml_dtypes: pip install ml_dtypes") from None
    op, params = OPS[name], made.params

    def forward(*arrays: Any) -> Any:
        found = op.forward(np, *arrays, **{**op.params, **params})
        if not op.aux:
            return found
        results = found[: -len(op.aux)]
        return results[0] if len(results) == 1 else results

    def both(*arrays: Any) -> Any:
        with use_kernels("reference"):
            return function_of(name, backward=True, **axes)(*arrays)

    def draw(rng: np.random.Generator) -> list[Any]:
        return made.draw(rng, kind)

    arrays, wide = draw(np.random.default_rng(0)), made.draw(np.random.default_rng(0))
    reference = both if backward else forward
    results = reference(*wide)
    each = [np.asarray(y) for y in (results if isinstance(results, tuple) else (results,))]
    written = sum([y.size * (kind.itemsize if y.dtype.kind == "f" else y.itemsize) for y in each])
    read = READS.get(name, lambda *xs: sum([x.nbytes for x in xs if isinstance(x, np.ndarray)]))(*arrays)
    flops = 0.0
    if not backward:
        flops = float(op.facts["cost"](*arrays, **params) if "cost" in op.facts else arrays[0].size)
    title = f"{name} and backward" if backward else name
    # A derivative is a difference of what the forward has rounded: beside outliers it is all rounding.
    outliers = 1.0 if backward else OUTLIERS.get(name, USUAL_OUTLIERS)
    moved = 0 if backward else read + written
    shortcut = SHORTCUTS.get(name, 1.0)
    return Case(title, draw, reference, flops, moved, dtype, chosen, outliers=outliers, shortcut=shortcut)


def differentiable(name: str) -> bool:
    """Whether an operation has a derivative by one of its inputs."""
    return any(rule is not None for rule in OPS[name].rules.values())


def params_of(name: str, **axes: Any) -> dict[str, Any]:
    """The keywords that the operation is called with.

    >>> params_of("softmax", rows=3)
    {'axis': -1}
    """
    return sized(name, axes)[1].params


def function_of(name: str, *, backward: bool = False, **axes: Any) -> Callable:
    """The operation as `measure` calls it: arrays in, with the settings of its workload."""
    params, op = params_of(name, **axes), OPS[name]

    def called(*arrays: Any) -> Any:
        return op.function(arrays, **params) if op.variadic else op.function(*arrays, **params)

    if not backward:
        return called

    def both(*arrays: Any) -> Any:
        at = [i for i, x in enumerate(arrays) if hasattr(x, "dtype") and is_float(x.dtype)]

        def of_floats(*floats: Any) -> Any:
            given = list(arrays)
            for i, x in zip(at, floats, strict=True):
                given[i] = x
            return called(*given)

        floats = [arrays[i] for i in at]
        out, pull = vjp(of_floats, *floats)
        first = out[0] if isinstance(out, tuple) else out
        g = cotangent(first)
        grads = pull((g, *[0 * y for y in out[1:]]) if isinstance(out, tuple) else g)
        return first, *grads

    return both


def cotangent(like: Any) -> Any:
    """Numbers between -1 and 1 that follow no pattern of the result, the same in every precision."""
    xp = backend_of(like).xp
    return ((xp.arange(like.size) * 37 % 101 - 50) / 64).reshape(like.shape).astype(like.dtype)
