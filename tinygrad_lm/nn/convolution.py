"""Layers that look at neighbourhoods: convolution, pooling, resampling, and what leads from them to `Linear`.

x is (N, C, *spatial), or (C, *spatial) for one sample.  Sizes, strides and so on are one number, or one for each
spatial axis; what they mean is said by the functions that the layers call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm import ops
from tinygrad_lm.backend import Generator
from tinygrad_lm.nn import init
from tinygrad_lm.nn.layers import check_sizes, new_parameter
from tinygrad_lm.nn.module import Module
from tinygrad_lm.ops.windows import whole_numbers

Size = int | tuple[int, ...]


class Neighbourhood(Module):
    """A layer over `rank` spatial axes, which applies `function`."""

    rank: int
    function: Callable

    def each(self, name: str, value: Any, least: int) -> tuple[int, ...]:
        """A number for each axis; ValueError for anything but whole numbers of at least `least`."""
        return whole_numbers(type(self).__name__, name, value, self.rank, least)

    def shown(self, *positional: Any, **settings: Any) -> str:
        """The arguments in brackets; `settings` as (value, default), only where they differ."""
        changed = [f"{name}={value!r}" for name, (value, default) in settings.items() if value != default]
        return ", ".join([*map(str, positional), *changed])


# ---------------------------------------------------------------------------------------------------- convolution


class Convolution(Neighbourhood):
    """A convolution with `weight` and `bias`, both U(-a, a) at the start with a = 1 / sqrt(fan_in)."""

    transposed = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        generator: Generator | None = None,
        dtype: Any = None,
    ):
        self.stride, self.dilation = self.each("stride", stride, 1), self.each("dilation", dilation, 1)
        self.padding = padding if isinstance(padding, str) else self.each("padding", padding, 0)
        self.start(inputs, outputs, kernel_size, groups, bias, generator, dtype)

    def start(
        self,
        inputs: int,
        outputs: int,
        kernel_size: Size,
        groups: int,
        bias: bool,
        generator: Generator | None,
        dtype: Any,
    ) -> None:
        """Check the sizes and draw the parameters."""
        check_sizes(self, inputs=inputs, outputs=outputs, groups=groups)
        if inputs % groups or outputs % groups:
            name, got = type(self).__name__, f"{groups} groups, {inputs} inputs and {outputs} outputs"
            raise ValueError(f"{name}: groups must divide inputs and outputs, got {got}")
        self.inputs, self.outputs, self.groups = inputs, outputs, groups
        kernel = self.each("kernel_size", kernel_size, 1)
        rows, columns = (inputs, outputs) if self.transposed else (outputs, inputs)
        self.weight = new_parameter(rows, columns // groups, *kernel, dtype=dtype)
        init.kaiming_uniform_(self.weight, 1 / math.sqrt(3), generator)
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(init.fans(self.weight)[0])
            self.bias = new_parameter(outputs, dtype=dtype)
            init.uniform_(self.bias, -bound, bound, generator)

    def forward(self, x: Any) -> Any:
        return self.function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        one, zero = (1,) * self.rank, (0,) * self.rank
        return self.shown(
            self.inputs,
            self.outputs,
            self.weight.shape[2:],
            stride=(self.stride, one),
            padding=(self.padding, zero),
            dilation=(self.dilation, one),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )


class Conv1d(Convolution):
    """A convolution along one axis, (N, inputs, L) -> (N, outputs, L'); see `tg.conv1d`.

    `weight` has shape (outputs, inputs / groups, kernel_size), `bias` (outputs,).

    >>> from tinygrad_lm import nn
    >>> nn.Conv1d(4, 8, 3, padding="same")
    Conv1d(4, 8, (3,), padding='same'): 104 parameters: weight (8, 4, 3), bias (8,)
    """

    rank, function = 1, staticmethod(ops.conv1d)


class Conv2d(Convolution):
    """A convolution of images, (N, inputs, H, W) -> (N, outputs, H', W'); see `tg.conv2d`."""

    rank, function = 2, staticmethod(ops.conv2d)


class Conv3d(Convolution):
    """A convolution of volumes, (N, inputs, D, H, W) -> (N, outputs, D', H', W'); see `tg.conv3d`."""

    rank, function = 3, staticmethod(ops.conv3d)


class TransposedConvolution(Convolution):
    """A transposed convolution; `weight` has its inputs first, and fan_in counts its second axis, as torch does."""

    transposed = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        generator: Generator | None = None,
        dtype: Any = None,
    ):
        self.stride, self.dilation = self.each("stride", stride, 1), self.each("dilation", dilation, 1)
        self.padding, self.output_padding = (
            self.each("padding", padding, 0),
            self.each("output_padding", output_padding, 0),
        )
        self.start(inputs, outputs, kernel_size, groups, bias, generator, dtype)

    def forward(self, x: Any) -> Any:
        how = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return self.function(x, self.weight, self.bias, *how)

    def extra_repr(self) -> str:
        extra = self.shown(output_padding=(self.output_padding, (0,) * self.rank))
        return super().extra_repr() + (f", {extra}" if extra else "")


class ConvTranspose1d(TransposedConvolution):
    """Enlarges by the stride: (N, inputs, L) -> (N, outputs, L'); see `tg.conv_transpose1d`."""

    rank, function = 1, staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(TransposedConvolution):
    """Enlarges images by the stride: (N, inputs, H, W) -> (N, outputs, H', W'); see `tg.conv_transpose2d`.

    `weight` has shape (inputs, outputs / groups, *kernel), `bias` (outputs,).
    """

    rank, function = 2, staticmethod(ops.conv_transpose2d)


class ConvTranspose3d(TransposedConvolution):
    """Enlarges volumes by the stride; see `tg.conv_transpose3d`."""

    rank, function = 3, staticmethod(ops.conv_transpose3d)


# ---------------------------------------------------------------------------------------------------- pooling


class MaxPooling(Neighbourhood):
    """The largest element of each window."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ):
        self.kernel_size = self.each("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self.each("stride", stride, 1)
        self.padding, self.dilation = self.each("padding", padding, 0), self.each("dilation", dilation, 1)
        self.ceil_mode = ceil_mode

    def forward(self, x: Any) -> Any:
        return self.function(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return self.shown(
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0,) * self.rank),
            dilation=(self.dilation, (1,) * self.rank),
            ceil_mode=(self.ceil_mode, False),
        )


class MaxPool1d(MaxPooling):
    """The largest of every `kernel_size` elements, (N, C, L) -> (N, C, L'); see `tg.max_pool1d`."""

    rank, function = 1, staticmethod(ops.max_pool1d)


class MaxPool2d(MaxPooling):
    """The largest element of each window of an image, (N, C, H, W) -> (N, C, H', W'); see `tg.max_pool1d`."""

    rank, function = 2, staticmethod(ops.max_pool2d)


class MaxPool3d(MaxPooling):
    """The largest element of each window of a volume; see `tg.max_pool1d`."""

    rank, function = 3, staticmethod(ops.max_pool3d)


class AvgPooling(Neighbourhood):
    """The average of each window."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size = self.each("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self.each("stride", stride, 1)
        self.padding = self.each("padding", padding, 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Any:
        return self.function(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return self.shown(
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0,) * self.rank),
            ceil_mode=(self.ceil_mode, False),
            count_include_pad=(self.count_include_pad, True),
        )


class AvgPool1d(AvgPooling):
    """The average of every `kernel_size` elements, (N, C, L) -> (N, C, L'); see `tg.avg_pool1d`."""

    rank, function = 1, staticmethod(ops.avg_pool1d)


class AvgPool2d(AvgPooling):
    """The average of each window of an image, (N, C, H, W) -> (N, C, H', W'); see `tg.avg_pool1d`."""

    rank, function = 2, staticmethod(ops.avg_pool2d)


class AvgPool3d(AvgPooling):
    """The average of each window of a volume; see `tg.avg_pool1d`."""

    rank, function = 3, staticmethod(ops.avg_pool3d)


class AdaptivePooling(Neighbourhood):
    """One number for each of `output_size` windows that cover the input; None for an axis keeps its size."""

    def __init__(self, output_size: Any):
        sizes = output_size if isinstance(output_size, tuple) else (output_size,) * self.rank
        self.each("output_size", tuple([1 if n is None else n for n in sizes]), 1)
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        return self.function(x, self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"


class AdaptiveAvgPool1d(AdaptivePooling):
    """Averages of `output_size` windows that cover the input, (N, C, L) -> (N, C, output_size)."""

    rank, function = 1, staticmethod(ops.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(AdaptivePooling):
    """Averages of windows that cover an image, (N, C, H, W) -> (N, C, *output_size); 1 is the mean of all."""

    rank, function = 2, staticmethod(ops.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(AdaptivePooling):
    """Averages of windows that cover a volume, (N, C, D, H, W) -> (N, C, *output_size)."""

    rank, function = 3, staticmethod(ops.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(AdaptivePooling):
    """The largest elements of `output_size` windows that cover the input, (N, C, L) -> (N, C, output_size)."""

    rank, function = 1, staticmethod(ops.adaptive_max_pool1d)


class AdaptiveMaxPool2d(AdaptivePooling):
    """The largest elements of windows that cover an image, (N, C, H, W) -> (N, C, *output_size)."""

    rank, function = 2, staticmethod(ops.adaptive_max_pool2d)


class AdaptiveMaxPool3d(AdaptivePooling):
    """The largest elements of windows that cover a volume, (N, C, D, H, W) -> (N, C, *output_size)."""

    rank, function = 3, staticmethod(ops.adaptive_max_pool3d)


# ---------------------------------------------------------------------------------------------------- shapes


class Upsample(Module):
    """x (N, C, *spatial) in other spatial sizes, given by `size` or `scale_factor`; see `tg.interpolate`."""

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool = False):
        if (size is None) == (scale_factor is None):
            raise ValueError(f"Upsample: give size or scale_factor, got size={size!r}, scale_factor={scale_factor!r}")
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Any) -> Any:
        return ops.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}" + (", align_corners=True" if self.align_corners else "")


class PixelShuffle(Module):
    """(..., C r^2, H, W) -> (..., C, r H, r W) with r = `upscale_factor`; see `tg.pixel_shuffle`."""

    def __init__(self, upscale_factor: int):
        check_sizes(self, upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, x: Any) -> Any:
        return ops.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, r H, r W) -> (..., C r^2, H, W) with r = `downscale_factor`; see `tg.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int):
        check_sizes(self, downscale_factor=downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, x: Any) -> Any:
        return ops.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"{self.downscale_factor}"


class Pad(Module):
    """x (N, C, *spatial) with `width` more elements around: a number, (before, after), or such a pair for each spatial
    axis.  mode: "constant" (of `value`), "reflect", "edge" or "wrap"; see `tg.pad`."""

    def __init__(self, width: Any, mode: str = "constant", value: float = 0.0):
        self.width, self.mode, self.value = width, mode, value

    def forward(self, x: Any) -> Any:
        if x.ndim < 3:
            raise ValueError(f"Pad takes (N, C, ...) with at least one spatial axis, got shape {x.shape}")
        pairs = np.broadcast_to(self.width, (x.ndim - 2, 2)).tolist()
        return ops.pad(x, pad_width=((0, 0), (0, 0), *map(tuple, pairs)), mode=self.mode, value=self.value)

    def extra_repr(self) -> str:
        return f"{self.width}, mode={self.mode!r}" + (f", value={self.value}" if self.value else "")


class Flatten(Module):
    """The axes from start to end as one: by default all but the first, (N, ...) -> (N, product of the others)."""

    def __init__(self, start_axis: int = 1, end_axis: int = -1):
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Any) -> Any:
        first, last = (a + x.ndim if a < 0 else a for a in (self.start_axis, self.end_axis))
        if not 0 <= first <= last < x.ndim:
            raise ValueError(f"Flatten: axes {self.start_axis} to {self.end_axis} are no axes of shape {x.shape}")
        return ops.reshape(x, shape=(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        return "" if (self.start_axis, self.end_axis) == (1, -1) else f"{self.start_axis}, {self.end_axis}"
