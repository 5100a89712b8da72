"""Launchers of the CUDA kernels, one per operation and written once: the emulator and CuPy run below them.

Beside those of operations there are kernels for random draws, and for what changes arrays in place: a step of an
optimizer, clipping.

A launcher has the signature of the op's body with a runtime in front.  It says what the kernels serve (NotImplemented
for the rest), makes the inputs contiguous or passes their strides, allocates the output, works out the grid, and
launches.  A runtime is a function ``run(file, kernel, grid, block, shared_bytes, arguments)``; arguments are arrays,
NumPy scalars, whose dtype is the C type of the parameter, and structs of pointers or numbers (`Tensors`, `Values`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from tinygrad_lm.backend.launch import (
    attention,
    channels,
    conv,
    elementwise,
    indexing,
    matmul,
    optimizer,
    pooling,
    random,
    rows,
)
from tinygrad_lm.backend.launch.common import Run, Rung
from tinygrad_lm.backend.record import Unavailable

__all__ = ["LADDERS", "Run", "Rung", "forced_rungs", "table"]

# Every rung of every operation, the best last: what tests and benchmarks iterate over.
LADDERS: dict[str, dict[str, Rung]] = {
    **matmul.LADDERS,
    **rows.LADDERS,
    **attention.LADDERS,
    **conv.LADDERS,
    **pooling.LADDERS,
    **channels.LADDERS,
    **elementwise.LADDERS,
    **indexing.LADDERS,
    **optimizer.LADDERS,
    **random.LADDERS,
}


def table(run: Run, rungs: Mapping[str, str] | None = None) -> dict[str, Callable[..., Any]]:
    """The kernel table of a runtime: op name -> kernel with the signature of the op's body.

    The best rung that serves a call computes it.  rungs: op name -> the only rung to use, or
    TINYGRAD_LM_RUNGS="matmul=tiled,...".  ValueError for one that does not exist; its kernel raises Unavailable for
    arrays that it does not serve.
    """
    chosen = {**forced_rungs(os.environ.get("TINYGRAD_LM_RUNGS", "")), **(rungs or {})}
    for name, rung in chosen.items():
        if name not in LADDERS:
            raise ValueError(f"no CUDA kernel for {name!r}: expected one of {', '.join(LADDERS)}")
        if rung not in LADDERS[name]:
            raise ValueError(f"{name} has no rung {rung!r}: expected one of {', '.join(LADDERS[name])}")
    return {
        name: only(run, name, chosen[name]) if name in chosen else best(run, tuple(ladder.values())[::-1])
        for name, ladder in LADDERS.items()
    }


def best(run: Run, ladder: tuple[Rung, ...]) -> Callable[..., Any]:
    """The kernel that tries these rungs in turn."""

    def kernel(xp: Any, *arrays: Any, **params: Any) -> Any:
        for rung in ladder:
            result = rung(run, xp, *arrays, **params)
            if result is not NotImplemented:
                return result
        return NotImplemented

    return kernel


def only(run: Run, name: str, word: str) -> Callable[..., Any]:
    """The kernel that is this rung, or an error."""
    rung = LADDERS[name][word]

    def kernel(xp: Any, *arrays: Any, **params: Any) -> Any:
        result = rung(run, xp, *arrays, **params)
        if result is NotImplemented:
            given = ", ".join(f"{a.dtype} {a.shape}" if hasattr(a, "dtype") else str(a) for a in arrays)
            raise Unavailable(
                f"{name}: the forced rung {word!r} (kernels/{rung.file}) does not serve {given}; it serves "
                f"{', '.join(rung.dtypes)} as its header says; leave the choice to the library, or take another rung"
            )
        return result

    return kernel


def forced_rungs(text: str) -> dict[str, str]:
    """
    >>> forced_rungs("matmul=tiled,softmax=rows"), forced_rungs("")
    ({'matmul': 'tiled', 'softmax': 'rows'}, {})
    """
    pairs = [word.partition("=") for word in text.split(",") if word]
    return {name.strip(): rung.strip() for name, _, rung in pairs}
