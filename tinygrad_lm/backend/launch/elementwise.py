"""Launchers of activations (kernels/activation/elementwise.cu)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

FILE = "activation/elementwise.cu"
ACTIVATIONS = ("identity", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh")  # kernels/include/activation.h
THREADS = 256


def each(run: Run, xp: Any, kernel: str, activation: str, *arrays: Any) -> Any:
    """One result for each place of arrays of one shape and dtype."""
    suffix = suffix_of(*arrays)
    if suffix is None or len({a.shape for a in arrays}) > 1:
        return NotImplemented
    out = xp.empty(arrays[0].shape, arrays[0].dtype)
    grid = blocks_for(out.size, THREADS * 16 // out.dtype.itemsize)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    if out.size:
        given = [*(pointer(xp, a) for a in arrays), out, np.int64(out.size), np.int32(ACTIVATIONS.index(activation))]
        run(FILE, f"{kernel}_{suffix}", grid, (THREADS, 1, 1), 0, given)
    return out


def activation(run: Run, xp: Any, x: Any, *, name: str) -> Any:
    """f(x), where f has no settings."""
    return each(run, xp, "activation", name, x)


def activation_grad(run: Run, xp: Any, dy: Any, x: Any, *, name: str) -> Any:
    """dy f'(x)."""
    return each(run, xp, "activation_grad", name, dy, x)


def gelu(run: Run, xp: Any, x: Any, *, approximate: str = "none") -> Any:
    """gelu in either form."""
    return activation(run, xp, x, name="gelu" if approximate == "none" else "gelu_tanh")


def gelu_grad(run: Run, xp: Any, dy: Any, x: Any, *, approximate: str) -> Any:
    """Its gradient."""
    return activation_grad(run, xp, dy, x, name="gelu" if approximate == "none" else "gelu_tanh")


def rung(launch: Any, **settings: Any) -> dict[str, Rung]:
    return {"elementwise": Rung(FILE, functools.partial(launch, **settings))}


LADDERS: dict[str, dict[str, Rung]] = {
    **{name: rung(activation, name=name) for name in ("relu", "silu", "sigmoid", "tanh")},
    **{f"{name}_grad": rung(activation_grad, name=name) for name in ("relu", "silu")},
    "gelu": rung(gelu),
    "gelu_grad": rung(gelu_grad),
}
