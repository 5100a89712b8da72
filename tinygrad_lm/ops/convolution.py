"""Convolution of any rank and the two maps that its derivatives are.

`conv`, `conv_transpose` and `conv_weight_grad` are the three ways to read one trilinear form, the sum over all
products x * weight * y of elements that meet.  Each is the derivative of the others, so every order exists.

The bodies gather what the kernel sees in a few samples (or in a few rows of one) as columns and multiply matrices: the
columns of the whole input never exist.  Inside, the channels come first: then products need no rearranging, and the
result is a view with its axes exchanged, which the next convolution reads as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import expand_dims, reshape, squeeze
from tinygrad_lm.ops.windows import check_rank, span, whole_numbers

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

# ruff: noqa: F811  (every rule is named `_`)

COLUMNS = 2**20  # elements that exist as columns at a time
ALL = slice(None)


@dataclass(frozen=True)
class Geometry:
    """How the kernel of a convolution moves: a number, or a pair (before, after), for each spatial axis."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def __str__(self) -> str:
        """What is not as usual."""
        usual = Geometry((1,) * len(self.stride), ((0, 0),) * len(self.stride), (1,) * len(self.stride))
        mine = {name: value for name, value in vars(self).items() if value != getattr(usual, name)}
        return f"({', '.join([f'{name}={value}' for name, value in mine.items()])})"

    def out(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """How many places the kernel takes along each axis; ValueError if it takes none."""
        places = []
        for n, k, s, (before, after), d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True):
            free = n + before + after - span(k, d)
            if free < 0:
                raise ValueError(
                    f"the kernel reaches over {span(k, d)} elements (size {k}, dilation {d}), "
                    f"but the input has {n + before + after} with padding"
                )
            places.append(free // s + 1)
        return tuple(places)

    def meets(self, size: tuple[int, ...], kernel: tuple[int, ...], rows: slice) -> list[tuple]:
        """(which, index of the outputs, index of the inputs) for each kernel position, in some rows of the output."""
        each = []
        for i, out in enumerate(self.out(size, kernel)):
            first, count = (rows.start, rows.stop - rows.start) if i == 0 else (0, out)
            before = self.padding[i][0] - first * self.stride[i]
            each.append(meeting(size[i], count, kernel[i], self.stride[i], before, self.dilation[i]))
        return [tuple(zip(*along, strict=True)) for along in product(*each)]


@lru_cache(1024)
def meeting(
    size: int, out: int, kernel: int, stride: int, before: int, dilation: int
) -> tuple[tuple[int, slice, slice], ...]:
    """(k, the outputs that read an element with kernel position k, those elements) along one axis; all k that do."""
    found = []
    for k in range(kernel):
        shift = k * dilation - before  # output i reads the input at i * stride + shift
        low, high = max(0, -(shift // stride)), min(out, (size - 1 - shift) // stride + 1)
        if low < high:
            first, last = low * stride + shift, (high - 1) * stride + shift
            found.append((k, slice(low, high), slice(first, last + 1, stride)))
    return tuple(found)


def parts(samples: int, rows: int, width: int) -> Iterator[tuple[slice, slice]]:
    """(samples, rows) of the pieces in which an output is worked on, where one of its rows needs `width` elements.

    A piece has either all rows of some samples or some rows of one sample.
    """
    at_once = max(1, COLUMNS // max(1, width))
    several, tall = max(1, at_once // rows), min(rows, at_once)
    for n in range(0, samples, several):
        for r in range(0, rows, tall):
            yield slice(n, min(n + several, samples)), slice(r, min(r + tall, rows))


def channels_first(x, groups):
    """(N, C, *spatial) as a view (groups, C / groups, N, *spatial)."""
    x = x.swapaxes(0, 1)
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])


def channels_second(x):
    """(groups, C / groups, N, *spatial) as a view (N, C, *spatial)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]).swapaxes(0, 1)


def flat(x):
    """(groups, channels, N, *spatial) as (groups, channels, positions)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def columns_of(xp, x, kernel, shape, meets):
    """What the kernel sees: (groups, channels * kernel positions, output positions); x (groups, channels, N, *spatial).

    `shape`: (samples, *output positions).
    """
    columns = xp.zeros((*x.shape[:2], *kernel, *shape), x.dtype)
    for which, at, source in meets:
        columns[(ALL, ALL, *which, ALL, *at)] = x[(ALL, ALL, ALL, *source)]
    return columns.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(shape))


def check_channels(x, weight, channels, groups):
    if x.ndim != weight.ndim:
        raise ValueError(f"x and weight must have equally many axes, got {x.ndim} and {weight.ndim}")
    if weight.shape[0] % groups:
        raise ValueError(f"groups must divide axis 0 of the weight, which is {weight.shape[0]}, got {groups}")
    if x.shape[1] != channels:
        raise ValueError(
            f"a weight {weight.shape} with groups={groups} needs {channels} channels on axis 1 of x, got {x.shape[1]}"
        )


# ---------------------------------------------------------------------------------------------------- the three maps


def geometry_of(rank, stride=1, padding=0, dilation=1, groups=1):
    """A Geometry, numbers standing for all axes."""
    stride, padding, dilation = [v if isinstance(v, tuple) else (v,) * rank for v in (stride, padding, dilation)]
    return Geometry(stride, tuple([p if isinstance(p, tuple) else (p, p) for p in padding]), dilation, groups)


def samples(make):
    """make(x, weight, y, geometry) of shapes: convolutions of every rank, and every way to step, pad and group."""
    each: list = [
        ((2, 2, 4), (3, 2, 2), {}),
        ((1, 2, 3, 4), (2, 2, 2, 2), {"padding": ((1, 1), (0, 1))}),
        ((1, 1, 8), (2, 1, 2), {"stride": 3}),  # no output reads the last input
        ((2, 1, 3, 4), (1, 1, 2, 2), {"stride": (2, 3), "padding": 1}),
        ((1, 3, 3, 3), (3, 1, 2, 2), {"dilation": (2, 1), "groups": 3}),
        ((2, 4, 2), (2, 2, 2), {"stride": 2, "padding": 1, "groups": 2}),
        ((2, 2, 2, 2), (3, 2, 1, 1), {}),
        ((1, 1, 3, 2, 2), (2, 1, 2, 2, 1), {"padding": (1, 0, 0), "stride": (2, 1, 1)}),
        ((1, 1, 2), (2, 1, 4), {"padding": 1}),  # larger than the input
        ((1, 2, 7), (2, 2, 3), {"stride": 2, "padding": 2, "dilation": 2}),
        ((0, 2, 3), (1, 2, 2), {"padding": 1}),
    ]
    made = []
    for x, weight, how in each:
        geometry = geometry_of(len(x) - 2, **how)
        made.append(make(x, weight, (x[0], weight[0], *geometry.out(x[2:], weight[2:])), geometry))
    return made


@op(
    analytic=True,
    cost=lambda x, weight, *, geometry: (
        2 * x.shape[0] * weight.size * math.prod(geometry.out(x.shape[2:], weight.shape[2:]))
    ),
    samples=lambda: samples(lambda x, w, y, geometry: case(N(*x), N(*w), geometry=geometry)),
)
def conv(xp, x, weight, *, geometry):
    """y[n, o, i] = sum over c and k of weight[o, c, k] x[n, c, i * stride - before + k * dilation].

    x (N, C, *spatial), weight (out, C / groups, *kernel); result (N, out, *places).  i and k have one number for each
    spatial axis.  Outputs and channels are cut into `groups` parts; each part of the outputs sees its own channels.
    """
    groups = geometry.groups
    count, depth, *kernel = weight.shape
    check_channels(x, weight, depth * groups, groups)
    size, out = x.shape[2:], geometry.out(x.shape[2:], kernel)
    x, rows = channels_first(x, groups), weight.reshape(groups, count // groups, depth * math.prod(kernel))
    y = xp.empty((groups, count // groups, x.shape[2], *out), xp.result_type(x, weight))
    for some, tall in parts(x.shape[2], out[0], math.prod((groups, depth, *kernel, *out[1:]))):
        shape = (some.stop - some.start, tall.stop - tall.start, *out[1:])
        columns = columns_of(xp, x[:, :, some], kernel, shape, geometry.meets(size, kernel, tall))
        y[:, :, some, tall] = xp.matmul(rows, columns).reshape(*y.shape[:2], *shape)
    return channels_second(y)


@conv.vjp("x")
def _(g, weight, x_shape, *, geometry):
    return conv_transpose(g, weight, size=x_shape[2:], geometry=geometry)


@conv.vjp("weight")
def _(g, x, weight_shape, *, geometry):
    return conv_weight_grad(x, g, kernel=weight_shape[2:], geometry=geometry)


@conv.jvp("x")
def _(t, weight, *, geometry):
    return conv(t, weight, geometry=geometry)


@conv.jvp("weight")
def _(t, x, *, geometry):
    return conv(x, t, geometry=geometry)


@op(
    analytic=True,
    cost=lambda x, weight, **_: 2 * x.shape[0] * weight.size * math.prod(x.shape[2:]),
    samples=lambda: samples(lambda x, w, y, geometry: case(N(*y), N(*w), size=x[2:], geometry=geometry)),
)
def conv_transpose(xp, x, weight, *, size, geometry):
    """The adjoint of `conv` in its x: every product lands where a convolution would have taken it from.

    y[n, c, i * stride - before + k * dilation] is the sum over o, and over all i and k that lead there, of
    weight[o, c, k] x[n, o, i].  x (N, in, *spatial), weight (in, C / groups, *kernel); result (N, C, *size), where
    `size` is one of which a convolution makes x's.
    """
    groups = geometry.groups
    count, depth, *kernel = weight.shape
    check_channels(x, weight, count, groups)
    out = geometry.out(size, kernel)
    if out != x.shape[2:]:
        raise ValueError(f"a convolution of size={tuple(size)} gives {out}, but x has {x.shape[2:]}")
    x = channels_first(x, groups)
    rows = weight.reshape(groups, count // groups, depth * math.prod(kernel)).swapaxes(1, 2)
    y = xp.zeros((groups, depth, x.shape[2], *size), xp.result_type(x, weight))
    for some, tall in parts(x.shape[2], out[0], math.prod((groups, depth, *kernel, *out[1:]))):
        part = x[:, :, some, tall]
        columns = xp.matmul(rows, flat(part)).reshape(groups, depth, *kernel, *part.shape[2:])
        for which, at, target in geometry.meets(size, kernel, tall):
            y[(ALL, ALL, some, *target)] += columns[(ALL, ALL, *which, ALL, *at)]
    return channels_second(y)


@conv_transpose.vjp("x")
def _(g, weight, *, geometry):
    return conv(g, weight, geometry=geometry)


@conv_transpose.vjp("weight")
def _(g, x, weight_shape, *, geometry):
    return conv_weight_grad(g, x, kernel=weight_shape[2:], geometry=geometry)


@conv_transpose.jvp("x")
def _(t, weight, *, size, geometry):
    return conv_transpose(t, weight, size=size, geometry=geometry)


@conv_transpose.jvp("weight")
def _(t, x, *, size, geometry):
    return conv_transpose(x, t, size=size, geometry=geometry)


@op(
    analytic=True,
    cost=lambda x, dy, *, kernel, geometry: 2 * dy.size * (x.shape[1] // geometry.groups) * math.prod(kernel),
    samples=lambda: samples(lambda x, w, y, geometry: case(N(*x), N(*y), kernel=w[2:], geometry=geometry)),
)
def conv_weight_grad(xp, x, dy, *, kernel, geometry):
    """The adjoint of `conv` in its weight: sum over n, i of dy[n, o, i] x[n, c, i * stride - before + k * dilation].

    x (N, C, *spatial), dy (N, out, *places); result (out, C / groups, *kernel).
    """
    groups, size = geometry.groups, x.shape[2:]
    _, count, *out = dy.shape
    x, dy = channels_first(x, groups), channels_first(dy, groups)
    depth = x.shape[1]
    total = xp.zeros((groups, count // groups, depth * math.prod(kernel)), xp.result_type(x, dy))
    for some, tall in parts(x.shape[2], out[0], math.prod((groups, depth, *kernel, *out[1:]))):
        part = dy[:, :, some, tall]
        columns = columns_of(xp, x[:, :, some], kernel, part.shape[2:], geometry.meets(size, kernel, tall))
        total += xp.matmul(flat(part), columns.swapaxes(1, 2))
    return total.reshape(count, depth, *kernel)


@conv_weight_grad.vjp("x")
def _(g, dy, x_shape, *, geometry):
    return conv_transpose(dy, g, size=x_shape[2:], geometry=geometry)


@conv_weight_grad.vjp("dy")
def _(g, x, *, geometry):
    return conv(x, g, geometry=geometry)


@conv_weight_grad.jvp("x")
def _(t, dy, *, kernel, geometry):
    return conv_weight_grad(t, dy, kernel=kernel, geometry=geometry)


@conv_weight_grad.jvp("dy")
def _(t, x, *, kernel, geometry):
    return conv_weight_grad(x, t, kernel=kernel, geometry=geometry)


# ---------------------------------------------------------------------------------------------------- what users call


def applied(function, x, weight, bias, channels, call):
    """call(x) + bias; x gets an axis for samples if it has none, which is taken away again."""
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"{function}: bias must have shape ({channels},), got {bias.shape}")
    y = call(x) if x.ndim == weight.ndim else squeeze(call(expand_dims(x, 0)), 0)
    return y if bias is None else y + reshape(bias, shape=(channels, *[1] * (weight.ndim - 2)))


def kernel_of(function, weight, rank):
    """The kernel's size; ValueError for a weight of another rank."""
    if weight.ndim != rank + 2 or 0 in weight.shape[2:]:
        raise ValueError(
            f"{function}: weight must have two axes of channels and {rank} of the kernel, none of size 0, "
            f"got {weight.shape}"
        )
    return weight.shape[2:]


def pads_of(function, padding, kernel, stride, dilation):
    """Zeros (before, after) each axis; "same" keeps the sizes and puts the odd zero after."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"{function}: padding='same' needs stride 1, got {stride}")
        total = [span(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return tuple([(n // 2, n - n // 2) for n in total])
    if isinstance(padding, str):
        raise ValueError(f"{function}: padding must be 'same', 'valid' or whole numbers, got {padding!r}")
    return tuple([(p, p) for p in whole_numbers(function, "padding", padding, len(kernel), 0)])


def convolution(function, x, weight, bias, stride, padding, dilation, groups, rank):
    check_rank(function, x, rank)
    kernel = kernel_of(function, weight, rank)
    stride = whole_numbers(function, "stride", stride, rank, 1)
    dilation = whole_numbers(function, "dilation", dilation, rank, 1)
    padding = pads_of(function, padding, kernel, stride, dilation)
    geometry = Geometry(stride, padding, dilation, *whole_numbers(function, "groups", groups, 1, 1))
    return applied(function, x, weight, bias, weight.shape[0], lambda x: conv(x, weight, geometry=geometry))


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution along one axis: x (N, C, L) or (C, L), weight (out, C / groups, K), bias (out,); result (N, out, L').

        y[n, o, i] = sum over c, k of weight[o, c, k] x[n, c, i * stride - padding + k * dilation] + bias[o]

    The kernel is not flipped, as everywhere in deep learning.  padding: zeros on both sides, or "same" (L' = L; stride
    1) or "valid" (none).  L' = (L + 2 padding - dilation (K - 1) - 1) // stride + 1.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.conv1d(np.array([[1.0, 2.0, 4.0, 8.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2., 4.]])
    """
    return convolution("conv1d", x, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of images (LeCun et al. 1989): x (N, C, H, W) or (C, H, W), weight (out, C / groups, KH, KW).

    The result is (N, out, H', W'); see `conv1d`.  Each of stride, padding and dilation is one number, or one for each
    axis; groups=C with out=C is a depthwise convolution.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), padding="same")
    array([[[[4., 6., 4.],
             [6., 9., 6.],
             [4., 6., 4.]]]])
    """
    return convolution("conv2d", x, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of volumes: x (N, C, D, H, W) or (C, D, H, W), weight (out, C / groups, KD, KH, KW); see `conv1d`."""
    return convolution("conv3d", x, weight, bias, stride, padding, dilation, groups, 3)


def transposed_convolution(function, x, weight, bias, stride, padding, output_padding, groups, dilation, rank):
    check_rank(function, x, rank)
    kernel = kernel_of(function, weight, rank)
    stride = whole_numbers(function, "stride", stride, rank, 1)
    dilation = whole_numbers(function, "dilation", dilation, rank, 1)
    padding = whole_numbers(function, "padding", padding, rank, 0)
    extra = whole_numbers(function, "output_padding", output_padding, rank, 0)
    for e, s in zip(extra, stride, strict=True):
        if e >= s:
            raise ValueError(f"{function}: output_padding must be smaller than the stride, which is {s}, got {e}")
    geometry = Geometry(
        stride, tuple([(p, p) for p in padding]), dilation, *whole_numbers(function, "groups", groups, 1, 1)
    )
    each = zip(x.shape[-rank:], kernel, stride, padding, dilation, extra, strict=True)
    size = tuple([(n - 1) * s + span(k, d) - 2 * p + e for n, k, s, p, d, e in each])
    if any(n < 1 for n in size):
        raise ValueError(f"{function}: padding {padding} leaves nothing, the result would be {size}")
    channels = weight.shape[1] * geometry.groups
    return applied(
        function, x, weight, bias, channels, lambda x: conv_transpose(x, weight, size=size, geometry=geometry)
    )


def conv_transpose1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """What a convolution does to gradients, as a layer of its own: it enlarges by the stride.

    x (N, in, L) or (in, L), weight (in, out / groups, K), bias (out,); result (N, out, L') with
    L' = (L - 1) stride - 2 padding + dilation (K - 1) + 1 + output_padding.  Each x[n, c, i] adds itself
    times weight[c] to the result, from i * stride - padding on.  output_padding (below the stride) picks one of the
    sizes from which a convolution makes L.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """
    return transposed_convolution(
        "conv_transpose1d", x, weight, bias, stride, padding, output_padding, groups, dilation, 1
    )


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """x (N, in, H, W) or (in, H, W), weight (in, out / groups, KH, KW), bias (out,); see `conv_transpose1d`."""
    return transposed_convolution(
        "conv_transpose2d", x, weight, bias, stride, padding, output_padding, groups, dilation, 2
    )


def conv_transpose3d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """x (N, in, D, H, W) or (in, D, H, W), weight (in, out / groups, KD, KH, KW), bias (out,); see
    `conv_transpose1d`."""
    return transposed_convolution(
        "conv_transpose3d", x, weight, bias, stride, padding, output_padding, groups, dilation, 3
    )
