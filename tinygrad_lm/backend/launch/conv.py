"""Launchers of convolution over one or two axes, and of its gradients (kernels/conv)."""

from __future__ import annotations

import functools
import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_BLOCKS, Run, Rung, blocks_for, pointer, suffix_of

DIRECT, GEMM = "conv/direct.cu", "conv/implicit_gemm.cu"
MOST = 2**31 - 1
SIDE, DEPTH = 64, 16  # of a tile of implicit_gemm.cu


@dataclass(frozen=True)
class Sizes:
    """A convolution of images, in the order in which kernels take it (kernels/include/conv.h)."""

    samples: int
    channels: int
    high: int
    wide: int
    outs: int
    out_high: int
    out_wide: int
    kernel_high: int
    kernel_wide: int
    groups: int
    stride_high: int
    stride_wide: int
    before_high: int
    before_wide: int
    dilation_high: int
    dilation_wide: int

    @property
    def numbers(self) -> list[Any]:
        return [np.int32(n) for n in astuple(self)]

    @property
    def taps(self) -> int:
        return self.kernel_high * self.kernel_wide

    @property
    def fits(self) -> bool:
        """Whether the offsets that kernels keep in 32 bits do."""
        image = max(self.channels * self.high * self.wide, self.outs * self.out_high * self.out_wide)
        places = max(1, self.samples) * max(self.high * self.wide, self.out_high * self.out_wide)
        weights = self.outs * (self.channels // self.groups) * self.taps
        return max(image, places + SIDE, weights) <= MOST


def sizes_of(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], geometry: Any) -> Sizes | None:
    """The sizes for the shapes of input, weight and output; None for other than one or two axes, or what is too large.

    One axis is an image of one row.
    """
    rank = len(x) - 2
    groups = geometry.groups
    if rank not in (1, 2) or len(w) != len(x) or len(y) != len(x):
        return None
    if w[0] % groups or x[1] != w[1] * groups or y[1] != w[0] or x[0] != y[0]:
        return None

    def two(values: Any, one: int) -> tuple[int, int]:
        high, wide = values if rank == 2 else (one, *values)
        return high, wide

    pairs = [two(values, 1) for values in (x[2:], y[2:], w[2:], geometry.stride, geometry.dilation)]
    (high, wide), (out_high, out_wide), (kernel_high, kernel_wide), stride, dilation = pairs
    before = two([p[0] for p in geometry.padding], 0)
    of_kernel = (kernel_high, kernel_wide, groups, *stride, *before, *dilation)
    sizes = Sizes(x[0], x[1], high, wide, y[1], out_high, out_wide, *of_kernel)
    return sizes if sizes.fits else None


@functools.lru_cache(64)
def taps(xp: Any, s: Sizes, backward: bool) -> Any:
    """(rows, 4) of int32: offset, down, right, weight for each (channel, tap); for the gradient of x (out, tap)."""
    planes, size = (
        (s.outs // s.groups, s.out_high * s.out_wide) if backward else (s.channels // s.groups, s.high * s.wide)
    )
    plane, i, j = (n.reshape(-1) for n in np.indices((planes, s.kernel_high, s.kernel_wide)))
    down, right = i * s.dilation_high, j * s.dilation_wide
    weight = plane * (s.channels // s.groups) * s.taps + i * s.kernel_wide + j
    return xp.asarray(np.stack([plane * size, down, right, weight], axis=-1).astype(np.int32))


def images(run: Run, xp: Any, kernel: str, rung: str, source: Any, w: Any, out: Any, s: Sizes, suffix: str) -> None:
    """What has a result for each place: the convolution, or (kernel "input") the gradient of its input."""
    rows, size = (s.channels, s.high * s.wide) if kernel else (s.outs, s.out_high * s.out_wide)
    given = [pointer(xp, source), pointer(xp, w)]
    if rung == "direct":
        run(
            DIRECT,
            f"conv_direct{kernel}_{suffix}",
            blocks_for(out.size, 128),
            (128, 1, 1),
            0,
            [*given, out, *s.numbers],
        )
        return
    blocks = s.groups * -(-(rows // s.groups) // SIDE) * -(-s.samples * size // SIDE)
    table = taps(xp, s, bool(kernel))
    run(GEMM, f"conv_gemm{kernel}_{suffix}", (blocks, 1, 1), (256, 1, 1), 0, [*given, table, out, *s.numbers])


def conv(run: Run, xp: Any, x: Any, weight: Any, *, geometry: Any, rung: str) -> Any:
    """The convolution; what makes no sense is left to the body, which says so."""
    suffix, rank = suffix_of(x, weight), x.ndim - 2
    if suffix is None or rank not in (1, 2) or weight.ndim != x.ndim:
        return NotImplemented
    try:
        places = geometry.out(x.shape[2:], weight.shape[2:])
    except ValueError:
        return NotImplemented
    shape = (x.shape[0], weight.shape[0], *places)
    s = sizes_of(x.shape, weight.shape, shape, geometry)
    if s is None:
        return NotImplemented
    out = xp.empty(shape, x.dtype)
    if not weight.size or not x.size:
        out.fill(0)
    elif out.size:
        images(run, xp, "", rung, x, weight, out, s, suffix)
    return out


def conv_transpose(run: Run, xp: Any, x: Any, weight: Any, *, size: tuple[int, ...], geometry: Any, rung: str) -> Any:
    """The gradient of a convolution's input; x is that of its output."""
    suffix, rank = suffix_of(x, weight), x.ndim - 2
    if suffix is None or rank not in (1, 2) or weight.ndim != x.ndim or len(size) != rank:
        return NotImplemented
    shape = (x.shape[0], weight.shape[1] * geometry.groups, *size)
    try:
        fits = geometry.out(tuple(size), weight.shape[2:]) == x.shape[2:]
    except ValueError:
        fits = False
    s = sizes_of(shape, weight.shape, x.shape, geometry) if fits else None
    if s is None:
        return NotImplemented
    out = xp.empty(shape, x.dtype)
    if not weight.size or not x.size:
        out.fill(0)
    elif out.size:
        images(run, xp, "_input", rung, x, weight, out, s, suffix)
    return out


def conv_weight_grad(run: Run, xp: Any, x: Any, dy: Any, *, kernel: tuple[int, ...], geometry: Any, rung: str) -> Any:
    """The gradient of a convolution's weight."""
    suffix, rank = suffix_of(x, dy), x.ndim - 2
    if suffix is None or rank not in (1, 2) or dy.ndim != x.ndim or x.shape[1] % geometry.groups:
        return NotImplemented
    shape = (dy.shape[1], x.shape[1] // geometry.groups, *kernel)
    try:
        fits = geometry.out(x.shape[2:], tuple(kernel)) == dy.shape[2:]
    except ValueError:
        fits = False
    s = sizes_of(x.shape, shape, dy.shape, geometry) if fits else None
    if s is None:
        return NotImplemented
    out = xp.empty(shape, x.dtype)
    if not x.size or not dy.size:
        out.fill(0)
    if not x.size or not dy.size or not out.size:
        return out
    given = [pointer(xp, x), pointer(xp, dy)]
    if rung == "direct":
        if out.size > MOST_BLOCKS:
            return NotImplemented
        run(DIRECT, f"conv_direct_weight_{suffix}", (out.size, 1, 1), (128, 1, 1), 0, [*given, out, *s.numbers])
        return out
    rows, columns, K = shape[0] // s.groups, math.prod(shape[1:]), s.samples * s.out_high * s.out_wide
    tiles = s.groups * -(-rows // SIDE) * -(-columns // SIDE)
    parts = max(1, min(-(-K // 256), 512 // tiles))
    steps = (K - 1) // DEPTH + 1
    high = ((steps - 1) // parts + 1) * DEPTH
    parts = (K - 1) // high + 1
    part = xp.empty((parts, *shape), np.float32)
    numbers = [np.int32(high), *s.numbers]
    kernel_name = f"conv_gemm_weight_{suffix}"
    run(GEMM, kernel_name, (tiles, parts, 1), (256, 1, 1), 0, [*given, taps(xp, s, False), part, *numbers])
    last = [part, out, np.int64(out.size), np.int32(parts)]
    run(GEMM, f"conv_gemm_totals_{suffix}", blocks_for(out.size, 256), (256, 1, 1), 0, last)
    return out


LADDERS: dict[str, dict[str, Rung]] = {
    op.__name__: {
        rung: Rung(file, functools.partial(op, rung=rung))
        for rung, file in (("direct", DIRECT), ("implicit_gemm", GEMM))
    }
    for op in (conv, conv_transpose, conv_weight_grad)
}
