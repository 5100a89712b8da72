"""Calls of every rung, by factors: dtype, layout, size, order of threads; all pairs of them in few cases.

`covering` draws up a design in which every pair of levels of two factors occurs; `arrays_for` makes a call's arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend import launch
from tinygrad_lm.ops.convolution import geometry_of
from tinygrad_lm.ops.windows import adaptive, sliding
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import body
from tinygrad_lm.testing.layouts import LAYOUTS

SIZES = ("none", "one", "few", "ragged", "more than a tile")


def covering(factors: dict[str, Sequence[Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Rows in which every pair of levels of two factors stands together: greedy, of some random rows always the best.

    >>> len(covering({"a": range(3), "b": range(3), "c": range(3)}))
    9
    """
    names, rng = list(factors), np.random.default_rng(seed)
    open_pairs = {
        ((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x in factors[a] for y in factors[b]
    }  # fmt: skip
    rows = []
    while open_pairs:
        first = min(open_pairs, key=repr)  # at least this one is new in each candidate
        candidates = []
        for _ in range(20):
            row = {n: factors[n][int(rng.integers(len(factors[n])))] for n in names} | dict(first)
            new = {pair for pair in pairs_of(row) if pair in open_pairs}
            candidates.append((len(new), row))
        _, best = max(candidates, key=lambda c: c[0])
        rows.append(best)
        open_pairs -= set(pairs_of(best))
    return rows


def pairs_of(row: dict[str, Any]) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    return list(itertools.combinations(row.items(), 2))


Drawn = tuple[list[Any], dict[str, Any]]
Draw = Callable[..., np.ndarray]
# How long an axis is, by size: 0, 1, a few, no multiple of anything, more than what a block takes.
LONG = dict(zip(SIZES, (0, 1, 5, 37, 1030), strict=True))
TILED = dict(zip(SIZES, (0, 1, 5, 37, 130), strict=True))
IMAGE = dict(zip(SIZES, (0, 1, 4, 7, 13), strict=True))


def rows(normal: Draw, size: str) -> Drawn:
    return [normal(3, LONG[size])], {}


def two_rows(normal: Draw, size: str) -> Drawn:
    return [normal(3, LONG[size]), normal(3, LONG[size])], {}


def norm(normal: Draw, size: str, inputs: int, params: int) -> Drawn:
    n = max(1, LONG[size])
    lead = 0 if size == "none" else 3
    return [*(normal(lead, n) for _ in range(inputs)), *(normal(n) for _ in range(params))], {}


def channels(normal: Draw, size: str, inputs: int) -> Drawn:
    shape = (2, 3, max(1, LONG[size])) if size != "none" else (2, 3)
    return [*(normal(*shape) for _ in range(inputs)), normal(3)], {}


def losses(normal: Draw, size: str, gradient: bool) -> Drawn:
    rows_, n = (0 if size == "none" else 4), max(2, LONG[size])
    targets = np.array([0, n - 1, -100, 1])[:rows_]
    x = normal(rows_, n)
    if not gradient:
        return [x, targets], {"label_smoothing": 0.1}
    wide = x.astype(np.float64)
    lse = np.log(np.exp(wide).sum(-1, keepdims=True)).astype(np.float32)
    return [normal(), x, targets, None, lse], {}


def images(normal: Draw, size: str, which: str) -> Drawn:
    n, (groups, depth, width) = IMAGE[size], (2, 2, 3)
    geometry = geometry_of(2, (2, 1), ((1, 2), (1, 0)), 1, groups)
    samples, high = (0, 5) if size == "none" else (2, n + 2)
    x, kernel = (samples, groups * depth, high, high + 1), (3, 2)
    y = (samples, groups * width, *geometry.out(x[2:], kernel))
    w = (groups * width, depth, *kernel)
    if which == "conv":
        return [normal(*x), normal(*w)], {"geometry": geometry}
    if which == "conv_transpose":
        return [normal(*y), normal(*w)], {"size": x[2:], "geometry": geometry}
    return [normal(*x), normal(*y)], {"kernel": kernel, "geometry": geometry}


def looks(normal: Draw, size: str) -> Drawn:
    n = dict(zip(SIZES, (0, 1, 5, 37, 70), strict=True))[size]
    return [normal(2, n, 20), normal(1, n + 3, 20), normal(2, n + 3, 7)], {
        "causal": True,
        "dropout": 0.2,
        "key": (5, 3),
    }


def pools(normal: Draw, size: str, which: str) -> Drawn:
    n = max(2, IMAGE[size])
    windows, lead = (sliding(n, (n - 1) // 2 + 1, 3, 2, 1), adaptive(n + 1, 2)), 0 if size == "none" else 2
    x = normal(lead, n, n + 1)
    if which == "max_pool":
        return [x], {"windows": windows}
    if which == "resample":
        return [x], {"taps": windows[0], "axis": 1}
    y, place = body("max_pool", [x], {"windows": windows})
    return [normal(*y.shape), place], {"windows": windows, "shape": x.shape}


def tables(normal: Draw, size: str, gradient: bool) -> Drawn:
    ids = np.array([3, 0, 3, 1, 3])[: 0 if size == "none" else 5]
    n = max(1, LONG[size])
    return ([normal(len(ids), n), ids], {"rows": 5}) if gradient else ([ids, normal(5, n)], {})


# op -> (normal, size) -> (arrays, settings)
CALLS: dict[str, Callable[[Draw, str], Drawn]] = {
    "matmul": lambda normal, size: ([normal(2, TILED[size], 21), normal(21, TILED[size] + 2)], {}),
    "linear": lambda normal, size: ([normal(TILED[size], 21), normal(33, 21), normal(33)], {}),
    **dict.fromkeys(("softmax", "log_softmax", "relu", "silu", "sigmoid", "tanh", "gelu"), rows),
    **dict.fromkeys(("softmax_grad", "log_softmax_grad", "relu_grad", "silu_grad"), two_rows),
    "gelu_grad": lambda normal, size: (two_rows(normal, size)[0], {"approximate": "tanh"}),
    "layer_norm": lambda normal, size: norm(normal, size, 1, 2),
    "layer_norm_grad": lambda normal, size: norm(normal, size, 2, 1),
    "rms_norm": lambda normal, size: norm(normal, size, 1, 1),
    "rms_norm_grad": lambda normal, size: norm(normal, size, 2, 1),
    "batch_norm": lambda normal, size: channels(normal, size, 1),
    "batch_norm_grad": lambda normal, size: channels(normal, size, 2),
    "batch_norm_eval": lambda normal, size: (
        [channels(normal, size, 1)[0][0], normal(3), abs(normal(3)) + 1, normal(3), normal(3)], {}
    ),
    "cross_entropy": lambda normal, size: losses(normal, size, False),
    "cross_entropy_grad": lambda normal, size: losses(normal, size, True),
    "attention": looks,
    "attention_grad": looks,  # and what the forward makes of it
    **{name: (lambda normal, size, name=name: images(normal, size, name))
       for name in ("conv", "conv_transpose", "conv_weight_grad")},
    **{name: (lambda normal, size, name=name: pools(normal, size, name))
       for name in ("max_pool", "max_pool_grad", "resample")},
    "embedding": lambda normal, size: tables(normal, size, False),
    "embedding_grad": lambda normal, size: tables(normal, size, True),
    "dropout": lambda normal, size: ([normal(3, LONG[size])], {"rate": 0.3, "key": (1, 2)}),
}  # fmt: skip


def arrays_for(op: str, dtype: str, layout: str, size: str, seed: int) -> Drawn:
    """The arrays and settings of a call, with some large values among them."""
    rng, kind = np.random.default_rng(seed), numpy_dtype(dtype)

    def normal(*shape: int) -> np.ndarray:
        x = rng.normal(size=shape)
        x.reshape(-1)[::19] *= 8
        return np.asarray(x, np.float32).astype(kind)

    arrays, settings = CALLS[op](normal, size)
    return [LAYOUTS[layout](a) if isinstance(a, np.ndarray) and a.dtype == kind else a for a in arrays], settings


RUNGS = [(op, rung) for op in CALLS for rung in launch.LADDERS[op]]
FACTORS: dict[str, Sequence[Any]] = {
    "rung": RUNGS,
    "dtype": launch.common.FLOATS,
    "layout": tuple(LAYOUTS),
    "size": SIZES,
    "order": ("forward", "reverse", "random"),
}
