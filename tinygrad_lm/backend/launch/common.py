"""What launchers share: the record of a rung, the dtypes that kernels have entries for, shapes of grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Dims = tuple[int, int, int]
Run = Callable[[str, str, Dims, Dims, int, Sequence[Any]], None]

WARP = 32
MOST_BLOCKS = 2**31 - 1  # of a grid's x
SUFFIX = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}  # of a kernel's name, by dtype
FLOATS = tuple(SUFFIX)
NULL = np.uint64(0)  # the pointer of an array that is not there
MOST_TENSORS = 40  # arrays in a struct of pointers (kernels/include/tensors.h)


class Tensors(list):
    """Arrays whose pointers a kernel takes in one struct, by value: at most MOST_TENSORS, None for a null pointer."""


@dataclass(frozen=True)
class Values:
    """Numbers that a kernel takes in one struct, by value: at most MOST_TENSORS of one dtype."""

    numbers: Any

    def bytes(self) -> bytes:
        """The struct."""
        whole = np.zeros(MOST_TENSORS, self.numbers.dtype)
        whole[: len(self.numbers)] = self.numbers
        return whole.tobytes()


@dataclass(frozen=True)
class Rung:
    """One way to compute an operation: `launch(run, xp, *arrays, **params)` and what it is made of.

    launch has the signature of the op's body with a runtime in front, and answers NotImplemented for what the kernels
    of `file` do not serve; `dtypes` are those it may serve.
    """

    file: str
    launch: Callable[..., Any]
    dtypes: tuple[str, ...] = FLOATS

    def __call__(self, run: Run, xp: Any, *arrays: Any, **params: Any) -> Any:
        return self.launch(run, xp, *arrays, **params)


def suffix_of(*arrays: Any) -> str | None:
    """The ending of the kernels for these arrays, which are of one dtype; else None.  A None does not count."""
    if any(isinstance(a, int | float) for a in arrays):
        return None
    found = {a.dtype for a in arrays if a is not None}
    dtype = found.pop()
    return None if found or not dtype.isnative else SUFFIX.get(dtype.name)


def pointer(xp: Any, x: Any) -> Any:
    """An array as kernels take it: contiguous; NULL for None."""
    return NULL if x is None else xp.ascontiguousarray(x)


def blocks_for(count: int, each: int) -> Dims:
    """A grid along x of blocks that do `each` of `count` things."""
    return (-(-count // each), 1, 1)


def rows_of(x: Any) -> tuple[int, int]:
    """(rows, columns) of an array seen as rows of its last axis."""
    return math.prod(x.shape[:-1]), x.shape[-1]
