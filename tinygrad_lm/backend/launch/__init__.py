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
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_lm.backend.launch import (
    attention,
    channels,
    conv,
    elementwise,
    indexing,
    matmul,
    pooling,
    random,
    rows,
    updates,
)
from tinygrad_lm.backend.launch.common import FLOATS, Run, Rung
from tinygrad_lm.backend.record import Unavailable, reload_tables

__all__ = ["LADDERS", "Run", "Rung", "forced_rungs", "register", "table"]

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
    **updates.LADDERS,
    **random.LADDERS,
}


HEADINGS = ("Idea", "Maps threads to data", "FLOPs and bytes", "Needs", "Improves on", "Limits")  # of a header block


def register(
    op: str, name: str, file: str | os.PathLike[str], launch: Callable[..., Any], dtypes: Sequence[str] = FLOATS
) -> Rung:
    """Make a kernel of one's own the best rung of an operation: tests, benchmarks and tables have it from now on.

    file: its .cu file, with the header block that kernels/README.md describes.  launch(run, xp, *arrays, **params): the
    signature of the op's body with a runtime in front; it answers NotImplemented for what it does not serve.  dtypes:
    those it may serve.  `tg.testing.check_kernel(op, name)` says whether it is right.

    FileNotFoundError without the file; ValueError for one without a header block, a name that is taken, or a dtype that
    no kernel has.
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{op}, rung {name!r}: there is no file {path}")
    comment = path.read_text(encoding="utf-8").split("#include")[0]
    if lacking := [h for h in HEADINGS if not re.search(rf"^// {h}  ", comment, re.MULTILINE)]:
        raise ValueError(
            f"{path.name} lacks a header block: before its first #include it needs lines that begin with "
            f"{', '.join(repr(f'// {h}  ') for h in lacking)} (kernels/README.md describes them)"
        )
    if unknown := [d for d in dtypes if d not in FLOATS]:
        raise ValueError(f"{op}, rung {name!r}: {unknown[0]} is no dtype of kernels; they are {', '.join(FLOATS)}")
    if name in (ladder := LADDERS.setdefault(op, {})) and ladder[name].file != str(path):
        raise ValueError(f"{op} has a rung {name!r} already (kernels/{ladder[name].file}): use another name")
    ladder.pop(name, None)  # again, after the file was changed: the best one is the last
    ladder[name] = Rung(str(path), launch, tuple(dtypes))
    reload_tables()
    return ladder[name]


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
