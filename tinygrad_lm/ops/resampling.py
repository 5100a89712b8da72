"""Weighted sums along an axis: interpolation, averages over windows; and pixels moved between space and channels."""

from __future__ import annotations

import math

from tinygrad_lm.core import ndim_of, op
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import reshape, transpose
from tinygrad_lm.ops.windows import Taps, adaptive, averaging, linear, nearest, whole_numbers

__all__ = [
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
]

# ruff: noqa: F811  (every rule is named `_`)


@op(
    analytic=True,
    cost=lambda x, *, taps, axis: 2 * len(taps.links[0]) * (x.size // max(1, x.shape[axis])),
    samples=lambda: [
        case(N(2, 5), taps=linear(5, 8, None, False), axis=-1),
        case(N(3, 4), taps=linear(3, 7, None, True), axis=0),
        case(N(2, 3, 2), taps=nearest(3, 5, None), axis=1),
        case(N(7), taps=averaging(7, 3, 2, 2, 0, True), axis=0),  # no output reads the last input
        case(N(2, 5), taps=averaging(5, 3, 3, 2, 1, False), axis=1),
        case(N(2, 5), taps=adaptive(5, 3), axis=-1),
        case(N(3, 2), taps=adaptive(3, 5), axis=0),
        case(N(2, 2), taps=nearest(5, 2, None).transposed, axis=1),
        case(N(0, 4), taps=linear(4, 2, None, False), axis=1),
        case(N(6), taps=linear(6, 1, None, True), axis=0),
    ],
)
def resample(xp, x, *, taps: Taps, axis):
    """Along `axis`, output i is the sum of weight times x at the inputs that `taps` connects it with; 0 without any.

    The adjoint is the same sum over the same connections, seen from the inputs.
    """
    before = (slice(None),) * (axis % x.ndim)
    dtype = x.dtype if x.dtype.kind in "fc" else float
    y = xp.zeros((*x.shape[: len(before)], taps.out, *x.shape[len(before) + 1 :]), dtype)
    for rows, cols, weights in taps.layers:
        weights = xp.asarray(weights, dtype).reshape(-1, *[1] * (x.ndim - len(before) - 1))
        read = x[(*before, cols)] if isinstance(cols, slice) else xp.take(x, xp.asarray(cols), axis)
        y[(*before, rows if isinstance(rows, slice) else xp.asarray(rows))] += read * weights
    return y


@resample.vjp("x")
def _(g, *, taps, axis):
    return resample(g, taps=taps.transposed, axis=axis)


@resample.jvp("x")
def _(t, *, taps, axis):
    return resample(t, taps=taps, axis=axis)


def along_last(x, taps):
    """x with its last axes resampled, the last one first (its result is the smaller one to go on with)."""
    for i, each in enumerate(reversed(taps)):
        x = resample(x, taps=each, axis=x.ndim - 1 - i)
    return x


MODES = {"nearest": None, "linear": 1, "bilinear": 2, "trilinear": 3}


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """x (N, C, *spatial) in other spatial sizes: `size`, or floor(old size * scale_factor), a number or one per axis.

    mode: "nearest", or "linear", "bilinear", "trilinear" for one, two, three spatial axes, which mix the two nearest
    elements of each axis.  Elements are cells side by side and the positions their centres, so that output i lies at
    (i + 1/2) old / new - 1/2; with align_corners they are points and the outermost ones stay where they are: output i
    lies at i (old - 1) / (new - 1).  Positions before the first element take the first.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.interpolate(np.array([[[0.0, 4.0]]]), 4, mode="linear")
    array([[[0., 1., 3., 4.]]])
    """
    rank = ndim_of("interpolate", x) - 2
    if mode not in MODES:
        raise ValueError(f"interpolate: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if rank < 1 or MODES[mode] not in (None, rank):
        wanted = f"{MODES[mode]} spatial axes" if MODES[mode] else "at least one spatial axis"
        raise ValueError(f"interpolate: mode {mode!r} needs {wanted} after (N, C), got {x.shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: give size or scale_factor, got size={size!r}, scale_factor={scale_factor!r}")
    if align_corners and mode == "nearest":
        raise ValueError("interpolate: align_corners is for the linear modes, got mode 'nearest'")
    ratios: list = [None] * rank
    if scale_factor is not None:
        factors = list(scale_factor) if isinstance(scale_factor, tuple | list) else [scale_factor] * rank
        if len(factors) != rank or not all(f > 0 for f in factors):
            raise ValueError(
                f"interpolate: scale_factor must be a number above 0 or {rank} of them, got {scale_factor!r}"
            )
        size = tuple([math.floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True)])
        ratios = [1 / f for f in factors]
    sizes = whole_numbers("interpolate", "size", size, rank, 1)
    if 0 in x.shape[2:]:
        raise ValueError(f"interpolate: no spatial axis may be empty, got {x.shape}")
    each = zip(x.shape[2:], sizes, ratios, strict=True)
    if mode == "nearest":
        return along_last(x, [nearest(*which) for which in each])
    return along_last(x, [linear(*which, align_corners) for which in each])


def pixel_shuffle(x, upscale_factor):
    """(..., C r^2, H, W) -> (..., C, r H, r W): r^2 channels become a square of pixels (Shi et al. 2016).

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.pixel_shuffle(np.arange(4.0).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]])
    """
    (r,) = whole_numbers("pixel_shuffle", "upscale_factor", upscale_factor, 1, 1)
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: x must have shape (..., C * {r * r}, H, W), got {x.shape}")
    *lead, channels, h, w = x.shape
    n = len(lead)
    x = reshape(x, shape=(*lead, channels // (r * r), r, r, h, w))
    x = transpose(x, axes=(*range(n), n, n + 3, n + 1, n + 4, n + 2))  # (..., C, H, r, W, r)
    return reshape(x, shape=(*lead, channels // (r * r), h * r, w * r))


def pixel_unshuffle(x, downscale_factor):
    """(..., C, r H, r W) -> (..., C r^2, H, W): undoes `pixel_shuffle`."""
    (r,) = whole_numbers("pixel_unshuffle", "downscale_factor", downscale_factor, 1, 1)
    if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise ValueError(f"pixel_unshuffle: x must have shape (..., C, {r} * H, {r} * W), got {x.shape}")
    *lead, channels, h, w = x.shape
    n = len(lead)
    x = reshape(x, shape=(*lead, channels, h // r, r, w // r, r))
    x = transpose(x, axes=(*range(n), n, n + 2, n + 4, n + 1, n + 3))  # (..., C, r, r, H, W)
    return reshape(x, shape=(*lead, channels * r * r, h // r, w // r))
