"""Normalisation layers.  Their weights start as 1, their biases as 0; both may be left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lm import config, ops
from tinygrad_lm.nn import init
from tinygrad_lm.nn.layers import check_sizes, new_parameter
from tinygrad_lm.nn.module import Module, Parameter


class RMSNorm(Module):
    """y = x / sqrt(mean of x^2 + eps) * weight, over the last axis, which has size `width`."""

    def __init__(self, width: int, weight: bool = True, eps: float = 1e-5, dtype: Any = None):
        check_sizes(self, width=width)
        self.width, self.eps = width, eps
        self.weight = init.ones_(new_parameter(width, dtype=dtype)) if weight else None

    def forward(self, x: Any) -> Any:
        return ops.rms_norm(x, self.weight, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}"


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over each of `num_groups` groups of channels.

    x: (N, channels, *spatial).
    """

    def __init__(self, num_groups: int, channels: int, affine: bool = True, eps: float = 1e-5, dtype: Any = None):
        check_sizes(self, num_groups=num_groups, channels=channels)
        if channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups must divide channels, got {num_groups} groups and {channels} channels"
            )
        self.num_groups, self.channels, self.eps = num_groups, channels, eps
        self.weight, self.bias = channel_parameters(channels, affine, dtype)

    def forward(self, x: Any) -> Any:
        return ops.group_norm(x, self.weight, self.bias, num_groups=self.num_groups, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.channels}"


def channel_parameters(channels: int, affine: bool, dtype: Any) -> tuple[Parameter | None, Parameter | None]:
    """(weight, bias) with one number for each channel, or (None, None)."""
    if not affine:
        return None, None
    weight, bias = [new_parameter(channels, dtype=dtype) for _ in range(2)]
    init.ones_(weight)
    return weight, bias


class ChannelNorm(Module):
    """What the layers below share: a number of channels, and inputs with so many axes."""

    axes: tuple[str, ...] = ()  # the shapes that are accepted

    def __init__(self, channels: int, eps: float, affine: bool, dtype: Any):
        check_sizes(self, channels=channels)
        self.channels, self.eps = channels, eps
        self.weight, self.bias = channel_parameters(channels, affine, dtype)

    def check(self, x: Any) -> None:
        """ValueError unless x has the axes that this layer is for, and its channels."""
        if x.ndim not in [len(a.split()) for a in self.axes] or x.shape[1] != self.channels:
            wanted = " or ".join(f"({', '.join(a.split())})" for a in self.axes)
            raise ValueError(
                f"{type(self).__name__}({self.channels}) takes {wanted} with C = {self.channels}, got shape {x.shape}"
            )

    def extra_repr(self) -> str:
        return f"{self.channels}"


class BatchNorm(ChannelNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias for each channel: BatchNorm1d, 2d and 3d.

    In training, mean and variance are those of the batch, and the running ones move towards them,

        running = (1 - momentum) running + momentum batch,

    where the variance counts with n / (n - 1), as an estimate for the population; momentum None: the plain average over
    all batches so far.  In evaluation mode the running ones are used, and are constants.  With
    `track_running_stats=False` there are none, and the batch is used in both modes.

    Under `tg.checkpoint` a forward runs twice, and the running statistics move once.
    """

    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ):
        super().__init__(channels, eps, affine, dtype)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"{type(self).__name__}: momentum must be from 0 to 1, or None, got {momentum!r}")
        self.momentum, self.track_running_stats = momentum, track_running_stats
        if track_running_stats:
            dtype = config.default_dtype() if dtype is None else dtype
            self.register_buffer("running_mean", np.zeros(channels, dtype))
            self.register_buffer("running_var", np.ones(channels, dtype))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Any) -> Any:
        self.check(x)
        if self.track_running_stats and not self.training:
            return ops.batch_norm_eval(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        y, mean, _, variance = ops.batch_norm.with_aux(x, self.weight, self.bias, eps=self.eps)
        if self.track_running_stats and not config.recomputing.get():
            self.follow(mean.reshape(-1), variance.reshape(-1), x.size // self.channels)
        return y

    def follow(self, mean: Any, variance: Any, count: int) -> None:
        """Move the running statistics towards those of a batch with `count` values for each channel."""
        self.num_batches_tracked += 1
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        for name, seen in (("running_mean", mean), ("running_var", variance * (count / (count - 1)))):
            kept = getattr(self, name)
            setattr(self, name, (kept * (1 - share) + seen * share).astype(kept.dtype))


class BatchNorm1d(BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); see `BatchNorm`."""

    axes = ("N C", "N C L")


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images (N, C, H, W); see `BatchNorm`."""

    axes = ("N C H W",)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W); see `BatchNorm`."""

    axes = ("N C D H W",)


class InstanceNorm(ChannelNorm):
    """y = (x - mean) / sqrt(var + eps), for each channel of each example alone: InstanceNorm1d, 2d and 3d.

    With `affine`, times a weight plus a bias for each channel.  The same in training and in evaluation.
    """

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = False, dtype: Any = None):
        super().__init__(channels, eps, affine, dtype)

    def forward(self, x: Any) -> Any:
        self.check(x)
        return ops.instance_norm(x, self.weight, self.bias, eps=self.eps)


class InstanceNorm1d(InstanceNorm):
    """Instance normalisation of (N, C, L); see `InstanceNorm`."""

    axes = ("N C L",)


class InstanceNorm2d(InstanceNorm):
    """Instance normalisation of images (N, C, H, W); see `InstanceNorm`."""

    axes = ("N C H W",)


class InstanceNorm3d(InstanceNorm):
    """Instance normalisation of volumes (N, C, D, H, W); see `InstanceNorm`."""

    axes = ("N C D H W",)
