"""Hypothesis strategies for what is differentiated: arrays of all layouts and values, matrices, indices, programs.

    from hypothesis import given
    from tinygrad_lm.testing import gradcheck, strategies as some

    @given(some.arrays(values="kink_seeking"))
    def test_relu(x): ...

    @given(some.programs())
    def test_everything(program):
        gradcheck(program, program.inputs)

Every number of an input is drawn, none comes from a seed: what fails shrinks to few, small, round numbers.
Sides are at most 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from hypothesis import assume, note
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tinygrad_lm.core import Tensor, raw
from tinygrad_lm.testing.layouts import LAYOUTS
from tinygrad_lm.testing.programs import Program, assemble, differentiable

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

__all__ = [
    "VALUES",
    "arrays",
    "axes",
    "broadcastable",
    "cotangents",
    "dtypes",
    "indices",
    "layouts",
    "matrices",
    "programs",
    "shapes",
    "tensors",
]

Shape = tuple[int, ...]
# Numbers of two-byte floats: exact in float16, float32 and float64, and either 0 or at least 6e-5.
floats = partial(st.floats, width=16, allow_subnormal=False)
usual = floats(-3, 3)


def shapes(*, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 5) -> st.SearchStrategy[Shape]:
    """Shapes, 0-d and zero-size ones among them."""
    return nps.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def dtypes() -> st.SearchStrategy[np.dtype]:
    """float64, float32, float16, and bfloat16 if ml_dtypes is installed."""
    known = [np.float64, np.float32, np.float16, *([bfloat16] if bfloat16 else [])]
    return st.sampled_from(list(map(np.dtype, known)))


def layouts(*, broadcast: bool = True) -> st.SearchStrategy[str]:
    """Names of `LAYOUTS`; without `broadcast`, those that keep the values."""
    return st.sampled_from([name for name in LAYOUTS if broadcast or name != "broadcast"])


# ------------------------------------------------------------------------------------------------ values


def each(elements: st.SearchStrategy[float], size: int) -> st.SearchStrategy[list[float]]:
    return st.lists(elements, min_size=size, max_size=size)


def kink_avoiding(size: int) -> st.SearchStrategy[list[float]]:
    """No two closer than 0.06, none closer than 0.03 to an integer multiple of 0.1: a corner is never near."""
    places = st.permutations(range(size)).map(lambda order: [0.1 * (i - size // 2 + 0.5) for i in order])
    jitter = each(st.integers(-2, 2), size)
    return st.tuples(places, jitter).map(lambda both: [x + 0.01 * j for x, j in zip(*both, strict=True)])


def kink_seeking(size: int) -> st.SearchStrategy[list[float]]:
    """Ties, zeros of both signs, ones, and the bounds of clipping functions."""
    corners = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0]
    return st.lists(usual, max_size=2).flatmap(lambda more: each(st.sampled_from(corners + more), size))


def planted(strange: st.SearchStrategy[float], size: int) -> st.SearchStrategy[list[float]]:
    """Usual numbers and, if there is room, at least one strange one."""

    def plant(drawn: tuple[list[float], dict[int, float]]) -> list[float]:
        return [drawn[1].get(i, x) for i, x in enumerate(drawn[0])]

    where = st.dictionaries(
        st.integers(0, max(size - 1, 0)), strange, min_size=min(size, 1), max_size=max(1, size // 4)
    )
    return st.tuples(each(usual, size), where).map(plant)


VALUES = {
    "normal": lambda size: each(usual, size),
    "positive": lambda size: each(floats(0.0625, 4), size),
    "kink_avoiding": kink_avoiding,
    "kink_seeking": kink_seeking,
    "outliers": lambda size: planted(floats(1000, 10000) | floats(-10000, -1000), size),
    "special": lambda size: planted(st.sampled_from([np.nan, np.inf, -np.inf]), size),
}


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    dtype: Any = np.float64,
    *,
    values: str = "normal",
    layout: str | st.SearchStrategy[str] = "contiguous",
) -> np.ndarray:
    """A floating array.  Shape (any), dtype and layout: one, or a strategy for it, e.g. `layout=layouts()`.

    values: "normal" numbers up to 3, as simple as they come; "positive", 1/16 to 4; "kink_avoiding", distinct and away
    from 0 and the tenths; "kink_seeking", ties, zeros of both signs and bounds; "outliers", among normal ones some of
    size 1e3 to 1e4; "special", among normal ones some nan, inf or -inf.
    """
    if values not in VALUES:
        raise ValueError(f"values must be one of {', '.join(VALUES)}, got {values!r}")
    sides, laid = one(draw, shapes() if shape is None else shape), one(draw, layout)
    if not isinstance(sides, tuple):
        raise TypeError(f"shape must be a tuple of sizes or a strategy for one, got {sides!r}")
    if laid not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {laid!r}")
    numbers = draw(VALUES[values](math.prod(sides)))
    dtype = np.dtype(one(draw, dtype))
    return LAYOUTS[laid](np.array(numbers, np.float64).reshape(sides).astype(dtype))


def one(draw: st.DrawFn, thing: Any) -> Any:
    """What a strategy draws, or the thing itself."""
    return draw(thing) if isinstance(thing, st.SearchStrategy) else thing


def tensors(*args: Any, requires_grad: bool = True, **keywords: Any) -> st.SearchStrategy[Tensor]:
    """`arrays(...)` as Tensors."""
    return arrays(*args, **keywords).map(lambda a: Tensor(a, requires_grad=requires_grad))


def cotangents(like: Any, dtype: Any = None) -> st.SearchStrategy[Any]:
    """What comes in from behind, for an array, Tensor or shape, or a list of arrays or Tensors.

    All entries differ, with both signs: under equal ones mistakes cancel that are symmetric.
    """
    if isinstance(like, list):
        return st.tuples(*[cotangents(x, dtype) for x in like]).map(list)
    shape, own = (like, np.float64) if isinstance(like, tuple) else (raw(like).shape, raw(like).dtype)
    return arrays(shape, values="kink_avoiding").map(lambda u: np.asarray(10 * u, own if dtype is None else dtype))


# ------------------------------------------------------------------------------------------------ groups and matrices


@st.composite
def broadcastable(draw: st.DrawFn, count: int = 2, *, max_dims: int = 3, max_side: int = 4, **keywords: Any) -> list:
    """`count` arrays whose shapes broadcast together, 0-d and zero-size ones among them; keywords as for `arrays`."""
    group = nps.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, max_side=max_side, min_side=0)
    return [draw(arrays(shape, **keywords)) for shape in draw(group).input_shapes]


@st.composite
def matrices(
    draw: st.DrawFn,
    shape: tuple[int, int] | st.SearchStrategy[tuple[int, int]] | None = None,
    *,
    condition: float | st.SearchStrategy[float] = 10.0,
    kind: str = "general",
    dtype: Any = np.float64,
    layout: str | st.SearchStrategy[str] = "contiguous",
) -> np.ndarray:
    """A matrix with a given condition number: U diag(s) V^T, U and V orthogonal, s from 1 down to 1 / condition.

    shape: (rows, columns), square of 1 to 4 if None.  kind: "general", "symmetric" (eigenvalues of both signs), or
    "positive_definite".  The orthogonal factors are products of reflections, and shrink to the identity.
    """
    if kind not in ("general", "symmetric", "positive_definite"):
        raise ValueError(f"kind must be general, symmetric or positive_definite, got {kind!r}")
    rows, columns = one(draw, st.integers(1, 4).map(lambda n: (n, n)) if shape is None else shape)
    if kind != "general" and rows != columns:
        raise ValueError(f"a {kind} matrix is square, got shape {(rows, columns)}")
    k, ratio = min(rows, columns), one(draw, condition)
    if not ratio >= 1:
        raise ValueError(f"condition must be at least 1, got {ratio}")
    s = np.geomspace(1, 1 / ratio, k) if k > 1 else np.ones(k)
    u = draw(orthogonal(rows))
    if kind == "general":
        a = u[:, :k] * s @ draw(orthogonal(columns))[:k]
    else:
        signs = draw(each(st.sampled_from([1.0, -1.0]), k)) if kind == "symmetric" else 1.0
        a = u * (s * signs) @ u.T
        a = (a + a.T) / 2
    return LAYOUTS[one(draw, layout)](a.astype(one(draw, dtype)))


@st.composite
def orthogonal(draw: st.DrawFn, n: int) -> np.ndarray:
    q = np.eye(n)
    for _ in range(n):
        v = np.array(draw(each(st.integers(-3, 3), n)), np.float64)
        if v.any():
            q -= 2 / (v @ v) * np.outer(q @ v, v)
    return q


# ------------------------------------------------------------------------------------------------ indices and axes


def axes(ndim: int, *, none: bool = True, several: bool = True) -> st.SearchStrategy[Any]:
    """What `axis=` may be: None, an axis counted from either end, or a tuple of different ones."""
    ways: list[st.SearchStrategy] = [st.none()] if none else []
    ways += [st.integers(-ndim, ndim - 1)] if ndim else []
    return st.one_of(*ways, *([nps.valid_tuple_axes(ndim)] if several else []))


@st.composite
def indices(draw: st.DrawFn, shape: Shape) -> Any:
    """What may stand in x[...]: basic, integer arrays, a boolean mask, or a mixture with slices, None and ellipsis."""
    basic = nps.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True)
    if not shape or 0 in shape:
        return draw(basic)
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return draw(basic)
    if kind == "integers":
        return draw(nps.integer_array_indices(shape))
    mask = draw(nps.arrays(bool, shape[: draw(st.integers(1, len(shape)))], fill=st.nothing()))
    if kind == "mask":
        return draw(st.sampled_from([mask, (mask, ...)]))
    rows = draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=3))
    ends = draw(st.lists(st.integers(-shape[-1], shape[-1] - 1), min_size=1, max_size=3))
    ways = [rows, (np.array(rows), ...), (rows, ...), (..., None, slice(None, None, -1)), (None, ..., ends)]
    ways += [(rows[0], ..., ends), (slice(None, None, 2), ..., np.array(ends)[:, None])] if len(shape) > 1 else []
    return draw(st.sampled_from(ways))


# ------------------------------------------------------------------------------------------------ programs


@cache
def choices(names: tuple[str, ...]) -> st.SearchStrategy[tuple]:
    """(operation, sample, references to three values) for one step.

    The references are one number: Hypothesis deletes up to five draws at a time, and a step has to be fewer.
    """
    references = st.integers(0, 511).map(lambda n: (n % 8, n // 8 % 8, n // 64))
    return st.tuples(st.sampled_from(names), st.integers(0, 7), references)


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    ops: Sequence[str] | None = None,
    max_steps: int = 12,
    max_inputs: int = 3,
    max_side: int = 3,
    values: str = "normal",
) -> Program:
    """A random differentiable `Program`: up to `max_steps` operations, drawn from `ops` (all that have a derivative).

    Any earlier value may be used again.  The operations come from the registry with the samples that they declare, so
    one that a user declares with `samples=` takes part.  `print(program)` is Python that runs.
    """
    known = differentiable()
    if ops is not None and (not ops or set(ops) - set(known)):
        got = ", ".join(sorted(set(ops) - set(known))) or "none at all"
        raise ValueError(f"ops must name differentiable operations that have samples, got {got}; see tg.OPS")
    names = [name for name in known if ops is None or name in ops]
    shape = shapes(min_side=1, max_side=max_side) | shapes(max_side=max_side)  # half of the latter have no elements
    inputs = draw(st.lists(arrays(shape, values=values), min_size=1, max_size=max_inputs))
    steps = draw(st.lists(choices(tuple(names)), min_size=1, max_size=max_steps))
    program = assemble(inputs, steps, every=draw(st.booleans()))
    assume(program.steps)
    note(str(program))  # shown with the failing example
    return program
