"""Which elements of an axis each output is made of: what pooling and resampling are given.

They work axis by axis, and for each axis it is known beforehand which inputs an output reads.  `Taps` says so, in
layers, so that a body runs over layers and never over elements.  Padding is never stored: an output that would read
beyond an end has no tap there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from tinygrad_lm.core import ndim_of


class Taps:
    """How `out` outputs are made of `size` inputs along one axis.

    `links`: arrays (outputs, inputs, weights), an entry for each pair that is connected.
    `layers`: the same cut into parts in which no output occurs twice; positions are slices where evenly spaced.
    """

    def __init__(self, size: int, out: int, rows: np.ndarray, cols: np.ndarray, weights: np.ndarray, layer: Any = None):
        self.size, self.out = size, out
        if layer is None:
            order = np.argsort(rows, kind="stable")
            rows, cols, weights = rows[order], cols[order], weights[order]
            layer = np.arange(len(rows)) - np.searchsorted(rows, rows)  # how many links the output had before
        self.links, self.layer = (rows, cols, weights), layer
        parts = [layer == k for k in sorted(set(layer.tolist()))]  # np.unique would import numpy.ma, which is slow
        self.layers = [(evenly(rows[part]), evenly(cols[part]), weights[part]) for part in parts]

    @cached_property
    def transposed(self) -> Taps:
        """The same links seen from the inputs: the adjoint of a weighted sum is one over them."""
        rows, cols, weights = self.links
        once = len(set((self.layer * self.size + cols).tolist())) == len(cols)  # in no layer is an input read twice
        return Taps(self.out, self.size, cols, rows, weights, self.layer if once else None)

    @cached_property
    def first(self) -> np.ndarray:
        """For each output the first input that it reads."""
        rows, cols, _ = self.links
        found = np.full(self.out, self.size)
        np.minimum.at(found, rows, cols)
        return found

    def __repr__(self) -> str:
        return f"Taps({self.size} -> {self.out})"


def evenly(positions: np.ndarray) -> Any:
    """Rising evenly spaced positions as a slice, which reads without copying; others as they are."""
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    if step < 1 or (np.diff(positions) != step).any():
        return positions
    return slice(int(positions[0]), int(positions[-1]) + 1, step)


def windows(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> tuple[np.ndarray, ...]:
    """(outputs, inputs, k): output i reads the inputs i * stride - before + k * dilation, k < kernel, that exist."""
    places = np.arange(out) * stride - before + np.arange(kernel)[:, None] * dilation
    k, rows = np.nonzero((places >= 0) & (places < size))
    return rows, places[k, rows], k


@lru_cache(64)
def sliding(size: int, out: int, kernel: int, stride: int, before: int, dilation: int = 1) -> Taps:
    """Windows of `kernel` inputs, `stride` apart, the first of which starts `before` the first input."""
    rows, cols, k = windows(size, out, kernel, stride, before, dilation)
    return Taps(size, out, rows, cols, np.ones(len(rows)), k)


@lru_cache(64)
def averaging(size: int, out: int, kernel: int, stride: int, pad: int, count_pad: bool) -> Taps:
    """Averages over windows; what they divide by counts padding (not what lies beyond it), or only elements."""
    rows, cols, k = windows(size, out, kernel, stride, pad, 1)
    start = np.arange(out) * stride - pad
    end = np.minimum(start + kernel, size + pad if count_pad else size)
    divisor = end - (start if count_pad else np.maximum(start, 0))
    return Taps(size, out, rows, cols, 1 / divisor[rows], k)


@lru_cache(64)
def adaptive(size: int, out: int) -> Taps:
    """Averages over windows that cover all inputs: the i-th from floor(i size / out) to ceil((i + 1) size / out)."""
    i = np.arange(out)
    start, end = i * size // out, -((i + 1) * size // -out)
    rows = np.repeat(i, end - start)
    k = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return Taps(size, out, rows, start[rows] + k, 1 / (end - start)[rows], k)


@lru_cache(64)
def nearest(size: int, out: int, ratio: float | None) -> Taps:
    """Output i copies input floor(i * ratio); ratio: inputs per output, size / out if None."""
    i = np.arange(out)
    source = i * size // out if ratio is None else np.minimum(np.floor(i * ratio).astype(int), size - 1)
    return Taps(size, out, i, source, np.ones(out))


@lru_cache(64)
def linear(size: int, out: int, ratio: float | None, align_corners: bool) -> Taps:
    """Output i lies between two inputs and is made of both, of each the more the nearer it is."""
    i = np.arange(out)
    if align_corners:
        place = i * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        place = np.maximum((i + 0.5) * (size / out if ratio is None else ratio) - 0.5, 0)
    left = np.floor(place).astype(int)
    share = place - left
    both = np.concatenate([left, np.minimum(left + 1, size - 1)])
    return Taps(size, out, np.tile(i, 2), both, np.concatenate([1 - share, share]), np.repeat([0, 1], out))


def boxes(xp: Any, taps: Sequence[Taps]) -> Iterator[tuple[tuple, tuple]]:
    """(index of the outputs, index of the inputs) over the last axes, for each combination of their layers."""
    for layers in product(*[t.layers for t in taps]):
        yield box(xp, [rows for rows, _, _ in layers]), box(xp, [cols for _, cols, _ in layers])


def box(xp: Any, parts: Sequence[Any]) -> tuple:
    """The index of all combinations of positions along the last axes, each given as a slice or an array."""
    if all(isinstance(p, slice) for p in parts):
        return (..., *parts)
    arrays = [xp.arange(p.start, p.stop, p.step) if isinstance(p, slice) else xp.asarray(p) for p in parts]
    return (..., *xp.ix_(*arrays))


# ------------------------------------------------------------------------------------------------ arguments


def whole_numbers(function: str, name: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    """`value`, one whole number or one for each of `rank` axes, as a tuple; ValueError for anything else."""
    each = (value,) * rank if isinstance(value, int | np.integer) else value
    if isinstance(each, tuple | list) and len(each) == rank:
        if all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= least for n in each):
            return tuple(map(int, each))
    several = f" or {rank} of them" if rank > 1 else ""
    raise ValueError(f"{function}: {name} must be a whole number of at least {least}{several}, got {value!r}")


def check_rank(function: str, x: Any, rank: int) -> None:
    """ValueError unless x has `rank` spatial axes after its channels, and at most one axis before them."""
    if ndim_of(function, x) not in (rank + 1, rank + 2):
        axes = ", ".join(["C", *["L", "H, W", "D, H, W"][rank - 1 : rank]])
        raise ValueError(f"{function}: x must have shape (N, {axes}) or ({axes}), got {x.shape}")


def span(kernel: int, dilation: int) -> int:
    """How many elements a kernel reaches over."""
    return dilation * (kernel - 1) + 1
