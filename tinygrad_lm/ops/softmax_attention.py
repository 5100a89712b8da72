"""Softmax attention, fused: the weights are not kept, backward computes them again from a saved log-sum-exp."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.backend import backend_of, dropout_mask
from tinygrad_lm.core import ndim_of, op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.exponential import exp
from tinygrad_lm.ops.normalization import finite_top
from tinygrad_lm.ops.products import matmul
from tinygrad_lm.ops.random import dropout as dropped
from tinygrad_lm.ops.reduction import peak, sum
from tinygrad_lm.ops.samples import N, booleans, case
from tinygrad_lm.ops.shape import reshape, transposed

__all__ = [
    "attention",
]

# ruff: noqa: A004


def visible(xp, T, S, mask, causal):
    """(boolean mask or None, additive mask or None): who may look where, for T queries and S keys."""
    allowed = mask if mask is not None and mask.dtype.kind == "b" else None
    if causal:  # the last query stands at the last key
        triangle = xp.tri(T, S, S - T, dtype=bool)
        allowed = triangle if allowed is None else allowed & triangle
    return allowed, None if mask is None or mask.dtype.kind == "b" else mask


def scores(xp, q, k, mask, causal, scale):
    """q k^T scale + mask, -inf where nobody may look: (..., T, S)."""
    s = xp.matmul(q, xp.swapaxes(k, -1, -2))
    s *= scale
    allowed, added = visible(xp, q.shape[-2], k.shape[-2], mask, causal)
    if added is not None:
        s = s + added
    if allowed is not None:
        s = xp.where(allowed, s, s.dtype.type(-xp.inf))
    if s.shape[-2:] != (q.shape[-2], k.shape[-2]):
        raise ValueError("the mask is larger than the scores")
    return s


def scale_of(q, scale):
    return 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale


def drop(xp, p, rate, key):
    """p with elements dropped, in place."""
    if rate:
        p *= dropout_mask(xp, p.shape, rate, key)
        p *= p.dtype.type(1 / (1 - rate))
    return p


def why_not_attention(q, k, v, mask=None, **_):
    if len(q) < 2 or len(k) < 2 or len(v) < 2:
        return "q, k and v need at least the axes (length, head size)"
    if q[-1] != k[-1]:
        return f"q and k must have one head size, got {q[-1]} and {k[-1]}"
    if mask is not None and any(m not in (1, n) for m, n in zip(mask[::-1], (k[-2], q[-2]), strict=False)):
        return f"the mask {mask} must broadcast to (..., {q[-2]}, {k[-2]})"
    if k[-2] != v[-2]:
        return f"k and v must have one length, got {k[-2]} and {v[-2]}"
    return (
        f"the leading axes of q {q}, k {k}, v {v}, and the mask {mask} over (..., {q[-2]}, {k[-2]}), do not "
        "broadcast, nor has q a multiple of the heads of k and v"
    )


def cases():
    mask = booleans(4, 4)
    return [
        case(N(2, 4, 3), N(2, 4, 3), N(2, 4, 2), causal=True),
        case(N(4, 3), N(5, 3), N(5, 3)),
        case(N(2, 3), N(5, 3), N(5, 3), causal=True),
        case(N(2, 2, 4, 3), N(2, 2, 4, 3), N(2, 2, 4, 3), mask),
        case(N(4, 2), N(4, 2), N(4, 2), mask, causal=True, scale=0.3),
        case(N(3, 2), N(3, 2), N(3, 2), -1.5 * np.eye(3)),
        case(N(0, 4, 3), N(0, 4, 3), N(0, 4, 3)),
        case(N(4, 3), N(2, 3), N(2, 3), causal=True),
        case(N(2, 3), N(0, 3), N(0, 3)),
        case(N(2, 3, 2), N(1, 4, 2), N(1, 4, 2), dropout=0.4, key=(7, 3)),
    ]


@op(
    name="attention",
    aux="lse",
    analytic=True,
    promote="q k v mask",
    diagnose=why_not_attention,
    samples=lambda: cases(),
    cost=lambda q, k, v, *_, causal=False, **__: (
        (q.size * k.shape[-2] + q.size // q.shape[-1] * v.shape[-1] * k.shape[-2]) * (1 if causal else 2)
    ),
)
def fused_attention(xp, q, k, v, mask=None, *, causal=False, scale=None, dropout=0.0, key=None):
    """softmax(q k^T scale + mask) v, where leading axes broadcast; `attention` says what the rest means."""
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ValueError("too few axes")
    s = scores(xp, q, k, mask, causal, scale_of(q, scale))
    top = finite_top(xp, s, -1)
    s -= top
    p = xp.exp(s, out=s)
    total = xp.sum(p, axis=-1, keepdims=True)
    p /= xp.where(total == 0, 1, total)
    lse = top + xp.log(xp.where(total == 0, 1, total))  # where nobody may look: p is 0 whatever this is
    return xp.matmul(drop(xp, p, dropout, key), v), lse


@fused_attention.vjp("q", "k", "v")
def _(g, q, k, v, mask, out, lse, *, causal, scale, dropout, key):
    return attention_grad(g, q, k, v, mask, out, lse, causal=causal, scale=scale, dropout=dropout, key=key)


@fused_attention.jvp("q", "k", "v", "mask")
def _(t, q, k, v, mask, lse, *, causal, scale, dropout, key):
    tq, tk, tv, tmask = t
    xp = backend_of(q).xp
    p = xp.exp(scores(xp, q, k, mask, causal, scale_of(q, scale)) - lse)
    ts = (matmul(tq, transposed(k)) + matmul(q, transposed(tk))) * scale_of(q, scale)
    if mask is not None and mask.dtype.kind != "b":
        ts = ts + tmask
    tp = p * (ts - (p * ts).sum(axis=-1, keepdims=True))
    return matmul(drop(xp, tp, dropout, key), v) + matmul(drop(xp, p, dropout, key), tv)


@op(
    promote="dy q k v mask",
    samples=lambda: [
        case(N(*c.arrays[0].shape[:-1], c.arrays[2].shape[-1]), *c.arrays[:3], *c.arrays[3:], **c.params)
        for c in cases()
    ],
)
def attention_grad(xp, dy, q, k, v, mask=None, y=None, lse=None, *, causal=False, scale=None, dropout=0.0, key=None):
    """(dq, dk, dv) of attention; y and lse, its output and log-sum-exp, are caches (computed again if None).

    With p the weights and m what dropout multiplies them by:  dv = (p m)^T dy,  dp = dy v^T m,
    ds = p (dp - sum(dy y)) scale,  dq = ds k,  dk = ds^T q.
    """
    if y is None or lse is None:
        y, lse = fused_attention.op.forward(xp, q, k, v, mask, causal=causal, scale=scale, dropout=dropout, key=key)
    p = scores(xp, q, k, mask, causal, scale_of(q, scale))
    p -= lse
    p = xp.exp(p, out=p)
    ds = drop(xp, xp.matmul(dy, xp.swapaxes(v, -1, -2)), dropout, key)
    ds -= xp.sum(dy * y, axis=-1, keepdims=True)
    ds *= p
    ds *= scale_of(q, scale)
    dv = xp.matmul(xp.swapaxes(drop(xp, p, dropout, key), -1, -2), dy)
    return xp.matmul(ds, k), xp.matmul(xp.swapaxes(ds, -1, -2), q), dv


attention_grad.constant("y", "lse")


def weights(q, k, mask, causal, scale):
    """The attention weights from simple ops."""
    xp = backend_of(raw(q)).xp
    s = matmul(q, transposed(k)) * scale_of(q, scale)
    allowed, added = visible(xp, q.shape[-2], k.shape[-2], raw(mask), causal)
    if added is not None:
        s = s + mask
    if allowed is None:
        allowed = xp.ones((1, 1), bool)
    top = peak(xp, xp.where(allowed, raw(s), -xp.inf), -1, -xp.inf)
    top = xp.where(xp.isfinite(top), top, 0).astype(s.dtype)
    e = where(allowed, exp(where(allowed, s, 0.0) - top), 0.0)
    total = sum(e, axis=-1, keepdims=True)
    return e / where(raw(total) == 0, 1.0, total)


def thinned(p, rate, key):
    """p with elements dropped, from simple ops."""
    return dropped(p, rate=rate, key=key) if rate else p


@attention_grad.composed
def _(dy, q, k, v, mask, causal, scale, dropout, key):
    p = weights(q, k, mask, causal, scale)
    dp = thinned(matmul(dy, transposed(v)), dropout, key)
    ds = p * (dp - sum(dp * p, axis=-1, keepdims=True)) * scale_of(q, scale)
    return matmul(ds, k), matmul(transposed(ds), q), matmul(transposed(thinned(p, dropout, key)), dy)


@fused_attention.composed
def _(q, k, v, mask, causal, scale, dropout, key):
    return matmul(thinned(weights(q, k, mask, causal, scale), dropout, key), v)


def attention(q, k, v, mask=None, causal=False, scale=None, dropout=0.0, key=None):
    """softmax(q k^T scale + mask) v: scaled dot-product attention (Vaswani et al. 2017).

    q (..., T, D), k (..., S, D), v (..., S, Dv); result (..., T, Dv); scale: 1 / sqrt(D) if None.
    mask: boolean (True: may attend) or a number added to the score, broadcast to (..., T, S).
    causal: query i sees the keys up to i + S - T, so that the last query stands at the last key.
    dropout: how likely each weight is left out; key: (seed, stream) for its mask, see `dropout`.
    A query that may look nowhere gets 0, and no gradient flows from it.

    The axis before the last two counts heads: q may have a multiple of the heads of k and v, and then neighbouring
    heads of q share one (Ainslie et al. 2023); other leading axes broadcast.
    """
    ndim_of("attention", q), ndim_of("attention", k), ndim_of("attention", v)
    if not 0 <= dropout < 1:
        raise ValueError(f"attention: dropout must be in [0, 1), got {dropout}")
    if dropout and key is None:
        raise ValueError("attention: dropout needs a key, (seed, stream), e.g. from Generator.key()")
    together = heads(q) // heads(k) if heads(k) > 1 and heads(k) == heads(v) and heads(q) % heads(k) == 0 else 1
    if together == 1:
        return fused_attention(q, k, v, mask, causal, scale, dropout, key)
    k, v = grouped(k, 1), grouped(v, 1)  # (..., groups, 1, S, D)
    if mask is not None:
        mask = grouped(mask, together if heads(mask) == heads(q) else 1)
    y = fused_attention(grouped(q, together), k, v, mask, causal, scale, dropout, key)  # (..., groups, heads, T, Dv)
    return reshape(y, shape=(*y.shape[:-4], heads(q), *y.shape[-2:]))


def heads(x):
    """The size of the axis before the last two, 1 if there is none."""
    return x.shape[-3] if x.ndim > 2 else 1


def grouped(x, size):
    """(..., heads, T, D) as (..., heads / size, size, T, D)."""
    return reshape(x, shape=(*x.shape[:-3], heads(x) // size, size, *x.shape[-2:]))
