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


def sizes_of(x: tuple[int, ...], w: tuple[int, ...], geometry: Any) -> tuple[Sizes, tuple[int, ...]] | None:
    """(sizes, places along each axis) of a convolution of these shapes; None for other than one or two axes, for what
    makes no sense, and for what is too large.

    One axis is an image of one row.
    """
    rank, groups = len(x) - 2, geometry.groups
    if rank not in (1, 2) or len(w) != len(x) or w[0] % groups or x[1] != w[1] * groups:
        return None
    try:
        places = tuple(geometry.out(x[2:], w[2:]))
    except ValueError:
        return None

    def two(values: Any, one: int) -> tuple[int, int]:
        high, wide = values if rank == 2 else (one, *values)
        return high, wide

    pairs = [two(values, 1) for values in (x[2:], places, w[2:], geometry.stride, geometry.dilation)]
    (high, wide), (out_high, out_wide), (kernel_high, kernel_wide), stride, dilation = pairs
    before = two([p[0] for p in geometry.padding], 0)
    of_kernel = (kernel_high, kernel_wide, groups, *stride, *before, *dilation)
    sizes = Sizes(x[0], x[1], high, wide, w[0], out_high, out_wide, *of_kernel)
    return (sizes, places) if sizes.fits else None


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


def images(run: Run, xp: Any, kernel: str, rung: str, source: Any, w: Any, shape: tuple[int, ...], s: Sizes) -> Any:
    """What has a result for each place: the convolution, or (kernel "_input") the gradient of its input."""
    suffix, grid = suffix_of(source, w), blocks_for(math.prod(shape), 128)
    if grid[0] > MOST_BLOCKS:
        return NotImplemented
    out = xp.empty(shape, source.dtype)
    if not source.size or not w.size:
        out.fill(0)
    elif out.size and rung == "direct":
        given = [pointer(xp, source), pointer(xp, w), out, *s.numbers]
        run(DIRECT, f"conv_direct{kernel}_{suffix}", grid, (128, 1, 1), 0, given)
    elif out.size:
        rows, size = (s.channels, s.high * s.wide) if kernel else (s.outs, s.out_high * s.out_wide)
        blocks = s.groups * -(-(rows // s.groups) // SIDE) * -(-s.samples * size // SIDE)
        given = [pointer(xp, source), pointer(xp, w), taps(xp, s, bool(kernel)), out, *s.numbers]
        run(GEMM, f"conv_gemm{kernel}_{suffix}", (blocks, 1, 1), (256, 1, 1), 0, given)
    return out


def conv(run: Run, xp: Any, x: Any, weight: Any, *, geometry: Any, rung: str) -> Any:
    """The convolution; what makes no sense is left to the body, which says so."""
    found = sizes_of(x.shape, weight.shape, geometry)
    if suffix_of(x, weight) is None or found is None:
        return NotImplemented
    sizes, places = found
    return images(run, xp, "", rung, x, weight, (x.shape[0], weight.shape[0], *places), sizes)


def conv_transpose(run: Run, xp: Any, x: Any, weight: Any, *, size: tuple[int, ...], geometry: Any, rung: str) -> Any:
    """The gradient of a convolution's input; x is that of its output."""
    if suffix_of(x, weight) is None or min(x.ndim, weight.ndim) < 2 or weight.shape[0] != x.shape[1]:
        return NotImplemented
    shape = (x.shape[0], weight.shape[1] * geometry.groups, *size)
    found = sizes_of(shape, weight.shape, geometry)
    if found is None or found[1] != x.shape[2:]:
        return NotImplemented
    return images(run, xp, "_input", rung, x, weight, shape, found[0])


def conv_weight_grad(run: Run, xp: Any, x: Any, dy: Any, *, kernel: tuple[int, ...], geometry: Any, rung: str) -> Any:
    """The gradient of a convolution's weight."""
    suffix = suffix_of(x, dy)
    if suffix is None or min(x.ndim, dy.ndim) < 2 or x.shape[1] % geometry.groups:
        return NotImplemented
    shape = (dy.shape[1], x.shape[1] // geometry.groups, *kernel)
    found = sizes_of(x.shape, shape, geometry)
    if found is None or dy.shape != (x.shape[0], dy.shape[1], *found[1]) or math.prod(shape) > MOST_BLOCKS:
        return NotImplemented
    s, out = found[0], xp.zeros(shape, x.dtype)
    if not x.size or not dy.size or not out.size:
        return out
    given = [pointer(xp, x), pointer(xp, dy)]
    if rung == "direct":
        run(DIRECT, f"conv_direct_weight_{suffix}", (out.size, 1, 1), (128, 1, 1), 0, [*given, out, *s.numbers])
        return out
    rows, columns, K = shape[0] // s.groups, math.prod(shape[1:]), s.samples * s.out_high * s.out_wide
    tiles = s.groups * -(-rows // SIDE) * -(-columns // SIDE)
    parts = max(1, min(-(-K // 256), 512 // tiles))
    steps = (K - 1) // DEPTH + 1
    high = ((steps - 1) // parts + 1) * DEPTH  # places of a part
    parts = (K - 1) // high + 1
    part = xp.empty((parts, *shape), np.float32)
    given += [taps(xp, s, False), part, np.int32(high), *s.numbers]
    run(GEMM, f"conv_gemm_weight_{suffix}", (tiles, parts, 1), (256, 1, 1), 0, given)
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
