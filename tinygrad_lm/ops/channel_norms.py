"""Normalisation of channels, axis 1 of (N, C, *spatial): over a batch, over groups of channels, over each alone."""

from __future__ import annotations

import math

from tinygrad_lm.core import ndim_of, op
from tinygrad_lm.ops.normalization import affine, moved_norm, scaled, standard, standardize_grad, standardized
from tinygrad_lm.ops.reduction import sum
from tinygrad_lm.ops.samples import N, P, case
from tinygrad_lm.ops.shape import reshape

__all__ = [
    "batch_norm",
    "batch_norm_eval",
    "group_norm",
    "instance_norm",
]

# ruff: noqa: A004, F811


def check_channels(x, **params):
    """ValueError unless x has channels and each of the other inputs is None or has one number for each of them."""
    if x.ndim < 2:
        raise ValueError(f"x needs the axes (batch, channels, ...), got shape {x.shape}")
    for name, p in params.items():
        if p is not None and p.shape != x.shape[1:2]:
            raise ValueError(f"{name} must have shape {x.shape[1:2]}, one number for each channel, got {p.shape}")


def others(ndim):
    """All axes but that of the channels."""
    return (0, *range(2, ndim))


def across(p, ndim):
    """(C,) as (C, 1, ...), which broadcasts against an x with `ndim` axes; None stays None."""
    return None if p is None else reshape(p, shape=(p.size, *(1,) * (ndim - 2)))


def per_channel(dp):
    """What each channel receives: the sum over all other axes."""
    return sum(dp, axis=others(dp.ndim))


# ------------------------------------------------------------------------------------------------ over a batch


@op(
    aux="centre scale variance",
    cost=lambda x, *_, **__: 8 * x.size,
    analytic=True,
    samples=lambda: [
        case(N(4, 3), N(3), N(3)),
        case(N(2, 3, 2), N(3)),
        case(N(2, 2, 2, 2), None, N(2)),
        case(N(5, 2), eps=0.1),
        case(N(3, 0), N(0), N(0)),
        case(N(1, 2, 3), N(2), N(2)),
    ],
)
def batch_norm(xp, x, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the statistics of each channel over the batch and space.

    x (N, C, *spatial); weight and bias (C,) or None.  The variance divides by the number of values.  This is the
    formula of training (Ioffe and Szegedy 2015); `batch_norm.with_aux` also returns the mean, 1 / sqrt(variance + eps)
    and the variance, shaped (1, C, 1, ...).  ValueError if a channel has fewer than two values.
    """
    check_channels(x, weight=weight, bias=bias)
    if x.shape[0] * math.prod(x.shape[2:]) < 2:
        raise ValueError(
            f"training needs more than one value per channel, x {x.shape} has "
            f"{x.shape[0] * math.prod(x.shape[2:])}: use a larger batch, or the running statistics (evaluation mode)"
        )
    return standardized(xp, x, across(weight, x.ndim), across(bias, x.ndim), others(x.ndim), eps)


@batch_norm.vjp("x", "weight", "bias")
def _(g, x, weight, centre, scale, *, eps):
    return batch_norm_grad(g, x, weight, centre, scale, eps=eps)


@batch_norm.jvp("x", "weight", "bias")
def _(t, x, weight, centre, scale):
    tx, tweight, tbias = t
    n = x.ndim
    return moved_norm(tx, across(tweight, n), across(tbias, n), x, across(weight, n), centre, scale, others(n))


@batch_norm.composed
def _(x, weight, bias, eps):
    h, _ = standard(x, others(x.ndim), eps)
    return affine(h, across(weight, x.ndim), across(bias, x.ndim))


@op(
    samples=lambda: [
        case(N(4, 3), N(4, 3), N(3)),
        case(N(2, 3, 2), N(2, 3, 2), N(3)),
        case(N(2, 2, 2, 2), N(2, 2, 2, 2)),
        case(N(5, 2), N(5, 2), eps=0.1),
        case(N(1, 2, 3), N(1, 2, 3), N(2)),
    ],
)
def batch_norm_grad(xp, dy, x, weight=None, centre=None, scale=None, *, eps=1e-5):
    """(dx, dweight, dbias) of batch_norm; centre and scale are caches (computed if None).

    With h = (x - centre) scale and means and sums over the values of each channel:
    dx = (dy - mean dy - h mean(dy h)) scale weight,  dweight = sum(dy h),  dbias = sum(dy).
    """
    dx, h = standardize_grad(dy, x, across(weight, x.ndim), centre, scale, axis=others(x.ndim), eps=eps)
    return dx, per_channel(h), per_channel(dy)


batch_norm_grad.constant("centre", "scale")


@batch_norm_grad.composed
def _(dy, x, weight, eps):
    dx, h = standardize_grad(dy, x, across(weight, x.ndim), axis=others(x.ndim), eps=eps)
    return dx, per_channel(h), per_channel(dy)


@op(
    cost=lambda x, *_, **__: 2 * x.size,
    analytic=True,
    samples=lambda: [
        case(N(4, 3), N(3), P(3), N(3), N(3)),
        case(N(2, 3, 2), N(3), P(3), N(3)),
        case(N(1, 2, 2, 2), N(2), P(2), None, N(2)),
        case(N(5, 2), N(2), P(2), eps=0.1),
        case(N(0, 2), N(2), P(2), N(2), N(2)),
    ],
)
def batch_norm_eval(xp, x, mean, variance, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with statistics that are given: the formula of evaluation.

    x (N, C, *spatial); mean, variance (C,); weight and bias (C,) or None.  The statistics are inputs like the others:
    a Tensor among them gets its gradient.
    """
    check_channels(x, mean=mean, variance=variance, weight=weight, bias=bias)
    y = x - across(mean, x.ndim)
    y = y * across(1 / xp.sqrt(variance + eps), x.ndim)
    return scaled(xp, y, across(weight, x.ndim), across(bias, x.ndim))


@batch_norm_eval.vjp("x", "mean", "variance", "weight", "bias")
def _(g, x, mean, variance, weight, needs, *, eps):
    scale = (variance + eps) ** -0.5
    slope = scale if weight is None else scale * weight  # of y in x, one for each channel
    total = per_channel(g)
    apart = per_channel(g * (x - across(mean, x.ndim))) if needs[2] or needs[3] else 0.0
    return g * across(slope, x.ndim), -total * slope, apart * slope * (-0.5 * scale * scale), apart * scale, total


@batch_norm_eval.jvp("x", "mean", "variance", "weight", "bias")
def _(t, x, mean, variance, weight, *, eps):
    tx, tmean, tvariance, tweight, tbias = [p if i == 0 else across(p, x.ndim) for i, p in enumerate(t)]
    scale = across((variance + eps) ** -0.5, x.ndim)
    apart = x - across(mean, x.ndim)
    ty = (tx - tmean) * scale - apart * (tvariance * scale**3) / 2
    if weight is not None:
        ty = ty * across(weight, x.ndim) + apart * scale * tweight
    return ty if tbias is None else ty + tbias


# ------------------------------------------------------------------------------------------------ over groups


def parted(x, num_groups):
    """(N, C, *spatial) as (N, groups, C / groups, *spatial)."""
    return reshape(x, shape=(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:]))


def spread(p, x, num_groups):
    """(C,) as (groups, C / groups, 1, ...), which broadcasts against a parted x; None stays None."""
    return None if p is None else reshape(p, shape=(num_groups, p.size // num_groups, *(1,) * (x.ndim - 2)))


def inside(x):
    """The axes of one group in a parted x."""
    return tuple(range(2, x.ndim + 1))


@op(
    aux="centre scale",
    cost=lambda x, *_, **__: 8 * x.size,
    analytic=True,
    samples=lambda: [
        case(N(1, 4, 2), N(4), N(4), num_groups=2),
        case(N(2, 2, 3), N(2), num_groups=2),
        case(N(1, 4, 2, 2), None, N(4), num_groups=1),
        case(N(2, 6), num_groups=2, eps=0.1),
        case(N(0, 2, 3), N(2), N(2), num_groups=1),
    ],
)
def group_norm(xp, x, weight=None, bias=None, *, num_groups=1, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over each of `num_groups` groups of channels (Wu and He 2018).

    x (N, C, *spatial), where num_groups divides C; weight and bias (C,) or None.  The statistics are those of one
    example: C / num_groups channels with all of their places.
    """
    check_channels(x, weight=weight, bias=bias)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"num_groups must divide the {x.shape[1]} channels, got {num_groups}")
    if x.shape[1] == 0 or 0 in x.shape[2:]:
        raise ValueError(f"a group needs at least one value, got x {x.shape}")
    y, centre, scale, _ = standardized(
        xp, parted(x, num_groups), spread(weight, x, num_groups), spread(bias, x, num_groups), inside(x), eps
    )
    return y.reshape(x.shape), centre, scale


@group_norm.vjp("x", "weight", "bias")
def _(g, x, weight, centre, scale, *, num_groups, eps):
    parts = [parted(a, num_groups) for a in (g, x)]
    dx, dweight = standardize_grad(*parts, spread(weight, x, num_groups), centre, scale, axis=inside(x), eps=eps)
    return reshape(dx, shape=x.shape), per_channel(reshape(dweight, shape=x.shape)), per_channel(g)


@group_norm.jvp("x", "weight", "bias")
def _(t, x, weight, centre, scale, *, num_groups):
    tx, tweight, tbias = parted(t[0], num_groups), *[spread(p, x, num_groups) for p in t[1:]]
    wide = parted(x, num_groups), spread(weight, x, num_groups)
    return moved_norm(tx, tweight, tbias, *wide, centre, scale, inside(x)).reshape(x.shape)


@group_norm.composed
def _(x, weight, bias, num_groups, eps):
    h, _ = standard(parted(x, num_groups), inside(x), eps)
    return affine(reshape(h, shape=x.shape), across(weight, x.ndim), across(bias, x.ndim))


def instance_norm(x, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the places of each channel alone (Ulyanov et al. 2016).

    x (N, C, *spatial) with at least one spatial axis; weight and bias (C,) or None: `group_norm` with groups of one.
    """
    if ndim_of("instance_norm", x) < 3:
        raise ValueError(f"instance_norm: x needs the axes (batch, channels, space, ...), got shape {x.shape}")
    return group_norm(x, weight, bias, num_groups=x.shape[1], eps=eps)
